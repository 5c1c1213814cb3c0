"""The journal's file: its tables, how it is opened by the one writer and by readers, and errors that say what to do."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from wattscribe import journal_rows
from wattscribe.errors import InputError, WattscribeError
from wattscribe.lock import Lock

FILE_NAME = "journal.sqlite"
LOCK_NAME = "journal.lock"
DRAFT_NAME = "journal.new"
"""A journal while its plan is being written."""
SCHEMA_VERSION = 2
"""2 has a checksum in each row; 1 had none and is read without. A writer that goes on makes 2 of it."""
BUSY_TIMEOUT_S = 30.0

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL, checksum INTEGER) WITHOUT ROWID;
CREATE TABLE trial (
  id TEXT PRIMARY KEY, ordinal INTEGER NOT NULL UNIQUE, trial TEXT NOT NULL, checksum INTEGER) WITHOUT ROWID;
CREATE TABLE attempt (
  trial_id TEXT NOT NULL REFERENCES trial(id), attempt INTEGER NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('running', 'done', 'failed', 'interrupted')),
  facts TEXT, checksum INTEGER, PRIMARY KEY (trial_id, attempt)) WITHOUT ROWID;
CREATE UNIQUE INDEX one_verdict ON attempt (trial_id) WHERE status IN ('done', 'failed');
CREATE TABLE utterance (
  trial_id TEXT NOT NULL, attempt INTEGER NOT NULL, ordinal INTEGER NOT NULL, id TEXT NOT NULL, result TEXT NOT NULL,
  checksum INTEGER, PRIMARY KEY (trial_id, attempt, ordinal), UNIQUE (trial_id, attempt, id),
  FOREIGN KEY (trial_id, attempt) REFERENCES attempt (trial_id, attempt)) WITHOUT ROWID;
CREATE TABLE trace (
  trial_id TEXT NOT NULL, attempt INTEGER NOT NULL, channel TEXT NOT NULL, part INTEGER NOT NULL,
  about TEXT NOT NULL, t_s BLOB NOT NULL, power_w BLOB NOT NULL, checksum INTEGER,
  PRIMARY KEY (trial_id, attempt, channel, part),
  FOREIGN KEY (trial_id, attempt) REFERENCES attempt (trial_id, attempt)) WITHOUT ROWID;
CREATE TABLE heard (
  corpus TEXT NOT NULL, condition TEXT NOT NULL, digest TEXT NOT NULL, utterances INTEGER NOT NULL, audio_s REAL NOT NULL,
  scaled_utterances INTEGER, scale_min REAL, checksum INTEGER, PRIMARY KEY (corpus, condition)) WITHOUT ROWID;
CREATE TABLE rejected (
  corpus TEXT NOT NULL, condition TEXT NOT NULL, ordinal INTEGER NOT NULL, rejected TEXT NOT NULL, checksum INTEGER,
  PRIMARY KEY (corpus, condition, ordinal)) WITHOUT ROWID;
"""


def take_lock(run_dir: Path) -> Lock:
    """Keep every other writer out. Raises InputError that names the process which holds it."""
    with readable_errors(run_dir):
        return Lock.take(run_dir / LOCK_NAME)


def connect(path: Path) -> sqlite3.Connection:
    """For the writer."""
    db = _distrusting(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None))
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(
        "PRAGMA synchronous = NORMAL"
    )  # safe against a killed process; a power cut may cost the last transaction
    db.execute("PRAGMA foreign_keys = ON")
    db.create_function("row_checksum", -1, journal_rows.checksum, deterministic=True)
    return db


def connect_to_read(path: Path) -> sqlite3.Connection:
    """For any reader, also on a read-only medium."""
    uri = path.resolve().as_uri()
    db = _distrusting(sqlite3.connect(f"{uri}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None))
    try:
        db.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        db.close()
        log = path.with_name(path.name + "-wal")
        if log.exists() and log.stat().st_size:
            raise
        # A finished run on a read-only medium: SQLite cannot lay its shared-memory file there and needs none.
        db = _distrusting(sqlite3.connect(f"{uri}?mode=ro&immutable=1", uri=True, isolation_level=None))
    return db


def _distrusting(db: sqlite3.Connection) -> sqlite3.Connection:
    """As SQLite advises for files that others may have written or damaged (sqlite.org/security.html)."""
    for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0"):
        db.execute(f"PRAGMA {pragma}")
    return db


def check_version(db: sqlite3.Connection, path: Path) -> int:
    """The journal's schema. Raises InputError for one that this version does not read, and for a file with code in it."""
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        raise InputError(
            "the run was stopped before its plan was written", where=path, fix="Start again with `overwrite`"
        )
    if not 1 <= version <= SCHEMA_VERSION:
        raise InputError(
            f"the journal has schema {version}, this version reads 1 to {SCHEMA_VERSION}",
            where=path,
            fix="Use the version of wattscribe that wrote it",
        )
    strange = db.execute("SELECT type, name FROM sqlite_master WHERE type NOT IN ('table', 'index')").fetchone()
    if strange is not None:
        raise InputError(
            f"a journal has no {strange[0]} ({strange[1]})", where=path, fix="It is not one of wattscribe's"
        )
    return int(version)


def existing_file(run_dir: Path) -> Path:
    """The journal in a run directory. Raises InputError when there is none."""
    path = run_dir / FILE_NAME
    if not path.is_file():
        raise InputError(
            f"there is no run here (no {FILE_NAME})", where=run_dir, fix="Name a directory that bench wrote"
        )
    return path


def holds_run(run_dir: Path) -> bool:
    """Whether a journal lies there."""
    return (run_dir / FILE_NAME).exists()


def run_folders(path: Path) -> list[Path]:
    """The directory of a run, or those in it where it is a fleet's; without any, itself, for whoever reads it to refuse."""
    if holds_run(path) or not path.is_dir():
        return [path]
    found = sorted(folder for folder in path.iterdir() if holds_run(folder))
    return found or [path]


def run_exists(run_dir: Path) -> InputError:
    """What to say to whoever would write over a run."""
    fix = "Go on with it (`resume`), replace it (`overwrite`) or choose another `out`"
    return InputError("there is a run already", where=run_dir, fix=fix)


def make_directory(path: Path) -> None:
    """The run directory with its parents. Raises InputError where a file is in the way, or it may not be made."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(
            "this is a file, and a run needs a directory", where=error.filename or path, fix="Choose another `out`"
        ) from error
    except OSError as error:
        raise InputError(
            f"this directory cannot be made: {error.strerror}", where=path, fix="Choose another `out`"
        ) from error


def remove_file(path: Path) -> None:
    """A journal with what SQLite lays beside it."""
    for suffix in ("-wal", "-shm", ""):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def fold_log(path: Path) -> None:
    """Before another file takes its place: no log of this one may be left that would be applied to that one."""
    if path.exists():
        with contextlib.suppress(sqlite3.Error), contextlib.closing(connect(path)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


@contextlib.contextmanager
def readable_errors(run_dir: Path) -> Iterator[None]:
    """A damaged journal, a full disk or a locked file, in words."""
    try:
        yield
    except sqlite3.IntegrityError:
        raise
    except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
        detail = " ".join(str(error).split())  # SQLite names what lies in the file, ends of lines included
        if _of_the_file(error):
            raise InputError(
                f"the journal is damaged: {detail}",
                where=run_dir / FILE_NAME,
                fix="Restore it from a copy, or measure again with `overwrite`",
            ) from error
        raise WattscribeError(
            f"the journal cannot be read or written: {detail}",
            where=run_dir,
            fix="Check that the disk is not full and the directory is writable; continue the run with `resume`",
        ) from error


def _of_the_file(error: Exception) -> bool:
    """Whether what the file holds is at fault, and not the disk or another process."""
    if isinstance(error, sqlite3.OperationalError):
        return str(error).startswith(("no such", "Could not decode", "malformed", "near "))
    return not isinstance(error, OSError)
