"""The recipe that docs/training.md begins with is read and trained as it is, for a few steps on a little speech."""

from __future__ import annotations

import random
import re
import shutil
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT, blocks

pytest.importorskip("torch")
TEXT = (ROOT / "recipes/first.toml").read_text(encoding="utf-8")


def test_the_first_recipe_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("flite") is None:
        pytest.skip("flite is not installed")
    import wattscribe
    from wattscribe.training.texts import digit_string

    monkeypatch.chdir(tmp_path)
    draw = random.Random(0)
    Path("digits.txt").write_text("\n".join(digit_string(draw) for _ in range(400)) + "\n", encoding="utf-8")
    little = TEXT.replace("hours = 0.5", "hours = 0.01").replace("processes = 2", "processes = 1")
    assert little != TEXT
    Path("first.toml").write_text(little, encoding="utf-8")
    lines: list[str] = []
    fitted = wattscribe.train("first.toml", "runs/digits", steps=3, say=lines.append)
    assert fitted is not None
    assert fitted.position.step == 3
    assert set(fitted.dev_wer) == {"dev-known", "dev-rms"}
    assert any("utterances" in line for line in lines)


def test_the_page_shows_the_recipe_s_own_paths() -> None:
    (shown,) = (block.text for block in blocks("docs/training.md") if "recipes/first.toml" in block.text)
    assert "> digits.txt" in shown
    assert 'text = ["digits.txt"]' in TEXT
    assert set(re.findall(r"runs/[\w-]+", TEXT)) <= {"runs/digits", "runs/digits-speech"}
