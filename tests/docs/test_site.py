"""The documentation site: every page is in it, links lead where they do on the forge, and the reference is the program's own."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from wattscribe.cli import VERBS, main

ROOT = Path(__file__).parents[2]
CONFIGURATION = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
NAVIGATION = set(re.findall(r"^ +- (\S+\.md)", CONFIGURATION.split("\nnav:\n")[1], re.MULTILINE))
PAGES = sorted(path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md"))


@pytest.fixture(scope="module")
def site() -> dict[str, ModuleType]:
    """Its modules, which lie in a folder that is no package."""
    sys.path.insert(0, str(ROOT / "scripts/site"))
    try:
        names = {"links": "links", "forge": "markdown_of_forge", "reference": "reference"}
        return {short: import_module(name) for short, name in names.items()}
    finally:
        sys.path.pop(0)


def test_every_page_is_in_the_navigation(site: dict[str, ModuleType]) -> None:
    decisions = {page for page in PAGES if re.match(r"decisions/\d", page)}
    assert {*PAGES} - decisions <= NAVIGATION, "name the new page in mkdocs.yml"
    made = site["reference"].pages()
    there = {*PAGES, *made, "index.md", "CONTRIBUTING.md", "CHANGELOG.md"}
    assert there >= NAVIGATION
    assert made.keys() - NAVIGATION == {f"reference/{verb}.md" for verb in VERBS}, "added while building, one per verb"


def test_every_decision_is_in_their_index() -> None:
    index = (ROOT / "docs/decisions/README.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| \[(\d+)\]\((\S+)\) \| (.+) \|$", index)
    files = sorted(path.name for path in (ROOT / "docs/decisions").glob("[0-9]*.md"))
    assert [name for _, name, _ in rows] == files
    for number, name, title in rows:
        heading = (ROOT / "docs/decisions" / name).read_text(encoding="utf-8").splitlines()[0]
        assert heading.startswith(f"# {number}")
        assert heading.endswith(title)


def test_every_link_leads_to_a_file(site: dict[str, ModuleType]) -> None:
    turned = 0
    for page in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", *(f"docs/{page}" for page in PAGES)):
        text = (ROOT / page).read_text(encoding="utf-8")
        turned += len(site["links"].links(text))
        site["links"].turned(text, page)  # ValueError for one that leads nowhere
    assert turned > 150


@pytest.mark.parametrize(
    ("page", "link", "there"),
    [
        ("README.md", "docs/bench.md#a", "bench.md#a"),
        ("docs/bench.md", "../README.md", "index.md"),
        ("docs/boards/mac.md", "../meters.md", "../meters.md"),
        ("docs/whisper.md", "../benchmarks/results/whisper.md", "benchmarks/results/whisper.md"),
        ("docs/decisions/027-bits-by-sensitivity.md", "../compress.md", "../compress.md"),
        ("CONTRIBUTING.md", "docs/decisions", "decisions/README.md"),
        ("docs/api.md", "#below", "#below"),
        ("docs/api.md", "https://example.org/a.md", "https://example.org/a.md"),
    ],
)
def test_links_are_turned_to_where_their_target_stands(
    page: str, link: str, there: str, site: dict[str, ModuleType]
) -> None:
    assert site["links"].turned(f"see [this]({link}).", page) == f"see [this]({there})."
    shown = f"`[this]({link})`\n```text\n[this]({link})\n```\n"
    assert site["links"].turned(shown, page) == shown


def test_a_link_that_leads_nowhere_is_named(site: dict[str, ModuleType]) -> None:
    with pytest.raises(ValueError, match=r"docs/bench.md: there is no docs/none.md"):
        site["links"].turned("[a](none.md)", "docs/bench.md")


@pytest.mark.parametrize(
    ("text", "there"),
    [
        ("a:\n- b\n- c\n  d\n", "a:\n\n- b\n- c\n  d\n"),
        ("a\n1. b\n", "a\n\n1. b\n"),
        ("a\n| b | c |\n|---|---|\n", "a\n\n| b | c |\n|---|---|\n"),
        ("- a\n  - b\n", "- a\n    - b\n"),
        ("```text\na\n- b\n```\n", "```text\na\n- b\n```\n"),
        ("# a\n- b\n", "# a\n- b\n"),
    ],
)
def test_what_forges_read_as_a_list_or_a_table_is_one(text: str, there: str, site: dict[str, ModuleType]) -> None:
    assert site["forge"].adapted(text) == there
    assert site["forge"].adapted(there) == there


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_s_page_has_the_options_of_its_help(
    verb: str, site: dict[str, ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    page = site["reference"].verb_page(verb)
    assert page.startswith(f"# `wattscribe {verb}`\n")
    assert f"wattscribe {verb} {verb}" not in page
    assert main([verb, "--help"]) == 0
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", capsys.readouterr().out)) - {"--help", "--version"}
    assert options <= set(re.findall(r"--[a-z][a-z-]+", page))


def test_the_reference_names_every_function_and_device(site: dict[str, ModuleType]) -> None:
    import wattscribe

    made = site["reference"].pages()
    for name in wattscribe.__all__:
        assert f"::: wattscribe.{name}\n" in made["reference/functions.md"]
    for name in wattscribe.devices():
        assert f"## {name}\n" in made["reference/device-profiles.md"]
    assert "pJ/B" in made["reference/device-profiles.md"]


def test_the_site_asks_no_other_server() -> None:
    assert "font: false" in CONFIGURATION
    assert not re.search(r"https?://|cdn|- offline", CONFIGURATION.replace("http.server", ""))
