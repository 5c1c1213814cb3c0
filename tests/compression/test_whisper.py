"""A Whisper made cheaper: levers, energy, limits by corpus, recipe and result, on a tiny random checkpoint."""

from __future__ import annotations

import json
import shutil
import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.known import known
from wattscribe.compression import acceptance, sets
from wattscribe.compression.calibrate import Calibration
from wattscribe.compression.candidate import Candidate
from wattscribe.compression.kinds import family_of, read_model
from wattscribe.compression.levels import GlobalMagnitude
from wattscribe.compression.levers import apply
from wattscribe.compression.linears import linears, unpack
from wattscribe.compression.measure import Decoded, nothing_placed
from wattscribe.compression.moves import steps_of
from wattscribe.compression.outcome import Compression
from wattscribe.compression.recipe import read_recipe
from wattscribe.compression.run import Options, compress_model, make_bench
from wattscribe.compression.seq2seq.family import EIGHT_BITS
from wattscribe.compression.speech import SpeechSet
from wattscribe.compression.step import Step
from wattscribe.compression.workbench import Workbench
from wattscribe.energy.breakdown import analyse
from wattscribe.energy.files import of_directory
from wattscribe.energy.options import Decoding
from wattscribe.energy.rates import counted
from wattscribe.errors import InputError, ModelError
from wattscribe.pages.compress_page import html
from wattscribe.recognizers import Audio, open_recognizer, parse_model
from wattscribe.records import Counts
from wattscribe.seq2seq.export import export_whisper
from wattscribe.testing.contracts import babble

FOUR = Step(lever="table-blockwise", component="vocabulary", options={"block": 32})
EIGHT = Step(lever="table-int8", component="vocabulary")
SHORT = Step(lever="window", component="encoder", options={"margin_s": 0.5, "step_s": 1.0})


World = tuple[Path, Path, Path]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers", reason="needs wattscribe[hf]")
    from tests.recognizers.checkpoints import whisper

    root = tmp_path_factory.mktemp("whisper")
    (root / "checkpoint").mkdir()
    whisper(root / "checkpoint")
    export_whisper(str(root / "checkpoint"), root / "model", precisions=("fp32",))
    return root / "model"


@pytest.fixture(scope="module")
def clips() -> list[np.ndarray]:
    return [babble(1.2 + 0.2 * number, number) for number in range(4)]


@pytest.fixture(scope="module")
def world(exported: Path, clips: list[Audio], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """The model, and two corpora whose references are what it hears."""
    root = tmp_path_factory.mktemp("speech")
    answers = open_recognizer(parse_model(f"onnx:{exported}")).transcribe(clips)
    for name, chosen in (("quiet", (0, 1)), ("noisy", (2, 3))):
        (root / name).mkdir()
        lines = []
        for at in chosen:
            with wave.open(str(root / name / f"{at}.wav"), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(16_000)
                file.writeframes(np.round(clips[at] * 32767).clip(-32768, 32767).astype(np.int16).tobytes())
            text = answers[at].text.strip() or "a"
            lines.append(json.dumps({"audio_filepath": f"{at}.wav", "text": f"{text} word"}))
        (root / name / "manifest.jsonl").write_text("\n".join(lines) + "\n")
    return exported, root / "quiet", root / "noisy"


@pytest.fixture(scope="module")
def options(world: World) -> Options:
    _, quiet, noisy = world
    return Options(
        data=(str(quiet), str(noisy)), device="phone", max_wer_increase_points=300.0, corpus_limit=("noisy=500",), limit=2,
        calibration_s=6.0, probe_s=6.0,
    )  # fmt: skip


@pytest.fixture
def bench(world: World, options: Options) -> Workbench:
    return make_bench(read_model(world[0]), options, lambda _: None)


def calibrated(model: Path, clips: list[np.ndarray]) -> tuple[Candidate, Calibration]:
    candidate = read_model(model)
    names = tuple(map(str, range(len(clips))))
    speech = SpeechSet(name="s", ids=names, speakers=names, references=(), audio=tuple(clips))
    return candidate, family_of(candidate).calibration(candidate, speech)


@pytest.fixture(scope="module")
def parts(exported: Path, clips: list[Audio]) -> tuple[Candidate, Calibration]:
    return calibrated(exported, clips)


def stored(candidate: Candidate) -> dict[str, np.ndarray]:
    model = candidate.model("decoder")
    return {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}


def test_the_vocabulary_is_stored_once_and_read_by_embedding_and_scores(parts: tuple[Candidate, Calibration]) -> None:
    original, calibration = parts
    table = stored(original)["decoder.embed_tokens.weight"]
    four = apply(original, FOUR, calibration)
    found = stored(four)
    assert "decoder.embed_tokens.weight" not in found
    codes, scales = found["vocabulary.weight"], found["vocabulary.scale"]
    assert codes.nbytes == table.size // 2
    assert scales.nbytes == table.size // 32 * 4
    again = unpack(codes, scales, table.shape[1], table.shape[0], 4, 32).T
    assert np.abs(again - table).mean() < 0.15 * np.abs(table).mean()
    users = [node.op_type for node in four.model("decoder").graph.node if "vocabulary.weight" in node.input]
    assert sorted(users) == ["Gather", "MatMulNBits"]


@pytest.mark.parametrize("component", ["encoder", "cross_attention", "decoder"])
def test_the_maps_of_every_component_take_eight_bits(parts: tuple[Candidate, Calibration], component: str) -> None:
    """The encoder's attention is an operator of onnxruntime's own: the quantiser knows no type of what comes behind it."""
    original, calibration = parts
    made = apply(original, Step(lever="int8", component=component), calibration)
    before, after = (sum(map(len, each.networks.values())) for each in (original, made))
    assert after < before
    products = [node.op_type for node in made.model(component).graph.node]
    assert "MatMulInteger" in products


def test_the_embedding_reads_the_codes_that_the_scores_multiply(parts: tuple[Candidate, Calibration]) -> None:
    """Unpacked by plain operators: every row is what MatMulNBits holds, the last of a byte as well as the first."""
    original, calibration = parts
    for step in (FOUR, replace(FOUR, options={"block": 128}), EIGHT):
        made = apply(original, step, calibration)
        model, found = made.model("decoder"), stored(made)
        (name,) = [node.output[0] for node in original.model("decoder").graph.node if node.op_type == "Gather"]
        model.graph.output.append(onnx.ValueInfoProto(name=name))
        import onnxruntime

        session = onnxruntime.InferenceSession(model.SerializeToString())
        tokens = np.array([[0, 7, 123]], np.int64)
        sizes = {"N": 1, "T": 10, "n_tokens": 3}
        feeds: dict[str, np.ndarray] = {
            each.name: np.zeros([sizes.get(size, size) for size in each.shape], np.float32)
            for each in session.get_inputs()
            if each.type == "tensor(float)"
        }
        feeds |= {"tokens": tokens, "offset": np.array([0], np.int64)}
        (rows,) = session.run([name], feeds)
        if step.lever == "table-int8":
            expected = found["vocabulary.weight"].astype(np.float32) * found["vocabulary.scale"][:, None]
        else:
            table = stored(original)["decoder.embed_tokens.weight"]
            block = int(step.options["block"])
            expected = unpack(
                found["vocabulary.weight"], found["vocabulary.scale"], table.shape[1], table.shape[0], 4, block
            ).T
        np.testing.assert_allclose(rows[0], expected[tokens[0]], rtol=1e-5, atol=1e-6)


def test_a_component_is_changed_and_no_other(parts: tuple[Candidate, Calibration]) -> None:
    original, calibration = parts
    for component, network in (("encoder", "encoder"), ("cross_attention", "encoder"), ("decoder", "decoder")):
        made = apply(original, Step(lever="blockwise", component=component, options={"block": 32}), calibration)
        forms = {
            each: {one.form for one in made.linears(each).values()}
            for each in ("encoder", "cross_attention", "decoder")
        }
        assert forms == {each: {"nbits" if each == component else "float"} for each in forms}
        other = {"encoder": "decoder", "decoder": "encoder"}[network]
        assert made.networks[other] == original.networks[other]


def test_a_shorter_window_is_asked_for_by_the_directory(
    parts: tuple[Candidate, Calibration], clips: list[Audio], tmp_path: Path
) -> None:
    original, calibration = parts
    short = apply(original, SHORT, calibration)
    short.write(tmp_path / "short")
    original.write(tmp_path / "whole")
    own, stated, whole = (
        open_recognizer(parse_model(f"onnx:{tmp_path / name}", options=asked)).transcribe(clips[:1])[0].counts
        for name, asked in (("short", {}), ("whole", {}), ("short", {"window": "whole"}))
    )
    # 1.2 s and 0.5 s, up to the next second; the user has the last word
    assert [known(each).frames for each in (own, stated, whole)] == [100, 300, 300]
    (counted_,) = short.own_counts([Counts(encoder_calls=1, encoder_rows=1, frames=300)], [clips[0]])
    assert (counted_.frames, counted_.padded_frames) == (100, 100 - -(-len(clips[0]) // 320))


def test_energy_is_that_of_the_windows_of_each_length(bench: Workbench, tmp_path: Path) -> None:
    """Lengths of 2 and 3 s in one set: one blended workload, against each length counted by itself and added."""
    short = replace(bench.build([SHORT]), placement=None)
    counts = [
        Counts(encoder_calls=1, encoder_rows=1, predictor_calls=5, predictor_rows=6, frames=100, tokens=5),
        Counts(encoder_calls=1, encoder_rows=1, predictor_calls=20, predictor_rows=21, frames=150, tokens=20),
    ]
    short.write(tmp_path / "short")
    alone = [of_directory(tmp_path / "short", segment_s=each.frames / 50) for each in counts]
    for part in short.workload(counts).components:
        rows = [
            each.encoder_rows if part.name in ("encoder", "cross_attention") else each.predictor_rows for each in counts
        ]
        mine = list(zip(rows, (each.component(part.name) for each in alone), strict=True))
        assert sum(rows) * part.total_macs == pytest.approx(sum(n * each.total_macs for n, each in mine))
        assert sum(rows) * part.activation_bytes == pytest.approx(sum(n * each.activation_bytes for n, each in mine))
    device, expected = bench.measurer.device, 0.0
    for each, workload in zip(counts, alone, strict=True):
        placement = nothing_placed(workload, device)
        expected += analyse(workload, counted(workload, each, 4.0), device, placement=placement).total_w.value
    found = bench.measurer.energy_mj(short, counts, 4.0)
    assert found == pytest.approx(1e3 * expected, rel=1e-3), "but for the room that the longest window takes"
    assert found < bench.measurer.energy_mj(replace(bench.original, placement=None), counts_of(counts), 4.0)


def counts_of(counts: list[Counts]) -> list[Counts]:
    return [replace(each, frames=300) for each in counts]


def test_a_corpus_that_breaks_its_own_limit_takes_the_step_back(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The set as a whole holds; the noisy corpus by itself does not."""
    candidate = bench.build([EIGHT])
    noisy = bench.dev.corpora[-1]
    assert sets.change(bench, candidate).holds
    worse = [
        text if name != noisy else "nothing of it is right"
        for name, text in zip(bench.dev.corpora, bench.dev.references, strict=True)
    ]
    real = bench.measurer.decode

    def decode(asked: Candidate, speech: SpeechSet, decoding: Decoding | None = None) -> Decoded:
        made = real(asked, speech, decoding)
        return replace(made, texts=tuple(worse)) if asked.digest == candidate.digest else made

    monkeypatch.setattr(bench.measurer, "decode", decode)
    bench.limits = {noisy: 0.001}
    found = sets.change(bench, candidate)
    assert not found.holds
    assert found.summary.startswith("noisy: WER +")
    assert found.limit == pytest.approx(sets.mean_limit(bench.dev, bench.limits, bench.limit))


@pytest.fixture(scope="module")
def made(world: World, options: Options, tmp_path_factory: pytest.TempPathFactory) -> tuple[Compression, Path]:
    patch = pytest.MonkeyPatch()
    patch.setattr(Workbench, "_timed", lambda *_: 1.0)  # a load on the machine must not decide what this test sees
    patch.setattr(acceptance, "_peak_memory", lambda *_, **__: None)
    root = tmp_path_factory.mktemp("out")
    found = compress_model(world[0], root / "out", options, page=html)
    again = replace(options, recipe=root / "out/recipe.toml")
    compress_model(world[0], root / "again", again)
    patch.undo()
    return found, root


def test_the_recipe_gives_equal_bytes_again(made: tuple[Compression, Path]) -> None:
    _, root = made
    first, second = (sorted((root / name).glob("*.onnx")) for name in ("out", "again"))
    assert [each.name for each in first] == [each.name for each in second]
    assert [each.read_bytes() for each in first] == [each.read_bytes() for each in second]


def test_energy_falls_and_bytes_are_the_files(made: tuple[Compression, Path]) -> None:
    found, root = made
    assert found.dev.energy_reduction > 0.2
    assert {part.on: part.limit for part in found.dev.parts} == {"quiet": 3.0, "noisy": 5.0}
    assert found.dev.after.size_bytes == sum(each.stat().st_size for each in (root / "out").glob("*.onnx"))
    plain = json.loads((root / "out/result.json").read_text())
    assert [each["on"] for each in plain["corpora"]] == ["quiet", "noisy"]
    assert plain["energy_after_mj_per_audio_s"] < plain["energy_before_mj_per_audio_s"]
    assert "greedily" in (root / "out/report.html").read_text()
    kept = {each.step.component for each in read_recipe(root / "out/recipe.toml").done if each.kept}
    assert kept & {"vocabulary", "decoder"}


def test_sherpa_onnx_hears_the_same(parts: tuple[Candidate, Calibration], clips: list[Audio], tmp_path: Path) -> None:
    """Every lever but the window, which sherpa-onnx does not know."""
    sherpa_onnx = pytest.importorskip("sherpa_onnx")
    original, calibration = parts
    made = original
    for component in ("encoder", "cross_attention", "decoder"):
        made = apply(made, Step(lever="blockwise", component=component, options={"block": 32}), calibration)
    made = apply(made, FOUR, calibration)
    made.write(tmp_path)
    names = made.names()
    ours = open_recognizer(parse_model(f"onnx:{tmp_path}")).transcribe(clips)
    for clip, answer in zip(clips, ours, strict=True):
        other = sherpa_onnx.OfflineRecognizer.from_whisper(
            encoder=str(tmp_path / names["encoder"]), decoder=str(tmp_path / names["decoder"]),
            tokens=str(tmp_path / "tokens.txt"), tail_paddings=600 - len(clip) // 160,  # the window of this checkpoint
        )  # fmt: skip
        stream = other.create_stream()
        stream.accept_waveform(16_000, clip)
        other.decode_stream(stream)
        said = stream.result.text.strip()  # at most six tokens a second, where ours go on: a random model never ends
        assert said
        assert answer.text.replace("\ufffd", "").strip().startswith(said)  # bytes that are no text are left out there


def test_every_move_has_its_place_in_a_recipe(bench: Workbench) -> None:
    """Layers and windows first, the vocabulary's form last: one choice of each slot, carried out together. A gate would cost more
    than this toy does."""
    offered = bench.family.moves(bench, ())
    choices = {each.slot: each for each in reversed(offered) if each.slot not in ("joint", "gate")}
    steps = steps_of(choices)
    assert {each.component for each in steps} == set(bench.original.COMPONENTS)
    forms = [each.lever for each in steps if each.lever != "cut-layers"]
    assert (forms[0], forms[-1]) == ("window", "table-int8")
    assert [each.lever for each in steps[: len(steps) - len(forms)]] == ["cut-layers"] * (len(steps) - len(forms))
    assert bench.energy_mj(bench.build(steps)) < bench.energy_mj(bench.original)


def test_one_threshold_ranks_the_inner_channels_of_encoder_and_decoder(bench: Workbench) -> None:
    """Feed-forward layers, wherever their channels have least energy; then 8 bits everywhere."""
    steps = GlobalMagnitude.steps(bench, 0.7)
    pruned = [step for step in steps if step.lever == "prune-width"]
    assert {step.component for step in pruned} == {"encoder", "decoder"}
    assert steps[len(pruned) :] == EIGHT_BITS
    found = {name: linears(bench.build(pruned).model(name)) for name in ("encoder", "decoder")}
    whole = {name: linears(bench.original.model(name)) for name in found}
    widths = [
        [maps[name][each].shape[1] for name in maps for each in maps[name] if each.endswith("fc1")]
        for maps in (found, whole)
    ]
    assert sum(widths[0]) / sum(widths[1]) == pytest.approx(0.7, abs=0.03)
    assert len(set(widths[0])) > 1, "not the same part of each"
    strategy = GlobalMagnitude(keeps=(0.95, 0.7))
    outcome = strategy.run(bench, [])
    tried = [each for each in bench.tried if each.strategy == "global"]
    assert tried
    assert all(each.energy_mj < bench.energy_mj(bench.original) for each in tried)
    assert outcome.done


def test_what_cannot_be_compressed_is_named(world: World, exported: Path, options: Options, tmp_path: Path) -> None:
    export_whisper(str(exported.parent / "checkpoint"), tmp_path / "narrow", precisions=("int8",))
    with pytest.raises(ModelError, match=r"8 bits already.*fp32 export"):
        compress_model(tmp_path / "narrow", tmp_path / "out", options)
    for changed, said in (
        ({"max_latency_ms": 640.0}, "streaming"),
        ({"corpus_limit": ("noisy",)}, "CORPUS=POINTS"), ({"corpus_limit": ("other=1",)}, "no corpus of"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=said):
            compress_model(exported, tmp_path / "out", replace(options, **changed))
    assert not (tmp_path / "out").exists()


def test_a_model_is_named_as_elsewhere(exported: Path) -> None:
    """With its runtime or without; what is no export is told what to do."""
    assert read_model(f"onnx:{exported}").networks == read_model(exported).networks
    with pytest.raises(InputError, match=r"wattscribe export hf:openai/whisper-tiny\.en -o DIR"):
        read_model("hf:openai/whisper-tiny.en")
    with pytest.raises(ModelError, match="is a checkpoint of Transformers, and no ONNX"):
        read_model(exported.parent / "checkpoint")


def test_a_decoder_without_caches_is_named(exported: Path, options: Options, tmp_path: Path) -> None:
    shutil.copytree(exported, tmp_path / "model")
    path = tmp_path / "model/decoder.onnx"
    model = onnx.load(path)
    (maker,) = [node for node in model.graph.node if "out_n_layer_self_k_cache" in node.output]
    maker.output[0] = model.graph.output[1].name = "something_else"
    onnx.save(model, path)
    with pytest.raises(ModelError, match="has no out_n_layer_self_k_cache: it keeps no caches"):
        compress_model(tmp_path / "model", tmp_path / "out", options)
