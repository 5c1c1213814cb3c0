"""onnx-asr: Parakeet and Canary of NeMo, GigaAM, Vosk's new models, T-one and Whisper, exported to ONNX."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from wattscribe.as_found import as_found
from wattscribe.errors import InputError, ModelError
from wattscribe.recognizers import executed_on, options
from wattscribe.recognizers.base import Audio
from wattscribe.recognizers.checks import SHORTEST_SAMPLES, checked, foreign, require_open
from wattscribe.records import PrecisionAudit, ProviderShare, RecognizerSpec, Token, Transcript
from wattscribe.seq2seq.windows import cut_at_silence
from wattscribe.units import SAMPLE_RATE_HZ

CHUNK_S = 30.0
"""What its Whisper hears at once; the library gives 20 to 30 s as the longest piece for all of its models."""
_TONE_SAMPLES = 4800
"""0.3 s, a chunk of T-one; Kaldi features and transducers need some frames too. Shorter audio is padded with silence."""
_QUANTISED = {"stored": (None, "int8", "uint8", "fp16"), "fp32": (None,), "fp16": ("fp16",), "int8": ("int8", "uint8")}
"""Our precisions → the suffixes of file names that the library looks for, in this order."""


class OnnxAsrRecognizer:
    """A model by the library's name for it, which it fetches, or a directory, whose config.json or `?type=` says the kind."""

    def __init__(self, spec: RecognizerSpec) -> None:
        self._spec = spec
        self._chunk_samples = round(options.number(spec, "chunk_s", CHUNK_S, minimum=1.0) * SAMPLE_RATE_HZ)
        self._language = options.language(spec, multilingual=True)
        self._providers = executed_on.chosen(spec)
        with as_found():
            self._model: Any = self._load()
        # Whisper and Canary take a language; the library ignores it elsewhere in silence
        if self._language is not None and type(self._model.asr).__name__ not in _MULTILINGUAL:
            self._language = options.language(spec, multilingual=False)

    def _load(self, profile: Path | None = None) -> Any:
        from onnx_asr.utils import ModelFileNotFoundError

        attempts = _QUANTISED[self._spec.precision]
        for at, suffix in enumerate(attempts):
            try:
                with foreign("onnx-asr cannot load it", self._spec, _advice):
                    return self._load_quantised(suffix, profile)
            except Exception as error:
                if at + 1 == len(attempts) or not isinstance(error.__cause__, ModelFileNotFoundError):
                    raise
        raise AssertionError("no precision is tried")

    def _load_quantised(self, suffix: str | None, profile: Path | None) -> Any:
        import onnxruntime
        from onnx_asr.loader import Manager

        session = onnxruntime.SessionOptions()
        session.intra_op_num_threads = self._spec.threads
        session.inter_op_num_threads = 1
        session.log_severity_level = 3
        if profile is not None:
            executed_on.recording(session).enable_profiling = True
            session.profile_file_prefix = str(profile / "session")
        name, folder = self._named()
        return Manager(session, self._providers).create_asr(name, folder, quantization=suffix).with_timestamps()

    def _named(self) -> tuple[str | None, Path | None]:
        """The library's name of the model or its kind, and the directory."""
        folder = Path(self._spec.model).expanduser()
        kind = self._spec.options.get("type")
        if not folder.is_dir():
            if kind is not None:
                raise InputError("option type is for a directory", where=self._spec.name, fix="Leave it out")
            return self._spec.model, None
        if kind is None and not (folder / "config.json").is_file():
            raise ModelError(
                "holds no config.json, which would say its kind",
                where=folder,
                fix="Add ?type=nemo-conformer-tdt, or another of onnx-asr's kinds",
            )
        return kind, folder

    @as_found()
    def transcribe(self, batch: Sequence[Audio]) -> list[Transcript]:
        """One Transcript per input, `batch_size` pieces at a time; longer audio than `chunk_s` is cut where it is quietest.

        Audio under 25 ms is answered with an empty text.
        """
        require_open(self._model, self._spec)
        pieces: list[tuple[int, float, Audio]] = []
        for index, audio in enumerate(checked(batch, self._spec)):
            start = 0
            for piece in cut_at_silence(audio, self._chunk_samples):
                if len(piece) >= SHORTEST_SAMPLES:
                    pieces.append((index, start / SAMPLE_RATE_HZ, piece))
                start += len(piece)
        answers: list[list[Transcript]] = [[] for _ in batch]
        for at in range(0, len(pieces), self._spec.batch_size):
            group = pieces[at : at + self._spec.batch_size]
            for (index, start_s, _), result in zip(group, self._run(self._model, group), strict=True):
                answers[index].append(_transcript(result, start_s))
        return [_joined(parts, self._language) for parts in answers]

    def _run(self, model: Any, group: Sequence[tuple[int, float, Audio]]) -> Any:
        padded = [np.pad(piece, (0, max(0, _TONE_SAMPLES - len(piece)))) for _, _, piece in group]
        with foreign("onnx-asr failed", self._spec):
            how = {} if self._language is None else {"language": self._language}
            return model.recognize(padded, sample_rate=SAMPLE_RATE_HZ, **how)

    def audit(self) -> PrecisionAudit:
        """What the files hold; with an accelerator also who ran how much of a second of noise, in sessions opened anew."""
        from wattscribe.recognizers.onnx_facts import audit_onnx

        require_open(self._model, self._spec)
        files = [Path(session._model_path) for session in _sessions(self._model.asr)]
        shares = () if self._providers == [executed_on.CPU] else self.shares()
        device = executed_on.device_of(shares, self._spec.device)
        return audit_onnx(self._spec, files, device=device, executed_on=shares)

    @as_found()
    def shares(self) -> tuple[ProviderShare, ...]:
        """Nodes and time of every provider over a second of noise, as onnxruntime's own profile counts them."""
        noise = np.random.default_rng(0).normal(0, 0.1, SAMPLE_RATE_HZ).astype(np.float32)
        with tempfile.TemporaryDirectory(prefix="wattscribe-") as name:
            model = self._load(Path(name))
            self._run(model, [(0, 0.0, noise)])
            sessions = list(_sessions(model.asr))
            given = sum((executed_on.assigned(session) for session in sessions), Counter[str]())
            return executed_on.shares_of([Path(session.end_profiling()) for session in sessions], given)

    def close(self) -> None:
        self._model = None


_MULTILINGUAL = ("WhisperHf", "WhisperOrt", "NemoConformerAED")
"""The library's classes that take a language."""


def _sessions(asr: Any) -> Iterator[Any]:
    """The graphs of the network, in the order in which they were opened; features are computed beside them."""
    import onnxruntime

    yield from (value for value in vars(asr).values() if isinstance(value, onnxruntime.InferenceSession))


def _transcript(result: Any, start_s: float) -> Transcript:
    tokens, starts, scores = result.tokens or [], result.timestamps, result.logprobs
    if starts is None:
        return Transcript(text=result.text.strip())
    return Transcript(
        text=result.text.strip(),
        tokens=tuple(
            Token(
                text=token,
                start_s=start_s + starts[at],
                log_probability=None if scores is None else min(0.0, scores[at]),
            )
            for at, token in enumerate(tokens)
        ),
    )


def _joined(parts: Sequence[Transcript], language: str | None) -> Transcript:
    whole = Transcript(
        text=" ".join(filter(None, (part.text for part in parts))),
        tokens=tuple(token for part in parts for token in part.tokens),
    )
    return replace(whole, language=language)


def _advice(error: Exception) -> str | None:
    kind = type(error).__name__
    if kind in ("ModelNotSupportedError", "InvalidModelTypeInConfigError"):
        return "See onnx-asr's list of names and kinds; a directory takes ?type=KIND"
    if kind == "ModelFileNotFoundError":
        return "Give a directory as onnx-asr lays it out, at a precision that it holds"
    return None
