"""Drafts: whatever is offered, the text is the one of the model that is asked; what is saved is counted, and priced."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from tests.known import known
from tests.seq2seq.test_runtime import heard, texts
from wattscribe.energy.options import Options
from wattscribe.errors import InputError, ModelError
from wattscribe.profiling import profile_model
from wattscribe.recognizers import Audio
from wattscribe.records import Counts
from wattscribe.seq2seq.export import export_whisper
from wattscribe.seq2seq.search import Rules, Work, greedy, verified

END, SYMBOLS = 4, 5


class Decoder:
    """Its scores follow from all tokens before; a table decides what is best behind each of them."""

    frames = rows = 1

    def __init__(self, table: Sequence[int]) -> None:
        self.table, self.fed = table, list[int]()

    def _scores(self) -> np.ndarray:
        scores = np.zeros(SYMBOLS, np.float32)
        scores[self.table[(7 * sum(self.fed) + len(self.fed)) % len(self.table)]] = 1.0
        return scores

    def steps(self, tokens: np.ndarray) -> np.ndarray:
        rows = []
        for token in tokens[0].tolist():
            self.fed.append(token)
            rows.append(self._scores())
        return np.stack(rows)[None]

    def step(self, tokens: np.ndarray) -> np.ndarray:
        return self.steps(tokens)[:, -1]

    def back(self, count: int) -> None:
        del self.fed[len(self.fed) - count :]

    def keep(self, rows: Sequence[int]) -> None: ...
    def restart(self) -> None: ...


@given(
    table=st.lists(st.integers(0, END), min_size=1, max_size=60),
    offers=st.lists(st.lists(st.integers(0, END - 1), max_size=5), max_size=40),
    limit=st.integers(1, 40),
    stop_loops=st.booleans(),
    never=st.sets(st.integers(0, 2)),
)
def test_whatever_is_offered_the_tokens_are_those_of_greedy_search(
    table: list[int], offers: list[list[int]], limit: int, stop_loops: bool, never: set[int]
) -> None:
    rules = Rules(end=END, limit=limit, never_first=tuple(never), stop_loops=stop_loops)
    prompt, alone, work = [0, 3], Work(), Work()
    (expected,) = greedy(Decoder(table), [prompt], rules, [alone])
    left = iter(offers)
    rooms: list[int] = []

    def offer(said: Sequence[int], room: int) -> list[int]:
        rooms.append(room)
        return next(left, [])[:room]

    assert verified(Decoder(table), prompt, rules, offer, work) == expected
    assert work.chosen == alone.chosen
    assert work.agreed <= work.drafted
    assert work.chosen == work.steps + work.agreed, "each run adds a token to those that it agrees with"
    assert work.fed == len(prompt) + work.steps - 1 + work.drafted
    assert min(rooms) >= 0


def oracle(expected: Sequence[int]) -> Callable[[Sequence[int], int], list[int]]:
    return lambda said, room: list(expected[len(said) : len(said) + min(3, room)])


def test_who_knows_it_all_saves_three_runs_of_four() -> None:
    table = [0, 1, 2, 3, 1, 0, 2, 1, 3, 0, 2]
    rules = Rules(end=END, limit=40)
    (expected,) = greedy(Decoder(table), [[0]], rules, [Work()])
    work = Work()
    assert verified(Decoder(table), [0], rules, oracle(expected), work) == expected
    assert (len(expected), work.steps, work.agreed) == (40, 10, 30)


# --- the runtime ------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another random checkpoint of the same vocabulary, of one layer."""
    pytest.importorskip("transformers", reason="needs wattscribe[hf]")
    from tests.recognizers.checkpoints import whisper

    source = tmp_path_factory.mktemp("stranger")
    whisper(source, layers=1)
    export_whisper(str(source), source / "out")
    return source / "out"


@pytest.mark.parametrize("tokens", ["1", "4", "9"])
def test_the_text_is_its_own_whoever_drafts(exported: Path, stranger: Path, clips: list[Audio], tokens: str) -> None:
    own = texts(exported, clips)
    for options in (
        {"draft": str(exported)},
        {"draft": str(exported), "draft_precision": "int8"},
        {"draft": str(stranger)},
    ):
        found = heard(exported, clips, draft_tokens=tokens, batch_size=3, **options)
        assert [each.text for each in found] == own, options
        total = sum((known(each.counts) for each in found), Counts())
        assert total.drafted > 0
        assert total.draft_windows == len(clips)


def test_several_languages_are_drafted_in_the_one_that_is_heard(
    exported: Path, exported_multilingual: Path, clips: list[Audio]
) -> None:
    own, drafted = (
        heard(exported_multilingual, clips),
        heard(exported_multilingual, clips, draft=str(exported_multilingual)),
    )
    assert [(each.language, each.text) for each in drafted] == [(each.language, each.text) for each in own]
    for each in drafted:
        assert known(each.counts).agreed == known(each.counts).drafted, "its own drafts, in the same language"
    assert texts(exported, clips, draft=str(exported_multilingual)) == texts(exported, clips), (
        "it knows no language of its own"
    )


def test_what_a_draft_takes_and_saves_is_counted(exported: Path, clips: list[Audio]) -> None:
    """Its own drafts all stand: nine tokens are 4 + 1 and 3 + 1, each of both with what it was not fed yet."""
    (found,) = heard(exported, clips[:1], draft=str(exported), max_new_tokens="9")
    (alone,) = heard(exported, clips[:1], max_new_tokens="9")
    counts, own = known(found.counts), known(alone.counts)
    assert (own.predictor_calls, counts.predictor_calls, counts.predictor_rows) == (9, 2, 2 + 4 + 1 + 3)
    assert (counts.drafted, counts.agreed, counts.tokens) == (7, 7, 9)
    assert (counts.draft_windows, counts.draft_frames) == (1, own.frames)
    assert (counts.draft_calls, counts.draft_rows) == (4 + 3, 2 + 3 + 2 + 2)
    assert (counts.encoder_calls, counts.frames, counts.padded_frames) == (1, own.frames, own.padded_frames)


def test_what_cannot_be_drafted_says_why(exported: Path, english: Path, clips: list[Audio], tmp_path: Path) -> None:
    from tests.seq2seq.others import optimum

    def refused(match: str, folder: Path = exported, **options: str) -> None:
        with pytest.raises((InputError, ModelError), match=match):
            heard(folder, clips[:1], batch_size=1, **options)

    own = str(exported)
    refused("greedy search", draft=own, decoding="beam")
    turned = tmp_path / "turned"
    shutil.copytree(exported, turned)
    pieces = [line.split()[0] for line in (turned / "tokens.txt").read_text().splitlines()]
    pieces[:2] = reversed(pieces[:2])
    (turned / "tokens.txt").write_text("".join(f"{piece} {number}\n" for number, piece in enumerate(pieces)))
    refused("numbers its tokens differently", draft=str(turned))
    refused("draft_tokens=0", draft=own, draft_tokens="0")
    refused("draft_tokens is of a draft, and none is given", draft_tokens="3")
    refused("draft_precision is of a draft", draft_precision="int8")
    refused("no-such", draft=str(tmp_path / "no-such"))
    others = optimum(english, tmp_path / "optimum")
    refused("its decoder takes one token a run", others, draft=own)
    refused("the draft's decoder takes one token a run", draft=str(others))
    narrow = tmp_path / "narrow"
    narrow.mkdir()
    for name in ("encoder.int8.onnx", "decoder.int8.onnx", "tokens.txt"):
        shutil.copy(exported / name, narrow / name)
    refused("share one scale, so that drafts would change", narrow, draft=own)


# --- what it costs ----------------------------------------------------------------------------------------------------
@pytest.fixture
def speech(clips: list[Audio], tmp_path: Path) -> str:
    for place, clip in enumerate(clips):
        soundfile.write(tmp_path / f"{place}.wav", clip, 16000)
    lines = (f'{{"audio_filepath": "{place}.wav", "text": "a"}}\n' for place in range(len(clips)))
    (tmp_path / "manifest.jsonl").write_text("".join(lines))
    return str(tmp_path / "manifest.jsonl")


def test_a_profile_prices_both_models(exported: Path, stranger: Path, speech: str) -> None:
    plain = profile_model(f"onnx:{exported}", Options(data=speech)).breakdown
    found = profile_model(f"onnx:{exported}", Options(data=speech, draft=str(exported), draft_tokens=3))
    both, at = found.breakdown, found.breakdown.rates.components
    four = [each.name for each in plain.components]
    assert [each.name for each in both.components] == [*four, *(f"draft_{name}" for name in four)]
    assert both.rates.tokens_per_s == plain.rates.tokens_per_s
    saved = at["decoder"].calls_per_s / plain.rates.components["decoder"].calls_per_s
    assert 0.2 < saved < 0.3, "of four tokens it runs for one"
    assert at["draft_encoder"] == at["draft_cross_attention"] == at["encoder"]
    assert at["draft_decoder"].calls_per_s > 2.9 * at["decoder"].calls_per_s
    own = {each.name: each.total_w.value for each in both.components}
    assert own["draft_encoder"] == pytest.approx(own["encoder"]), "the same one, the same windows"
    assert found.to_json()["components"]["draft_decoder"]["power_mw"] > 0
    by_tokens = {point.x: point.power_w for point in found.curves["tokens_per_s"]}
    twice = by_tokens[4.0]["draft_decoder"] - by_tokens[2.0]["draft_decoder"]
    assert twice == pytest.approx(by_tokens[2.0]["draft_decoder"])
    assert by_tokens[4.0]["encoder"] == pytest.approx(own["encoder"])
    by_length = {point.x: point.power_w for point in found.curves["utterance_s"]}
    assert by_length[2.0]["draft_encoder"] == pytest.approx(3 * by_length[6.0]["draft_encoder"])
    assert by_length[2.0]["draft_vocabulary"] == pytest.approx(by_length[6.0]["draft_vocabulary"])
    other = profile_model(f"onnx:{exported}", Options(data=speech, draft=str(stranger))).breakdown
    assert other.workload.component("draft_encoder").size_bytes < other.workload.component("encoder").size_bytes


def test_a_profile_without_a_decode_has_no_drafts(exported: Path, speech: str) -> None:
    for options, match in (
        (Options(draft=str(exported)), "counted in a real decode"),
        (Options(data=speech, draft_tokens=3), "none is given"),
    ):
        with pytest.raises(InputError, match=match):
            profile_model(f"onnx:{exported}", options)
    with pytest.raises(InputError, match="exported encoder–decoders alone"):
        profile_model("arch:whisper-tiny", Options(data=speech, draft=str(exported)))


def test_a_bench_prices_both_models(exported: Path, speech: str, tmp_path: Path) -> None:
    import wattscribe

    model = f"onnx:{exported}?draft={exported}&draft_tokens=3&draft_precision=int8"
    asked = {"models": [model, f"onnx:{exported}"], "data": [speech], "idle_s": 0}
    trials = wattscribe.bench(asked, tmp_path / "run").trials
    drafted, plain = sorted(trials, key=lambda each: -len(each.trial.recognizer.options))
    assert [each.hypothesis for each in drafted.utterances] == [each.hypothesis for each in plain.utterances]
    audit = known(drafted.audit)
    assert audit.ok, "the text is that of fp32, whatever drafts"
    assert "come from" in known(audit.note)
    assert known(plain.audit).note is None
    names = [each["name"] for each in known(drafted.workload)["components"]]
    assert [name for name in names if name.startswith("draft_")] == [f"draft_{name}" for name in names[:4]]
    assert len(known(plain.workload)["components"]) == 4
