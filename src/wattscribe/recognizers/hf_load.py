"""From a name or directory to a Transformers model at a precision: safetensors only, never code from the model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from wattscribe.as_found import as_found
from wattscribe.errors import ModelError, RecognizerError
from wattscribe.recognizers.checks import foreign
from wattscribe.recognizers.hf_prompted import PROMPTED, refusal
from wattscribe.recognizers.hf_quantise import quantise
from wattscribe.records import RecognizerSpec

Family = Literal["ctc", "transducer", "whisper", "seq2seq", "prompted"]

_TRANSDUCERS = {
    "parakeet_tdt": "AutoModelForTDT",
    "parakeet_rnnt": "AutoModelForRNNT",
    "nemotron_asr_streaming": "AutoModelForRNNT",
    "nemotron3_5_asr": "AutoModelForRNNT",
}
_TRAINING_ONLY = ("masked_spec_embed",)
"""What masks are filled with in training, so that older checkpoints lack it."""
_STUDY = "Whisper, wav2vec2, HuBERT, WavLM, UniSpeech, SpeechT5, Moonshine, Parakeet, Nemotron, Qwen3-ASR, Kyutai"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A model with what turns audio into its input and its output into text."""

    model: Any
    features: Any
    tokenizer: Any
    family: Family
    parameters: int
    """Counted before quantisation, which hides parameters in packed buffers."""
    processor: Any = None
    """Of a prompted model."""


def load(spec: RecognizerSpec) -> Loaded:
    """Load `spec`. Raises ModelError for a directory without safetensors or without a speech-to-text head."""
    import torch  # noqa: F401
    import transformers  # noqa: F401

    with as_found(), threads(spec.threads), _no_progress_bar():  # as both are once they are imported
        return _load(spec)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """So many threads for torch's operators, which are a setting of the whole process."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    import transformers

    shown = transformers.logging.is_progress_bar_enabled()
    transformers.logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers.logging.enable_progress_bar()


def _load(spec: RecognizerSpec) -> Loaded:
    from transformers import AutoConfig, AutoFeatureExtractor, AutoProcessor, AutoTokenizer

    _require_device(spec)
    path = Path(spec.model).expanduser()
    local = path.is_dir()
    if local:
        _require_safetensors(path)
    name = str(path) if local else spec.model
    where: dict[str, Any] = {"trust_remote_code": False, "local_files_only": local}
    if "revision" in spec.options:
        where["revision"] = spec.options["revision"]
    with foreign("Transformers cannot load it", spec, _advice):
        config = AutoConfig.from_pretrained(name, **where)
        family, auto = _family(config)
        model, about = auto.from_pretrained(
            name, config=config, dtype=_dtype(spec), use_safetensors=True, output_loading_info=True,
            attn_implementation=_attention(config, auto), **where,
        )  # fmt: skip
        processor = AutoProcessor.from_pretrained(name, **where) if family == "prompted" else None
        features = processor.feature_extractor if processor else AutoFeatureExtractor.from_pretrained(name, **where)
        tokenizer = processor.tokenizer if processor else AutoTokenizer.from_pretrained(name, **where)
    _require_weights(model, about, spec)
    parameters = model.num_parameters()
    model = model.eval().to(spec.device)
    if spec.precision == "int8":
        model = quantise(model, spec)
    return Loaded(
        model=model, features=features, tokenizer=tokenizer, family=family, parameters=parameters, processor=processor
    )


def _family(config: Any) -> tuple[Family, Any]:
    """How the model is run and the class that loads it. Raises ModelError when it is no speech recognizer."""
    import transformers
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CTC_MAPPING_NAMES,
        MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES,
    )

    kind = config.model_type
    if kind in _TRANSDUCERS and hasattr(transformers, _TRANSDUCERS[kind]):
        return "transducer", getattr(transformers, _TRANSDUCERS[kind])
    if kind == "whisper":
        return "whisper", transformers.AutoModelForSpeechSeq2Seq
    if kind in PROMPTED:
        return "prompted", transformers.AutoModelForSpeechSeq2Seq
    if (refused := refusal(kind)) is not None:
        raise ModelError(refused[0], fix=refused[1])
    architectures = config.architectures or []
    if kind in MODEL_FOR_CTC_MAPPING_NAMES and MODEL_FOR_CTC_MAPPING_NAMES[kind] in architectures:
        return "ctc", transformers.AutoModelForCTC
    if MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES.get(kind) in architectures:
        return "seq2seq", transformers.AutoModelForSpeechSeq2Seq
    family = ", ".join(architectures) or kind
    raise ModelError(f"is a {family}, which has no speech-to-text head", fix=f"Use a recognizer, for instance {_STUDY}")


def _require_safetensors(path: Path) -> None:
    if not (path / "config.json").is_file():
        raise ModelError("holds no config.json", where=path, fix="Give a directory written by save_pretrained")
    if any(path.glob("*.safetensors")):
        return
    if any(path.glob("*.bin")) or any(path.glob("*.pt")):
        raise ModelError(
            "holds pickled weights only, which are never loaded",
            where=path,
            fix="Convert them to model.safetensors (save_pretrained writes it)",
        )
    raise ModelError("holds no *.safetensors weights", where=path, fix="Give a directory written by save_pretrained")


def _require_device(spec: RecognizerSpec) -> None:
    import torch

    if spec.device.startswith("cuda") and not torch.cuda.is_available():
        raise RecognizerError(
            f"{spec.device} was asked for and torch finds no GPU", where=spec.name, fix="Install a CUDA build of torch"
        )


def _dtype(spec: RecognizerSpec) -> Any:
    """int8 keeps what is not quantised in fp32 on the CPU, whose 8-bit kernels take it, and in fp16 on a GPU."""
    import torch

    rest = torch.float16 if spec.device.startswith("cuda") else torch.float32
    return {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16, "int8": rest}[spec.precision]


def _attention(config: Any, auto: Any) -> str:
    """Said to the library in so many words: a config can name an implementation that would be fetched from the hub and run."""
    classes = auto._model_mapping[type(config)]
    kinds = classes if isinstance(classes, (list, tuple)) else [classes]
    chosen = "sdpa" if all(getattr(kind, "_supports_sdpa", False) for kind in kinds) else "eager"
    config._attn_implementation = chosen  # and of the configs inside it
    return chosen


def _require_weights(model: Any, about: dict[str, Any], spec: RecognizerSpec) -> None:
    """Refuse what the library fills with random numbers in silence, and weights that are none."""
    missing = sorted(key for key in about.get("missing_keys", ()) if not key.endswith(_TRAINING_ONLY))
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ModelError(
            f"its weights lack {missing[0]}{more}, which the library would fill with random numbers",
            where=spec.name,
            fix="Use a checkpoint that was trained for speech recognition",
        )
    import torch

    for name, weight in model.named_parameters():
        if weight.is_floating_point() and not torch.isfinite(weight.sum(dtype=torch.float32)):
            raise ModelError(f"its weights {name} are not numbers (NaN)", where=spec.name, fix="Copy the model again")


def _advice(error: Exception) -> str | None:
    if "sentencepiece" in str(error).lower():
        return "Install what its tokenizer needs: pip install sentencepiece"
    return None
