"""Which configurations enter a race that has no place for all: Optuna's tree-structured Parzen estimator, under the limits."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

from wattscribe.as_found import as_found
from wattscribe.errors import MissingExtraError
from wattscribe.results.tuned import TuningLimits
from wattscribe.tuning.chances import overshoot
from wattscribe.tuning.observed import Observed
from wattscribe.tuning.space import Configuration

ABSENT = "–"
"""Of an axis that this configuration does not have."""
MISSES = 10
"""Combinations in a row that are not in the space, or are known, before the rest is drawn at random: each takes milliseconds."""
OVERSHOOT = "overshoot"


class OptunaSampler:
    """Asks Optuna for axis after axis of a configuration, and tells it costs as logarithms with limits as constraints.

    Its state is what it was told: asked and told the same in the same order, it answers the same, so nothing of it is kept.
    """

    def __init__(self, configurations: Sequence[Configuration], limits: TuningLimits, *, seed: int) -> None:
        try:
            import optuna
        except ImportError as error:
            raise MissingExtraError(
                "optuna", "tune", needed_for="a space with more configurations than its budget"
            ) from error
        self._optuna = optuna
        self._limits = limits
        self._order = random.Random(seed)
        self._unseen = {each.key: each for each in configurations}
        self._by_axes = {tuple(sorted(each.axes.items())): each for each in configurations}
        self._choices = _choices(configurations)
        self._asked: dict[str, Any] = {}
        with as_found():  # Optuna is here now, and would tell of every trial
            self._study = optuna.create_study(
                sampler=optuna.samplers.TPESampler(
                    seed=seed, multivariate=True, group=True, constraints_func=_constraints, n_startup_trials=10
                )
            )

    def ask(self, count: int) -> list[Configuration]:
        """So many that have not been asked for yet, or all that are left."""
        chosen: list[Configuration] = []
        with as_found():
            misses = 0
            while len(chosen) < count and self._unseen and misses < MISSES:
                trial = self._study.ask()
                one = self._by_axes.get(tuple(sorted(self._suggested(trial).items())))
                if one is None or one.key not in self._unseen:
                    self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
                    misses += 1
                    continue
                misses = 0
                chosen.append(self._unseen.pop(one.key))
                self._asked[one.key] = trial
        rest = sorted(self._unseen)
        self._order.shuffle(rest)
        return chosen + [self._unseen.pop(key) for key in rest[: count - len(chosen)]]

    def tell(self, seen: Mapping[str, Observed | str]) -> None:
        """What a stage showed; one that failed or has no cost yet teaches nothing."""
        with as_found():
            for key, one in seen.items():
                if (trial := self._asked.pop(key, None)) is None:
                    continue
                if isinstance(one, str) or not one.rate:
                    self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
                    continue
                trial.set_user_attr(OVERSHOOT, min(1e9, overshoot(one, self._limits)) - 1.0)
                self._study.tell(trial, math.log(one.rate))

    def _suggested(self, trial: Any) -> dict[str, str]:
        model = trial.suggest_categorical("model", list(self._choices))
        axes = {"model": model}
        for axis, values in self._choices[model].items():
            value = trial.suggest_categorical(f"{model} {axis}", values)
            if value != ABSENT:
                axes[axis] = value
        return axes


def _constraints(trial: Any) -> tuple[float, ...]:
    return (trial.user_attrs.get(OVERSHOOT, 0.0),)


def _choices(configurations: Sequence[Configuration]) -> dict[str, dict[str, list[str]]]:
    """Per model the values of each axis that its configurations have."""
    choices: dict[str, dict[str, list[str]]] = {}
    for model in dict.fromkeys(each.axes["model"] for each in configurations):
        mine = [each.axes for each in configurations if each.axes["model"] == model]
        names = dict.fromkeys(name for axes in mine for name in axes if name != "model")
        choices[model] = {name: list(dict.fromkeys(axes.get(name, ABSENT) for axes in mine)) for name in names}
    return choices
