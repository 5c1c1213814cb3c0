"""whisper.cpp through pywhispercpp: Whisper as a ggml file, in full or quantised weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from wattscribe.errors import RecognizerError
from wattscribe.recognizers import options
from wattscribe.recognizers.audit import Facts, judge
from wattscribe.recognizers.base import Audio
from wattscribe.recognizers.checks import SHORTEST_SAMPLES, checked, foreign, require_open
from wattscribe.recognizers.ct2_file import require_numbers
from wattscribe.recognizers.ggml_file import BITS, read_ggml
from wattscribe.records import PrecisionAudit, RecognizerSpec, Transcript
from wattscribe.units import SAMPLE_RATE_HZ

BEAM, MAX_BEAM = 5, 8
"""whisper-cli's default, and whisper.cpp's WHISPER_MAX_DECODERS."""
SHORTEST_HEARD_S = 0.11
"""whisper.cpp answers under 100 ms with nothing at all; shorter audio gets silence behind it."""
_ERROR = 4
"""ggml_log_level (ggml.h)."""


class WhisperCppRecognizer:
    """One utterance after the other; whisper.cpp cuts long audio into windows of 30 s by the time stamps that it predicts."""

    together = 1

    def __init__(self, spec: RecognizerSpec) -> None:
        self._spec = spec
        self._path = Path(spec.model).expanduser()
        self._file = read_ggml(self._path)
        self._beam = options.integer(spec, "beam", BEAM, minimum=1, maximum=MAX_BEAM)
        self._audio_ctx = options.integer(spec, "audio_ctx", 0, maximum=self._file.sizes["audio_positions"])
        self._language = options.language(spec, multilingual=self._file.multilingual)
        self._model: Any = self._load()

    def _load(self) -> Any:
        import _pywhispercpp as library
        from pywhispercpp.model import Model

        if self._language is not None and library.whisper_lang_id(self._language) < 0:
            raise RecognizerError(f"whisper.cpp knows no language {self._language!r}", where=self._spec.name)
        with foreign("whisper.cpp cannot load it", self._spec), _hushed() as said:
            model = Model(
                str(self._path),
                params_sampling_strategy=0 if self._beam == 1 else 1,
                context_params={"use_gpu": False},
                n_threads=self._spec.threads,
                audio_ctx=self._audio_ctx,
                language=self._language
                or ("" if self._file.multilingual else "en"),  # "": detected; "auto" logs an error
                beam_search={"beam_size": self._beam, "patience": -1.0},
                # Without the fallback to sampling at rising temperatures: the same audio, the same text and work.
                temperature_inc=0.0,
                print_progress=False,
            )
        if said:  # the library gives a context that holds nothing, and crashes on its first use
            raise RecognizerError(f"whisper.cpp cannot load it: {said[0]}", where=self._spec.name)
        return model

    def transcribe(self, batch: Sequence[Audio]) -> list[Transcript]:
        """One Transcript per input; audio under 25 ms is answered with an empty text."""
        require_open(self._model, self._spec)
        return [self._transcript(audio) for audio in checked(batch, self._spec)]

    def _transcript(self, audio: Audio) -> Transcript:
        import _pywhispercpp as library

        if len(audio) < SHORTEST_SAMPLES:
            return Transcript(text="")
        lacking = round(SHORTEST_HEARD_S * SAMPLE_RATE_HZ) - len(audio)
        with foreign("whisper.cpp failed", self._spec), _hushed() as said:
            self._model.transcribe(np.pad(audio, (0, max(0, lacking))))
            context = self._model._ctx
            # Not the segments' own texts, which have lost the spaces between them: a letter may lie across two of them.
            spoken = b"".join(
                library.whisper_full_get_segment_text(context, index)
                for index in range(library.whisper_full_n_segments(context))
            )
            language = library.whisper_lang_str(library.whisper_full_lang_id(context))
        if said:
            raise RecognizerError(f"whisper.cpp failed: {said[0]}", where=self._spec.name)
        text = spoken.decode("utf-8", "replace").strip()
        return Transcript(text=text, language=language if self._file.multilingual else None)

    def audit(self) -> PrecisionAudit:
        """What the file's header says its tensors are, which whisper.cpp keeps in memory as they are.

        Raises ModelError for weights that are no numbers.
        """
        require_open(self._model, self._spec)
        require_numbers(self._path, self._file.tensors)
        stored, products = Counter[str](), Counter[str]()
        for tensor in self._file.tensors:
            stored[tensor.dtype] += tensor.nbytes
            if tensor.name.endswith(".weight") and len(tensor.shape) >= 2:
                products[f"MulMat:{tensor.dtype}"] += 1
        facts = Facts(
            requested=self._spec.precision,
            requested_device=self._spec.device,
            device="cpu",
            weight_bytes=dict(stored),
            operators=dict(products),
            parameters=sum(tensor.elements for tensor in self._file.tensors),
            bits=BITS,
        )
        return judge(facts)

    def close(self) -> None:
        self._model = None


@contextmanager
def _hushed() -> Iterator[list[str]]:
    """The library's log is kept from standard error; what it calls errors is in the list afterwards."""
    import _pywhispercpp as library

    said: list[str] = []

    def keep(level: int, text: str) -> None:
        if level == _ERROR:
            said.append(" ".join(text.split()))

    library.whisper_log_set(keep)
    try:
        yield said
    finally:
        library.whisper_log_set(None)
