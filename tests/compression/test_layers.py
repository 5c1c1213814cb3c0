"""Whole layers of a Whisper cut: caches and keys move up, the map before answers for what went, sherpa-onnx reads the rest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.compression.test_whisper import calibrated, clips
from wattscribe.compression.calibrate import Calibration, Crossed
from wattscribe.compression.candidate import Candidate
from wattscribe.compression.kinds import family_of
from wattscribe.compression.levers import apply, layers
from wattscribe.compression.measure import Measurer
from wattscribe.compression.seq2seq.candidate import WhisperCandidate
from wattscribe.compression.seq2seq.family import remembering
from wattscribe.compression.seq2seq.speech import Decoder, Encoder, spoken
from wattscribe.compression.speech import Audio, SpeechSet
from wattscribe.compression.step import Step
from wattscribe.compression.workbench import Workbench
from wattscribe.energy import devices
from wattscribe.errors import InputError
from wattscribe.models.directory import CROSS
from wattscribe.recognizers import open_recognizer, parse_model
from wattscribe.seq2seq.export import export_whisper

__all__ = ["clips"]
Parts = tuple[Candidate, Calibration]
LAYERS = 3


@pytest.fixture(scope="module")
def parts(clips: list[Audio], tmp_path_factory: pytest.TempPathFactory) -> Parts:
    pytest.importorskip("transformers", reason="needs wattscribe[hf]")
    from tests.recognizers.checkpoints import whisper

    root = tmp_path_factory.mktemp("whisper")
    (root / "checkpoint").mkdir()
    whisper(root / "checkpoint", layers=LAYERS)
    export_whisper(str(root / "checkpoint"), root / "model", precisions=("fp32",))
    return calibrated(root / "model", clips)


def cut(component: str, *numbers: int) -> Step:
    names = tuple(f"{component}.layers.{number}" for number in numbers)
    return Step(lever="cut-layers", component=component, tensors=names)


def whisper_of(candidate: Candidate) -> WhisperCandidate:
    assert isinstance(candidate, WhisperCandidate)
    return candidate


def idle(candidate: Candidate, component: str, *numbers: int) -> Candidate:
    """The same model, but these layers add nothing to the stream."""
    model = candidate.model(component)
    for each in model.graph.initializer:
        ends = ("out_proj.weight", "out_proj.bias", "fc2.weight", "fc2.bias")
        if each.name.endswith(ends) and any(f"{component}.layers.{number}." in each.name for number in numbers):
            each.CopyFrom(onnx.numpy_helper.from_array(np.zeros_like(onnx.numpy_helper.to_array(each)), each.name))
    return candidate.with_model(component, model)


def scores(candidate: Candidate, like: Candidate, clip: Audio) -> np.ndarray:
    """Of each next token of the text that `like` says."""
    (window,) = spoken(whisper_of(like), speech_of(clip))
    encoder, decoder = Encoder(whisper_of(candidate), []), Decoder(whisper_of(candidate), ["logits"])
    answered = encoder.run(encoder.feeds(window))
    return decoder.run(decoder.feeds(window, tuple(answered[name] for name in CROSS)))["logits"]


def speech_of(*clips: Audio) -> SpeechSet:
    names = tuple(map(str, range(len(clips))))
    return SpeechSet(name="s", ids=names, speakers=names, references=(), audio=clips)


def test_a_second_cut_goes_on_from_the_first(parts: Parts, clips: list[Audio]) -> None:
    original = idle(parts[0], "decoder", 1, 2)
    calibration = family_of(original).calibration(original, speech_of(*clips[:2]))
    twice = apply(apply(original, cut("decoder", 1), calibration), cut("decoder", 2), calibration)
    np.testing.assert_allclose(scores(twice, original, clips[0]), scores(original, original, clips[0]), atol=2e-3)


@pytest.mark.parametrize("component", ["encoder", "decoder"])
@pytest.mark.parametrize("numbers", [(1,), (2,), (1, 2)])
def test_a_layer_that_adds_nothing_goes_without_a_trace(
    parts: Parts, clips: list[Audio], component: str, numbers: tuple[int, ...], tmp_path: Path
) -> None:
    """Every other layer keeps its own caches and its own keys, in one call for a text and in many."""
    original = idle(parts[0], component, *numbers)
    calibration = family_of(original).calibration(original, speech_of(*clips[:2]))
    made = apply(original, cut(component, *numbers), calibration)
    assert made.size_bytes < original.size_bytes - 100_000 * len(numbers)
    np.testing.assert_allclose(scores(made, original, clips[0]), scores(original, original, clips[0]), atol=2e-3)
    for name, each in (("before", original), ("after", made)):
        each.write(tmp_path / name)
    before, after = (
        open_recognizer(parse_model(f"onnx:{tmp_path / name}")).transcribe(clips) for name in ("before", "after")
    )
    assert [each.text for each in after] == [each.text for each in before]
    assert any(each.text.strip() for each in before)


def test_metadata_and_shapes_say_what_is_left(parts: Parts) -> None:
    original, calibration = parts
    made = apply(apply(original, cut("decoder", 1), calibration), cut("encoder", 2), calibration)
    stated = {entry.key: entry.value for entry in made.model("encoder").metadata_props}
    assert (stated["n_text_layer"], stated["n_audio_layer"]) == ("2", "2")
    for network in ("encoder", "decoder"):
        graph = made.model(network).graph
        for port in (*graph.input, *graph.output):
            if "n_layer" in port.name:
                assert port.type.tensor_type.shape.dim[0].dim_value == LAYERS - 1, port.name
    onnx.checker.check_model(made.model("decoder"))
    left = {linear.rpartition(".")[0] for linear in made.linears("decoder")}
    assert {name for name in left if "layers.1." in name} == set()


def test_what_is_left_of_the_stream_is_nearer_with_the_repair(
    parts: Parts, clips: list[Audio], monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calibration = parts
    made = apply(original, cut("encoder", 1), calibration)
    monkeypatch.setattr(layers, "added", lambda before, after: (0.0, 0.0))
    plain = apply(original, cut("encoder", 1), calibration)
    wanted, *found = (answered(each, clips[0]) for each in (original, made, plain))
    repaired, bare = (float(np.square(each - wanted).mean()) for each in found)
    assert repaired < 0.5 * bare


def answered(candidate: Candidate, clip: Audio) -> np.ndarray:
    (window,) = spoken(whisper_of(candidate), speech_of(clip))
    encoder = Encoder(whisper_of(candidate), [])
    return encoder.run(encoder.feeds(window))[CROSS[0]]


def test_the_added_map_is_the_least_squares_one() -> None:
    draw = np.random.default_rng(0)
    x, w, b = draw.normal(size=(5000, 6)) + 1, draw.normal(size=(6, 3)), np.array([1.0, -2, 3])
    stream = draw.normal(size=(5000, 3))

    def crossed(y: np.ndarray) -> Crossed:
        return Crossed(gram=x.T @ x, cross=x.T @ y, sum_x=x.sum(0), sum_y=y.sum(0), rows=len(x))

    weight, bias = layers.added(crossed(stream), crossed(stream + x @ w + b))
    np.testing.assert_allclose(weight, w, atol=0.05)
    np.testing.assert_allclose(bias, b, atol=0.1)


def test_steps_after_a_cut_see_it_in_both_networks(parts: Parts, clips: list[Audio]) -> None:
    """Recipes share networks by the steps that touch them: a cut of the decoder touches the encoder's file too."""
    original, calibration = parts
    family = family_of(original)
    speech = replace(calibration.speech, references=("a",) * len(clips), corpora=("s",) * len(clips))
    bench = Workbench(
        original=original, family=family, measurer=Measurer(devices.load("phone")), dev=speech, small=speech,
        calibration=calibration, probe=family.probe(original, speech), limit=1.0,
    )  # fmt: skip
    eight = Step(lever="int8", component="encoder")
    without, made = bench.build([eight]), bench.build([cut("decoder", 2), eight])
    assert len(made.networks["encoder"]) < len(without.networks["encoder"])
    assert bench.energy_mj(made) < bench.energy_mj(without)
    assert bench.kl(made).kl > bench.kl(without).kl
    assert bench.kl(bench.build([cut("decoder", 1), remembering(0.5, 8)])).kl < np.inf


def test_sherpa_onnx_hears_the_same(parts: Parts, clips: list[Audio], tmp_path: Path) -> None:
    """It sizes its caches by the metadata."""
    sherpa_onnx = pytest.importorskip("sherpa_onnx")
    original, calibration = parts
    made = apply(apply(original, cut("decoder", 2), calibration), cut("encoder", 1), calibration)
    made.write(tmp_path)
    texts = []
    ours = open_recognizer(parse_model(f"onnx:{tmp_path}")).transcribe(clips)
    for clip, answer in zip(clips, ours, strict=True):
        other = sherpa_onnx.OfflineRecognizer.from_whisper(
            encoder=str(tmp_path / "encoder.onnx"), decoder=str(tmp_path / "decoder.onnx"),
            tokens=str(tmp_path / "tokens.txt"), tail_paddings=600 - len(clip) // 160,
        )  # fmt: skip
        stream = other.create_stream()
        stream.accept_waveform(16_000, clip)
        other.decode_stream(stream)
        said = stream.result.text.strip()
        texts.append(said)
        # a random model says bytes that are no text, which sherpa-onnx leaves out
        assert answer.text.replace("\ufffd", "").strip().startswith(said)
    assert any(texts)


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (cut("decoder", 0), "is the first"),
        (cut("decoder", 7), "has no 'decoder.layers.7'"),
        (cut("vocabulary", 1), "no layers that could be cut"),
        (Step(lever="cut-layers", component="encoder"), "no layer that is named"),
    ],
)
def test_what_cannot_be_cut_is_named(parts: Parts, step: Step, said: str) -> None:
    with pytest.raises(InputError, match=said):
        apply(parts[0], step, parts[1])


@pytest.mark.parametrize(
    ("first", "said"),
    [(Step(lever="int8", component="decoder"), "is no float map"), (remembering(0.5, 8), "are not stacked")],
)
def test_layers_are_cut_before_other_forms(parts: Parts, first: Step, said: str) -> None:
    original, calibration = parts
    with pytest.raises(InputError, match=said):
        apply(apply(original, first, calibration), cut("decoder", 1), calibration)
