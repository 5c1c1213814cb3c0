"""Loops: found where a phrase is said again and again, ended where it is asked for, and never in speech that goes on."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.known import known
from tests.seq2seq.test_runtime import heard
from wattscribe.errors import InputError, ModelError
from wattscribe.recognizers import Audio, open_recognizer, parse_model
from wattscribe.seq2seq import search
from wattscribe.seq2seq.loops import LEAST, LONGEST, TIMES, loop_start, stops_loops
from wattscribe.seq2seq.search import Rules, Work, beam, greedy

END = 9
tokens = st.lists(st.integers(0, 8), max_size=40)


@given(before=tokens, phrase=st.lists(st.integers(0, 8), min_size=1, max_size=LONGEST))
def test_a_phrase_again_and_again_is_a_loop_and_stands_once(before: list[int], phrase: list[int]) -> None:
    times = max(TIMES, -(-LEAST // len(phrase)))
    looped = [*before, *phrase * times]
    kept = known(loop_start(looped))
    assert kept <= len(before) + len(phrase)
    period = next(size for size in range(1, LONGEST + 1) if looped[kept:] == looped[kept - size : -size])
    assert len(looped) - kept >= max(LEAST - period, (TIMES - 1) * period)


@given(said=st.lists(st.integers(0, 8), max_size=LEAST - 1))
def test_what_is_short_is_no_loop(said: list[int]) -> None:
    assert loop_start(said) is None


def test_a_line_of_a_song_comes_back_five_times() -> None:
    line = list(range(20, 30))
    assert loop_start([*line * (TIMES - 1)]) is None
    assert loop_start([*line * (TIMES - 1), 7, *line]) is None
    assert loop_start([1, 2, 3, *line * TIMES]) == 3 + len(line)


class Saying:
    """A decoder that says a text by rote, row by row, and a little less likely another token."""

    def __init__(self, *texts: list[int]) -> None:
        self.rows = [list(text) for text in texts]
        self.place = -1

    frames = 1

    def step(self, fed: np.ndarray) -> np.ndarray:
        self.place += 1
        scores = np.full((len(fed), 10), -20.0, np.float32)
        for row, text in enumerate(self.rows[: len(fed)] + [self.rows[-1]] * (len(fed) - len(self.rows))):
            scores[row, text[self.place] if self.place < len(text) else END] = 0.0
            scores[row, 8] = max(scores[row, 8], -9.0)
        return scores

    def keep(self, rows: list[int]) -> None:
        self.rows = [self.rows[min(row, len(self.rows) - 1)] for row in rows]


LOOP, PLAIN = [1, 2, *[3, 4, 5] * 60], [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("stop", [False, True])
def test_greedy_search_ends_a_loop_alone(stop: bool) -> None:
    works = [Work(), Work()]
    rules = Rules(end=END, limit=150, stop_loops=stop)
    looped, plain = greedy(Saying(LOOP, PLAIN), [[0], [0]], rules, works)  # type: ignore[arg-type]
    assert plain == PLAIN
    assert looped == ([1, 2, 3, 4, 5] if stop else LOOP[:150])
    assert works[0].steps == (2 + 24 if stop else 150)


def test_a_beam_ends_a_loop() -> None:
    work = Work()
    rules = Rules(end=END, limit=150, stop_loops=True)
    assert beam(Saying(LOOP), [0], rules, 2, work)[:5] == [1, 2, 3, 4, 5]  # type: ignore[arg-type]
    assert work.steps < 60
    assert beam(Saying(PLAIN), [0], rules, 2, Work()) == PLAIN  # type: ignore[arg-type]


class Insisting(Saying):
    """One token or the end, nothing else."""

    def step(self, fed: np.ndarray) -> np.ndarray:
        scores = np.full((len(fed), 10), -50.0, np.float32)
        scores[:, 3], scores[:, END] = 0.0, -1.0
        return scores


@pytest.mark.parametrize("width", [1, 2, 4])
def test_a_beam_of_nothing_but_loops_ends(width: int) -> None:
    rules = Rules(end=END, limit=150, stop_loops=True)
    work = Work()
    said = beam(Insisting([3]), [0], rules, width, work)  # type: ignore[arg-type]
    assert set(said) <= {3, 8}
    assert len(said) < LEAST
    assert work.steps <= 2 * LEAST


def test_a_directory_states_it_and_an_option_says_otherwise(
    exported: Path, tmp_path: Path, clips: list[Audio], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A random model says too little to loop: here three tokens are one."""
    onnx = pytest.importorskip("onnx")
    monkeypatch.setattr(search, "loop_start", lambda said: 1 if len(said) > 2 else None)
    shutil.copytree(exported, tmp_path / "stated")
    for path in (tmp_path / "stated").glob("encoder*.onnx"):
        model = onnx.load(path)
        entry = model.metadata_props.add()
        entry.key, entry.value = "loops", "stop"
        onnx.save(model, path)

    def rows(folder: Path, option: str = "") -> int:
        recognizer = open_recognizer(parse_model(f"onnx:{folder}{option}"))
        found = [known(each.counts).predictor_rows for each in recognizer.transcribe(clips)]
        recognizer.close()
        return sum(found)

    whole = sum(known(each.counts).predictor_rows for each in heard(exported, clips))
    stopped = rows(exported, "?loops=stop")
    assert stopped < whole
    assert rows(tmp_path / "stated") == stopped
    assert rows(tmp_path / "stated", "?loops=run") == whole


def test_a_word_that_is_none_is_refused(exported: Path) -> None:
    with pytest.raises(InputError, match="loops='never'"):
        open_recognizer(parse_model(f"onnx:{exported}?loops=never"))
    with pytest.raises(ModelError, match="loops='often'"):
        stops_loops({"loops": "often"})
    assert not stops_loops({})
