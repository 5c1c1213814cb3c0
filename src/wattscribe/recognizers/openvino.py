"""openvino-genai: Whisper on Intel's runtime, on the CPU, the integrated GPU or the NPU."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wattscribe.as_found import as_found
from wattscribe.errors import ModelError, RecognizerError
from wattscribe.recognizers import options
from wattscribe.recognizers.audit import Facts, judge
from wattscribe.recognizers.base import Audio
from wattscribe.recognizers.checks import SHORTEST_SAMPLES, checked, foreign, require_open
from wattscribe.records import PrecisionAudit, RecognizerSpec, Transcript
from wattscribe.units import SAMPLE_RATE_HZ

WINDOW_S = 30.0
"""Longer audio goes through the library's long form, which needs time stamps."""
NETWORKS = ("openvino_encoder_model", "openvino_decoder_model")
_FILES = (
    *(f"{name}.{kind}" for name in NETWORKS for kind in ("xml", "bin")),
    "openvino_tokenizer.xml", "openvino_detokenizer.xml", "config.json", "generation_config.json", "preprocessor_config.json",
)  # fmt: skip
_HINTS = {"fp32": "f32", "fp16": "f16", "bf16": "bf16"}
"""Our precisions → what the plugin is told to compute in; for int8 the stored weights decide."""
_DTYPES = {
    "f32": "float32", "f16": "float16", "bf16": "bfloat16", "i8": "int8", "u8": "uint8", "i4": "int4", "u4": "uint4",
    "f64": "float64", "nf4": "int4",
}  # fmt: skip
"""OpenVINO's types that hold weights or products; 32- and 64-bit integers are shapes and places."""
_PRODUCTS = {
    "FullyConnected", "MatMul", "Convolution", "ConvolutionBackpropData", "ScaledDotProductAttention",
    "ScaledDotProductAttentionWithKVCache", "Gather", "Embedding",
}  # fmt: skip
"""Kinds of nodes in a compiled graph that multiply weights, or look them up."""


class OpenVinoRecognizer:
    """One utterance after the other; greedy decoding."""

    together = 1

    def __init__(self, spec: RecognizerSpec) -> None:
        self._spec = spec
        self._folder = Path(spec.model).expanduser()
        for name in _FILES:
            if not (self._folder / name).is_file():
                raise ModelError(
                    f"holds no {name}",
                    where=self._folder,
                    fix="Export it: optimum-cli export openvino --model openai/whisper-tiny.en DIRECTORY",
                )
        self._limit = options.integer(spec, "max_new_tokens", 0) or None
        self._device = _device(spec)
        with as_found():
            self._pipeline: Any = self._load()
            self._multilingual = bool(self._pipeline.get_generation_config().is_multilingual)
        self._language = self._stated_language()

    def _load(self) -> Any:
        with (
            foreign("openvino-genai cannot load it", self._spec, lambda _: "Export the model again"),
            _without_telemetry(),
        ):
            import openvino_genai

            return openvino_genai.WhisperPipeline(str(self._folder), self._device, **self._properties())

    def _properties(self) -> dict[str, Any]:
        """Threads where they are the CPU's, and the type that is computed in where one is asked for."""
        properties: dict[str, Any] = {}
        if self._device == "CPU":
            properties["INFERENCE_NUM_THREADS"] = self._spec.threads
        if self._spec.precision in _HINTS:
            properties["INFERENCE_PRECISION_HINT"] = _HINTS[self._spec.precision]
        return properties

    def _stated_language(self) -> str | None:
        language = options.language(self._spec, multilingual=self._multilingual)
        if language is not None and f"<|{language}|>" not in self._pipeline.get_generation_config().lang_to_id:
            known = sorted(each.strip("<|>") for each in self._pipeline.get_generation_config().lang_to_id)
            raise RecognizerError(
                f"option language={language} is unknown", where=self._spec.name, fix="One of: " + ", ".join(known)
            )
        return language

    @as_found()
    def transcribe(self, batch: Sequence[Audio]) -> list[Transcript]:
        """One Transcript per input; audio under 25 ms is answered with an empty text."""
        require_open(self._pipeline, self._spec)
        return [self._transcript(audio) for audio in checked(batch, self._spec)]

    def _transcript(self, audio: Audio) -> Transcript:
        if len(audio) < SHORTEST_SAMPLES:
            return Transcript(text="")
        how: dict[str, Any] = {"return_timestamps": len(audio) > WINDOW_S * SAMPLE_RATE_HZ}
        if self._multilingual:
            how["task"] = "transcribe"
        if self._language is not None:
            how["language"] = f"<|{self._language}|>"
        if self._limit is not None:
            how["max_new_tokens"] = self._limit
        with foreign("openvino-genai failed", self._spec):
            answer = self._pipeline.generate(audio.tolist(), **how)
        language = (self._language or answer.language.strip("<|>") or None) if self._multilingual else None
        return Transcript(text=answer.texts[0].strip(), language=language)

    @as_found()
    def audit(self) -> PrecisionAudit:
        """The stored weights, and the types in which the plugin's graphs compute: both networks are compiled once more."""
        require_open(self._pipeline, self._spec)
        import openvino

        core = openvino.Core()
        weights: Counter[str] = Counter()
        operators: Counter[str] = Counter()
        devices: set[str] = set()
        parameters = 0
        with foreign("OpenVINO cannot compile it", self._spec):
            for name in NETWORKS:
                model = core.read_model(self._folder / f"{name}.xml")
                for dtype, elements, size in _constants(model):
                    weights[dtype] += size
                    parameters += elements
                compiled = core.compile_model(model, self._device, self._properties())
                devices.update(str(each) for each in compiled.get_property("EXECUTION_DEVICES"))
                operators.update(_executed(compiled))
        narrow = sum(size for dtype, size in weights.items() if "int" in dtype)
        integer = any(name.endswith((":int8", ":uint8")) for name in operators)
        facts = Facts(
            requested=self._spec.precision,
            requested_device=self._spec.device,
            device=_ran_on(devices, self._spec.device),
            weight_bytes=dict(weights),
            operators=dict(sorted(operators.items())),
            dequantised_bytes=0 if integer else narrow,
            parameters=parameters,
            note="OpenVINO executed on " + ", ".join(sorted(devices)),
        )
        return judge(facts)

    def close(self) -> None:
        self._pipeline = None


@contextmanager
def _without_telemetry() -> Iterator[None]:
    """OpenVINO reports its import to its makers and leaves an identifier in the home directory, unless the package that does so
    is missing: within, it is."""
    there = "openvino_telemetry" in sys.modules
    if not there:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # what Python reads as: not to be found
    try:
        yield
    finally:
        if not there:
            sys.modules.pop("openvino_telemetry", None)


def _device(spec: RecognizerSpec) -> str:
    """OpenVINO's name of the device. Raises RecognizerError where it finds none of that kind."""
    with as_found(), _without_telemetry():
        import openvino

        here = openvino.Core().available_devices
    kind, _, index = spec.device.partition(":")
    wanted = kind.upper() + (f".{index}" if index else "")
    if not any(each == wanted or each.startswith(f"{wanted}.") for each in here):
        raise RecognizerError(
            f"OpenVINO finds no {wanted}",
            where=spec.name,
            fix=f"It finds {', '.join(here)}; install the device's driver",
        )
    return wanted


def _ran_on(devices: set[str], asked: str) -> str:
    """In the words of a spec; the CPU where any part ran there although another device was asked for."""
    kinds = {each.partition(".")[0].lower() for each in devices}
    return asked if kinds == {asked.partition(":")[0]} else "cpu" if "cpu" in kinds else ", ".join(sorted(kinds))


def _constants(model: Any) -> list[tuple[str, int, int]]:
    """Type, elements and bytes of every stored tensor that is a weight."""
    found = []
    for node in model.get_ops():
        if node.get_type_name() == "Constant":
            dtype = _DTYPES.get(node.get_element_type().get_type_name())
            if dtype is not None:
                elements = 1
                for size in node.get_output_shape(0):
                    elements *= size
                found.append((dtype, elements, node.get_byte_size()))
    return found


def _executed(compiled: Any) -> Mapping[str, int]:
    """`Kind:dtype` of the nodes that the plugin made of a graph, as it reports them."""
    counts: Counter[str] = Counter()
    for node in compiled.get_runtime_model().get_ops():
        info = node.get_rt_info()
        kind = str(info["layerType"].astype(str)) if "layerType" in info else node.get_type_name()
        kind_and_type = kind
        if kind in _PRODUCTS and "runtimePrecision" in info:
            kind_and_type = f"{kind}:{_DTYPES.get(str(info['runtimePrecision'].astype(str)), 'float32')}"
        counts[kind_and_type] += 1
    return counts
