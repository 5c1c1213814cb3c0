"""mkdocs → the documentation site, of the pages as the forge shows them: README and docs/ stay where they are, links and all.

A page's links are those of the repository; here each is turned to where its target stands in the site. What they name outside
docs/ (the changelog, results of benchmarks) becomes part of the site. The reference is made from the program itself, so it cannot
say anything else than `--help` and the docstrings do: `reference.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2] / "src")]
import reference  # noqa: E402, I001 - this folder is no package: mkdocs loads this file by its path
from links import HOME, ROOT, outside, repository_path, turned  # noqa: E402
from markdown_of_forge import adapted  # noqa: E402

BESIDE = ("CONTRIBUTING.md", "CHANGELOG.md")
"""Pages of the site that stand in the root."""


def on_config(config: Any) -> Any:
    for part in config.nav:
        for pages in part.values() if isinstance(part, dict) else ():
            if reference.VERBS_PAGE in pages:
                at = pages.index(reference.VERBS_PAGE) + 1
                pages[at:at] = map(reference.verb_path, reference.VERBS)
    return config


def on_files(files: Files, config: Any) -> Files:
    pages = {f"docs/{file.src_uri}": file.content_string for file in files if file.is_documentation_page()}
    for path in ("README.md", *BESIDE):
        pages[path] = (ROOT / path).read_text(encoding="utf-8")
    files.append(File.generated(config, HOME, content=pages["README.md"]))
    for path in sorted({*outside(pages), *BESIDE}):
        files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
    for path, text in reference.pages().items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    path = page.file.src_uri
    if path.startswith(reference.FOLDER):
        return markdown
    try:
        return adapted(turned(markdown, repository_path(path)))
    except ValueError as error:
        raise PluginError(str(error)) from error
