"""One format of a run to a file, or as text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wattscribe.errors import InputError
from wattscribe.records import RunFacts
from wattscribe.report.formats import FORMATS, to_csv, to_json, to_markdown, to_parquet

if TYPE_CHECKING:
    from wattscribe.report.findings import Limits


def write(facts: RunFacts, kind: str, path: Path | None, *, limits: Limits | None = None) -> str | None:
    """Write to `path`, or return the text where there is none. Raises InputError where the file cannot be written."""
    makers = {"md": to_markdown, "csv": to_csv, "json": to_json}
    if kind not in FORMATS:
        raise InputError(f"there is no format {kind!r}", fix=f"Choose one of: {', '.join(FORMATS)}")
    if path is None:
        if kind not in makers:
            raise InputError(f"{kind} is not printed", fix=f"Give a file: --out report.{kind}")
        return makers[kind](facts)
    try:
        if kind == "html":
            from wattscribe.report.run_page import write_run_page

            write_run_page(facts, path, limits=limits)
        elif kind == "parquet":
            to_parquet(facts, path)
        else:
            path.write_text(makers[kind](facts), encoding="utf-8")
    except OSError as error:
        fix = "Choose another file with --out"
        raise InputError(f"the report cannot be written: {error.strerror or error}", where=path, fix=fix) from error
    return None
