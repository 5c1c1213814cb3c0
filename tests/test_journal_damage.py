"""A damaged journal is named or read as it was written; no use of it ends in a traceback. Also of journals without checksums."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.journal_attacks import JSON_COLUMN, VALUES, exchanged
from tests.journals import USES, Sample, said, sample
from wattscribe.errors import InputError
from wattscribe.journal import FILE_NAME, Journal, read_run
from wattscribe.journal_rows import COLUMNS, KEYS

QUICK = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return sample(tmp_path_factory.mktemp("sealed"))


@pytest.fixture(scope="module")
def unsealed(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return sample(tmp_path_factory.mktemp("unsealed"), sealed=False)


@given(flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), min_size=1, max_size=3))
@settings(QUICK, max_examples=300)
def test_flipped_bits_never_give_another_run_in_silence(
    sealed: Sample, tmp_path: Path, flips: list[tuple[float, int]]
) -> None:
    content = bytearray(sealed.content)
    for place, bit in flips:
        content[int(place * len(content))] ^= 1 << bit
    run = sealed.put(tmp_path / "r", bytes(content))
    line = said(_is_the_same, run, sealed)
    assert line is None or "\n" not in line


def _is_the_same(run: Path, sample: Sample) -> None:
    assert read_run(run) == sample.facts


@pytest.mark.parametrize("table", COLUMNS)
def test_a_row_that_is_lost_altered_or_moved_is_named(sealed: Sample, tmp_path: Path, table: str) -> None:
    key = KEYS[table][-1]
    ways = (
        f"DELETE FROM {table} WHERE {key} = (SELECT max({key}) FROM {table})",
        f"UPDATE {table} SET {list(COLUMNS[table])[-1]} = CAST('{{}}' AS TEXT)",
        f"UPDATE {table} SET checksum = NULL",
    )
    for way in ways:
        run = sealed.put(tmp_path / "r")
        with closing(sqlite3.connect(run / FILE_NAME)) as db:
            db.execute(way)
            db.commit()
        with pytest.raises(InputError, match=rf"table {table} ") as refused:
            read_run(run)
        assert FILE_NAME in str(refused.value)
        with pytest.raises(InputError):
            Journal.resume(run)
        shutil.rmtree(run)


def test_code_in_a_journal_is_refused(sealed: Sample, tmp_path: Path) -> None:
    """A view without an end would keep every reader busy."""
    run = sealed.put(tmp_path / "r")
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT 'k' AS key, i AS value, 0 AS checksum FROM n"
    with closing(sqlite3.connect(run / FILE_NAME)) as db:
        db.execute("DROP TABLE meta")
        db.execute(f"CREATE VIEW meta AS {endless}")
    with pytest.raises(InputError, match=r"has no view \(meta\)"):
        read_run(run)


def test_a_journal_without_checksums_is_read_and_gets_them(unsealed: Sample, tmp_path: Path) -> None:
    run = unsealed.put(tmp_path / "r")
    assert read_run(run) == unsealed.facts
    Journal.resume(run).close()
    assert read_run(run) == unsealed.facts
    with closing(sqlite3.connect(run / FILE_NAME)) as db:
        db.execute('UPDATE utterance SET result = replace(result, \'"hypothesis": "\', \'"hypothesis": "x\')')
        db.commit()
    with pytest.raises(InputError, match="its checksum does not match"):
        read_run(run)


@given(
    table=st.sampled_from(list(JSON_COLUMN)),
    row=st.integers(0, 10**6),
    at=st.integers(0, 10**6),
    value=st.sampled_from(VALUES),
)
@settings(QUICK, max_examples=40)
def test_any_value_in_an_old_journal_is_read_and_resumed_or_refused_in_one_line(
    unsealed: Sample, tmp_path: Path, table: str, row: int, at: int, value: Any
) -> None:
    run = unsealed.put(tmp_path / "r")
    column = JSON_COLUMN[table]
    with closing(sqlite3.connect(run / FILE_NAME)) as db:
        found = db.execute(f"SELECT {', '.join(KEYS[table])}, {column} FROM {table} WHERE {column} NOT NULL").fetchall()
        *key, text = found[row % len(found)]
        where = " AND ".join(f"{name} = ?" for name in KEYS[table])
        db.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (exchanged(text, at, value), *key))
        db.commit()
    line = said(USES["resume"], run, unsealed)
    assert line is None or "\n" not in line


@pytest.mark.parametrize("use", USES)
def test_every_use_of_a_damaged_journal_is_one_line(sealed: Sample, tmp_path: Path, use: str) -> None:
    run = sealed.put(tmp_path / "r")
    assert said(USES[use], run, sealed) is None or use == "calibrate"
    sealed.put(run)
    with closing(sqlite3.connect(run / FILE_NAME)) as db:
        db.execute("UPDATE utterance SET result = '[' WHERE ordinal = 2")
        db.commit()
    line = said(USES[use], run, sealed)
    assert line is not None
    assert "the row (t0000, 1, 2) of the table utterance is damaged" in line
