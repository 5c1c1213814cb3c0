"""The scripts of `wattscribe completion`, in the shells themselves."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from wattscribe.cli import VERBS, main

SHELLS = ("bash", "zsh", "fish")


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """As a user writes them, each from a process of its own."""
    folder, found = tmp_path_factory.mktemp("scripts"), {}
    for shell in SHELLS:
        command = [sys.executable, "-m", "wattscribe", "completion", shell]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stderr == ""
        found[shell] = folder / f"wattscribe.{shell}"
        found[shell].write_text(done.stdout, encoding="utf-8")
    return found


def in_bash(script: Path, *words: str) -> set[str]:
    """What bash would offer where the cursor stands behind the last word."""
    given = " ".join(f"'{word}'" for word in words)
    program = (
        f"source {script}; COMP_WORDS=({given}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMPREPLY=(); "
        '_wattscribe; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "--norc", "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    return set(done.stdout.split())


def test_bash_completes_verbs_options_and_choices(scripts: dict[str, Path]) -> None:
    bash = scripts["bash"]
    assert in_bash(bash, "wattscribe", "") == set(VERBS)
    assert in_bash(bash, "wattscribe", "be") == {"bench"}
    assert in_bash(bash, "wattscribe", "comp") == {"compare", "compress", "completion"}
    assert in_bash(bash, "wattscribe", "meters", "a") == {"attach"}
    assert in_bash(bash, "wattscribe", "report", "runs/x", "--form") == {"--format"}
    formats = in_bash(bash, "wattscribe", "report", "runs/x", "--format", "")
    assert {"html", "md", "open-asr", "model-card", "prometheus", "mlflow"} <= formats
    assert in_bash(bash, "wattscribe", "compare", "a", "b", "--metric", "c") == {"cer"}
    assert in_bash(bash, "wattscribe", "completion", "f") == {"fish"}
    assert in_bash(bash, "wattscribe", "nothing", "") <= set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_bash_offers_every_option_that_help_shows(
    verb: str, scripts: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([verb, "--help"]) == 0
    shown = set(re.findall(r"(?<=[\s│])--[a-z][a-z0-9-]*", capsys.readouterr().out))
    offered = in_bash(scripts["bash"], "wattscribe", verb, *WITHIN.get(verb, ()), "--")
    assert shown <= offered | OF_OTHERS
    assert {"--json", "--quiet"} <= offered


WITHIN = {"data": ["get"], "fleet": ["run"]}
OF_OTHERS = {"--pace", "--device", "--correction", "--version"}
"""Options of other verbs, which a help text names."""


@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_itself_reads_the_script(shell: str, scripts: dict[str, Path]) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    subprocess.run([shell, "-n", str(scripts[shell])], check=True, capture_output=True, timeout=60)


def test_fish_completes(scripts: dict[str, Path], tmp_path: Path) -> None:
    if shutil.which("fish") is None:
        pytest.skip("fish is not installed")
    program = f"source {scripts['fish']}; complete -C 'wattscribe be'; complete -C 'wattscribe report x --format m'"
    done = subprocess.run(
        ["fish", "--no-config", "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )
    offered = {line.split("\t")[0] for line in done.stdout.splitlines()}
    assert {"bench", "md", "model-card", "mlflow"} <= offered


def test_zsh_loads_it_as_a_completion_function(scripts: dict[str, Path], tmp_path: Path) -> None:
    if shutil.which("zsh") is None:
        pytest.skip("zsh is not installed")
    shutil.copy(scripts["zsh"], tmp_path / "_wattscribe")
    program = f"fpath=({tmp_path} $fpath); autoload -Uz compinit && compinit -D && echo $_comps[wattscribe]"
    done = subprocess.run(["zsh", "-fc", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "_wattscribe"
