"""PocketSphinx: an open-vocabulary baseline whose English model comes with the package, so that it works with no download."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wattscribe.errors import ModelError, RecognizerError
from wattscribe.recognizers.base import Audio
from wattscribe.recognizers.checks import SHORTEST_SAMPLES, checked, require_open
from wattscribe.records import PrecisionAudit, RecognizerSpec, Token, Transcript

FRAMES_PER_S = 100
"""PocketSphinx's frame rate (its option frate, default 100)."""

_PCM_PEAK = 32767.0
_FLOAT_FILES = ("means", "variances", "transition_matrices", "mixture_weights")
_BYTE_FILES = ("sendump",)
"""`sendump` holds the mixture weights as 8-bit logarithms; densities are computed from 32-bit means and variances."""


class PocketSphinxRecognizer:
    """A decoder over a directory holding an acoustic model, a language model (*.lm.bin) and a dictionary (*.dict)."""

    together = 1

    def __init__(self, spec: RecognizerSpec) -> None:
        self._spec = spec
        self._paths = _find(spec)
        self._decoder: Any = self._load()

    def _load(self) -> Any:
        from pocketsphinx import Decoder

        arguments = {name: str(path) for name, path in self._paths.items()}
        try:
            # bestpath and the two passes are the library's defaults; its log goes to standard error and is silenced.
            return Decoder(**arguments, loglevel="FATAL")
        except (RuntimeError, ValueError) as error:
            raise RecognizerError(f"PocketSphinx cannot load it: {error}", where=self._paths["hmm"]) from error

    def transcribe(self, batch: Sequence[Audio]) -> list[Transcript]:
        """One Transcript per input, one after the other: the library has no batches and computes on one thread."""
        require_open(self._decoder, self._spec)
        return [self._transcript(audio) for audio in checked(batch, self._spec)]

    def _transcript(self, audio: Audio) -> Transcript:
        if len(audio) < SHORTEST_SAMPLES:
            return Transcript(text="")
        pcm = (np.clip(audio, -1.0, 1.0) * _PCM_PEAK).round().astype("<i2").tobytes()
        self._decoder.start_stream()  # forgets the noise estimate of the utterance before
        self._decoder.start_utt()
        # The whole utterance at once: cepstral means come from it alone, so an answer does not depend on what was heard before.
        self._decoder.process_raw(pcm, full_utt=True)
        self._decoder.end_utt()
        best = self._decoder.hyp()
        if best is None:
            return Transcript(text="")
        tokens = tuple(
            Token(text=word, start_s=segment.start_frame / FRAMES_PER_S)
            for segment in self._decoder.seg()
            if (word := _word(segment.word))
        )
        return Transcript(text=best.hypstr.strip(), tokens=tokens)

    def audit(self) -> PrecisionAudit:
        hmm = self._paths["hmm"]
        weights = {
            "float32": sum((hmm / name).stat().st_size for name in _FLOAT_FILES if (hmm / name).is_file()),
            "uint8": sum((hmm / name).stat().st_size for name in _BYTE_FILES if (hmm / name).is_file()),
        }
        return PrecisionAudit(
            requested=self._spec.precision,
            ok=True,
            reason="densities are computed in float32; mixture weights are a table of 8-bit logarithms",
            weight_bytes=weights,
            operators={"Gaussian:float32": 1, "MixtureWeight:uint8": 1},
            device="cpu",
        )

    def close(self) -> None:
        self._decoder = None


def _find(spec: RecognizerSpec) -> dict[str, Path]:
    """Paths of hmm, lm and dict. Raises ModelError when one is missing."""
    from pocketsphinx import get_model_path

    root = Path(str(get_model_path())) / "en-us" if spec.model == "en-us" else Path(spec.model).expanduser()
    if not root.is_dir():
        raise ModelError(f"there is no model {spec.model!r}", where=spec.name, fix="Use en-us or a model directory")
    hmm = next((path.parent for path in sorted(root.rglob("mdef"))), None)
    lm = _first(root, "*.lm.bin", spec.options.get("lm"), unlike="phone")
    dictionary = _first(root, "*.dict", spec.options.get("dict"))
    for what, path in (("acoustic model (mdef)", hmm), ("language model (*.lm.bin)", lm), ("*.dict", dictionary)):
        if path is None or not path.exists():
            raise ModelError(f"holds no {what}", where=root)
    return {"hmm": hmm, "lm": lm, "dict": dictionary}  # type: ignore[dict-item]


def _first(root: Path, pattern: str, named: str | None, *, unlike: str = "\0") -> Path | None:
    if named is not None:
        return Path(named).expanduser()
    return next((path for path in sorted(root.glob(pattern)) if unlike not in path.name), None)


def _word(word: str) -> str:
    """A segment's word without its pronunciation number; empty for silence and noise."""
    return "" if word.startswith(("<", "[", "+")) else word.partition("(")[0]
