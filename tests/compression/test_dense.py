"""With a checkpoint: scores, surgery that really shrinks tensors, distillation that brings the answers back."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra `train` is not installed")

from tests.training.quick import first_states  # noqa: E402
from wattscribe.compression.dense import distil, scores, surgery  # noqa: E402
from wattscribe.compression.dense.surgery import Cut, parameters, prune  # noqa: E402
from wattscribe.errors import InputError  # noqa: E402
from wattscribe.training.config import (  # noqa: E402
    EncoderConfig,
    JoinerConfig,
    LayerConfig,
    PredictorConfig,
    TransducerConfig,
)
from wattscribe.training.data import Batch  # noqa: E402
from wattscribe.training.encoder import Block  # noqa: E402
from wattscribe.training.model import build  # noqa: E402
from wattscribe.training.tokens import Vocabulary, characters  # noqa: E402

TEXTS = ("the cat sat", "a dog ran")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


def config(vocabulary: int, predictor: PredictorConfig | None = None) -> TransducerConfig:
    layer = LayerConfig(heads=4, head_width=8, feed_forward=32, conv_kernel=3, conv_width=16)
    encoder = EncoderConfig(
        time_stack=4, width=24, segment=4, left_context=8, layers=(layer,) * 3, dropout=0.0, mels=20
    )
    return TransducerConfig(
        vocabulary=vocabulary,
        encoder=encoder,
        predictor=predictor or PredictorConfig(embedding=16),
        joiner=JoinerConfig(width=24),
    )


def batch(vocabulary: Vocabulary, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    ids = [vocabulary.encode(text) for text in TEXTS]
    longest = max(map(len, ids))
    targets = torch.tensor([each + [0] * (longest - len(each)) for each in ids])
    fields = {
        "mels": torch.randn(2, 128, 20, generator=generator), "frames": torch.tensor([128, 112]), "targets": targets,
        "tokens": torch.tensor([len(each) for each in ids]), "texts": TEXTS, "audio_s": 2.4, "taught": None,
    }  # fmt: skip
    return Batch(**fields)


@pytest.fixture
def vocabulary() -> Vocabulary:
    return characters(TEXTS)


def test_pruned_models_are_really_smaller_and_run_as_streams(vocabulary: Vocabulary) -> None:
    model = build(config(len(vocabulary))).eval()
    cut = Cut(feed_forward=0.5, heads=0.5, convolution=0.5, joint=0.5, embedding=0.5, drop_layers=(1,))
    smaller = prune(model, cut, scores.magnitude(model))
    layers = smaller.config.encoder.layers
    assert [(each.feed_forward, each.heads, each.conv_width) for each in layers] == [(16, 2, 8)] * 2
    assert smaller.config.joiner.width == 12
    assert smaller.config.predictor.embedding == 8
    assert parameters(smaller) < 0.5 * parameters(model)
    assert sum(each.numel() for each in smaller.state_dict().values()) < sum(
        each.numel() for each in model.state_dict().values()
    )
    states = first_states(smaller.encoder)
    frames, _ = smaller.encoder.step(torch.randn(1, 16, 20), states, torch.tensor([0]))
    assert frames.shape == (1, 4, 24)


def test_channels_that_do_nothing_are_the_first_to_go(vocabulary: Vocabulary) -> None:
    model = build(config(len(vocabulary))).eval()
    with torch.no_grad():
        for block in model.encoder.blocks:
            assert isinstance(block, Block)
            block.expand.weight[16:] = 0
            block.expand.bias[16:] = 0
            block.contract.weight[:, 16:] = 0
    smaller = prune(model, Cut(feed_forward=0.5), scores.magnitude(model))
    mels = torch.randn(1, 64, 20)
    torch.testing.assert_close(smaller.encoder(mels), model.encoder(mels))


def test_moment_weighted_scores_see_what_the_loss_needs(vocabulary: Vocabulary) -> None:
    model = build(config(len(vocabulary))).eval()
    with torch.no_grad():
        model.predictor.embedding.weight[-1] = 5.0  # large, and its unit may occur or not
    found = scores.moments(model, [batch(vocabulary, seed) for seed in range(3)])
    unused = [
        i for i in range(len(vocabulary)) if i not in {t for text in TEXTS for t in vocabulary.encode(text)} | {0}
    ]
    used = vocabulary.encode("cat")
    table = found["predictor.embedding.weight"].mean(1)
    assert table[unused].max() < table[used].min()
    assert all(torch.isfinite(each).all() for each in found.values())
    with pytest.raises(InputError, match="batches"):
        scores.moments(model, [])


def test_distillation_brings_the_dense_answers_back(vocabulary: Vocabulary) -> None:
    model = build(config(len(vocabulary))).eval()
    with torch.no_grad():
        model.joiner.out.weight.mul_(4)  # a teacher with opinions
    student = prune(model, Cut(feed_forward=0.5, joint=0.5), scores.magnitude(model))
    heard = batch(vocabulary)
    before = float(distil.answers_apart(student, model, heard).detach())
    history = distil.distil(student, model, [heard] * 60, steps=60, rate=3e-3, share=0.9)
    after = float(distil.answers_apart(student, model, heard).detach())
    assert len(history) == 60
    assert before > 0
    assert after < 0.5 * before
    assert float(distil.answers_apart(model, model, heard).detach()) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("steps", [1, 3, 5, 6])
def test_distillation_takes_as_few_steps_as_asked_for(vocabulary: Vocabulary, steps: int) -> None:
    """With five a rise over a fifth of the steps had a length of zero, by which the schedule divided."""
    model = build(config(len(vocabulary))).eval()
    student = prune(model, Cut(feed_forward=0.5), scores.magnitude(model))
    assert len(distil.distil(student, model, [batch(vocabulary)] * steps, steps=steps)) == steps


def test_an_lstm_becomes_stateless_and_keeps_its_embedding(vocabulary: Vocabulary) -> None:
    lstm = build(config(len(vocabulary), predictor=PredictorConfig(kind="lstm", embedding=16, hidden=16)))
    made = surgery.to_stateless(lstm)
    assert made.config.predictor.kind == "stateless"
    assert parameters(made) < parameters(lstm)
    torch.testing.assert_close(made.predictor.embedding.weight, lstm.predictor.embedding.weight)
    with pytest.raises(InputError, match="already"):
        surgery.to_stateless(made)


def test_a_factorised_blank_leaves_the_other_tokens_their_shares(vocabulary: Vocabulary) -> None:
    model = build(config(len(vocabulary))).eval()
    made = surgery.factorise_blank(model, 8)
    frame, said = torch.randn(2, 24), torch.randn(2, 16)
    old = torch.softmax(model.joiner(frame, said)[:, 1:], -1)
    new = made.joiner(frame, said)
    torch.testing.assert_close(torch.softmax(new[:, 1:], -1), old)
    torch.testing.assert_close(new.exp().sum(-1), torch.ones(2))
    with pytest.raises(InputError, match="already"):
        surgery.factorise_blank(made, 8)


def test_impossible_cuts_are_refused(vocabulary: Vocabulary) -> None:
    model = build(config(len(vocabulary)))
    with pytest.raises(InputError, match="feed_forward"):
        Cut(feed_forward=0)
    with pytest.raises(InputError, match="cannot be dropped"):
        prune(model, Cut(drop_layers=(0, 1, 2)), scores.magnitude(model))
    assert np.isfinite(parameters(model))
