"""Lossless steps that a strategy chose among lossy ones: the text with and without each, on the whole development set.

Those that are offered before any strategy are proven there (`Workbench.lossless`), those of a recipe where it is carried out.
"""

from __future__ import annotations

from dataclasses import replace

from wattscribe.compression.levers import LEVERS
from wattscribe.compression.recipe import Done
from wattscribe.compression.step import Step
from wattscribe.compression.strategies import Outcome
from wattscribe.compression.workbench import Workbench
from wattscribe.records import Counts

SAME = "identical"
"""Of a step's numbers: utterances whose text is the same; who has it is proven already."""


def with_proofs(bench: Workbench, made: Outcome) -> Outcome:
    """The outcome, each such step with what was counted. One that changes a text stays, called lossy: its harm was judged."""
    steps = list(made.steps)
    done, notes, place = [], list(made.notes), 0
    for each in made.done:
        if each.kept:
            place += 1
            if LEVERS[each.step.lever].lossless and SAME not in each.numbers:
                each = _proven(bench, each, steps[: place - 1], steps[place:])
                bench.say(f"{each.step}: {each.reason}")
                if each.numbers[SAME] != len(bench.whole):
                    notes.append(f"{each.step}: {each.reason}.")
        done.append(each)
    return replace(made, done=tuple(done), notes=tuple(notes))


def _proven(bench: Workbench, each: Done, before: list[Step], behind: list[Step]) -> Done:
    """In the recipe as it ended, all that follows included."""
    with_it, without = bench.build([*before, each.step, *behind]), bench.build([*before, *behind])
    same, whole = bench.identical(without, with_it), len(bench.whole)
    said = sum((one.total for one in bench.decoded(with_it)), Counts())
    proof = f"text of {same} of {whole} utterances identical with and without it ({said.tokens} tokens)"
    numbers = {**each.numbers, SAME: same, "tokens": said.tokens, "vocabulary_rows": said.vocabulary_rows}
    own = LEVERS[each.step.lever].numbers
    if own is not None:
        numbers |= own(bench.build(before), bench.build([*before, each.step]), each.step)
    reason = f"{each.reason}; {proof}" if same == whole else f"not lossless here: {proof}; {each.reason}"
    return replace(each, reason=reason, numbers=numbers)


__all__ = ["with_proofs"]
