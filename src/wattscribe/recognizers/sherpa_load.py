"""Which of sherpa-onnx's loaders opens which kind of model, with what, and on which provider."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wattscribe.errors import InputError, RecognizerError
from wattscribe.hushed import overheard
from wattscribe.recognizers import executed_on, options
from wattscribe.recognizers.checks import in_a_line
from wattscribe.recognizers.sherpa_files import Kind, Layout
from wattscribe.records import MAX_BEAM, ProviderShare, RecognizerSpec

PROVIDERS: Mapping[str, str] = {
    "cpu": "CPU", "cuda": "CUDA", "trt": "Tensorrt", "coreml": "CoreML", "xnnpack": "Xnnpack", "nnapi": "Nnapi",
    "directml": "Dml", "openvino": "OpenVINO", "spacemit": "SpaceMIT",
}  # fmt: skip
"""sherpa-onnx's names (its csrc/provider.cc) → onnxruntime's, without `ExecutionProvider`."""
_COMPILED_IN = {
    "rknn": b"SHERPA_ONNX_ENABLE_RKNN=ON", "qnn": b"SHERPA_ONNX_ENABLE_QNN=ON", "axera": b"SHERPA_ONNX_ENABLE_AXERA=ON",
    "axcl": b"SHERPA_ONNX_ENABLE_AXCL=ON", "ascend": b"SHERPA_ONNX_ENABLE_ASCEND_NPU=ON",
}  # fmt: skip
"""NPUs with code of their own → what a build without it holds: it says so, and ends the process."""
_COHERE = ["ar", "de", "el", "en", "es", "fr", "it", "ja", "ko", "nl", "pl", "pt", "vi", "zh"]


def _none(_: Layout) -> list[str]:
    return []


def _of_whisper(layout: Layout) -> list[str]:
    multilingual = layout.metadata.get("is_multilingual", "1") != "0"
    return [code for code in layout.metadata.get("all_language_codes", "").split(",") if code] if multilingual else []


def _of_sense_voice(layout: Layout) -> list[str]:
    return [key.removeprefix("lang_") for key in layout.metadata if key.startswith("lang_") and key != "lang_auto"]


def _of_canary(layout: Layout) -> list[str]:
    """Those of two letters among the tokens: `<|en|> 62`."""
    names = (line.split(" ")[0].strip("<|>") for line in layout.tokens_text().splitlines() if line.startswith("<|"))
    return [name for name in names if len(name) == 2 and name.isalpha()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loader:
    """A `from_…` of OnlineRecognizer or OfflineRecognizer, and how its arguments differ from those of most."""

    method: str
    names: Mapping[str, str] = field(default_factory=dict)
    """Our parts → its arguments, where they are not the same."""
    more: Mapping[str, str] = field(default_factory=dict)
    searches: bool = False
    """Takes a way of decoding."""
    languages: Callable[[Layout], list[str]] = _none
    """Those that the model has; empty: no choice."""
    language_arguments: tuple[str, ...] = ("language",)
    default_language: str = ""
    """What the library is told where none is stated; empty: it finds out."""
    resamples: bool = False
    """The model hears 8 kHz; the library makes it of 16 kHz and says so on standard error for every utterance."""
    one_by_one: bool = False
    """The library decodes a batch one after the other (its csrc/offline-recognizer-*-impl.h)."""


LOADERS: Mapping[Kind, Loader] = {
    "online transducer": Loader(method="from_transducer", searches=True),
    "online zipformer2 ctc": Loader(method="from_zipformer2_ctc"),
    "online nemo ctc": Loader(method="from_nemo_ctc"),
    "online wenet ctc": Loader(method="from_wenet_ctc", one_by_one=True),
    "online t-one ctc": Loader(method="from_t_one_ctc", resamples=True),
    "online paraformer": Loader(method="from_paraformer"),
    "offline transducer": Loader(method="from_transducer", searches=True),
    "offline nemo transducer": Loader(method="from_transducer", searches=True, more={"model_type": "nemo_transducer"}),
    "offline zipformer ctc": Loader(method="from_zipformer_ctc"),
    "offline nemo ctc": Loader(method="from_nemo_ctc"),
    "offline wenet ctc": Loader(method="from_wenet_ctc", one_by_one=True),
    "telespeech ctc": Loader(method="from_telespeech_ctc", one_by_one=True),
    "dolphin ctc": Loader(method="from_dolphin_ctc"),
    "fire red asr ctc": Loader(method="from_fire_red_asr_ctc"),
    "medasr ctc": Loader(method="from_medasr_ctc"),
    "omnilingual asr ctc": Loader(method="from_omnilingual_asr_ctc", one_by_one=True),
    "tdnn ctc": Loader(method="from_tdnn_ctc", one_by_one=True, resamples=True),
    "sense voice": Loader(method="from_sense_voice", languages=_of_sense_voice),
    "offline paraformer": Loader(method="from_paraformer", names={"model": "paraformer"}),
    "whisper": Loader(method="from_whisper", languages=_of_whisper, one_by_one=True),
    "moonshine": Loader(method="from_moonshine", one_by_one=True),
    "moonshine v2": Loader(method="from_moonshine_v2", one_by_one=True),
    "nemo canary": Loader(
        method="from_nemo_canary", languages=_of_canary, language_arguments=("src_lang", "tgt_lang"),
        default_language="en", one_by_one=True,
    ),
    "fire red asr": Loader(method="from_fire_red_asr", one_by_one=True),
    "cohere transcribe": Loader(
        method="from_cohere_transcribe", languages=lambda _: _COHERE, default_language="en", one_by_one=True
    ),
    "funasr nano": Loader(method="from_funasr_nano", one_by_one=True),
    "qwen3 asr": Loader(method="from_qwen3_asr", one_by_one=True),
}  # fmt: skip
"""All of sherpa-onnx 2.0: six of its OnlineRecognizer, twenty of its OfflineRecognizer, one of which loads two kinds."""


def load(spec: RecognizerSpec, layout: Layout, provider: str) -> tuple[Any, str]:
    """The loaded model, and what the library said of its provider, which is empty where it has nothing against it."""
    import sherpa_onnx

    loader = LOADERS[layout.kind]
    beam = options.choice(spec, "decoding", ("greedy", "beam")) == "beam"
    if beam and not loader.searches:
        raise InputError(f"a {layout.kind} model is decoded greedily here, not by beam search", where=spec.name)
    arguments: dict[str, Any] = {loader.names.get(part, part): str(path) for part, path in layout.parts.items()}
    arguments |= {"num_threads": spec.threads, "provider": provider, **loader.more}
    if layout.tokens is not None:
        arguments["tokens"] = str(layout.tokens)
    if loader.languages is not _none:
        arguments |= dict.fromkeys(loader.language_arguments, language_of(spec, layout) or loader.default_language)
    if loader.searches:
        arguments |= {
            "decoding_method": "modified_beam_search" if beam else "greedy_search",
            "max_active_paths": options.integer(spec, "beam", 4, minimum=1, maximum=MAX_BEAM),
            "blank_penalty": options.number(spec, "blank_penalty", 0.0),
        }
    opener = sherpa_onnx.OnlineRecognizer if layout.online else sherpa_onnx.OfflineRecognizer
    try:
        # On the CPU nothing is to be heard but why the library ends the process, which is for whoever reads standard error.
        with overheard() if provider != "cpu" else contextlib.nullcontext(str) as said:
            model = getattr(opener, loader.method)(**arguments)
    except (RuntimeError, ValueError) as error:
        raise RecognizerError(f"sherpa-onnx cannot load it: {in_a_line(error)}", where=Path(spec.model)) from error
    if provider == "openvino":
        return model, _fallback_of(said()) or "sherpa-onnx does not tell on which of OpenVINO's devices"
    return model, _fallback_of(said())


def _fallback_of(said: str) -> str:
    """What it says of going on with another provider; empty: nothing."""
    return " ".join(sorted({_plain(line) for line in said.splitlines() if "allback to" in line}))


def _plain(line: str) -> str:
    """Without the library's file and line: `…/session.cc:GetSessionOptionsImpl:437 Please compile …`."""
    place, _, text = line.partition(" ")
    return text if ".cc:" in place else line


def language_of(spec: RecognizerSpec, layout: Layout) -> str:
    """The language that is stated; empty: none is, or the model has no choice. Raises InputError for one that it lacks."""
    known = LOADERS[layout.kind].languages(layout)
    language = options.language(spec, multilingual=bool(known)) or ""
    if language and language not in known:  # the library would end the process
        raise InputError(f"option language={language} is unknown", where=spec.name, fix="One of: " + ", ".join(known))
    return language


def provider_of(spec: RecognizerSpec, layout: Layout) -> str:
    """sherpa-onnx's name: as the option `provider` says, else CUDA on a GPU.

    Raises InputError for one that it does not know, RecognizerError for one without which it was built: it would end the process.
    """
    kind = spec.device.partition(":")[0]
    provider = spec.options.get("provider", "cuda" if kind == "cuda" else "").lower() or "cpu"
    if provider not in PROVIDERS and provider not in _COMPILED_IN:
        raise InputError(
            f"sherpa-onnx has no provider {provider!r}",
            where=spec.name,
            fix="One of: " + ", ".join([*PROVIDERS, *_COMPILED_IN]),
        )
    if kind == "npu" and "provider" not in spec.options:
        raise InputError("an NPU is reached by a provider", where=spec.name, fix="Add ?provider=qnn, rknn, coreml, …")
    if provider == "trt" and not layout.online:
        raise InputError("sherpa-onnx runs streaming models alone on TensorRT", where=spec.name, fix="Use cuda")
    if provider in _COMPILED_IN and any(_COMPILED_IN[provider] in library for library in _libraries()):
        raise RecognizerError(
            f"this sherpa-onnx is built without {provider}", where=spec.name, fix="Install its build for your board"
        )
    return provider


def _libraries() -> list[bytes]:
    import sherpa_onnx

    return [path.read_bytes() for path in (Path(sherpa_onnx.__file__).parent / "lib").glob("_sherpa_onnx*")]


def fell_back(said: str) -> tuple[ProviderShare, ...]:
    """The provider that the library says it took instead, with all of the nodes; empty where it says nothing."""
    for name in ("cpu", "cuda"):
        if f"allback to {name}" in said:
            return (ProviderShare(provider=PROVIDERS[name] + "ExecutionProvider", nodes=1.0),)
    return ()


def placed(files: list[Path], provider: str) -> tuple[ProviderShare, ...]:
    """Shares of nodes, where this Python's onnxruntime has the provider too; sherpa-onnx's own tells nothing."""
    return executed_on.placed(files, PROVIDERS[provider] + "ExecutionProvider") if provider in PROVIDERS else ()
