"""Directories of other libraries' models with one unsound file: taken, or refused in one line."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import checkpoint_attacks


@pytest.mark.parametrize("runtime", ["hf", "ct2"])
def test_an_unsound_directory_runs_or_is_refused_in_one_line(
    runtime: str, tmp_path: Path, request: pytest.FixtureRequest, checkpoint: Callable[[str], Path]
) -> None:
    pytest.importorskip("transformers", reason="needs wattscribe[hf]")
    source = checkpoint("whisper") if runtime == "hf" else request.getfixturevalue("ct2_model")
    shutil.copytree(source, tmp_path / "sound")
    attack = checkpoint_attacks.attack_of(checkpoint_attacks.use_of(runtime))
    said = [attack(tmp_path, random.Random(f"{runtime} {seed}")) for seed in range(12)]
    refused = [each for each in said if each is not None]
    assert 3 <= len(refused) < len(said)
    for each in refused:
        assert "\n" not in each
        assert str(tmp_path / "unsound") in each


def test_an_unsound_checkpoint_is_exported_or_refused_in_one_line(
    tmp_path: Path, checkpoint: Callable[[str], Path]
) -> None:
    """Weights, index, configuration, vocabulary and special tokens of another shape, in the order in which they are read."""
    pytest.importorskip("transformers", reason="makes the checkpoint")
    shutil.copytree(checkpoint("whisper"), tmp_path / "sound")
    attack = checkpoint_attacks.attack_of(checkpoint_attacks.export)
    said = [attack(tmp_path, random.Random(seed)) for seed in range(240)]
    refused = [each for each in said if each is not None]
    assert 40 < len(refused) < len(said)
    for each in refused:
        assert "\n" not in each
        assert str(tmp_path / "unsound") in each
