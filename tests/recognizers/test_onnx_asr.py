"""onnx-asr: our text is the library's own on random models in its layouts, and every provider's share of the work is counted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wattscribe.errors import InputError, ModelError, RecognizerError
from wattscribe.recognizers import executed_on, open_recognizer, parse_model
from wattscribe.recognizers.audit import Facts, judge
from wattscribe.recognizers.base import Audio
from wattscribe.recognizers.onnx_asr import OnnxAsrRecognizer
from wattscribe.records import ProviderShare

onnx_asr = pytest.importorskip("onnx_asr", reason="needs wattscribe[onnx-asr]")

Directory = Callable[[str], Path]
KINDS = ("nemo-conformer-ctc", "nemo-conformer-tdt", "nemo-conformer-aed", "gigaam-v3-ctc", "gigaam-v3-rnnt", "whisper")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_the_librarys_own_text(kind: str, onnx_asr_model: Directory, clips: list[Audio]) -> None:
    folder = onnx_asr_model(kind)
    own = onnx_asr.load_model(kind, folder, providers=["CPUExecutionProvider"])
    texts = [answer.text for answer in open_recognizer(parse_model(f"onnx-asr:{folder}")).transcribe(clips)]
    assert texts == [own.recognize(clip) for clip in clips]
    assert all(len(text) > 3 for text in texts)
    assert len(set(texts)) == len(texts)


def test_tokens_carry_their_times(onnx_asr_model: Directory, clips: list[Audio]) -> None:
    (answer,) = open_recognizer(parse_model(f"onnx-asr:{onnx_asr_model('nemo-conformer-tdt')}")).transcribe(clips[:1])
    assert "".join(token.text for token in answer.tokens).strip() == answer.text
    starts = [token.start_s for token in answer.tokens]
    assert starts == sorted(starts)
    assert 0 < starts[-1] < 2.1


def test_long_audio_is_cut_and_its_times_go_on(onnx_asr_model: Directory, clips: list[Audio]) -> None:
    quiet = np.zeros(8000, np.float32)
    recognizer = open_recognizer(parse_model(f"onnx-asr:{onnx_asr_model('nemo-conformer-ctc')}?chunk_s=2.5"))
    (answer,) = recognizer.transcribe([np.concatenate([clips[0], quiet, clips[1]])])
    assert answer.tokens[-1].start_s > 2.5


def test_a_batch_is_given_as_one(onnx_asr_model: Directory, clips: list[Audio]) -> None:
    folder = onnx_asr_model("nemo-conformer-tdt")
    equal = [clip[:20_000] for clip in clips]
    one, three = (open_recognizer(parse_model(f"onnx-asr:{folder}", batch_size=size)) for size in (1, 3))
    assert one.transcribe(equal) == three.transcribe(equal)


@pytest.mark.parametrize("kind", ["nemo-conformer-aed", "whisper"])
def test_canary_and_whisper_are_told_their_language_and_others_have_none(
    kind: str, onnx_asr_model: Directory, clips: list[Audio]
) -> None:
    folder = onnx_asr_model(kind)
    own = onnx_asr.load_model(kind, folder, providers=["CPUExecutionProvider"])
    (answer,) = open_recognizer(parse_model(f"onnx-asr:{folder}?language=de")).transcribe(clips[:1])
    assert answer.text == own.recognize(clips[0], language="de")
    assert answer.language == "de"
    with pytest.raises(InputError, match="no choice of languages"):
        open_recognizer(parse_model(f"onnx-asr:{onnx_asr_model('gigaam-v3-ctc')}?language=de"))


def test_int8_is_chosen_by_file_and_judged_by_content(
    onnx_asr_model: Directory, tmp_path: Path, clips: list[Audio]
) -> None:
    folder = Path(shutil.copytree(onnx_asr_model("nemo-conformer-ctc"), tmp_path / "model"))
    with pytest.raises(RecognizerError, match="not found"):
        open_recognizer(parse_model(f"onnx-asr:{folder}", precision="int8"))
    shutil.copy(folder / "model.onnx", folder / "model.int8.onnx")
    audit = open_recognizer(parse_model(f"onnx-asr:{folder}", precision="int8")).audit()
    assert not audit.ok
    assert "0% of the weight bytes" in str(audit.reason)
    (folder / "model.onnx").unlink()  # `stored` takes what there is
    assert open_recognizer(parse_model(f"onnx-asr:{folder}", precision="stored")).transcribe(clips[:1])[0].text
    with pytest.raises(RecognizerError, match="not found"):
        open_recognizer(parse_model(f"onnx-asr:{folder}", precision="fp32"))


def test_what_is_missing_is_named(onnx_asr_model: Directory, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"config\.json.*type"):
        open_recognizer(parse_model(f"onnx-asr:{tmp_path}"))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "theirs"}))
    with pytest.raises(RecognizerError, match="theirs"):
        open_recognizer(parse_model(f"onnx-asr:{tmp_path}"))
    with pytest.raises(RecognizerError, match="not supported"):
        open_recognizer(parse_model("onnx-asr:no-such-model"))
    with pytest.raises(InputError, match="for a directory"):
        open_recognizer(parse_model("onnx-asr:whisper-base?type=whisper"))


# --- where it was executed -------------------------------------------------------------------------------------------
def test_a_provider_that_is_not_there_is_refused_and_not_replaced(onnx_asr_model: Directory) -> None:
    folder = onnx_asr_model("gigaam-v3-ctc")
    with pytest.raises(InputError, match="no provider 'warp'"):
        open_recognizer(parse_model(f"onnx-asr:{folder}?provider=warp"))
    with pytest.raises(RecognizerError, match="without CANN and would run on the CPU"):
        open_recognizer(parse_model(f"onnx-asr:{folder}?provider=cann", device="npu"))
    with pytest.raises(InputError, match="by a provider"):
        open_recognizer(parse_model(f"onnx-asr:{folder}", device="npu"))


def test_shares_are_counted_from_onnxruntimes_own_profile(onnx_asr_model: Directory) -> None:
    recognizer = open_recognizer(parse_model(f"onnx-asr:{onnx_asr_model('nemo-conformer-tdt')}"))
    assert isinstance(recognizer, OnnxAsrRecognizer)
    (share,) = recognizer.shares()
    assert (share.provider, share.nodes, share.time) == ("CPUExecutionProvider", 1.0, 1.0)


def _profile(path: Path, events: list[tuple[str, int, str, float]]) -> Path:
    rows: list[Any] = [{"cat": "Session", "name": "model_run", "dur": 10_000, "args": {}}]
    for provider, index, name, duration_us in events:
        args = {"provider": provider, "node_index": str(index)}
        rows.append({"cat": "Node", "name": f"{name}_kernel_time", "dur": duration_us, "args": args})
        rows.append({"cat": "Node", "name": f"{name}_fence_before", "dur": 1, "args": {}})
    path.write_text(json.dumps(rows))
    return path


def test_a_node_that_runs_often_is_one_node_and_all_of_its_time(tmp_path: Path) -> None:
    encoder = _profile(
        tmp_path / "a.json", [("QNNExecutionProvider", 0, "fused", 600), ("CPUExecutionProvider", 1, "MatMul", 100)]
    )
    decoder = _profile(tmp_path / "b.json", [("CPUExecutionProvider", 0, "Gather", 100)] * 3)
    shares = executed_on.shares_of([encoder, decoder])
    assert shares == (
        ProviderShare(provider="QNNExecutionProvider", nodes=1 / 3, time=0.6),
        ProviderShare(provider="CPUExecutionProvider", nodes=2 / 3, time=0.4),
    )
    assert executed_on.in_words(shares) == "executed on: QNN 33 % of the nodes, 60 % of the time; CPU 67 %, 40 %"
    assert executed_on.device_of(shares, "npu") == "npu"
    fused = executed_on.shares_of([encoder, decoder], {"QNNExecutionProvider": 90, "CPUExecutionProvider": 10})
    assert [(share.nodes, share.time) for share in fused] == [(0.9, 0.6), (0.1, 0.4)]  # one subgraph of 90 nodes


def test_an_npu_that_left_the_work_to_the_cpu_is_marked() -> None:
    shares = (
        ProviderShare(provider="CPUExecutionProvider", nodes=0.4, time=0.97),
        ProviderShare(provider="QNNExecutionProvider", nodes=0.6, time=0.03),
    )
    audit = judge(
        Facts(
            requested="stored", requested_device="npu", device=executed_on.device_of(shares, "npu"),
            weight_bytes={"float32": 1000}, executed_on=shares,
        )
    )  # fmt: skip
    assert not audit.ok
    assert str(audit.reason).startswith(
        "npu was asked for, cpu executed (executed on: CPU 40 % of the nodes, 97 % of the time"
    )
    assert audit.executed_on == shares


@pytest.mark.parametrize(
    ("provider", "asked", "ran"),
    [
        ("CUDAExecutionProvider", "cuda:1", "cuda:1"),
        ("TensorrtExecutionProvider", "cuda", "cuda"),
        ("XnnpackExecutionProvider", "npu", "cpu"),
        ("OpenVINOExecutionProvider", "npu", "npu"),
        ("OpenVINOExecutionProvider", "cpu", "cpu"),
        ("CPUExecutionProvider", "cuda", "cpu"),
    ],
)
def test_providers_have_devices(provider: str, asked: str, ran: str) -> None:
    assert executed_on.device_of([ProviderShare(provider=provider, nodes=1.0)], asked) == ran
