"""libmpg123 writes to the process's standard error by itself: such lines do not reach the user, others do."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from wattscribe.corpora import read_audio
from wattscribe.hushed import hushed
from wattscribe.streaming.sources import file_blocks


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Whole, with a tag behind it of which libmpg123 complains."""
    sound = io.BytesIO()
    soundfile.write(sound, 0.1 * np.random.default_rng(0).standard_normal(48_000), 16_000, format="MP3")
    path = tmp_path / "tagged.mp3"
    path.write_bytes(sound.getvalue() + b"TAGjunk" * 40)
    return path


def test_the_decoder_is_not_heard(recording: Path, capfd: pytest.CaptureFixture[str]) -> None:
    soundfile.SoundFile(recording).close()
    assert "Warning" in capfd.readouterr().err, "else this file shows nothing"
    assert len(read_audio(recording)) == 48_000
    assert sum(map(len, file_blocks(recording))) == 48_000
    assert capfd.readouterr().err == ""


def test_standard_error_is_there_again_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    def broken() -> None:
        with hushed():
            os.write(2, b"remark\n")
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        broken()
    os.write(2, b"word\n")
    assert capfd.readouterr().err == "word\n"
