"""Transcribe with an encoder–decoder: windows → features → encoder → tokens → text, everything counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from wattscribe.errors import InputError
from wattscribe.records import Counts, Transcript
from wattscribe.seq2seq.draft import TOKENS, Draft
from wattscribe.seq2seq.gate import Gate, Gated
from wattscribe.seq2seq.mel import HOP, WINDOW, Samples, log_mel
from wattscribe.seq2seq.network_io import Encoded, EncoderDecoder, Rewindable
from wattscribe.seq2seq.search import Rules, Work, beam, greedy, verified
from wattscribe.seq2seq.special import Special
from wattscribe.seq2seq.vocabulary import Texts
from wattscribe.seq2seq.windows import Window, cut_at_silence
from wattscribe.units import SAMPLE_RATE_HZ

MOONSHINE_WINDOW_S = 30.0
"""Its caches hold 194 tokens, which are as many seconds of the speech that its authors expect."""
SHORTEST_SAMPLES = 1600
"""0.1 s, which Moonshine's strided convolutions can take; shorter audio is padded with silence."""
MOONSHINE_TOKENS_PER_S = 6.5
"""Limit that Moonshine's authors give against endless repetition (the model's documentation in Transformers)."""


_FRAME_SAMPLES = 2 * HOP
"""Of a Whisper's encoder; Moonshine's windows hold no silence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How a model is fed and what it may say. Whisper: mel bands, prompts; Moonshine: samples, a start token."""

    texts: Texts
    rules: Rules
    special: Special | None = None
    """None: Moonshine's two tokens, `start` and the rules' end."""
    start: int = 1
    bands: int | None = None
    """None: samples."""
    window_frames: int = 3000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spoken:
    """One window: its samples, and the tokens that were fed, the first `prompt` of which were not chosen."""

    audio: Samples
    tokens: tuple[int, ...]
    prompt: int


@dataclass(slots=True)
class _Done:
    """One window decoded."""

    text: str
    language: str | None
    counts: Counts


class Recogniser:
    """A loaded model. `width` hypotheses: 1 is greedy; `window`: as short as the audio allows, None: whole ones; `gate`: what it
    hears of the audio, None: all."""

    def __init__(
        self,
        net: EncoderDecoder,
        style: Style,
        *,
        width: int = 1,
        window: Window | None = None,
        gate: Gate | None = None,
    ) -> None:
        self._net, self._style, self._gate = net, style, gate
        self._cheaper: Recogniser | None = None
        self._draft_tokens = TOKENS
        self.width, self._window = width, window
        self._language: str | None = None

    @property
    def multilingual(self) -> bool:
        return self._style.special is not None and bool(self._style.special.languages)

    def speak(self, language: str | None, where: str | None = None) -> None:
        """Transcribe this language; None: detect it. Raises InputError for one that the model lacks."""
        if language is not None and self._style.special is not None:
            try:
                self._style.special.prompt(language)
            except InputError as error:
                raise InputError(error.what, where=where, fix=error.fix) from None
        self._language = language

    @property
    def drafted(self) -> bool:
        """Whether another model offers what it may say."""
        return self._cheaper is not None

    def take_drafts(self, cheaper: Recogniser, tokens: int) -> None:
        """From now on look at what `cheaper` offers, so many tokens at a time. Raises InputError for what cannot be."""
        if self.width > 1:
            raise InputError("drafts are for greedy search", fix="Leave out the beam")
        for whose, each in (("its", self), ("the draft's", cheaper)):
            if not each._net.rewindable:
                raise InputError(
                    f"{whose} decoder takes one token a run: it is none that `wattscribe export` wrote",
                    fix="Export both with `wattscribe export hf:MODEL`, or leave out the draft",
                )
        end, other = self._style.rules.end, cheaper._style.rules.end
        if (self._known(), end) != (cheaper._known(), other):
            raise InputError(
                "the draft numbers its tokens differently",
                fix="Take a model of the same vocabulary: NAME.en for NAME.en",
            )
        self._cheaper, self._draft_tokens = cheaper, tokens

    def _known(self) -> dict[int, bytes]:
        """The tokens that stand for text."""
        end = self._style.rules.end
        return {number: text for number, text in self._style.texts.pieces.items() if number < end and text}

    def draft(self, audio: Samples, language: str | None, most: int) -> Draft:
        """What this one offers of a window, as short as it hears it itself, to another one; in `language`, if it knows that."""
        languages = self._style.special.languages if self._style.special is not None else {}
        told = next((each for each in (language, "en", *languages) if each in languages), None)
        prompt = self._prompt(told)
        encoded = cast(Rewindable, self._net.encode(self._features([audio])))
        return Draft(encoded, prompt, self._style.rules, places=self._net.places, most=most)

    def transcribe(self, batch: Sequence[Samples], together: int = 1) -> list[Transcript]:
        """One Transcript per input; `together` windows of one length share a run of the encoder."""
        window = (
            round(MOONSHINE_WINDOW_S * SAMPLE_RATE_HZ) if self._style.bands is None else self._style.window_frames * HOP
        )
        gated = [self._gated(audio) for audio in batch]
        cut = [(index, piece) for index, each in enumerate(gated) for piece in cut_at_silence(each.audio, window)]
        pieces = [(index, piece) for index, piece in cut if len(piece) >= WINDOW]
        parts_by_input: list[list[_Done]] = [[] for _ in batch]
        for group in self._groups(pieces, together):
            for (index, _), done in zip(group, self._decode([piece for _, piece in group]), strict=True):
                parts_by_input[index].append(done)
        parts = zip(parts_by_input, batch, gated, strict=True)
        return [_joined(done, _gate_counts(audio, each)) for done, audio, each in parts]

    def _gated(self, audio: Samples) -> Gated:
        return Gated(audio=audio, judged=0) if self._gate is None else self._gate.heard(audio)

    def _groups(self, pieces: Sequence[tuple[int, Samples]], together: int) -> Iterator[list[tuple[int, Samples]]]:
        """Windows in order; only those of one length stand in one call."""
        group: list[tuple[int, Samples]] = []
        for piece in pieces:
            if group and (len(group) == together or self._length(group[0][1]) != self._length(piece[1])):
                yield group
                group = []
            group.append(piece)
        if group:
            yield group

    def _length(self, audio: Samples) -> int:
        """Of the window: feature frames, or samples."""
        if self._style.bands is None:
            return max(len(audio), SHORTEST_SAMPLES)
        whole = self._style.window_frames
        return whole if self._window is None else self._window.frames(len(audio), whole)

    def _features(self, pieces: Sequence[Samples]) -> NDArray[np.float32]:
        length = self._length(pieces[0])
        if self._style.bands is None:
            return np.stack([np.pad(piece, (0, length - len(piece))) for piece in pieces])
        return np.stack([log_mel(piece, length, self._style.bands) for piece in pieces])

    def paths(self, audio: Samples) -> Iterator[Spoken]:
        """Window by window the samples of a recording and the tokens that the model gives them, greedily."""
        for piece in cut_at_silence(self._gated(audio).audio, self._style.window_frames * HOP):
            if len(piece) < WINDOW:
                continue
            encoded = self._net.encode(self._features([piece]))
            works = [Work()]
            prompt = self._prompt(self._languages(encoded, works)[0])
            (tokens,) = greedy(encoded, [prompt], self._rules(prompt, [piece]), works)
            yield Spoken(audio=piece, tokens=(*prompt, *tokens), prompt=len(prompt))

    def features(self, audio: Samples) -> NDArray[np.float32]:
        """(1, bands, frames) of one window."""
        return self._features([audio])

    def _decode(self, pieces: Sequence[Samples]) -> list[_Done]:
        """One run of the encoder, then the search."""
        encoded = self._net.encode(self._features(pieces))
        works = [Work() for _ in pieces]
        languages = self._languages(encoded, works)
        prompts = [self._prompt(language) for language in languages]
        rules = self._rules(prompts[0], pieces)
        more = Counts()
        if self.width > 1:
            hypotheses = [beam(encoded, prompts[0], rules, self.width, works[0])]
        elif self._cheaper is not None:
            draft = self._cheaper.draft(pieces[0], languages[0], self._draft_tokens)
            hypotheses = [verified(cast(Rewindable, encoded), prompts[0], rules, draft.offer, works[0])]
            more = _draft_counts(draft, works[0])
        else:
            hypotheses = greedy(encoded, prompts, rules, works)
        return [
            _Done(
                text=self._style.texts.text(self._spoken(tokens)),
                language=language,
                counts=more + self._counts(work, encoded.frames, first=place == 0, audio=pieces[place]),
            )
            for place, (tokens, language, work) in enumerate(zip(hypotheses, languages, works, strict=True))
        ]

    def _spoken(self, tokens: Sequence[int]) -> list[int]:
        """Without time stamps and other tokens that stand for no text, which are numbered from the ending one on."""
        return [token for token in tokens if self._style.special is None or token < self._style.special.end]

    def _prompt(self, language: str | None) -> list[int]:
        return [self._style.start] if self._style.special is None else self._style.special.prompt(language)

    def _rules(self, prompt: Sequence[int], pieces: Sequence[Samples]) -> Rules:
        """The limit as the model's authors set it, within its caches."""
        rules = self._style.rules
        special, places = self._style.special, self._net.places
        if special is None:
            longest_s = max(map(len, pieces)) / SAMPLE_RATE_HZ
            limit = min(places - len(prompt), max(1, int(longest_s * MOONSHINE_TOKENS_PER_S)))
        else:
            limit = min(places - len(prompt), special.most or places)
        return replace(rules, limit=max(1, min(rules.limit, limit)))

    def _languages(self, encoded: Encoded, works: Sequence[Work]) -> list[str | None]:
        """As stated, or the likeliest by one step behind the start token: a multilingual model never assumes English unasked."""
        special = self._style.special
        if special is None or not special.languages:
            return [None] * len(works)
        if self._language is not None:
            return [self._language] * len(works)
        names, numbers = list(special.languages), list(special.languages.values())
        scores = encoded.step(np.full((len(works), 1), special.start, np.int64))
        encoded.restart()
        works[0].steps += 1
        for work in works:
            work.fed, work.scored = work.fed + 1, work.scored + 1
        return [names[place] for place in scores[:, numbers].argmax(axis=1).tolist()]

    def _counts(self, work: Work, frames: int, *, first: bool, audio: Samples) -> Counts:
        spoken = frames if self._style.bands is None else -(-len(audio) // _FRAME_SAMPLES)
        return Counts(
            encoder_calls=int(first),
            encoder_rows=1,
            predictor_calls=work.steps,
            predictor_rows=work.fed,
            frames=frames,
            tokens=work.chosen,
            padded_frames=max(0, frames - spoken),
            vocabulary_rows=work.scored * (self._net.candidates or self._net.vocabulary),
        )


def _draft_counts(draft: Draft, work: Work) -> Counts:
    return Counts(
        draft_windows=1,
        draft_frames=draft.frames,
        draft_calls=draft.work.steps,
        draft_rows=draft.work.fed,
        drafted=work.drafted,
        agreed=work.agreed,
    )


def _gate_counts(audio: Samples, gated: Gated) -> Counts:
    return Counts(gate_calls=gated.judged, skipped_frames=(len(audio) - len(gated.audio)) // _FRAME_SAMPLES)


def _joined(parts: Sequence[_Done], gate: Counts) -> Transcript:
    """Of a recording in several windows; its language is the first one's."""
    counts = sum((part.counts for part in parts), gate)
    text = " ".join(filter(None, (part.text for part in parts)))
    return Transcript(text=text, counts=counts, language=next((part.language for part in parts), None))
