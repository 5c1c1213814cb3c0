"""README and docs do what they say: every block of commands is run as it is written, or says why not.

`blocks.py` has the marks, `given.py` what pages begin with. Output is compared without its figures.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import LANGUAGES, Block, blocks, commands, indented, pages
from tests.docs.given import FILES, RUNS, Given
from tests.docs.session import Page, compare, stable
from wattscribe.cli import main

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

pytestmark = pytest.mark.timeout(900)
ALL = [block for page in pages() for block in blocks(page)]
HIDDEN = re.compile(r"(?m)^(\$ |pip |make |wattscribe (?!\w+: ))")
"""A command in a block of output."""
OPTION = re.compile(r"(?<=\s)--[a-z][a-z0-9-]*")


def test_every_block_is_run_or_says_why_not() -> None:
    """What a page shows is of a known kind, fenced, and either run, compared or a file; or it is marked with the reason."""
    assert len(ALL) > 50
    for block in ALL:
        assert block.language in LANGUAGES, f"{block}: mark the language of this fence: {', '.join(LANGUAGES)}"
        assert block.reason is None or len(block.reason.split()) >= 3, f"{block}: say why it is not run"
        if block.language in ("toml", "json", "yaml"):
            assert block.file or block.reason, f"{block}: name its file (<!-- file: … -->) or say why it is not used"
        for name in block.given:
            assert name in FILES or name in RUNS, f"{block}: nothing makes {name}"
        if block.language == "text" and block.reason is None:
            assert not HIDDEN.search(block.text), f"{block}: a command, so ```console or ```sh"
        if block.language == "console":
            assert block.text.startswith("$ "), f"{block}: a console begins with a command"
    for page in pages():
        assert indented(page) == [], f"{page}: fence these blocks, so that they are found"


@pytest.mark.parametrize("page", sorted({block.page for block in ALL if block.is_run}))
def test_a_page_does_what_it_says(page: str, given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WATTSCRIBE_GRAPH_CACHE", str(given.cache))
    session, before = Page(tmp_path, given.cache, given), None
    for block in blocks(page):
        session.go(block, before)
        before = block


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Given:
    return Given(tmp_path_factory.mktemp("given"))


def test_what_is_not_run_has_options_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    """A command that a test cannot run still names verbs and options of this version."""
    helps: dict[str, str] = {}
    for block in ALL:
        if block.reason is None or block.language not in ("sh", "console"):
            continue
        lines = [command for command, _ in commands(block)] if block.language == "console" else block.text.splitlines()
        for line in "\n".join(lines).replace("\\\n", " ").splitlines():
            for given in re.findall(r"(?:^|\s)wattscribe ([^|;&#]+)", line):
                verb = given.split()[:2] if given.split()[0] in ("data", "fleet", "meters") else given.split()[:1]
                verb = [word for word in verb if word.isalpha()]
                if " ".join(verb) not in helps:
                    assert main([*verb, "--help"]) == 0, f"{block}: {given}"
                    helps[" ".join(verb)] = capsys.readouterr().out
                for option in OPTION.findall(given):
                    assert re.search(rf"{option}\b", helps[" ".join(verb)]), f"{block}: {given}: there is no {option}"


def test_files_that_are_shown_are_whole() -> None:
    for block in ALL:
        if block.language == "toml":
            tomllib.loads(block.text)
        elif block.language == "json":
            assert all(json.loads(line) for line in block.text.splitlines())


def test_output_is_compared_without_its_figures(tmp_path: Path) -> None:
    block = Block(page="p", line=1, language="console", text="")
    printed = "| model | J |\n|-------|---|\n| a     | 3.2 [1, 5] |\n3 done\n"
    compare(block, ["| model | J |", "| a | 41 [3, 7e2] |", "…", "4 done"], printed)
    compare(block, ["| model…"], printed)
    for shown in (["| b | 3.2 [1, 5] |"], ["3 done", "| model | J |"]):
        with pytest.raises(AssertionError, match="not printed"):
            compare(block, shown, printed)
    assert stable("energy -91.1 % (modelled)") == stable("energy +3 % (modelled)") == "energy modelled"


def test_a_failing_command_is_a_failing_page(given: Given, tmp_path: Path) -> None:
    session = Page(tmp_path, given.cache, given)
    text = "```console\n$ wattscribe devices none\n```\n\n```console\n$ true\nwattscribe devices: no such\n```"
    for block in blocks("p", text):
        with pytest.raises(AssertionError, match="p:"):
            session.go(block, None)


@pytest.mark.parametrize(
    "text", ["```sh\ntrue", "<!-- not run because -->\n```sh\n```", "<!-- not run: a long reason -->\ntext\n```sh\n```"]
)
def test_a_mark_that_does_not_hold_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"p:\d"):
        list(blocks("p", text))
