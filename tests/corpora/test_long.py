"""Recordings in blocks: the samples are those of the whole, memory does not grow, every stream is heard or refused."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from tests.corpora.conftest import tone
from wattscribe.containers import mono
from wattscribe.corpora import audio as audio_module
from wattscribe.corpora.audio import GRID, audio_blocks, decode_audio, read_audio
from wattscribe.corpora.base import blocks_of
from wattscribe.corpora.longform import LongformCorpus
from wattscribe.corpora.open import open_corpus
from wattscribe.errors import InputError
from wattscribe.records import Rejected, Utterance
from wattscribe.streaming.sources import file_blocks


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 16_000, 44_100])
@pytest.mark.parametrize("level", [0.1, 1.5])
@pytest.mark.parametrize("held", [0, 1 << 22])
def test_blocks_are_the_whole_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate_hz: int, level: float, held: int
) -> None:
    """Against resampling all at once; loud recordings are scaled by a peak that only the end knows."""
    samples = level * np.random.default_rng(0).standard_normal((3 * rate_hz + 17, 2))
    soundfile.write(tmp_path / "a.wav", samples, rate_hz, subtype="DOUBLE")
    monkeypatch.setattr(mono, "BLOCK_SAMPLES", 10_000)
    monkeypatch.setattr(audio_module, "HELD_SAMPLES", held)
    expected = samples.mean(axis=1)
    if rate_hz != 16_000:
        expected = np.round(soxr.resample(expected, rate_hz, 16_000, quality="HQ") * GRID) / GRID
    expected = (expected / max(1.0, np.abs(expected).max())).astype(np.float32)
    blocks = list(audio_blocks(tmp_path / "a.wav"))
    assert len(blocks) == 1 if held else len(blocks) > 5
    np.testing.assert_array_equal(np.concatenate(blocks), expected)
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav"), expected)


def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    """Half an hour is 230 MB of float64 and 115 MB of float32."""
    soundfile.write(tmp_path / "a.flac", np.zeros(1800 * 16_000, np.int16), 16_000)
    code = (
        "import resource, sys; from wattscribe.corpora.audio import audio_blocks\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "samples = sum(map(len, audio_blocks(sys.argv[1])))\n"
        "print(samples, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "a.flac"], capture_output=True, check=True)
    samples, grown_kib = map(int, done.stdout.split())
    assert samples == 1800 * 16_000
    assert grown_kib < 100 << 10


def test_long_form_is_joined_in_blocks(tmp_path: Path) -> None:
    corpus = write_manifest(tmp_path, {"a": tone(0.5), "b": tone(0.25), "c": tone(0.75)})
    longform = LongformCorpus(open_corpus(str(corpus)), limit_s=60.0, seed=1)
    (piece,) = [each for each in longform if isinstance(each, Utterance)]
    blocks = list(blocks_of(longform, piece))
    assert max(map(len, blocks)) < 20_000
    np.testing.assert_array_equal(np.concatenate(blocks), longform.audio(piece))


def write_manifest(folder: Path, sounds: dict[str, np.ndarray]) -> Path:
    lines = []
    for name, samples in sounds.items():
        soundfile.write(folder / f"{name}.wav", samples, 16_000)
        lines.append(json.dumps({"audio_filepath": f"{name}.wav", "text": name, "id": name}))
    (folder / "manifest.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder / "manifest.jsonl"


def encoded(kind: str, subtype: str, seconds: float, rate_hz: int = 16_000) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, tone(seconds, rate_hz), rate_hz, format=kind, subtype=subtype)
    return file.getvalue()


CODECS = [("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS")]


@pytest.mark.parametrize(("kind", "subtype"), CODECS)
@pytest.mark.parametrize("between", [b"", b"ID3\x04\x00\x00\x00\x00\x00\x0a" + bytes(10)])
def test_a_second_stream_is_refused_by_name(tmp_path: Path, kind: str, subtype: str, between: bytes) -> None:
    if between and kind == "OGG":
        pytest.skip("no tag stands between the streams of an Ogg file")
    first, second = encoded(kind, subtype, 1.0), encoded(kind, subtype, 2.0)
    path = tmp_path / "chain"
    path.write_bytes(first + between + second)
    for read in (read_audio, lambda path: list(file_blocks(path))):
        with pytest.raises(
            InputError, match=f"holds a second stream from byte {len(first + between)} on.*Split it there"
        ):
            read(path)


@pytest.mark.parametrize(("kind", "subtype"), CODECS)
def test_one_stream_is_heard(kind: str, subtype: str) -> None:
    assert len(decode_audio(encoded(kind, subtype, 10.0), where="one")) == 160_000


def test_a_flac_in_the_metadata_of_another_is_no_second_stream() -> None:
    whole = encoded("FLAC", "PCM_16", 1.0)
    of_an_application = b"\x02" + (4 + len(whole)).to_bytes(3, "big") + b"none" + whole
    held = whole[:42] + of_an_application + whole[42:]
    assert whole[4] == 0
    assert len(decode_audio(held, where="held")) == 16_000


def test_channels_that_cancel_are_told_live_too(tmp_path: Path) -> None:
    path = tmp_path / "antiphase.wav"
    soundfile.write(path, np.stack([tone(1.0), -tone(1.0)], axis=1), 16_000)
    for read in (read_audio, lambda path: list(file_blocks(path))):
        with pytest.raises(InputError, match=r"the channels cancel each other out: .*remix 1"):
            read(path)


def test_a_missing_decoder_loses_its_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from wattscribe.records import Condition, RecognizerSpec, Trial
    from wattscribe.runs.plan import trial_of
    from wattscribe.runs.spool import spool_all

    corpus = write_manifest(tmp_path, {"a": tone(0.5), "b": tone(0.25)})
    (tmp_path / "b.wav").write_bytes(b"\x00\x00\x00\x20ftypM4A " + bytes(2000))
    monkeypatch.setitem(sys.modules, "av", None)
    for longform_s in (None, 60.0):
        condition = Condition(longform_s=longform_s)
        spec = RecognizerSpec(runtime="fake", model="a")
        trial = trial_of(Trial(id="", recognizer=spec, corpus=str(corpus), condition=condition))
        (spool,) = spool_all([trial], tmp_path / "spool").values()
        assert [piece.utterance.id for piece in spool.pieces] == ["a"]
        (lost,) = spool.rejected
        assert isinstance(lost, Rejected)
        assert lost.id == "b"
        assert "pip install 'wattscribe[media]'" in lost.reason
