"""Graphs kept from one start to the next: taken where they are whole, made again where they are not, missed by nobody."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.streaming import models
from wattscribe.graph import cache
from wattscribe.graph.unroll import CannotUnroll
from wattscribe.records import Transcript
from wattscribe.streaming import ahead, open_transducer, opening


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return models.build(tmp_path / "model")


def opened_twice(directory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Path, Transcript]:
    """Open with an empty store of prepared graphs; its directory, and what is transcribed."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("WATTSCRIBE_GRAPH_CACHE", raising=False)
    monkeypatch.setattr(cache, "_SMALLEST_BYTES", 0)
    return tmp_path / "cache/wattscribe/graphs", open_transducer(directory).transcribe([models.sound(1, 16000)])[0]


def test_a_prepared_graph_is_taken_instead_of_the_file(
    directory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder, first = opened_twice(directory, monkeypatch, tmp_path)
    assert len(list(folder.glob("*.ort"))) == 3
    monkeypatch.setattr(opening, "read_model", None)
    assert open_transducer(directory).transcribe([models.sound(1, 16000)])[0] == first


def test_a_damaged_or_foreign_prepared_graph_is_made_again(
    directory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder, first = opened_twice(directory, monkeypatch, tmp_path)
    for number, path in enumerate(sorted(folder.glob("*.ort"))):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 64  # still a graph, with another weight or size
        path.write_bytes((b"", bytes(data[:-500]), bytes(data))[number])
    assert open_transducer(directory).transcribe([models.sound(1, 16000)])[0] == first
    models.build(directory, seed=9)
    open_transducer(directory)
    assert len(list(folder.glob("*.ort"))) == 6, "another model, other graphs"


def test_a_changed_byte_of_a_prepared_graph_is_seen(
    directory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder, first = opened_twice(directory, monkeypatch, tmp_path)
    whole = {path: path.read_bytes() for path in folder.glob("*.ort")}
    for path, data in whole.items():
        path.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
        assert not cache.whole(path)
        assert not path.exists()
    assert open_transducer(directory).transcribe([models.sound(1, 16000)])[0] == first


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="limits of file sizes are POSIX's")
def test_a_full_disk_stops_nothing(directory: Path, tmp_path: Path) -> None:
    """A limit of one block on the files that the process may write, as a quota would; and the start after it."""
    script = (
        "import resource, signal, sys; from wattscribe.graph import cache; from wattscribe.streaming import open_transducer\n"
        "cache._SMALLEST_BYTES = 0; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512)); open_transducer(sys.argv[1]).stream()"
    )
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    for code in (script, script.replace("512, 512", "-1, -1")):
        done = subprocess.run(
            [sys.executable, "-c", code, str(directory)], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr


def test_graphs_are_not_kept_where_that_is_forbidden_or_impossible(
    directory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(cache, "_SMALLEST_BYTES", 0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    open_transducer(directory)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("WATTSCRIBE_GRAPH_CACHE", "off")
    open_transducer(directory)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("to_keep", [False, True])
@pytest.mark.parametrize("segments", [36, 37, 149, 150])
def test_what_files_will_use_is_decided_before_they_are_heard(
    segments: int, to_keep: bool, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Made where it pays, a quarter as early where it is made to be kept, and never again; afterwards nothing is made."""
    made: list[int] = []

    def make(*_: object) -> None:
        made.append(segments)
        raise CannotUnroll("only counted here")

    monkeypatch.setattr(ahead, "make", make)
    monkeypatch.setenv("WATTSCRIBE_GRAPH_CACHE", "off")
    transducer = open_transducer(directory)
    shift_s = transducer.encoder.layout.shift_frames / 100
    transducer.settle(segments * shift_s + shift_s / 2, to_keep=to_keep)
    assert bool(made) == (segments >= (37 if to_keep else 150))
    assert transducer.lookahead.refused is not None
    before = len(made)
    transducer.lookahead.get(200)
    transducer.transcribe([models.sound(1, round(200 * shift_s * 16000))])
    assert len(made) == before


def test_what_was_used_last_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cache, "_KEPT", 2)
    monkeypatch.setattr(cache, "_KEPT_BYTES", 1 << 21)
    for size_bytes, left in ((100, {"a", "b", "c", "d"}), (1 << 21, {"a", "d"})):
        for age, name in enumerate("dcba"):
            (tmp_path / f"{name}.ort").touch()
            os.truncate(tmp_path / f"{name}.ort", size_bytes)
            (tmp_path / f"{name}.sha256").write_text(cache._hash(tmp_path / f"{name}.ort").hexdigest())
            os.utime(tmp_path / f"{name}.ort", (1e9 + age, 1e9 + age))
        assert cache.whole(tmp_path / "d.ort"), "the oldest was used just now"
        cache._prune(tmp_path)
        assert {path.stem for path in tmp_path.glob("*.ort")} == left
        assert {path.stem for path in tmp_path.glob("*.sha256")} == left


def test_what_could_be_kept_and_is_not_was_refused_before(
    directory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever prepared this model found that it cannot be rewritten: trying again would take the memory of it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("WATTSCRIBE_GRAPH_CACHE", raising=False)
    monkeypatch.setattr(cache, "_SMALLEST_BYTES", 0)
    monkeypatch.setattr(ahead, "make", None)
    transducer = open_transducer(directory)
    transducer.settle(3600.0)
    assert transducer.lookahead.get(1000) is None
