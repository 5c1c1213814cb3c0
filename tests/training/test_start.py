"""Where a training starts: of a checkpoint or an export, what fits by name and shape, the same function, and what was left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from tests.training.conftest import tiny_config
from tests.training.test_export import varied_model
from wattscribe.compression.candidate import read_candidate
from wattscribe.compression.lift import lifted
from wattscribe.errors import InputError
from wattscribe.models import REFERENCE
from wattscribe.training.checkpoint import save_model
from wattscribe.training.config import JoinerConfig, LayerConfig, PredictorConfig, preset
from wattscribe.training.export import cache_shape, export
from wattscribe.training.exported import read_export
from wattscribe.training.model import TransducerModel, build
from wattscribe.training.start import Start, read_start, standardise, take_over
from wattscribe.training.tokens import Vocabulary, characters


def unlike(model: TransducerModel) -> TransducerModel:
    """Every vector another, as in a trained model: an export writes equal ones once."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return model


MEAN, DEVIATION = torch.linspace(-9, -5, 80), torch.linspace(2, 4, 80)


def started(start: Start, config: Any, vocabulary: Vocabulary) -> tuple[TransducerModel, list[str]]:
    torch.manual_seed(11)
    model = build(config).eval()
    said = take_over(start, model, vocabulary)
    standardise(start, model, MEAN, DEVIATION)
    return model, said


def test_an_export_gives_back_the_weights_that_it_was_made_of(tmp_path: Path, vocabulary: Vocabulary) -> None:
    """Convolutions, layers of other widths, stateless predictor: bit for bit, and the input's folded scale undone."""
    model = unlike(varied_model(len(vocabulary)))
    export(model, vocabulary, tmp_path)
    start = read_start(str(tmp_path))
    same, said = started(start, model.config, vocabulary)
    assert said[:3] == ["encoder: 46 of 46 tensors", "predictor: 2 of 2 tensors", "joiner: 5 of 5 tensors"]
    assert said[3].startswith("ctc: none; left: weight (not there)")
    assert start.facts == {"segment": 8, "left_context": 8, "right_context": 0, "heads": [2, 1]}
    theirs = model.state_dict()
    for name, tensor in same.state_dict().items():
        if not name.startswith(("ctc.", "encoder.entry.", "encoder.mean", "encoder.scale")):
            assert torch.equal(tensor, theirs[name]), name
    torch.testing.assert_close(same.encoder.mean, MEAN)
    mels = torch.randn(2, 128, 80) * 3 - 7
    with torch.no_grad():
        torch.testing.assert_close(same.encoder(mels), model.encoder(mels), atol=2e-5, rtol=1e-4)


def test_an_lstm_a_blank_head_and_a_right_context_come_back(tmp_path: Path, vocabulary: Vocabulary) -> None:
    layer = LayerConfig(heads=2, head_width=8, feed_forward=24, conv_kernel=0)
    model = unlike(varied_model(
        len(vocabulary), encoder={"layers": (layer, layer), "right_context": 2},
        predictor=PredictorConfig(kind="lstm", embedding=8, hidden=10, layers=2), joiner=JoinerConfig(width=12, blank_width=5),
    ))  # fmt: skip
    export(model, vocabulary, tmp_path, precisions=("fp32", "int8"))
    same, said = started(read_start(str(tmp_path)), model.config, vocabulary)
    assert said[:3] == ["encoder: 30 of 30 tensors", "predictor: 11 of 11 tensors", "joiner: 7 of 7 tensors"]
    with torch.no_grad():
        tokens = torch.tensor([[4, 9, 2]])
        torch.testing.assert_close(same.predictor(tokens), model.predictor(tokens))
        heard, spoken = torch.randn(3, 16), model.predictor(tokens)[0, :3]
        torch.testing.assert_close(same.joiner(heard, spoken), model.joiner(heard, spoken))


def test_vectors_that_an_export_writes_once_name_no_matrix(tmp_path: Path, vocabulary: Vocabulary) -> None:
    """Of an untrained model: what is taken is right, what cannot be told apart is left."""
    model = varied_model(len(vocabulary))
    export(model, vocabulary, tmp_path)
    weights, theirs = read_export(tmp_path).weights, model.state_dict()
    own = [name for name in weights if not name.startswith(("encoder.entry.", "encoder.mean", "encoder.scale"))]
    assert 20 < len(own) < len(theirs) - 6
    assert all(torch.equal(weights[name], theirs[name]) for name in own)


def test_the_shipped_encoder_comes_back_to_float_rounding() -> None:
    start = read_start("reference")
    model, said = started(start, preset("reference"), start.vocabulary)
    assert said[0] == "encoder: 166 of 166 tensors"
    shape = cache_shape(model.config.encoder)
    rng = np.random.default_rng(0)
    mels = (rng.standard_normal((1, 32, 80)) * 3 - 7).astype(np.float32)
    feeds = {
        "x": mels, "attn_cache": np.zeros((shape.layers, shape.left, 1, shape.width), np.float32),
        "cnn_cache": np.zeros((shape.layers, shape.rows, 1, shape.width), np.float32), "processed_lens": np.zeros(1, np.int64),
    }  # fmt: skip
    shipped = onnxruntime.InferenceSession(lifted(read_candidate(REFERENCE)).networks["encoder"])
    with torch.no_grad():
        found = model.joiner.from_encoder(model.encoder(torch.from_numpy(mels)))
    np.testing.assert_allclose(found.numpy(), shipped.run(None, feeds)[0], atol=1e-4)


def test_another_shape_takes_what_fits_and_says_what_it_left(tmp_path: Path, vocabulary: Vocabulary) -> None:
    theirs = build(tiny_config(len(vocabulary)))
    save_model(tmp_path, theirs, vocabulary, {})
    layer = theirs.config.encoder.layers[0]
    config = tiny_config(
        len(vocabulary), encoder={"layers": (layer,) * 3, "segment": 2}, joiner=JoinerConfig(width=20),
        predictor=PredictorConfig(kind="lstm", embedding=12, hidden=10),
    )  # fmt: skip
    model, said = started(read_start(str(tmp_path)), config, vocabulary)
    assert said[0].startswith("encoder: 46 of 66 tensors; left: blocks.2.norm_attention.weight (not there)")
    assert said[0].endswith("and 17 more")
    assert "predictor: 1 of 7 tensors; left: lstm.weight_ih_l0 (not there)" in said[1]
    assert "from_encoder.weight (12 × 16 there, 20 × 16 here)" in said[2]
    assert said[3:] == ["ctc: 2 of 2 tensors", "encoder: segment is 2, was 4"]
    name = "encoder.blocks.1.expand.weight"
    torch.testing.assert_close(model.state_dict()[name], theirs.state_dict()[name])
    torch.testing.assert_close(model.encoder.mean, theirs.encoder.mean)  # a checkpoint keeps its own statistics


def test_rows_of_other_units_are_left_where_their_number_is_the_same(tmp_path: Path) -> None:
    ours, other = characters(["abcd"]), characters(["efgh"])
    save_model(tmp_path, build(tiny_config(len(ours))), ours, {})
    _, said = started(read_start(str(tmp_path)), tiny_config(len(other)), other)
    assert said[1] == "predictor: 1 of 2 tensors; left: embedding.weight (other units)"
    assert said[2] == "joiner: 3 of 5 tensors; left: out.weight (other units), out.bias (other units)"


def test_what_no_training_starts_from_is_said_in_a_line(
    tmp_path: Path, vocabulary: Vocabulary, zipformer_like: Path
) -> None:
    model = varied_model(len(vocabulary))
    export(model, vocabulary, tmp_path, precisions=("int8",))
    with pytest.raises(InputError, match=r"its weights are in 8 bits or fewer.*fp32 or fp16"):
        read_start(str(tmp_path))
    with pytest.raises(InputError, match=r"was not written by `wattscribe export`"):
        read_start(str(zipformer_like))
    with pytest.raises(InputError, match="no tensor of it fits"):
        started(read_start("reference"), tiny_config(len(vocabulary)), vocabulary)
    broken = build(tiny_config(len(vocabulary)))
    broken.ctc.bias.data[0] = torch.nan
    save_model(tmp_path / "broken", broken, vocabulary, {})
    with pytest.raises(InputError, match="not all finite"):
        read_start(str(tmp_path / "broken"))


@pytest.fixture
def zipformer_like(tmp_path: Path) -> Path:
    """The shipped model under another author's name: matrices that cannot be followed."""
    import onnx

    folder = tmp_path / "foreign"
    folder.mkdir()
    for path in REFERENCE.glob("*.fp16.onnx"):
        graph = onnx.load(path)
        del graph.metadata_props[:]
        onnx.save(graph, folder / path.name)
    (folder / "tokens.txt").write_text((REFERENCE / "tokens.txt").read_text())
    return folder
