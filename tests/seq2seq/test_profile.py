"""Where a Whisper spends: four parts, each counted from the graph and with the rate of a real decode."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import soundfile

from tests.known import known
from wattscribe.energy.files import of_directory
from wattscribe.energy.options import Options
from wattscribe.profiling import profile_model
from wattscribe.recognizers import Audio

WIDTH, INNER, LAYERS, FRAMES, PAST = 64, 256, 2, 300, 12


def test_four_parts_are_counted(exported: Path) -> None:
    found = of_directory(exported)
    assert [each.name for each in found.components] == ["encoder", "cross_attention", "decoder", "vocabulary"]
    assert (found.segment_s, found.frames_per_segment) == (6.0, FRAMES)
    macs = {each.name: each.total_macs for each in found.components}
    projections = LAYERS * (4 * WIDTH**2 + 2 * WIDTH * INNER)
    convolutions = 2 * FRAMES * 3 * 80 * WIDTH + FRAMES * 3 * WIDTH**2
    assert macs["encoder"] == FRAMES * projections + LAYERS * 2 * FRAMES**2 * WIDTH + convolutions
    assert macs["cross_attention"] == FRAMES * LAYERS * 2 * WIDTH**2
    own = LAYERS * 2 * (PAST + 1) * WIDTH
    heard = LAYERS * (2 * WIDTH**2 + 2 * FRAMES * WIDTH)
    assert macs["decoder"] == projections + own + heard
    assert found.vocabulary is not None
    assert macs["vocabulary"] == found.vocabulary * WIDTH
    table = found.component("vocabulary")
    assert table.call_bytes == 4 * found.vocabulary * WIDTH
    assert table.row_bytes == 4 * WIDTH, "and the embedding's row of one token"


def test_int8_has_the_same_parts(exported: Path) -> None:
    plain, narrow = of_directory(exported), of_directory(exported, precision="int8")
    for one, other in zip(plain.components, narrow.components, strict=True):
        assert one.total_macs == other.total_macs
        assert one.parameters == pytest.approx(other.parameters, rel=0.05)
    assert narrow.component("vocabulary").macs.keys() == {"int8"}


def merged(source: Path, folder: Path) -> Path:
    """Both decoders of optimum's layout as the branches of an If, with values and nodes of the same names in both."""
    from onnx import compose, helper

    folder.mkdir()
    (folder / "encoder_model.onnx").write_bytes((source / "encoder_model.onnx").read_bytes())
    (folder / "tokenizer.json").write_bytes((source / "tokenizer.json").read_bytes())
    first, later = (onnx.load(source / f"{name}.onnx") for name in ("decoder_model", "decoder_with_past_model"))
    pasts = [each for each in later.graph.input if each.name.startswith("past_key_values")]
    outputs = list(first.graph.output)
    for each in pasts:  # handed on, as optimum's merging does
        if ".encoder." in each.name:
            now = each.name.replace("past_key_values", "present")
            later.graph.node.append(helper.make_node("Identity", [each.name], [now], name=now))
            later.graph.output.append(helper.make_tensor_value_info(now, 1, None))
    weights: dict[str, onnx.TensorProto] = {}
    branches = []
    for mark, graph in (("first/", first.graph), ("later/", later.graph)):
        kept = compose.add_prefix_graph(
            graph, mark, rename_inputs=False, rename_outputs=False, rename_initializers=False
        )
        weights |= {each.name: each for each in graph.initializer}
        made = helper.make_graph(kept.node, mark, [], [helper.make_tensor_value_info(o.name, 1, None) for o in outputs])
        branches.append(made)
    choice = helper.make_node(
        "If", ["use_cache_branch"], [each.name for each in outputs], then_branch=branches[1], else_branch=branches[0]
    )
    tokens = helper.make_tensor_value_info("input_ids", 7, ["batch_size", "tokens"])
    heard = next(each for each in first.graph.input if each.name == "encoder_hidden_states")
    given = [tokens, heard, *pasts, helper.make_tensor_value_info("use_cache_branch", 9, [1])]
    graph = helper.make_graph([choice], "merged", given, outputs, list(weights.values()))
    onnx.save(
        helper.make_model(graph, opset_imports=first.opset_import, ir_version=8), folder / "decoder_model_merged.onnx"
    )
    return folder


def test_optimum_has_the_same_parts(english: Path, exported: Path, tmp_path: Path) -> None:
    """The same network costs the same, whoever keeps which cache."""
    from tests.seq2seq.others import optimum

    own, apart = of_directory(exported), of_directory(optimum(english, tmp_path / "optimum"))
    for found in (apart, of_directory(merged(tmp_path / "optimum", tmp_path / "merged"))):
        assert [each.name for each in found.components] == [each.name for each in own.components]
        for one, other in zip(own.components, found.components, strict=True):
            assert other.total_macs == one.total_macs, one.name
            assert other.call_bytes == pytest.approx(one.call_bytes, rel=0.01), one.name
        assert found.size_bytes == pytest.approx(own.size_bytes, rel=0.01)


def test_rates_are_those_of_a_real_decode(exported: Path, clips: list[Audio], tmp_path: Path) -> None:
    for place, clip in enumerate(clips):
        soundfile.write(tmp_path / f"{place}.wav", clip, 16000)
    lines = (f'{{"audio_filepath": "{place}.wav", "text": "a"}}\n' for place in range(len(clips)))
    (tmp_path / "manifest.jsonl").write_text("".join(lines))
    rates = profile_model(f"onnx:{exported}", Options(data=str(tmp_path / "manifest.jsonl"))).breakdown.rates
    audio_s = sum(map(len, clips)) / 16000
    assert rates.source == "counted"
    at = rates.components
    assert at["encoder"].calls_per_s == at["cross_attention"].calls_per_s == pytest.approx(len(clips) / audio_s)
    assert at["decoder"].calls_per_s == at["vocabulary"].calls_per_s == rates.tokens_per_s


def test_joules_by_length_and_tokens(exported: Path) -> None:
    """A window is heard whole however short its audio; a token costs a run of decoder and vocabulary."""
    found = profile_model(f"onnx:{exported}", Options(tokens_per_s=4))
    own = {each.name: each.total_w.value for each in found.breakdown.components}
    by_length = {point.x: point.power_w for point in found.curves["utterance_s"]}
    assert by_length[6.0] == pytest.approx(own)
    short = by_length[2.0]
    for name, times in (("encoder", 3), ("cross_attention", 3), ("decoder", 1), ("vocabulary", 1)):
        assert short[name] == pytest.approx(times * own[name]), name
    by_tokens = {point.x: point.power_w for point in found.curves["tokens_per_s"]}
    assert by_tokens[4.0] == pytest.approx(own)
    assert by_tokens[2.0] == pytest.approx({**own, "decoder": own["decoder"] / 2, "vocabulary": own["vocabulary"] / 2})
    assert found.to_json()["curves"]["utterance_s"]


def test_the_page_shows_them(exported: Path, tmp_path: Path) -> None:
    from wattscribe.pages.profile_page import write_page

    write_page(profile_model(f"onnx:{exported}", Options(tokens_per_s=4)), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text().lower()
    assert "length of an utterance, alone in its window" in page
    assert "tokens per second of audio" in page


def test_a_bench_counts_windows_as_they_were_heard(clips: list[Audio], tmp_path: Path) -> None:
    """1.3 s and 5 s of silence, up to the next 5 s: 10 s of 30, for the one that is asked and for the one that drafts."""
    import wattscribe
    from tests.recognizers.checkpoints import whisper
    from wattscribe.seq2seq.export import export_whisper

    source = tmp_path / "source"
    source.mkdir()
    whisper(source, layers=1, hears_s=30)
    export_whisper(str(source), tmp_path / "out")
    soundfile.write(tmp_path / "a.wav", clips[1], 16000)
    (tmp_path / "manifest.jsonl").write_text('{"audio_filepath": "a.wav", "text": "a"}\n')
    model, data = f"onnx:{tmp_path / 'out'}", str(tmp_path / "manifest.jsonl")
    asked = {"models": [f"{model}?window=short&draft={tmp_path / 'out'}", model], "data": [data], "idle_s": 0}
    trials = wattscribe.bench(asked, tmp_path / "run").trials
    short, whole = sorted(trials, key=lambda each: -len(each.trial.recognizer.options))
    assert (known(whole.workload)["segment_s"], known(short.workload)["segment_s"]) == (30, 10)
    macs = {part["name"]: sum(part["macs"].values()) for part in known(short.workload)["components"]}
    of_whole = {part["name"]: sum(part["macs"].values()) for part in known(whole.workload)["components"]}
    assert macs["draft_encoder"] == of_whole["encoder"] > 3 * macs["encoder"], "the draft hears whole windows"
    assert macs["decoder"] < of_whole["decoder"]
    found = profile_model(model, Options(data=data)).breakdown.workload
    assert {part.name: part.total_macs for part in found.components} == of_whole
