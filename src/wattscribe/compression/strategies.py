"""What a strategy is: it walks a workbench and answers with the steps that it would keep (`targeted`, `levels`, `search`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from wattscribe.compression.moves import Move
from wattscribe.compression.recipe import Done
from wattscribe.compression.step import Step
from wattscribe.compression.workbench import Workbench

LEAST_SAVING = 0.001
"""Of the energy: a move that saves less is not worth an operator."""
LEAST_KL = 1e-6
"""Divergences below this are not told apart."""
MOST_KL = 0.1
"""Nat per frame: beyond this a recognizer no longer hears the same language; not worth a decode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensitivity:
    """What one move does by itself, after the lossless levers."""

    move: Move
    saved_mj: float
    kl: float

    @property
    def ratio(self) -> float:
        """Millijoules saved per nat of divergence."""
        return self.saved_mj / max(self.kl, LEAST_KL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a strategy did: the steps in order, kept ones and reverted ones, and what it measured before."""

    strategy: str
    done: tuple[Done, ...]
    sensitivities: tuple[Sensitivity, ...] = ()
    notes: tuple[str, ...] = ()
    """What whoever reads the result should know."""
    fallbacks: tuple[tuple[Done, ...], ...] = ()
    """Weaker recipes that held as well, kept steps only, the strongest first: should held-back speech not confirm it."""

    @property
    def steps(self) -> tuple[Step, ...]:
        return tuple(entry.step for entry in self.done if entry.kept)


class Strategy(Protocol):
    """A way through the recipes."""

    name: str

    def run(self, bench: Workbench, lossless: Sequence[Done]) -> Outcome:
        """Steps after the lossless ones, which are done already."""
        ...


def kept(done: Sequence[Done]) -> tuple[Step, ...]:
    return tuple(entry.step for entry in done if entry.kept)


def stage(done: Sequence[Done], steps: Sequence[Step]) -> tuple[Done, ...]:
    """These steps, each as it went when it was kept last."""
    return tuple(next(entry for entry in reversed(done) if entry.kept and entry.step == step) for step in steps)


def arranged(done: Sequence[Done], steps: Sequence[Step]) -> tuple[Done, ...]:
    """The kept steps in the order in which they are carried out, then those that went or that a further choice replaced."""
    left = list(done)
    kept_steps: list[Done] = []
    for step in steps:
        place = max(i for i, entry in enumerate(left) if entry.kept and entry.step == step)
        kept_steps.append(left.pop(place))
    gone = [
        replace(entry, kept=False, reason=f"replaced by a further choice; it went: {entry.reason}")
        if entry.kept
        else entry
        for entry in left
    ]
    return (*kept_steps, *gone)
