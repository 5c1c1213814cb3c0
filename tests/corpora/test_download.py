"""`data get` against a server on the loopback that can be told to break off, ignore ranges or lie."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import re
import socket
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import soundfile

from tests.corpora.conftest import tone
from tests.corpora.site import TEXTS, Site, archive, librispeech, md5
from wattscribe.cli import main
from wattscribe.corpora import get as get_module
from wattscribe.corpora import open_corpus
from wattscribe.corpora.download import ATTEMPTS, fetch
from wattscribe.corpora.get import get
from wattscribe.corpora.noise import open_noise
from wattscribe.corpora.unpack import Limits, unpack, unpack_zip
from wattscribe.errors import InputError
from wattscribe.records import Utterance


def test_a_set_is_downloaded_checked_unpacked_and_opened(serve: Callable[..., Site], tmp_path: Path) -> None:
    body = librispeech()
    site = serve(body)
    seen: list[tuple[int, int | None]] = []
    folder = get(
        "librispeech:test-clean",
        tmp_path,
        mirror=site.address + "/",
        checksum=md5(body),
        progress=lambda held, total: seen.append((held, total)),
    )
    assert folder == tmp_path / "LibriSpeech" / "test-clean"
    assert sorted(path.name for path in folder.iterdir()) == ["1089", "61"]
    corpus = open_corpus(str(folder))
    assert {item.id: item.reference for item in corpus if isinstance(item, Utterance)} == TEXTS
    assert [round(len(corpus.audio(item)) / 16_000) for item in corpus if isinstance(item, Utterance)] == [1, 2, 3]
    assert (tmp_path / "LibriSpeech" / "SPEAKERS.TXT").is_file()
    assert seen[-1] == (len(body), len(body))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["LibriSpeech"]
    get("librispeech:test-clean", tmp_path, mirror=site.address, checksum=md5(body))
    assert len(site.requests) == 1


def test_an_interrupted_download_goes_on_at_the_right_byte(serve: Callable[..., Site], tmp_path: Path) -> None:
    body = librispeech()
    middle = len(body) // 2
    site = serve(body, break_at=[middle])
    target = fetch(f"{site.address}/a.tar.gz", tmp_path / "a.tar.gz", checksum=md5(body), pause=lambda seconds: None)
    assert site.requests == [None, f"bytes={middle}-"]
    assert target.read_bytes() == body
    assert not (tmp_path / "a.tar.gz.part").exists()


def test_a_killed_download_is_resumed_by_the_next_run(serve: Callable[..., Site], tmp_path: Path) -> None:
    body = librispeech()
    (tmp_path / "a.tar.gz.part").write_bytes(body[:1000])
    site = serve(body)
    fetch(f"{site.address}/a.tar.gz", tmp_path / "a.tar.gz", checksum=md5(body))
    assert site.requests == ["bytes=1000-"]
    assert (tmp_path / "a.tar.gz").read_bytes() == body


def test_a_complete_part_is_only_checked(serve: Callable[..., Site], tmp_path: Path) -> None:
    body = librispeech()
    (tmp_path / "a.part").write_bytes(body)
    site = serve(body)
    assert fetch(f"{site.address}/a", tmp_path / "a", checksum=md5(body)).read_bytes() == body
    assert site.requests == [f"bytes={len(body)}-"]


def test_a_part_longer_than_the_file_is_thrown_away(serve: Callable[..., Site], tmp_path: Path) -> None:
    body = librispeech()
    (tmp_path / "a.part").write_bytes(body + b"more")
    site = serve(body)
    assert (
        fetch(f"{site.address}/a", tmp_path / "a", checksum=md5(body), pause=lambda seconds: None).read_bytes() == body
    )
    assert site.requests == [f"bytes={len(body) + 4}-", None]


def test_a_server_without_ranges_starts_anew(serve: Callable[..., Site], tmp_path: Path) -> None:
    body = librispeech()
    site = serve(body, break_at=[len(body) // 3], ranges=False)
    target = fetch(f"{site.address}/a", tmp_path / "a", checksum=md5(body), pause=lambda seconds: None)
    assert target.read_bytes() == body
    assert site.requests == [None, f"bytes={len(body) // 3}-"]


def test_a_server_that_keeps_breaking_off_is_given_up_and_the_part_stays(
    serve: Callable[..., Site], tmp_path: Path
) -> None:
    body = librispeech()
    site = serve(body, break_at=[500] + [0] * 20)
    with pytest.raises(InputError, match=r"the download stopped after 500 bytes.*Run the same command again"):
        fetch(f"{site.address}/a", tmp_path / "a", checksum=md5(body), pause=lambda seconds: None)
    assert (tmp_path / "a.part").read_bytes() == body[:500]
    assert len(site.requests) == 1 + ATTEMPTS


def test_a_wrong_checksum_is_refused_and_nothing_is_left(serve: Callable[..., Site], tmp_path: Path) -> None:
    body = librispeech()
    site = serve(body)
    with pytest.raises(InputError, match="wrong checksum"):
        get("librispeech:test-clean", tmp_path, mirror=site.address)
    assert list(tmp_path.iterdir()) == []


def test_an_answer_with_another_range_is_refused(serve: Callable[..., Site], tmp_path: Path) -> None:
    body = librispeech()
    (tmp_path / "a.part").write_bytes(body[:100])
    site = serve(body, shift=7)
    with pytest.raises(InputError, match="another range"):
        fetch(f"{site.address}/a", tmp_path / "a", checksum=md5(body))
    assert (tmp_path / "a.part").read_bytes() == body[:100]


@pytest.mark.parametrize(("status", "requests"), [(404, 1), (503, ATTEMPTS)])
def test_refusals_are_told(serve: Callable[..., Site], tmp_path: Path, status: int, requests: int) -> None:
    site = serve(b"x", status=status)
    with pytest.raises(InputError, match=str(status)):
        fetch(f"{site.address}/a", tmp_path / "a", checksum=md5(b"x"), pause=lambda seconds: None)
    assert len(site.requests) == requests


def test_no_server_and_no_http(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the download stopped after 0 bytes"):
        fetch("http://127.0.0.1:9/a", tmp_path / "a", checksum="0" * 32, pause=lambda seconds: None)
    with pytest.raises(InputError, match="not an http"):
        fetch("file:///etc/hostname", tmp_path / "a", checksum="0" * 32)


def special(name: str, kind: bytes, link: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, size
    return info


MALICIOUS: dict[str, tuple[dict[str, bytes | tarfile.TarInfo], str]] = {
    "climbs": ({"../escaped": b"x"}, "outside"),
    "climbs in the middle": ({"LibriSpeech/../../escaped": b"x"}, "outside"),
    "absolute": ({"/tmp/wattscribe-escaped": b"x"}, "outside"),
    "symbolic link": ({"a": special("LibriSpeech", tarfile.SYMTYPE, "/tmp"), "LibriSpeech/b": b"x"}, "link"),
    "hard link": ({"a": special("a", tarfile.LNKTYPE, "/etc/hostname")}, "link"),
    "device": ({"a": special("a", tarfile.CHRTYPE)}, "device"),
    "pipe": ({"a": special("a", tarfile.FIFOTYPE)}, "device"),
    "a file as a folder": ({"a": b"x", "a/b": b"x"}, "damaged"),
    "big file": ({"a": special("a", tarfile.REGTYPE, size=5_000)}, "5000 bytes"),
    "big together": (dict.fromkeys("abcd", b"x" * 900), "total"),
    "many": ({str(number): b"" for number in range(30)}, "more than 20"),
}


@pytest.mark.parametrize("case", MALICIOUS)
def test_malicious_archives_are_refused(tmp_path: Path, case: str) -> None:
    members, reason = MALICIOUS[case]
    source = tmp_path / "a.tar.gz"
    source.write_bytes(archive(members))
    inside = tmp_path / "deep" / "inside"
    inside.mkdir(parents=True)
    with pytest.raises(InputError, match=reason):
        unpack(source, inside, limits=Limits(members=20, file_bytes=1000, total_bytes=3000))
    outside = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if inside not in path.parents}
    assert outside == {"a.tar.gz", "deep", "deep/inside"}
    assert not any(path.is_symlink() for path in inside.rglob("*"))
    assert not Path("/tmp/wattscribe-escaped").exists()


def test_the_same_name_twice_is_refused(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for content in (b"first", b"second"):
            info = tarfile.TarInfo("a")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    (tmp_path / "a.tar.gz").write_bytes(out.getvalue())
    with pytest.raises(InputError, match="damaged"):
        unpack(tmp_path / "a.tar.gz", tmp_path)


def test_a_malicious_set_leaves_no_folder(serve: Callable[..., Site], tmp_path: Path) -> None:
    body = archive({"LibriSpeech/test-clean/x.txt": b"x", "../../escaped": b"x"})
    site = serve(body)
    out = tmp_path / "data"
    with pytest.raises(InputError, match="outside"):
        get("librispeech:test-clean", out, mirror=site.address, checksum=md5(body))
    assert [path.name for path in out.iterdir()] == ["test-clean.tar.gz"]
    assert not (tmp_path / "escaped").exists()


@pytest.mark.parametrize("cut", [0.5, 0.99])
def test_a_damaged_archive_is_refused(tmp_path: Path, cut: float) -> None:
    whole = librispeech()
    (tmp_path / "a.tar.gz").write_bytes(whole[: int(len(whole) * cut)])
    (tmp_path / "in").mkdir()
    with pytest.raises(InputError, match="damaged"):
        unpack(tmp_path / "a.tar.gz", tmp_path / "in")


def test_an_archive_of_another_set_is_refused(serve: Callable[..., Site], tmp_path: Path) -> None:
    body = librispeech("dev-other")
    with pytest.raises(InputError, match="holds no LibriSpeech/test-clean"):
        get("librispeech:test-clean", tmp_path, mirror=serve(body).address, checksum=md5(body))
    assert not (tmp_path / "LibriSpeech").exists()


def test_the_command_prints_the_folder(
    serve: Callable[..., Site], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    body = librispeech("dev-other")
    offer = dataclasses.replace(get_module.OFFERS["librispeech:dev-other"], checksum=md5(body))
    monkeypatch.setattr(get_module, "OFFERS", {"librispeech:dev-other": offer})
    command = ["data", "get", "librispeech:dev-other", "--out", str(tmp_path), "--mirror", serve(body).address]
    assert main(command) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "LibriSpeech" / "dev-other")
    assert main(["data", "get", "librispeech:train-clean-100"]) == 2
    assert "librispeech:dev-other" in capsys.readouterr().err


MODEL, NOISE = "model:zipformer-gigaspeech-3.3m", "noise:kitchen"


def test_a_model_is_fetched_by_its_sha256(serve: Callable[..., Site], tmp_path: Path) -> None:
    offer = get_module.OFFERS[MODEL]
    body = archive({f"{offer.inside}/{name}": name.encode() for name in ("encoder.onnx", "test_wavs/0.wav")}, "bz2")
    site = serve(body)
    with pytest.raises(InputError, match="wrong checksum"):
        get(MODEL, tmp_path, mirror=site.address)
    folder = get(MODEL, tmp_path, mirror=site.address, checksum=hashlib.sha256(body).hexdigest())
    assert folder == tmp_path / "models" / "zipformer-gigaspeech-3.3m"
    assert (folder / "encoder.onnx").read_bytes() == b"encoder.onnx"
    assert (folder / "test_wavs" / "0.wav").is_file()


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as held:
        for name, content in members.items():
            held.writestr(name, content)
    return out.getvalue()


def test_noise_is_one_channel_that_bench_takes(serve: Callable[..., Site], tmp_path: Path) -> None:
    sound = io.BytesIO()
    soundfile.write(sound, tone(2.0), 16_000, format="WAV")
    body = zipped({f"DKITCHEN/ch{number:02}.wav": sound.getvalue() for number in range(1, 17)})
    folder = get(NOISE, tmp_path, mirror=serve(body).address, checksum=md5(body))
    assert [path.name for path in folder.iterdir()] == ["ch01.wav"]
    assert [path.name for path in tmp_path.iterdir()] == ["noise"]
    assert open_noise(str(folder)) is not None


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (zipped({"DKITCHEN/ch02.wav": b"x"}), "0 files are called"),
        (zipped({"a/ch01.wav": b"x", "b/ch01.wav": b"x"}), "2 files are called"),
        (zipped({"a/ch01.wav": b"x" * 2000}), "too large"),
        (zipped({"a/ch01.wav": b"x" * 500})[:-30], "damaged"),
        (b"no zip", "damaged"),
    ],
    ids=["another file", "two files", "too large", "cut off", "no zip"],  # their bytes hold the time
)
def test_other_zips_are_refused(tmp_path: Path, body: bytes, reason: str) -> None:
    source = tmp_path / "a.zip"
    source.write_bytes(body)
    with pytest.raises(InputError, match=reason):
        unpack_zip(source, tmp_path / "in", names=("ch01.wav",), limits=Limits(file_bytes=1000))


def test_a_damaged_bz2_is_refused(tmp_path: Path) -> None:
    for number, cut in enumerate((b"no archive", archive({"a": b"x" * 5000}, "bz2")[:60])):
        source = tmp_path / f"{number}.tar.bz2"
        source.write_bytes(cut)
        (tmp_path / str(number)).mkdir()
        with pytest.raises(InputError, match="damaged"):
            unpack(source, tmp_path / str(number))


def test_every_offer_states_a_checksum_and_a_place_of_its_own() -> None:
    offers = get_module.OFFERS.values()
    assert all(re.fullmatch("[0-9a-f]{32}|[0-9a-f]{64}", offer.checksum) for offer in offers)
    for what in ("folder", "checksum"):
        assert len({getattr(offer, what) for offer in offers}) == len(offers)
    assert all(offer.address.startswith("https://") and bool(offer.inside) != bool(offer.only) for offer in offers)


@pytest.fixture
def answering() -> Iterator[Callable[[bytes], str]]:
    """A server that answers every request with these bytes, whatever they are."""
    listeners: list[socket.socket] = []

    def start(answer: bytes) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, contextlib.suppress(OSError):
                        connection.recv(1 << 16)
                        connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/x.tar.gz"

    yield start
    for listener in listeners:
        listener.close()


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\nx",
        b"HTTP/1.1 206 OK\r\nContent-Range: bytes " + b"1" * 5000 + b"-2/3\r\n\r\nx",
        b"HTTP/1.1 302 Found\r\nLocation: http://[\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 " + b"9" * 70000 + b"\r\n\r\n",
        b"\0\xff\r\n\r\n",
        b"",
    ],
)
def test_malformed_headers_are_one_line(answering: Callable[[bytes], str], tmp_path: Path, head: bytes) -> None:
    with pytest.raises(InputError) as refused:
        fetch(answering(head), tmp_path / "x.tar.gz", checksum="0" * 32, pause=lambda _: None)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("stated", [b"Content-Length: 1000\r\n", b""])
def test_more_than_a_set_can_have_is_not_downloaded(
    answering: Callable[[bytes], str], tmp_path: Path, stated: bytes
) -> None:
    url = answering(b"HTTP/1.1 200 OK\r\n" + stated + b"Connection: close\r\n\r\n" + b"x" * 1000)
    with pytest.raises(InputError, match="more than the 999 bytes"):
        fetch(url, tmp_path / "x.tar.gz", checksum="0" * 32, largest_bytes=999, pause=lambda _: None)
    assert not list(tmp_path.iterdir())
