"""The journal of what was measured: rows with checksums, cut where a process was killed, refused where damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wattscribe.compression.memo import Memo
from wattscribe.errors import InputError


def ask(memo: Memo, key: str, answer: float) -> float:
    return memo.recall("time_ratio", key, lambda: answer, of=float, to=float)


def test_what_was_measured_is_known_to_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    first = Memo(path)
    assert not path.exists(), "nothing is written before something is measured"
    assert [ask(first, "a", 1.25), ask(first, "a", 9.0), ask(first, "b", 2.5)] == [1.25, 1.25, 2.5]
    again = Memo(path)
    assert [ask(again, "a", 9.0), ask(again, "b", 9.0), ask(again, "c", 3.0)] == [1.25, 2.5, 3.0]
    assert len(path.read_text().splitlines()) == 3
    again.remove()
    assert not path.exists()
    assert ask(Memo(), "a", 4.0) == 4.0


@pytest.mark.parametrize("cut", [1, 12, 40])
def test_a_row_without_its_end_is_measured_again(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "journal"
    memo = Memo(path)
    ask(memo, "a", 1.0)
    ask(memo, "b", 2.0)
    path.write_bytes(path.read_bytes()[:-cut])
    again = Memo(path)
    assert (len(again), ask(again, "b", 5.0)) == (1, 5.0)
    assert [ask(Memo(path), key, 9.0) for key in "ab"] == [1.0, 5.0]


def test_a_damaged_row_is_named(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    memo = Memo(path)
    for key in "abc":
        ask(memo, key, 1.0)
    rows = path.read_text().splitlines()
    changed = rows[1].replace("1.0", "1.5")
    for damaged in (changed, rows[1][:-3], "[]", '{"measured": 3, "key": 1, "value": "", "checksum": 0}'):
        path.write_text("\n".join([rows[0], damaged, rows[2], ""]))
        with pytest.raises(InputError, match="line 2 is damaged"):
            Memo(path)
    other = json.loads(rows[0])
    path.write_text("\n".join([rows[0], json.dumps({**other, "measured": "divergence"}), ""]))
    with pytest.raises(InputError, match="line 2 is damaged"):
        Memo(path)


def test_places_and_files_that_are_no_journal_are_left_alone(tmp_path: Path) -> None:
    for name, text in (("notes", "years of work\n"), ("one", "no newline"), ("json", '{"op_code": 0}\n')):
        path = tmp_path / name
        path.write_text(text)
        with pytest.raises(InputError, match="no journal of compress"):
            Memo(path)
        assert path.read_text() == text
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "notes")
    for path, said in ((link, "no plain file"), (tmp_path, "no plain file"), (tmp_path / "no" / "journal", "parent")):
        with pytest.raises(InputError, match=said):
            Memo(path)
