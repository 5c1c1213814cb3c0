"""Journals with bits flipped, rows altered or values exchanged, for every verb that reads one: drawn by the thousand in
`benchmarks/attack.py`; `test_journal_damage.py` draws a few."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.journals import USES as USES
from tests.journals import Sample, said, sample
from wattscribe.journal import FILE_NAME
from wattscribe.journal_rows import COLUMNS, KEYS

JSON_COLUMN = {
    "meta": "value", "trial": "trial", "attempt": "facts", "utterance": "result", "trace": "about", "rejected": "rejected",
}  # fmt: skip
VALUES: tuple[object, ...] = (
    None, -1, 0, 1e308, 10**30, "x", "", [], {}, True, [1], {"a": 1}, -5.5, [[[]]], float("nan"), float("inf"), "1" * 5000,
)  # fmt: skip
_SAMPLES: dict[Path, tuple[Sample, Sample]] = {}


def prepare(folder: Path) -> None:
    """A sound journal of today's form, and one without checksums."""
    for name in ("sealed", "unsealed"):
        (folder / name).mkdir()
    _SAMPLES[folder] = (sample(folder / "sealed"), sample(folder / "unsealed", sealed=False))


def attack_of(kind: str) -> Callable[[Path, random.Random], str | None]:
    """Damage one of the journals of a folder in one way and use it."""

    def attack(folder: Path, choices: random.Random) -> str | None:
        sealed, unsealed = _SAMPLES[folder]
        chosen = choices.choice((sealed, unsealed))
        run = folder / "run"
        for left in run.glob("*") if run.is_dir() else ():
            if left.is_file():
                left.unlink()
        if choices.random() < 0.5:
            chosen.put(run, flipped(chosen.content, choices))
        else:
            chosen.put(run)
            alter(run / FILE_NAME, choices)
        return said(USES[kind], run, chosen)

    return attack


def flipped(content: bytes, choices: random.Random) -> bytes:
    """Some bits of it turned, or its end lost."""
    changed = bytearray(content)
    for _ in range(choices.randint(1, 8)):
        changed[choices.randrange(len(changed))] ^= 1 << choices.randrange(8)
    return bytes(changed[: choices.randrange(len(changed))] if choices.random() < 0.1 else changed)


def alter(path: Path, choices: random.Random) -> None:
    """One value of one row exchanged, where no checksum stands in its way."""
    table = choices.choice(list(JSON_COLUMN))
    with closing(sqlite3.connect(path)) as db:
        if choices.random() < 0.3:
            column = choices.choice(list(COLUMNS[table]))
            value: Any = choices.choice((None, -1, 1 << 62, 1e400, "x", b"\x00", "", "[" * 5000))
            try:
                db.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = 1", (value,))
            except sqlite3.Error:  # the column's own rule
                return
        else:
            column = JSON_COLUMN[table]
            found = db.execute(
                f"SELECT {', '.join(KEYS[table])}, {column} FROM {table} WHERE {column} NOT NULL"
            ).fetchall()
            if not found:
                return
            *key, text = choices.choice(found)
            where = " AND ".join(f"{name} = ?" for name in KEYS[table])
            new = exchanged(text, choices.randrange(10**6), choices.choice(VALUES))
            db.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (new, *key))
        db.commit()


def exchanged(text: str, at: int, value: Any) -> str:
    """The JSON with one of its values replaced."""
    whole = {"": json.loads(text)}
    places: list[tuple[Any, Any]] = []
    waiting: list[Any] = [whole]
    while waiting:
        here = waiting.pop()
        for key in list(here) if isinstance(here, dict) else range(len(here)):
            places.append((here, key))
            if isinstance(here[key], (dict, list)):
                waiting.append(here[key])
    holder, key = places[at % len(places)]
    holder[key] = value
    return json.dumps(whole[""])
