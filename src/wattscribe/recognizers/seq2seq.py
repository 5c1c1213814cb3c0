"""Exported encoder–decoders (Whisper, Moonshine), run by this package's own runtime without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from wattscribe.errors import InputError, RecognizerError
from wattscribe.graph.memory import give_back
from wattscribe.models import locate
from wattscribe.recognizers import options
from wattscribe.recognizers.base import Audio
from wattscribe.recognizers.checks import SHORTEST_SAMPLES, checked
from wattscribe.records import MAX_BEAM, PrecisionAudit, RecognizerSpec, Transcript
from wattscribe.seq2seq.draft import TOKENS
from wattscribe.seq2seq.files import Files, find
from wattscribe.seq2seq.gate import KEEP_S
from wattscribe.seq2seq.opening import open_model
from wattscribe.seq2seq.recognize import Recogniser
from wattscribe.seq2seq.windows import SHORT, Window
from wattscribe.streaming.opening import takes_one_scale

_WINDOWS: Mapping[str, Window | Literal["stated"] | None] = {"stated": "stated", "whole": None, "short": SHORT}
"""stated: as the directory says, whole where it says nothing."""
_GATES: Mapping[str, float | Literal["stated"] | None] = {"stated": "stated", "true": KEEP_S, "false": None}
"""stated: as the directory says, no gate where it says nothing."""
_LOOPS: Mapping[str, bool | Literal["stated"]] = {"stated": "stated", "stop": True, "run": False}
"""stated: as the directory says, to the limit where it says nothing."""
_MOST_DRAFTED = 64
_FOR_TRANSDUCERS = ("tail_s", "blank_penalty", "phrase", "phrases", "frame_by_frame")


class EncoderDecoderRecognizer:
    """A directory with an encoder, a decoder with caches, and their tokens; counts come with every transcript.

    Options: `decoding`, `beam`, `language`, `window`, `vad`, `loops`, `max_new_tokens`, `draft`, `draft_tokens`,
    `draft_precision`.
    """

    def __init__(self, spec: RecognizerSpec) -> None:
        self._spec = spec
        options.refuse(spec, _FOR_TRANSDUCERS, "transducers")
        beam = options.choice(spec, "decoding", ("greedy", "beam")) == "beam"
        self._files = find(locate(spec.model), spec.precision)
        model = open_model(
            self._files,
            threads=spec.threads,
            width=options.integer(spec, "beam", 4, minimum=1, maximum=MAX_BEAM) if beam else 1,
            window=_WINDOWS[options.choice(spec, "window", tuple(_WINDOWS))],
            gate=_GATES[options.choice(spec, "vad", tuple(_GATES))],
            stop_loops=_LOOPS[options.choice(spec, "loops", tuple(_LOOPS))],
            limit=options.integer(spec, "max_new_tokens", 0) or None,
        )
        self._one_scale = any(takes_one_scale(path) for path in self._files.parts.values())
        model.speak(options.language(spec, multilingual=model.multilingual), spec.name)
        self._draft = draft_files(spec.options)
        if self._draft is not None:
            self._take_drafts(model, self._draft)
        self._opened: Recogniser | None = model
        give_back()

    @property
    def _model(self) -> Recogniser:
        """Raises RecognizerError after close()."""
        if self._opened is None:
            raise RecognizerError("the recognizer is closed", where=self._spec.name, fix="Open it again")
        return self._opened

    def _take_drafts(self, model: Recogniser, draft: Files) -> None:
        """Raises InputError."""
        spec = self._spec
        if takes_one_scale(self._files.parts["decoder"]):
            raise InputError(
                "the 8-bit activations of a run share one scale, so that drafts would change what the decoder says",
                where=spec.name, fix="Take a decoder in fp32, fp16 or 4-bit blocks, or leave out the draft",
            )  # fmt: skip
        tokens = options.integer(spec, "draft_tokens", TOKENS, minimum=1, maximum=_MOST_DRAFTED)
        try:
            model.take_drafts(open_model(draft, threads=spec.threads), tokens)
        except InputError as error:
            raise InputError(error.what, where=spec.name, fix=error.fix) from None

    @property
    def together(self) -> int:
        """One where a beam's hypotheses or a draft's tokens are the rows, and where rows of a call would share one scale of
        8-bit activations."""
        alone = self._model.width > 1 or self._model.drafted or self._one_scale
        return 1 if alone else self._spec.batch_size

    def transcribe(self, batch: Sequence[Audio]) -> list[Transcript]:
        """One Transcript per input; audio under 25 ms holds no frame and is answered with an empty text."""
        transcripts = [Transcript(text="")] * len(batch)
        long_enough = [
            (at, audio) for at, audio in enumerate(checked(batch, self._spec)) if len(audio) >= SHORTEST_SAMPLES
        ]
        answers = self._model.transcribe([audio for _, audio in long_enough], self.together)
        for (at, _), answer in zip(long_enough, answers, strict=True):
            transcripts[at] = answer
        return transcripts

    def audit(self) -> PrecisionAudit:
        from wattscribe.recognizers.onnx_facts import audit_onnx

        audit = audit_onnx(self._spec, list(self._files.parts.values()), device="cpu")
        if self._draft is None:
            return audit
        names = ", ".join(path.name for path in self._draft.parts.values())
        drafts = f"drafts, which it verifies, come from {self._draft.directory} ({names})"
        return replace(audit, note="; ".join(filter(None, (audit.note, drafts))))

    def close(self) -> None:
        if self._opened is not None:
            self._opened = None
            give_back()


def draft_files(given: Mapping[str, str]) -> Files | None:
    """Of the model that the option `draft` names; None: there is none. Raises InputError and ModelError."""
    if "draft" not in given:
        for name in ("draft_tokens", "draft_precision"):
            if name in given:
                raise InputError(f"option {name} is of a draft, and none is given", fix="Give `draft`, a directory")
        return None
    return find(locate(given["draft"]), given.get("draft_precision"))
