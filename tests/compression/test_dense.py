"""With a checkpoint: scores, surgery that really shrinks tensors, distillation that brings the answers back."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the extra `train` is not installed")

from tests.training.quick import first_states  # noqa: E402
from wattscribe.compression.dense import distil, repair, scores, surgery  # noqa: E402
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
from wattscribe.training.predictor import LstmPredictor  # noqa: E402
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


@pytest.mark.parametrize("layers", [1, 2])
def test_an_lstm_loses_the_cells_that_say_nothing(vocabulary: Vocabulary, layers: int) -> None:
    spoken = PredictorConfig(kind="lstm", embedding=16, hidden=12, layers=layers)
    model = build(config(len(vocabulary), predictor=spoken)).eval()
    assert isinstance(model.predictor, LstmPredictor)
    silent = [gate * 12 + cell for gate in range(4) for cell in (1, 5, 6, 11)]
    with torch.no_grad():
        for each in model.predictor.lstm.parameters():
            each[silent] = 0
        model.joiner.from_predictor.weight[:, [1, 5, 6, 11]] = 0
    found = scores.magnitude(model)
    smaller = prune(model, Cut(hidden=8 / 12), found)
    assert isinstance(smaller.predictor, LstmPredictor)
    assert smaller.config.predictor.hidden == 8
    said = model.predictor.embedding(torch.tensor([[3, 4, 5]]))
    kept = [cell for cell in range(12) if cell not in (1, 5, 6, 11)]
    torch.testing.assert_close(smaller.predictor.lstm(said)[0], model.predictor.lstm(said)[0][..., kept])
    torch.testing.assert_close(smaller.joiner.from_predictor.weight, model.joiner.from_predictor.weight[:, kept])
    narrow = prune(model, Cut(embedding=0.5), found)
    assert narrow.state_dict()["predictor.lstm.weight_ih_l0"].shape == (48, 8)
    assert narrow.predictor(torch.tensor([[3, 4]])).shape == (1, 3, 12)


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


@pytest.mark.parametrize(
    "spoken", [PredictorConfig(embedding=16), PredictorConfig(kind="lstm", embedding=16, hidden=12)]
)
def test_maps_answer_for_the_channels_that_went(vocabulary: Vocabulary, spoken: PredictorConfig) -> None:
    """Half of every width goes, and the maps that read it are fitted on other speech than they are tried on."""
    model = build(config(len(vocabulary), predictor=spoken)).eval()
    with torch.no_grad():
        model.joiner.out.weight.mul_(4)  # with opinions
    found = scores.magnitude(model)
    heard = [batch(vocabulary, seed) for seed in range(1, 9)]
    inputs = repair.inputs_of(model, heard)
    for cut in (Cut(joint=0.5), Cut(feed_forward=0.5), Cut(convolution=0.5), Cut(heads=0.5, drop_layers=(1,))):
        plain, mended = (prune(model, cut, found, given) for given in (None, inputs))
        assert {name: each.shape for name, each in plain.state_dict().items()} == {
            name: each.shape for name, each in mended.state_dict().items()
        }
        without, with_it = (
            float(distil.answers_apart(each, model, batch(vocabulary)).detach()) for each in (plain, mended)
        )
        assert with_it < (1.0 if cut.drop_layers else 0.8) * without, cut


def test_channels_that_others_tell_are_not_missed(vocabulary: Vocabulary) -> None:
    """Of twins one is enough: what reads it is told twice as much of the other, with the bias of a constant one."""
    model = build(config(len(vocabulary))).eval()
    with torch.no_grad():
        for block in model.encoder.blocks:
            assert isinstance(block, Block)
            block.expand.weight[16:], block.expand.bias[16:] = block.expand.weight[:16], block.expand.bias[:16]
            block.expand.weight[20], block.expand.bias[20] = 0.0, 3.0
            block.contract.weight[:, 20] = 0.5
    favoured = scores.magnitude(model)
    for name in favoured:
        if ".expand.weight" in name:
            favoured[name][16:] = 0.0
        if ".contract.weight" in name:
            favoured[name][:, 16:] = 0.0
    inputs = repair.inputs_of(model, [batch(vocabulary, seed) for seed in range(4)])
    smaller = prune(model, Cut(feed_forward=0.5), favoured, inputs)
    mels = torch.randn(1, 64, 20)
    torch.testing.assert_close(smaller.encoder(mels), model.encoder(mels), atol=0.02, rtol=0.02)


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


@pytest.mark.parametrize("bf16", [False, True])
def test_distillation_brings_the_dense_answers_back(vocabulary: Vocabulary, bf16: bool) -> None:
    """In bfloat16 too, where every step must see the weights of the step before, and not those that were rounded first."""
    model = build(config(len(vocabulary))).eval()
    with torch.no_grad():
        model.joiner.out.weight.mul_(4)  # a teacher with opinions
    student = prune(model, Cut(feed_forward=0.5, joint=0.5), scores.magnitude(model))
    heard = batch(vocabulary)
    before = float(distil.answers_apart(student, model, heard).detach())
    history = distil.distil(student, model, [heard] * 60, steps=60, rate=3e-3, share=0.9, bf16=bf16)
    after = float(distil.answers_apart(student, model, heard).detach())
    assert len(history) == 60
    assert before > 0
    assert after < 0.5 * before
    assert not torch.is_autocast_enabled("cpu"), "the process is left as it was"
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
