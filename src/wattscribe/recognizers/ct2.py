"""faster-whisper: Whisper on CTranslate2."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wattscribe.as_found import as_found
from wattscribe.errors import ModelError, RecognizerError
from wattscribe.recognizers import options
from wattscribe.recognizers.audit import Facts, judge
from wattscribe.recognizers.base import Audio
from wattscribe.recognizers.checks import SHORTEST_SAMPLES, checked, in_a_line, require_open
from wattscribe.recognizers.ct2_file import Variable, read_variables, require_numbers
from wattscribe.records import MAX_BEAM, PrecisionAudit, RecognizerSpec, Transcript

COMPUTE_TYPES = {
    "fp32": "float32",
    "fp16": "float16",
    "bf16": "bfloat16",
    "int8": "int8",
    "int8_float32": "int8_float32",
    "int8_float16": "int8_float16",
    "int8_bfloat16": "int8_bfloat16",
}
"""Our precisions → CTranslate2's compute types."""


class Ct2Recognizer:
    """One utterance after the other; faster-whisper cuts long audio into its own 30 s windows."""

    together = 1

    def __init__(self, spec: RecognizerSpec) -> None:
        self._spec = spec
        path = Path(spec.model).expanduser()
        self._directory = path if path.is_dir() else None
        if self._directory is not None:
            _require_files(self._directory)
        self._beam = options.integer(spec, "beam", 5, minimum=1, maximum=MAX_BEAM)
        self._vad = options.flag(spec, "vad")
        self._model: Any = self._load()
        self._language = options.language(spec, multilingual=bool(self._model.model.is_multilingual))

    def _load(self) -> Any:
        import ctranslate2
        import faster_whisper

        device, _, index = self._spec.device.partition(":")
        try:
            return faster_whisper.WhisperModel(
                str(self._directory) if self._directory else self._spec.model,
                device=device,
                device_index=int(index or 0),
                compute_type=COMPUTE_TYPES[self._spec.precision],
                cpu_threads=self._spec.threads,
            )
        except ValueError as error:
            fix = None
            if "compute type" in str(error):
                fix = f"On {device} here: " + ", ".join(sorted(ctranslate2.get_supported_compute_types(device)))
            raise RecognizerError(
                f"CTranslate2 cannot load it: {error}".rstrip("."), where=self._spec.name, fix=fix
            ) from error
        except Exception as error:  # tokenizer.json of another shape: the tokenizer's own kind
            raise RecognizerError(
                f"faster-whisper cannot load it: {in_a_line(error)}", where=self._spec.name
            ) from error

    @as_found()  # the voice detector imports its library when it is first used
    def transcribe(self, batch: Sequence[Audio]) -> list[Transcript]:
        """One Transcript per input; audio under 25 ms is answered with an empty text."""
        require_open(self._model, self._spec)
        return [self._transcript(audio) for audio in checked(batch, self._spec)]

    def _transcript(self, audio: Audio) -> Transcript:
        if len(audio) < SHORTEST_SAMPLES:
            return Transcript(text="")
        try:
            segments, about = self._model.transcribe(
                audio,
                language=self._language,
                beam_size=self._beam,
                vad_filter=self._vad,
                # Without the library's fallback to sampling at rising temperatures: the same audio, the same text and work.
                temperature=0.0,
            )
            text = "".join(segment.text for segment in segments).strip()
            return Transcript(text=text, language=about.language if self._model.model.is_multilingual else None)
        except Exception as error:  # a tokenizer that lacks what Whisper needs: KeyError, IndexError
            raise RecognizerError(f"CTranslate2 failed: {in_a_line(error)}", where=self._spec.name) from error

    def audit(self) -> PrecisionAudit:
        """Reads the compute type in effect from the loaded model, not from what was asked for.

        Raises ModelError for weights that are no numbers: the library goes on with them in silence.
        """
        require_open(self._model, self._spec)
        inner = self._model.model
        path = self._path() / "model.bin"
        variables = read_variables(path)
        require_numbers(path, variables)
        weights, products = in_memory(variables, str(inner.compute_type))
        facts = Facts(
            requested=self._spec.precision,
            requested_device=self._spec.device,
            device=str(inner.device),
            weight_bytes=weights,
            operators={f"Gemm:{dtype}": count for dtype, count in products.items()},
            parameters=sum(variable.elements for variable in variables if variable.is_weight),
            note=f"compute type in effect: {inner.compute_type}",
        )
        return judge(facts)

    def _path(self) -> Path:
        if self._directory is not None:
            return self._directory
        import faster_whisper

        return Path(faster_whisper.utils.download_model(self._spec.model, local_files_only=True))

    def close(self) -> None:
        self._model = None


def in_memory(variables: Sequence[Variable], compute_type: str) -> tuple[dict[str, int], dict[str, int]]:
    """Bytes by dtype, and the number of matrices by the dtype that they are multiplied in, under a compute type.

    CTranslate2 converts weights while loading: matrices to int8 with float32 scales under an int8 type, everything else to the
    type's float part (its documentation on quantisation).
    """
    quantised = compute_type.startswith("int8")
    rest = compute_type.removeprefix("int8").strip("_") or "float32"
    width = 2 if rest in ("float16", "bfloat16") else 4
    weights: dict[str, int] = {}
    products: dict[str, int] = {}
    for variable in variables:
        if not variable.is_weight:
            continue
        dtype = "int8" if quantised and variable.is_matrix else rest
        weights[dtype] = weights.get(dtype, 0) + variable.elements * (1 if dtype == "int8" else width)
        if variable.is_matrix:
            products[dtype] = products.get(dtype, 0) + 1
            if dtype == "int8":
                weights["float32"] = weights.get("float32", 0) + variable.rows * 4
    return weights, products


def _require_files(directory: Path) -> None:
    """What faster-whisper would otherwise ask the hub for is named here."""
    for name, why in (
        ("model.bin", "the weights"),
        ("config.json", "the configuration"),
        ("tokenizer.json", "the tokenizer"),
    ):
        if not (directory / name).is_file():
            raise ModelError(
                f"holds no {name} ({why})",
                where=directory,
                fix="Convert with ct2-transformers-converter --copy_files tokenizer.json preprocessor_config.json",
            )
