"""Would a smaller Whisper's drafts pay for a larger one? Counted on real speech, energy modelled.

    python -m benchmarks.whisper_draft DRAFT MODEL [--limit 8] [--device phone]

DRAFT and MODEL are exports; their tokenizers are those of `whisper-NAME-hf` in $WATTSCRIBE_REAL_MODELS, NAME being the
folder's. From every place of MODEL's greedy text DRAFT goes on by itself for up to six tokens; since the two may number their
tokens differently, drafts go through text. MODEL then takes a draft in one call and gives one token more than it agrees with.
Prints one JSON value: for each length of drafts MODEL's calls and rows a token, the part of drafted tokens that it agrees
with, and millijoules per second of audio of both, as exported and with the vocabulary in two steps.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from wattscribe.compression.kinds import read_model
from wattscribe.compression.measure import Measurer
from wattscribe.compression.speech import read_speech
from wattscribe.energy import devices
from wattscribe.records import Counts
from wattscribe.seq2seq.files import find
from wattscribe.seq2seq.opening import open_model
from wattscribe.seq2seq.recognize import Recogniser, Spoken
from wattscribe.seq2seq.search import Rules
from wattscribe.seq2seq.two_step import two_step
from wattscribe.units import SAMPLE_RATE_HZ

SHARED = Path(os.environ.get("WATTSCRIBE_SHARED", Path(__file__).resolve().parents[2] / "shared")) / "data"
REAL = Path(os.environ.get("WATTSCRIBE_REAL_MODELS", "~/.cache/real-asr-models")).expanduser()
CORPORA = ("librispeech", "librispeech-noisy", "ljspeech")
LENGTHS = (1, 2, 3, 4, 6)
FRAMES = 1500


@dataclass(frozen=True, kw_only=True)
class Window:
    """What MODEL said, its ending token last, and the draft from each of its places."""

    tokens: tuple[int, ...]
    prompt: int
    samples: int
    drafts: tuple[tuple[int, ...], ...]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("draft", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--limit", type=int, default=8, help="recordings of each corpus")
    parser.add_argument("--device", default="phone")
    asked = parser.parse_args(arguments)
    folders = asked.draft, asked.model
    small, large = (open_model(find(folder)) for folder in folders)
    if large.multilingual:
        large.speak("en")
    tokenizers = [_tokenizer(folder) for folder in folders]
    windows = [window for name in CORPORA for window in _windows(small, large, tokenizers, SHARED / name, asked.limit)]
    print(json.dumps(_figures(folders, windows, tokenizers, _rules(small).end, asked.device), indent=1))
    return 0


def _tokenizer(folder: Path) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(REAL / f"whisper-{folder.name}-hf" / "tokenizer.json"))


def _windows(
    small: Recogniser, large: Recogniser, tokenizers: Sequence[Any], corpus: Path, limit: int
) -> Iterator[Window]:
    for audio in read_speech([str(corpus)], limit=limit).audio:
        for window in large.paths(audio):
            said = [*window.tokens[window.prompt :], _rules(large).end]
            texts = [tokenizers[1].decode(said[:place]) for place in range(len(said))]
            starts = [tokenizers[0].encode(text, add_special_tokens=False).ids for text in texts]
            drafts = tuple(_drafts(small, window, starts))
            yield Window(tokens=tuple(said), prompt=window.prompt, samples=len(window.audio), drafts=drafts)


def _rules(model: Recogniser) -> Rules:
    return model._style.rules


def _drafts(small: Recogniser, window: Spoken, starts: Sequence[Sequence[int]]) -> Iterator[tuple[int, ...]]:
    """Greedily behind each start, until six tokens or the ending one."""
    encoded, rules = small._net.encode(small.features(window.audio)), _rules(small)
    special = small._style.special
    assert special is not None
    for start in starts:
        encoded.restart()
        fed, draft = np.array([[*special.prompt("en" if special.languages else None), *start]], np.int64), list[int]()
        while len(draft) < max(LENGTHS) and rules.end not in draft:
            scores = rules.apply(encoded.step(fed), first=not start and not draft)
            draft.append(int(scores.argmax()))
            fed = np.array([draft[-1:]], np.int64)
        yield tuple(draft)


# --- what it would take ------------------------------------------------------------------------------------------------
def _counts(windows: Sequence[Window], tokenizers: Sequence[Any], end: int, length: int) -> tuple[Any, Any, float]:
    """Counts of MODEL and of DRAFT, and the part of the drafted tokens that stood."""
    large, small, drafted, agreed = list[Counts](), list[Counts](), 0, 0
    for window in windows:
        place = calls = rows = steps = 0
        while place < len(window.tokens):
            draft = window.drafts[place][:length]
            text = tokenizers[0].decode([token for token in draft if token != end], skip_special_tokens=False)
            offered = tokenizers[1].encode(text, add_special_tokens=False).ids
            offered += [window.tokens[-1]] if end in draft else []
            same = 0
            while same < len(offered) and tuple(offered[: same + 1]) == window.tokens[place : place + same + 1]:
                same += 1
            calls, rows, steps = calls + 1, rows + len(offered) + 1, steps + len(draft)
            drafted, agreed, place = drafted + len(offered), agreed + same, place + same + 1
        rows += window.prompt - 1
        large.append(_one(calls, rows))
        small.append(_one(steps, steps + calls))  # the token that was given besides is fed too
    return large, small, agreed / drafted


def _one(calls: int, rows: int) -> Counts:
    return Counts(
        encoder_calls=1, encoder_rows=1, frames=FRAMES, predictor_calls=calls, predictor_rows=rows, tokens=calls
    )


def _figures(
    folders: Sequence[Path], windows: Sequence[Window], tokenizers: Sequence[Any], end: int, device: str
) -> dict[str, Any]:
    measurer, audio_s = Measurer(devices.load(device)), sum(window.samples for window in windows) / SAMPLE_RATE_HZ
    tokens = sum(len(window.tokens) for window in windows)
    figures: dict[str, Any] = {"windows": len(windows), "audio_s": audio_s, "tokens": tokens}
    alone = [_one(len(window.tokens), len(window.tokens) + window.prompt - 1) for window in windows]
    for form in ("as exported", "in two steps"):
        small, large = (_candidate(folder, parted=form == "in two steps") for folder in folders)

        def parts(candidate: Any, counts: Sequence[Counts]) -> dict[str, float]:
            spent = measurer.energy(candidate, counts, audio_s).components
            return {part.name: round(1e3 * part.total_w.value, 2) for part in spent}

        rows: dict[str, Any] = {"alone": parts(large, alone)}
        for length in LENGTHS:
            verified, drafts, agreed = _counts(windows, tokenizers, end, length)
            rows[f"drafts of {length}"] = {
                "agreed": round(agreed, 3),
                "calls_per_token": round(sum(each.predictor_calls for each in verified) / tokens, 3),
                "rows_per_token": round(sum(each.predictor_rows for each in verified) / tokens, 3),
                "model_mj_per_s": parts(large, verified), "draft_mj_per_s": parts(small, drafts),
            }  # fmt: skip
        figures[form] = rows
    return figures


def _candidate(folder: Path, *, parted: bool) -> Any:
    candidate = replace(read_model(folder), placement=None)
    if parted:
        model = candidate.model("decoder")
        two_step(model)
        candidate = candidate.with_model("decoder", model)
    return candidate


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
