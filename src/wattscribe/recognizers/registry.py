"""Which runtimes there are and what each can do, known without importing any of them.

Others come from outside: `python:module:Class` names a class that need not be installed; a package registers its own under the
entry point group `wattscribe.recognizers`, whose names are then runtimes like those that ship.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module, metadata
from typing import Any

from wattscribe.errors import InputError
from wattscribe.models.names import PRECISIONS, STORED

_DECODING = {
    "decoding": "greedy (default) or beam",
    "beam": "hypotheses kept by beam search (default 4)",
    "tail_s": "seconds of silence appended to an utterance (default: what its segments need, 0.8 or more)",
    "blank_penalty": "subtracted from the blank's score (default 0)",
}
_LANGUAGE = (
    "spoken language that a multilingual Whisper transcribes, as en or de (default auto: it detects one per utterance)"
)
_PROVIDER = "onnxruntime's execution provider, as TensorRT, QNN, OpenVINO or CoreML (default: CPU, or CUDA on a GPU)"
_PARTS = {
    part: f"file name of the {part}, where a directory holds several" for part in ("encoder", "decoder", "joiner")
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeEntry:
    """One runtime: where its adapter lies, what it needs and what may be asked of it."""

    target: str
    """`module:class`; the class takes a RecognizerSpec and loads the model."""
    model: str
    """What the part after the colon may be, in words."""
    precisions: tuple[str, ...]
    """The first is the default."""
    devices: tuple[str, ...] = ("cpu",)
    options: Mapping[str, str] | None = field(default_factory=dict)
    """None: any, which the class itself checks."""
    packages: tuple[str, ...] = ()
    """Import names that must be there."""
    extra: str | None = None
    directory: bool = False
    """The model must be a local directory."""
    check: str | None = None
    """`module:function` that looks at the model as it is named, before anything starts; it raises InputError."""
    prepare: str | None = None
    """`module:function` of a spec and seconds of audio, which keeps on disk what makes later starts cheaper."""


_ENDPOINT = RuntimeEntry(
    target="wattscribe.recognizers.endpoint:EndpointRecognizer",
    model="the address of a server with OpenAI's /audio/transcriptions, as http://HOST:PORT/v1",
    precisions=(STORED,),
    options={
        "model": "name of the model that is asked for (default whisper-1)",
        "language": "language that is stated, as en or de (default: the server's choice)",
        "prompt": "text that is sent with every utterance",
        "response_format": "json (default) or text",
        "timeout_s": "seconds that an answer may take, per 30 s of audio (default 100)",
        "retries": "how often a request is repeated that the server could not take, 0 to 10 (default 2)",
        "key_env": "environment variable that holds the API key (default WATTSCRIBE_API_KEY, where it is set)",
    },
    check="wattscribe.recognizers.address:require_address",
)

RUNTIMES: Mapping[str, RuntimeEntry] = {
    "hf": RuntimeEntry(
        target="wattscribe.recognizers.hf:HfRecognizer",
        model="a Transformers model on the hub or its local directory",
        precisions=("fp32", "fp16", "bf16", "int8"),
        devices=("cpu", "cuda"),
        options={
            "revision": "git revision of a hub model",
            "language": _LANGUAGE,
            "max_new_tokens": "limit of generated tokens per piece of audio",
            "chunk_s": "seconds of audio per window of a model without long-form decoding (default 40)",
            "quantiser": "who makes int8: auto (default), torch or torchao",
        },
        packages=("torch", "transformers"),
        extra="hf",
    ),
    "ct2": RuntimeEntry(
        target="wattscribe.recognizers.ct2:Ct2Recognizer",
        model="a faster-whisper model name or a CTranslate2 directory",
        precisions=("fp32", "fp16", "bf16", "int8", "int8_float32", "int8_float16", "int8_bfloat16"),
        devices=("cpu", "cuda"),
        options={
            "language": _LANGUAGE,
            "beam": "beam size (default 5, faster-whisper's own; 1 is greedy)",
            "vad": "true skips silence before recognition (default false)",
        },
        packages=("faster_whisper", "ctranslate2"),
        extra="ct2",
    ),
    "sherpa": RuntimeEntry(
        target="wattscribe.recognizers.sherpa:SherpaRecognizer",
        model="a sherpa-onnx model directory",
        precisions=PRECISIONS,
        devices=("cpu", "cuda", "npu"),
        options={
            **_DECODING,
            **_PARTS,
            "model": "file name of a CTC model",
            "language": _LANGUAGE,
            "provider": "sherpa-onnx's provider, as qnn, rknn, coreml or openvino (default: cpu, or cuda on a GPU)",
        },
        packages=("sherpa_onnx",),
        extra="sherpa",
        directory=True,
    ),
    "pocketsphinx": RuntimeEntry(
        target="wattscribe.recognizers.pocketsphinx:PocketSphinxRecognizer",
        model="en-us, the packaged English model, or a directory of the same layout",
        precisions=(STORED, "fp32"),
        options={"lm": "path of another language model", "dict": "path of another dictionary"},
        packages=("pocketsphinx",),
        extra="pocketsphinx",
    ),
    "moonshine": RuntimeEntry(
        target="wattscribe.recognizers.moonshine:MoonshineRecognizer",
        model="a directory of moonshine-voice: .ort files and tokenizer.bin",
        precisions=(STORED, "fp32", "int8"),
        options={
            "vad": "true cuts by the library's voice gate first (default false)",
            "chunk_s": "seconds of audio per piece of a model that does not stream (default 30)",
        },
        packages=("moonshine_voice",),
        extra="moonshine",
        directory=True,
    ),
    "onnx-asr": RuntimeEntry(
        target="wattscribe.recognizers.onnx_asr:OnnxAsrRecognizer",
        model="a name that onnx-asr knows, or a directory with ?type=",
        precisions=PRECISIONS,
        options={
            "type": "kind of model in a directory, as onnx-asr names it: nemo-conformer-tdt, gigaam-v3-ctc, whisper, …",
            "language": "spoken language of a multilingual Whisper or Canary, as en or de (default: the library's own)",
            "provider": _PROVIDER,
            "chunk_s": "seconds of audio per piece of a longer recording (default 30)",
        },
        devices=("cpu", "cuda", "npu"),
        packages=("onnx_asr",),
        extra="onnx-asr",
    ),
    "vosk": RuntimeEntry(
        target="wattscribe.recognizers.vosk:VoskRecognizer",
        model="a directory of Vosk (Kaldi)",
        precisions=(STORED, "fp32"),
        packages=("vosk",),
        extra="vosk",
        directory=True,
    ),
    "openvino": RuntimeEntry(
        target="wattscribe.recognizers.openvino:OpenVinoRecognizer",
        model="a Whisper exported by optimum-intel: OpenVINO's .xml and .bin files with their tokenizers",
        precisions=PRECISIONS,
        devices=("cpu", "gpu", "npu"),
        options={"language": _LANGUAGE, "max_new_tokens": "limit of tokens per window of 30 s"},
        packages=("openvino_genai",),
        extra="openvino",
        directory=True,
    ),
    "onnx": RuntimeEntry(
        target="wattscribe.recognizers.onnx:open_onnx",
        model="a directory with an exported streaming transducer, Whisper or Moonshine, run by this package",
        precisions=PRECISIONS,
        options={
            **_DECODING,
            "phrase": "phrases that beam search favours, one a line",
            "phrases": "file of such phrases, `TEXT` or `TEXT :SCORE` a line",
            "frame_by_frame": "true runs the joiner one frame at a time (default false)",
            "language": _LANGUAGE,
            "window": "whole (default: a Whisper takes 30 s) or short (its audio, 5 s of silence, up to the next 5 s)",
            "vad": "true leaves long silence out (encoder–decoder, extra vad), false never; default: as its directory says",
            "loops": "stop ends a window where one phrase is said again and again (encoder–decoder), run never; default: as its "
            "directory says",
            "max_new_tokens": "limit of tokens per window of an encoder–decoder",
            "draft": "directory of a cheaper model of the same vocabulary, whose drafts an encoder–decoder verifies: same text, "
            "fewer runs of its decoder",
            "draft_tokens": "tokens of a draft at most (default 4)",
            "draft_precision": "which of the draft's files: fp32, fp16 or int8",
        },
        directory=True,
        prepare="wattscribe.recognizers.onnx:prepare",
    ),
    "whispercpp": RuntimeEntry(
        target="wattscribe.recognizers.whispercpp:WhisperCppRecognizer",
        model="a Whisper as a ggml file of whisper.cpp, quantised or not",
        precisions=PRECISIONS,
        options={
            "language": _LANGUAGE,
            "beam": "beam size (default 5, whisper-cli's own; 1 is greedy)",
            "audio_ctx": "encoder positions of 20 ms that are computed (default 0: the model's 1500, 30 s)",
        },
        packages=("pywhispercpp",),
        extra="whispercpp",
        check="wattscribe.recognizers.ggml_file:require_file",
    ),
    "cmd": RuntimeEntry(
        target="wattscribe.recognizers.command:open_command",
        model="a command that speaks JSON lines, with its arguments",
        precisions=(STORED,),
        options={
            "audio": "path (default: a 16-bit WAV file) or samples (float32 as base64)",
            "stream": "true sends an utterance piece by piece (default false)",
            "ready": 'seconds in which it prints {"ready": true} once it has loaded (default 0: it says nothing)',
            "timeout_s": "seconds that a line of it may take, per 30 s of audio (default 100)",
        },
        check="wattscribe.recognizers.command:require_command",
    ),
    **dict.fromkeys(("http", "https"), _ENDPOINT),
    "python": RuntimeEntry(
        target="wattscribe.recognizers.foreign:open_class",
        model="module:Class, where the class takes a RecognizerSpec",
        precisions=(STORED, "fp32", "fp16", "bf16", "int8"),
        devices=("cpu", "cuda"),
        options=None,
    ),
    "fake": RuntimeEntry(
        target="wattscribe.testing.recognizer:FakeRecognizer",
        model="any label",
        precisions=("fp32", "fp16", "bf16", "int8", STORED),
        devices=("cpu", "cuda"),
        options={
            "text": "the answer to every utterance",
            "corpus": "answer with the references of this corpus",
            "wer": "share of the reference's words that are answered wrongly (default 0)",
            "seed": "seed of the errors (default 0)",
            "load_s": "seconds that loading takes",
            "latency": "seconds of waiting per second of audio",
            "cpu": "seconds of computing per second of audio",
            "raise_at": "raise at the k-th utterance, from 0",
            "hang_at": "never answer the k-th utterance",
            "exit_at": "end the process at the k-th utterance, exit status 3",
            "kill_at": "kill the process (SIGKILL) at the k-th utterance, as the kernel does when memory runs out",
            "allocate_at": "allocate and keep memory from the k-th utterance on",
            "allocate_bytes": "how much (default 64 MiB)",
            "miscount_at": "leave out the answer to the k-th utterance",
            "fail_load": "true: raise while loading",
            "runs_as": "the precision that the audit finds (default: the one asked for)",
        },
    ),
}

GROUP = "wattscribe.recognizers"
"""Entry points of other packages, by the name of the runtime: a class that takes a RecognizerSpec, or a RuntimeEntry."""


def runtimes() -> list[str]:
    """The names of all that there are here."""
    return [*RUNTIMES, *sorted({entry.name for entry in metadata.entry_points(group=GROUP)} - set(RUNTIMES))]


def entry_of(runtime: str) -> RuntimeEntry | None:
    """One runtime; None where nobody registers it. Raises InputError for a package whose entry point cannot be loaded."""
    if runtime in RUNTIMES:
        return RUNTIMES[runtime]
    registered = registered_as(runtime)
    if registered is None or isinstance(registered, RuntimeEntry):
        return registered
    return replace(RUNTIMES["python"], model="what its class takes")


def named(target: str) -> Any:
    """What `module:name` leads to."""
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


def registered_as(runtime: str) -> Any:
    """What a package registers under this name; None: nothing. Raises InputError where it cannot be loaded."""
    for point in metadata.entry_points(group=GROUP, name=runtime):
        try:
            return point.load()
        except (ImportError, AttributeError) as error:
            raise InputError(
                f"the runtime {runtime}: of the package {point.dist.name if point.dist else '?'} cannot be loaded: {error}",
                fix="Install what it needs, or uninstall it",
            ) from error
    return None
