"""Recipes weighed on other machines: what is sent there and how it is answered. Who carries it fills the seam `Workers`.

The study stays with whoever asks; a worker is sent one recipe at a time and has no storage. Model and speech are not sent: it
reads its own, as a fleet's board does, and digests tell whether they are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from wattscribe.compression.options import Options
from wattscribe.compression.step import Step
from wattscribe.compression.workbench import Workbench
from wattscribe.records import Counts

Q = TypeVar("Q")
A = TypeVar("A")


class Workers(Protocol):
    """Machines that answer questions."""

    def answer(
        self, function: Callable[[Q], A], ask: Callable[[], Q | None], told: Callable[[Q, A | None, str], None],
        check: Callable[[], None],
    ) -> None:  # fmt: skip
        """Have `function` answer all that `ask` gives until it gives None, on as many workers as there are.

        A question whose worker is lost goes to another. `told`: question, answer and by whom; no answer where the question
        took down every worker that had it. `check` is called often and may raise, which ends it.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """What a search knows of a recipe before it is decoded."""

    energy_mj: float = 0.0
    kl: float = 0.0
    size_bytes: int = 0
    pruned: str | None = None
    """Why it is not worth more."""
    refused: str | None = None
    """Why this machine cannot answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """From which a worker makes the bench that the search has."""

    model: str
    options: Options
    digest: str
    """Of all that an answer depends on."""
    counts: Mapping[Any, tuple[tuple[Counts, ...], float]]
    """What decoding the development set by the original counted, which no worker does again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A recipe, as a worker is sent it."""

    material: Material
    base: tuple[Step, ...]
    steps: tuple[Step, ...]
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """Who weighs the recipes of a search, by which function there, and what is sent with each."""

    workers: Workers
    weigh: Callable[[Question], Weighed]
    material: Callable[[Workbench, str, Any], Material]
    """Of the bench, the model's name and the options."""
