"""One self-contained page: template, styles, scripts and plotly inlined once, no network; every text escaped.

`render(title, sections)` is what the run's, the profile's and the compression's pages share. A section holds blocks: words,
tables, figures, or HTML that its maker has already escaped (Markup).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from wattscribe import __version__
from wattscribe.records import finite
from wattscribe.results.words import right_to_left

TRACES = frozenset({"bar", "heatmap", "scatter", "waterfall"})
"""Kinds that `plotly/plotly.min.js` draws."""
NUMBERS = frozenset({int, float, bool, type(None)})
"""Kinds of values without a text in them."""
LINES_SHOWN = 12
"""Of a list of sentences; the rest is folded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One table cell: what is shown, what it sorts by (None: missing, sorted last), and whether it warns."""

    text: str
    sort: float | str | None = None
    note: str = ""
    """Smaller, under the text: an interval."""
    warn: bool = False
    title: str = ""
    """Shown on hovering."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A sortable table; columns named in `numeric` are aligned right."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    numeric: frozenset[int] = frozenset()
    titles: Mapping[int, str] = field(default_factory=dict)
    """Explanations of header cells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A plotly figure as plain data, with what it shows in words for those who do not see it."""

    id: str
    """Unique in the page; letters, digits, hyphens."""
    title: str
    description: str
    traces: Sequence[Mapping[str, Any]]
    layout: Mapping[str, Any]
    height_px: int = 400
    wide: bool = False
    """Takes the whole width where others stand two in a row."""
    apart: str = ""
    """What tells it from another figure with the same title: added to the title where there is one."""

    def __post_init__(self) -> None:
        """Raises ValueError for a kind of trace that the shipped plotly.js lacks: it would be drawn as a line."""
        if unknown := {trace.get("type", "scatter") for trace in self.traces} - TRACES:
            raise ValueError(f"figure {self.id}: scripts/plotly builds no {', '.join(sorted(unknown))}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Several figures of which one is shown at a time, chosen from a list by its title."""

    id: str
    label: str
    figures: Sequence[Figure]


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A paragraph, or a list where there are several; `tone` colours it: plain, good, warn."""

    lines: Sequence[str]
    tone: str = "plain"
    as_list: bool = False


Block = Words | Table | Figure | Choice | Markup


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """Of a page that is served while its run goes on: the state that it shows, in words too."""

    version: str
    text: str

    @property
    def script(self) -> Markup:
        """Asks the server whether there is another state, and then loads the page anew."""
        return _inline("watch.js")


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading with blocks; `id` is its anchor."""

    id: str
    title: str
    blocks: Sequence[Block]
    lead: str = ""


def render(
    title: str,
    sections: Sequence[Section],
    *,
    subtitle: str = "",
    tiles: Sequence[tuple[str, str, str]] = (),
    watched: Watched | None = None,
) -> str:
    """The whole page as HTML. `tiles` are (figure, unit or name, note) shown large at the top; `watched`: it is served."""
    shown = [section for section in sections if section.blocks]
    figures = [figure for section in shown for figure in _figures(section)]
    template = _environment().get_template("page.html")
    return template.render(
        title=title,
        subtitle=subtitle,
        tiles=tiles,
        sections=shown,
        runs=_runs,
        lines_shown=LINES_SHOWN,
        titles=_titles(figures),
        data=embedded({figure.id: harmless({"data": figure.traces, "layout": figure.layout}) for figure in figures}),
        style=_inline("page.css"),
        script=_inline("page.js"),
        plotly=_plotly() if figures else "",
        version=__version__,
        watched=watched,
    )


def fragment(
    title: str, blocks: Sequence[Words | Table], *, subtitle: str = "", tiles: Sequence[tuple[str, str, str]] = ()
) -> str:
    """Words and tables for inside another page, with the few styles that they need and no script."""
    template = _environment().get_template("fragment.html")
    return template.render(title=title, subtitle=subtitle, tiles=tiles, blocks=blocks)


def embedded(value: Any) -> Markup:
    """JSON that may stand inside a script element: nothing in it can end the element or open a comment."""
    try:
        text = _compact(value)
    except ValueError:  # a figure that is not finite: rare, and looking for it takes longer than all else here
        text = _compact(finite(value))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def _runs(blocks: Sequence[Block]) -> list[tuple[str, list[Block]]]:
    """Blocks with their kind; figures that follow one another come together, to be laid out side by side."""
    runs: list[tuple[str, list[Block]]] = []
    for block in blocks:
        kind = "markup" if isinstance(block, Markup) else type(block).__name__.lower()
        if kind == "figure" and runs and runs[-1][0] == "figure":
            runs[-1][1].append(block)
        else:
            runs.append((kind, [block]))
    return runs


def harmless(value: Any) -> Any:
    """The same data with angle brackets in every text replaced: plotly reads a few tags in labels. `<br>` stays."""
    if isinstance(value, str):
        lines = value.split("<br>")
        return "<br>".join(line.replace("<", "‹").replace(">", "›") for line in lines)
    if isinstance(value, Mapping):
        return {key: harmless(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return list(value) if NUMBERS.issuperset(map(type, value)) else [harmless(item) for item in value]
    return value


def _figures(section: Section) -> list[Figure]:
    figures: list[Figure] = []
    for block in section.blocks:
        if isinstance(block, Figure):
            figures.append(block)
        elif isinstance(block, Choice):
            figures.extend(block.figures)
    return figures


def _titles(figures: Sequence[Figure]) -> dict[str, str]:
    """Title by id, no two alike: with what tells them apart where two are, with a number where nothing does."""
    plain = Counter(figure.title for figure in figures)
    longer = [
        f"{figure.title} ({figure.apart})" if plain[figure.title] > 1 and figure.apart else figure.title
        for figure in figures
    ]
    seen: Counter[str] = Counter()
    titles: dict[str, str] = {}
    for figure, title in zip(figures, longer, strict=True):
        seen[title] += 1
        titles[figure.id] = f"{title}, no. {seen[title]}" if longer.count(title) > 1 else title
    return titles


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("wattscribe.pages", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["rtl"] = right_to_left
    return environment


def _inline(name: str) -> Markup:
    """Our own file from the package; it is part of the page's code and not escaped."""
    return Markup((files("wattscribe.pages") / "templates" / name).read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def _plotly() -> Markup:
    """plotly.js with the kinds of traces that the pages draw (1.2 MB); `scripts/plotly` builds the file."""
    text = (files("wattscribe.pages") / "plotly" / "plotly.min.js").read_text(encoding="utf-8")
    return Markup(text.replace("</script", "<\\/script"))
