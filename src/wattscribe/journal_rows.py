"""The rows of a journal: written with a checksum, read and verified, each in one place.

A row's checksum covers its table, its keys and its values; `tally` holds how many rows each table has. So a row that was
altered, lost or doubled on the disk is found and named, and never changes a result in silence.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any

from wattscribe.errors import InputError

Kinds = type | tuple[type, ...]
COLUMNS: dict[str, dict[str, Kinds]] = {
    "meta": {"key": str, "value": str},
    "trial": {"id": str, "ordinal": int, "trial": str},
    "attempt": {"trial_id": str, "attempt": int, "status": str, "facts": (str, NoneType)},
    "utterance": {"trial_id": str, "attempt": int, "ordinal": int, "id": str, "result": str},
    "trace": {
        "trial_id": str, "attempt": int, "channel": str, "part": int, "about": str, "t_s": bytes, "power_w": bytes,
    },
    "heard": {
        "corpus": str, "condition": str, "digest": str, "utterances": int, "audio_s": float,
        "scaled_utterances": (int, NoneType), "scale_min": (float, NoneType),
    },
    "rejected": {"corpus": str, "condition": str, "ordinal": int, "rejected": str},
}  # fmt: skip
"""What each table holds, without its checksum."""
KEYS: dict[str, tuple[str, ...]] = {
    "meta": ("key",),
    "trial": ("id",),
    "attempt": ("trial_id", "attempt"),
    "utterance": ("trial_id", "attempt", "ordinal"),
    "trace": ("trial_id", "attempt", "channel", "part"),
    "heard": ("corpus", "condition"),
    "rejected": ("corpus", "condition", "ordinal"),
}
LATER_COLUMNS = ("scaled_utterances", "scale_min")
"""Journals of schema 1 lacked them at first."""


# --- writing ----------------------------------------------------------------------------------------------------------
def insert(db: sqlite3.Connection, table: str, rows: Sequence[Sequence[Any]]) -> None:
    """Add rows, their values in the order of COLUMNS."""
    kinds = list(COLUMNS[table].values())
    sealed = []
    for row in rows:
        values = [_as_stored(kind, value) for kind, value in zip(kinds, row, strict=True)]
        sealed.append((*values, checksum(table, *values)))
    places = ", ".join("?" * (len(kinds) + 1))
    db.executemany(f"INSERT INTO {table} ({', '.join(COLUMNS[table])}, checksum) VALUES ({places})", sealed)
    _count(db, table, len(sealed))


def change(
    db: sqlite3.Connection, table: str, new: Mapping[str, Any], where: str = "1", parameters: Sequence[Any] = ()
) -> None:
    """Set columns of the rows that `where` names, and their checksums."""
    setting = "".join(f"{name} = ?, " for name in new)
    covered = ", ".join("?" if name in new else name for name in COLUMNS[table])
    again = [new[name] for name in COLUMNS[table] if name in new]
    query = f"UPDATE {table} SET {setting}checksum = row_checksum('{table}', {covered}) WHERE {where}"
    db.execute(query, (*new.values(), *again, *parameters))


def delete(db: sqlite3.Connection, table: str, where: str, parameters: Sequence[Any]) -> None:
    """Take away the rows that `where` names."""
    _count(db, table, -db.execute(f"DELETE FROM {table} WHERE {where}", parameters).rowcount)


def seal_all(db: sqlite3.Connection) -> None:
    """Give a journal of schema 1 what schema 2 has: what is there now is what counts from here on."""
    for table in COLUMNS:
        there = _columns(db, table)
        for name in LATER_COLUMNS if table == "heard" else ():
            if name not in there:
                db.execute(f"ALTER TABLE {table} ADD COLUMN {name}")
        db.execute(f"ALTER TABLE {table} ADD COLUMN checksum INTEGER")
        change(db, table, {})
    start_tally(db)


def start_tally(db: sqlite3.Connection) -> None:
    """Count what is there."""
    db.execute("CREATE TABLE tally (name TEXT PRIMARY KEY, rows INTEGER NOT NULL) WITHOUT ROWID")
    for table in COLUMNS:
        db.execute(f"INSERT INTO tally SELECT '{table}', count(*) FROM {table}")


def checksum(table: str, *values: Any) -> int:
    """CRC-32 over the table and each value with its kind and length: one or two flipped bits in a row are always found."""
    crc = zlib.crc32(table.encode("ascii"))
    for value in values:
        raw = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
        crc = zlib.crc32(raw, zlib.crc32(f"|{type(value).__name__}{len(raw)}:".encode("ascii"), crc))
    return crc


def _as_stored(kind: Kinds, value: Any) -> Any:
    """SQLite gives whole numbers of a REAL column back as float; the checksum must be of what comes back."""
    return float(value) if kind in (float, (float, NoneType)) and isinstance(value, int) else value


def _count(db: sqlite3.Connection, table: str, added: int) -> None:
    db.execute("UPDATE tally SET rows = rows + ? WHERE name = ?", (added, table))


# --- reading ----------------------------------------------------------------------------------------------------------
def verified(
    db: sqlite3.Connection, path: Path, table: str, *, sealed: bool, only: Collection[str] | None = None
) -> Iterator[dict[str, Any]]:
    """All rows of a table in the order of their keys. `sealed`: with checksums, which schema 1 has not. `only`: those of these
    trials; how many there are in all is then not checked.

    Raises InputError that names the first row whose types, key or checksum do not hold, or says how many rows are missing.
    """
    there = _columns(db, table)
    names = [name for name in COLUMNS[table] if name in there or sealed or name not in LATER_COLUMNS]
    order = ", ".join(KEYS[table])
    where = "" if only is None else f" WHERE trial_id IN ({', '.join('?' * len(only))})"
    query = f"SELECT {', '.join(names)}{', checksum' if sealed else ''} FROM {table}{where} ORDER BY {order}"
    count, last = 0, None
    for stored in db.execute(query, tuple(only or ())):
        row = dict(zip(names, stored, strict=False))
        for name, value in row.items():
            if not isinstance(value, COLUMNS[table][name]):
                raise damaged(path, table, row, f"{name} has the wrong type: {type(value).__name__}")
        if sealed and stored[-1] != checksum(table, *row.values()):
            raise damaged(path, table, row, "its checksum does not match")
        key = tuple(row[name] for name in KEYS[table])
        if last is not None and key <= last:
            raise damaged(path, table, row, "its key is out of order")
        count, last = count + 1, key
        yield row
    if sealed and only is None and (wanted := _tally(db, table)) != count:
        raise _broken(path, f"the table {table} has {count} rows, {wanted} were written")


def damaged(path: Path, table: str, row: Mapping[str, Any], why: str) -> InputError:
    """What to say about one row."""
    key = ", ".join(str(row[name])[:80] for name in KEYS[table])
    return _broken(path, f"the row ({key}) of the table {table} is damaged: {why}")


def _broken(path: Path, what: str) -> InputError:
    return InputError(what, where=path, fix="Restore the journal from a copy, or measure again with `overwrite`")


def _columns(db: sqlite3.Connection, table: str) -> set[str]:
    return {row[1] for row in db.execute(f"PRAGMA table_info({table})")}


def _tally(db: sqlite3.Connection, table: str) -> int | None:
    row = db.execute("SELECT rows FROM tally WHERE name = ?", (table,)).fetchone()
    return None if row is None else row[0]
