"""The reference pages: verbs as `--help` says them, functions by their docstrings, devices as the program prints them."""

from __future__ import annotations

import contextlib
import io
import os
from importlib import import_module

from cyclopts import Parameter

import wattscribe
from wattscribe.cli import VERBS, main
from wattscribe.cli.flags import flag_name
from wattscribe.energy import devices

FOLDER = "reference/"
VERBS_PAGE = f"{FOLDER}verbs.md"
COLUMNS = "110"
"""Of what is printed."""
METERS = ("wattscribe.metering", "wattscribe.metering.window")
TESTING = ("wattscribe.testing",)


def pages() -> dict[str, str]:
    """Path in the site → Markdown."""
    return {
        VERBS_PAGE: verbs_page(),
        **{verb_path(verb): verb_page(verb) for verb in VERBS},
        f"{FOLDER}functions.md": functions_page(),
        f"{FOLDER}meter-classes.md": classes_page("Meters from Python", METERS),
        f"{FOLDER}testing.md": classes_page("For tests of your own", TESTING),
        f"{FOLDER}device-profiles.md": devices_page(),
    }


def verb_path(verb: str) -> str:
    return f"{FOLDER}{verb}.md"


def verbs_page() -> str:
    rows = "\n".join(f"| [`{verb}`]({verb}.md) | {line} |" for verb, line in VERBS.items())
    lead = "`wattscribe VERB [options]`; in a terminal `wattscribe VERB --help` says the same as these pages."
    return f"# Verbs\n\n{lead}\n\n| verb | |\n|---|---|\n{rows}\n"


def verb_page(verb: str) -> str:
    """What `--help` says, under the names of flags that the command line has."""
    app = import_module(f"wattscribe.cli.{verb}").app
    before, app.default_parameter = app.default_parameter, Parameter(name_transform=flag_name)
    try:
        text = str(app.generate_docs())
    finally:
        app.default_parameter = before
    text = text.replace(
        f"wattscribe {verb} {verb}", f"wattscribe {verb}"
    )  # the library names what runs without a command twice
    return text.replace(f"# wattscribe {verb}\n", f"# `wattscribe {verb}`\n", 1)


def functions_page() -> str:
    text = (
        "# Functions\n\nThe verbs as functions of `wattscribe`, with examples on the page [From Python](../api.md).\n\n"
    )
    return text + "\n\n".join(f"::: wattscribe.{name}" for name in wattscribe.__all__) + "\n"


def classes_page(title: str, modules: tuple[str, ...]) -> str:
    """The public names of modules."""
    text = f"# {title}\n"
    for module in modules:
        names = sorted(import_module(module).__all__)
        options = f"    options:\n      members: {names}\n      show_root_heading: false\n      heading_level: 3"
        text += f"\n## `{module}`\n\n::: {module}\n{options}\n"
    return text


def devices_page() -> str:
    lead = "As `wattscribe devices NAME` prints them; what the constants mean: [device profiles](../devices.md)."
    text = f"# Shipped device profiles\n\n{lead}\n"
    for name in devices.names():
        text += f"\n## {name}\n\n```text\n{printed(['devices', name])}\n```\n"
    return text


def printed(arguments: list[str]) -> str:
    """What a verb prints. Raises RuntimeError where it fails."""
    out, before = io.StringIO(), os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = COLUMNS
    try:
        with contextlib.redirect_stdout(out):
            status = main(arguments)
    finally:
        os.environ.pop("COLUMNS") if before is None else os.environ.update(COLUMNS=before)
    if status != 0:
        raise RuntimeError(f"wattscribe {' '.join(arguments)}: exit status {status}")
    return out.getvalue().rstrip()
