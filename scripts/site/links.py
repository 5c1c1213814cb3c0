"""Links of pages: from file to file of the repository, as a forge follows them, and where these files stand in the site."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
HOME = "index.md"
LINK = re.compile(r"(?<!\\)(!?\[[^\]]*\]\()([^)\s]+)(\))")
CODE = re.compile(r"(?ms)^```.*?^```|`[^`\n]+`")


def site_path(path: str) -> str:
    """Where a file of the repository stands in the site."""
    return HOME if path == "README.md" else path.removeprefix("docs/")


def repository_path(path: str) -> str:
    """The reverse of `site_path` for a page that is there."""
    if path == HOME:
        return "README.md"
    return f"docs/{path}" if (ROOT / "docs" / path).is_file() else path


def links(text: str) -> list[re.Match[str]]:
    """Links to files of the repository, outside blocks of code."""
    code = [found.span() for found in CODE.finditer(text)]
    return [
        link
        for link in LINK.finditer(text)
        if not re.match(r"[a-z]+:|#", link[2]) and not any(start <= link.start() < end for start, end in code)
    ]


def target(link: str, page: str) -> tuple[str, str]:
    """The file that a link of the page (both relative to the root) means, of a folder its README; and its anchor."""
    path, _, anchor = link.partition("#")
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page), path))
    return (f"{path}/README.md" if (ROOT / path).is_dir() else path), anchor


def turned(text: str, page: str) -> str:
    """The page's text with its links as they are in the site. Raises ValueError for one that leads nowhere."""
    here = posixpath.dirname(site_path(page))
    for link in reversed(links(text)):
        path, anchor = target(link[2], page)
        if not (ROOT / path).is_file():
            raise ValueError(f"{page}: there is no {path}")
        there = posixpath.relpath(site_path(path), here or ".") + (f"#{anchor}" if anchor else "")
        text = text[: link.start()] + link[1] + there + link[3] + text[link.end() :]
    return text


def outside(pages: dict[str, str]) -> set[str]:
    """Files beyond docs/ that pages (path → text) link to, and that these link to in turn."""
    found: set[str] = set()
    waiting = list(pages.items())
    while waiting:
        page, text = waiting.pop()
        for link in links(text):
            path, _ = target(link[2], page)
            if path in found or path.startswith("docs/") or path == "README.md" or not (ROOT / path).is_file():
                continue
            found.add(path)
            if path.endswith(".md"):
                waiting.append((path, (ROOT / path).read_text(encoding="utf-8")))
    return found
