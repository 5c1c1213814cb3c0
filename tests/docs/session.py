"""A page's blocks, run one after the other in one folder, as a reader would."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.docs.blocks import ROOT, Block, commands

TIMEOUT_S = 600.0
"""Of one command, on a machine that may be busy."""
ERROR = re.compile(r"wattscribe( \w+)*: ")
"""A command whose shown output begins so is one that fails."""
LEFT_OUT = "…"


class Page:
    """Runs blocks of one page in `folder`. Every difference is an AssertionError that names the block."""

    def __init__(self, folder: Path, cache: Path, give: Callable[[str, Path], None]) -> None:
        self.folder, self.give = folder, give
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.printed = ""
        """What the last block that was run printed, for a `text` block behind it."""
        self.environment = environment(cache)
        for name in ("benchmarks", "recipes"):
            (folder / name).symlink_to(ROOT / name)

    def go(self, block: Block, after: Block | None) -> None:
        for name in block.given:
            self.give(name, self.folder)
        if block.file is not None:
            path = self.folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text + "\n", encoding="utf-8")
        elif block.language == "console" and block.is_run:
            for command, shown in commands(block):
                self.printed = self.run(block, command, fails=any(ERROR.match(line) for line in shown))
                compare(block, shown, self.printed)
        elif block.language == "sh" and block.is_run:
            self.printed = self.run(block, "set -e\n" + block.text)
        elif block.language == "python" and block.is_run:
            self.printed = self.execute(block)
        elif (
            block.language == "text"
            and block.reason is None
            and after is not None
            and after.is_run
            and near(after, block)
        ):
            compare(block, block.text.splitlines(), self.printed)

    def run(self, block: Block, command: str, *, fails: bool = False) -> str:
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=self.environment, capture_output=True, text=True,
            timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
        assert (done.returncode != 0) == fails, f"{block}: {command}\n{done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def execute(self, block: Block) -> str:
        """In this process, whose working directory the test has set: what a page imports is there already."""
        out = io.StringIO()
        try:
            with contextlib.redirect_stdout(out):
                exec(compile(block.text, str(block), "exec"), self.names)
        except Exception as error:
            raise AssertionError(f"{block}: {traceback.format_exc()}") from error
        return out.getvalue()


def near(before: Block, block: Block) -> bool:
    """Whether nothing but a blank line stands between two blocks: then the second is the first one's output."""
    closing = before.line + before.text.count("\n") + 2
    return block.line - closing <= 2


def environment(cache: Path) -> Mapping[str, str]:
    """The command of this environment, this checkout's source, and graphs that are prepared once for all pages."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    source = os.pathsep.join((str(ROOT / "src"), str(ROOT)))
    return {**os.environ, "PATH": path, "PYTHONPATH": source, "WATTSCRIBE_GRAPH_CACHE": str(cache), "COLUMNS": "120"}


def compare(block: Block, shown: list[str], printed: str) -> None:
    """Each shown line was printed, in this order, figures aside; `…` stands for lines, or for the rest of one."""
    lines = iter([stable(line) for line in printed.splitlines()])
    for line in shown:
        wanted = stable(line)
        if not wanted or wanted == LEFT_OUT:
            continue
        pattern = re.compile(".*".join(re.escape(part) for part in wanted.split(LEFT_OUT)))
        assert any(pattern.fullmatch(candidate) for candidate in lines), (
            f"{block}: this line is not printed (at this place):\n{line}\nPrinted:\n{printed}"
        )


def stable(line: str) -> str:
    """A line without figures, rules and blanks, which time, machine and width decide."""
    line = re.sub(r"[-+−]?\d[\d.,]*(e[-+]?\d+)?", "#", line)
    line = re.sub(r"[-|\s]+", " ", line)
    return re.sub(r"[#\s()\[\]–,%]+", " ", line).strip()
