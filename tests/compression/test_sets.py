"""What a development set can show, how it is parted, and how close to the limit a choice may go."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from wattscribe.compression import confirm, sets
from wattscribe.compression.held import Held, divided
from wattscribe.compression.recipe import Done
from wattscribe.compression.speech import SpeechSet
from wattscribe.compression.step import Step
from wattscribe.compression.strategies import Outcome
from wattscribe.errors import InputError
from wattscribe.scoring import count_errors

SAID = "a cat sat on the mat and saw it run"
LIMIT = 0.003


def speech(utterances: int, speakers: int, name: str = "dev") -> SpeechSet:
    """Ten words an utterance, each with a sound of its own."""
    ids = tuple(f"{name}{n}" for n in range(utterances))
    audio = tuple(np.full(16, n, np.float32) for n in range(utterances))
    who = tuple(f"s{n % speakers}" for n in range(utterances))
    return SpeechSet(name=name, ids=ids, speakers=who, references=(SAID,) * utterances, audio=audio)


# --- what can be shown -------------------------------------------------------------------------------------------------
def test_tiny_sets_are_refused_with_the_number_of_words_that_it_takes() -> None:
    with pytest.raises(
        InputError, match=r"`data` dev: 50 words cannot show a rise of 0.3 points.*it takes about 998.*`limit` N"
    ):
        sets.refuse(speech(5, 5), "`data`", LIMIT)
    sets.refuse(speech(100, 5), "`data`", LIMIT)
    sets.refuse(speech(5, 5), "`data`", LIMIT, anyway=True)
    sets.refuse(speech(5, 5), "--data", 0.0)


def test_a_set_that_the_model_does_not_understand_is_refused_however_large() -> None:
    for wer in (0.8, 1.0, 1.7):
        with pytest.raises(InputError, match=rf"WER is {100 * wer:.0f} %.*no number of words.*about 998 words of it"):
            sets.refuse(speech(200, 5), "`data`", LIMIT, wer=wer)
    sets.refuse(speech(200, 5), "`data`", LIMIT, wer=0.79)


# --- two parts -----------------------------------------------------------------------------------------------------------
def test_whole_speakers_are_held_back_where_there_are_four() -> None:
    held = divided(speech(120, 6), LIMIT, seed=1)
    assert held is not None
    assert held.by == "speaker"
    assert not set(held.choose.speakers) & set(held.confirm.speakers)
    assert len(held.confirm) == 40
    assert set(held.choose.ids) | set(held.confirm.ids) == set(held.whole.ids)
    both = held.choose.ids + held.confirm.ids
    assert tuple(both[at] for at in held.order) == held.whole.ids
    again = divided(speech(120, 6), LIMIT, seed=1)
    assert again is not None
    assert again.confirm.ids == held.confirm.ids
    others = [divided(speech(120, 6), LIMIT, seed=seed) for seed in range(2, 6)]
    assert any(other is not None and other.confirm.ids != held.confirm.ids for other in others)


def test_of_four_speakers_one_is_held_back() -> None:
    held = divided(speech(160, 4), LIMIT)
    assert held is not None
    assert (held.by, len(held.confirm), len(set(held.confirm.speakers))) == ("speaker", 40, 1)


def test_utterances_are_held_back_of_few_speakers_and_where_one_says_nearly_everything() -> None:
    held = divided(speech(120, 2), LIMIT)
    assert held is not None
    assert held.by == "utterance"
    assert len(held.confirm) == 40
    dev = speech(120, 1)
    uneven = SpeechSet(
        name="dev", ids=dev.ids, speakers=("a",) * 110 + tuple("bcdefghijk"), references=dev.references, audio=dev.audio
    )
    held = divided(uneven, LIMIT)
    assert held is not None
    assert held.by == "utterance"


def test_what_is_too_small_is_not_parted() -> None:
    assert divided(speech(20, 20), 0.2) is None, "six utterances confirm nothing"
    assert divided(speech(90, 20), LIMIT) is None, "one word of 300 is more than 0.3 points"
    assert divided(speech(120, 20), 0.0) is None


# --- margin --------------------------------------------------------------------------------------------------------------
class Bench:
    """What `sets.change` asks of a workbench: candidates are the texts that they say."""

    def __init__(self, dev: SpeechSet, held: Held | None = None) -> None:
        self.dev, self.small, self.held, self.limit = dev, dev.of(range(10), "small"), held, LIMIT
        self.whole = dev if held is None else held.whole
        self.original = self.reference = candidate(dev, 0)
        self.measurer: Any = SimpleNamespace(measure=self._measure)
        self.limits: dict[str, float] = {}
        self.family = SimpleNamespace(each_corpus=False)
        self.tried: list[Any] = []
        self.said: list[str] = []
        self.say = self.said.append

    def measure(self, wanted: Any, *, small: bool = False) -> Any:
        return self._measure(wanted, self.small if small else self.dev)

    @staticmethod
    def _measure(wanted: Any, on: SpeechSet) -> Any:
        errors = count_errors(on.references, [wanted.wrong.get(name, SAID) for name in on.ids])
        return SimpleNamespace(errors=errors, wer=float(errors.wer or 0.0))

    def build(self, steps: Any) -> Any:
        """The candidate that the steps' options name."""
        found = dict[str, str]()
        for step in steps:
            found.update(dict.fromkeys(str(step.options["wrong"]).split(","), SAID[:-4]))
        return SimpleNamespace(wrong=found, digest=str(sorted(found)))


def candidate(dev: SpeechSet, wrong: int) -> Any:
    """One that loses a word in so many utterances."""
    return SimpleNamespace(wrong=dict.fromkeys(dev.ids[:wrong], SAID[:-4]), digest=f"{wrong}")


def test_the_margin_shrinks_as_the_set_grows() -> None:
    found = [sets.change(Bench(dev), candidate(dev, len(dev) // 50)) for dev in (speech(100, 3), speech(1600, 3))]  # type: ignore[arg-type]
    assert [each.increase for each in found] == pytest.approx([0.002, 0.002])
    assert found[0].margin == pytest.approx(4 * found[1].margin, rel=0.02)
    assert found[0].margin == pytest.approx(0.67 * np.sqrt(2) / 1000, rel=0.02)
    assert found[1].holds
    within = found[0].increase < LIMIT
    assert within
    assert not sets.change(Bench(speech(100, 3)), candidate(speech(100, 3), 3)).holds  # type: ignore[arg-type]


def test_the_limit_is_said_as_it_was_asked_for_and_the_slack_beside_it() -> None:
    dev = speech(100, 3)
    found = sets.change(Bench(dev), candidate(dev, 2), small=True)  # type: ignore[arg-type]
    assert found.summary == "WER +2.00 points, the limit is 0.3 (slack 1 on 10 utterances)"
    assert not found.holds
    assert sets.change(Bench(dev), candidate(dev, 1), small=True).holds  # type: ignore[arg-type]
    whole = sets.change(Bench(dev), candidate(dev, 4))  # type: ignore[arg-type]
    assert (
        whole.summary
        == f"WER +0.40 points and a margin of {100 * whole.margin:.2f} for 100 utterances, the limit is 0.3"
    )


def test_a_share_of_the_small_set_sorts_out_what_is_worse_beyond_doubt_alone() -> None:
    dev = replace(speech(10, 10), corpora=("quiet",) * 5 + ("noisy",) * 5)
    bench = Bench(dev)
    bench.limits, bench.small = {"noisy": 0.01}, dev
    one = candidate(dev.of(range(5, 10), "noisy"), 1)
    part = sets.change(bench, one, small=True).parts[1]  # type: ignore[arg-type]
    assert (part.increase, part.limit, part.slack) == pytest.approx((0.02, 0.01, 2 * 0.02), rel=0.01)
    assert part.holds
    assert not sets.change(bench, one).parts[1].holds  # type: ignore[arg-type]
    every = sets.change(bench, candidate(dev.of(range(5, 10), "noisy"), 5), small=True).parts[1]  # type: ignore[arg-type]
    assert (every.increase, every.slack, every.holds) == pytest.approx((0.1, sets.SMALL_SLACK, False))


# --- confirmed on what was held back --------------------------------------------------------------------------------------
def step(*wrong: str) -> Done:
    return Done(step=Step(lever="fp16", component="all", options={"wrong": ",".join(wrong)}), kept=True, reason="saves")


def parted() -> tuple[Bench, Held]:
    held = divided(speech(150, 5), LIMIT)
    assert held is not None
    return Bench(held.choose, held), held


def test_steps_that_held_back_speech_does_not_confirm_are_taken_back() -> None:
    bench, held = parted()
    lucky, good = step(*held.confirm.ids[:9]), step(held.choose.ids[0])
    made = Outcome(strategy="toy", done=(good, lucky), fallbacks=((good,), ()))
    found = confirm.confirmed(bench, made)  # type: ignore[arg-type]
    assert found.steps == (good.step,)
    gone = found.done[-1]
    assert gone.reason.startswith("reverted: with it, on the held-back part, WER +")
    assert any("taken back once" in note for note in found.notes)
    assert any(line.startswith("dev, held-back part: WER +0.00") for line in bench.said)
    assert confirm.confirmed(bench, Outcome(strategy="toy", done=(good,))).steps == (good.step,)  # type: ignore[arg-type]


def test_a_corpus_may_lose_a_word_of_the_held_back_part_if_all_of_it_holds_the_limit() -> None:
    """30 utterances of 10 words, a limit of 0.3 points: less than a word, so that nothing but the same text would pass."""
    dev = speech(150, 5)
    held = divided(replace(dev, corpora=("quiet", "noisy") * 75), LIMIT)
    assert held is not None
    bench = Bench(held.choose, held)
    bench.limits = {"quiet": LIMIT, "noisy": 0.02}
    mine = {name: [held.confirm.ids[row] for row in rows] for name, rows in held.confirm.by_corpus().items()}
    others = [held.choose.ids[row] for row in held.choose.by_corpus()["quiet"]]
    assert 10 * len(mine["quiet"]) * LIMIT < 1

    def holds(*wrong: str) -> bool:
        found = sets.confirmed(bench, bench.build((step(*wrong).step,)))  # type: ignore[arg-type]
        assert found is not None
        return found.holds

    assert holds(mine["quiet"][0])
    assert not holds(*mine["quiet"][:2]), "a word, not two"
    assert not holds(mine["quiet"][0], *others[:2]), "3 of 750 words are more than 0.3 points"
    found = sets.confirmed(bench, bench.build((step(mine["quiet"][0], *others[:2]).step,)))  # type: ignore[arg-type]
    assert found is not None
    assert found.summary == "quiet, both parts: WER +0.40 points, the limit is 0.3"


def test_the_expected_optimism_is_the_mean_over_recipes_that_held() -> None:
    bench, held = parted()
    one, two = step(held.choose.ids[0]), step(*held.confirm.ids[:1])
    bench.tried = [SimpleNamespace(on="full", energy_mj=1.0, steps=(each.step,)) for each in (one, two)]
    found = confirm.selection(bench, bench.build((one.step,)))  # type: ignore[arg-type]
    words = {name: 10 * len(part) for name, part in (("choose", held.choose), ("confirm", held.confirm))}
    assert found.recipes == 2
    assert found.optimism == pytest.approx((1 / words["confirm"] - 1 / words["choose"]) / 2)
    assert found.bound == pytest.approx(found.chosen.margin / sets.MARGIN * np.sqrt(2 * np.log(2)))
    assert "held back by speaker" in found.note
    assert "the mean of 2 recipes that held" in found.note
    plain = confirm.to_json(found)
    assert plain["confirmed_on"] == {
        "utterances": len(held.confirm), "words": words["confirm"], "wer_before": 0.0, "wer_after": 0.0, "wer_increase": 0.0,
        "holds": True,
    }  # fmt: skip
    alone = confirm.selection(Bench(speech(30, 3)), candidate(speech(30, 3), 0))  # type: ignore[arg-type]
    assert alone.optimism is None
    assert "none held back" in alone.note


def test_errors_of_both_parts_are_those_of_the_whole_in_its_order() -> None:
    bench, held = parted()
    wanted = SimpleNamespace(wrong=dict.fromkeys(held.whole.ids[3:70:7], SAID[:-4]))
    whole = bench._measure(wanted, held.whole).errors
    found = sets.errors(bench, wanted)  # type: ignore[arg-type]
    assert np.array_equal(found.errors, whole.errors)
    assert np.array_equal(found.words, whole.words)
    assert found.alignments == whole.alignments
