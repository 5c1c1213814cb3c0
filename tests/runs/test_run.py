"""Whole runs over the small corpus: what a trial records, how recognizers fail, what bad inputs do."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.runs.conftest import write_corpus, write_speech
from wattscribe.cli import main
from wattscribe.errors import InputError, MeterError, WattscribeError
from wattscribe.journal import read_run
from wattscribe.metering import Channel
from wattscribe.pages import formats
from wattscribe.records import RunFacts, TrialFacts
from wattscribe.runs.beginning import LOG_NAME, REPORT_NAME, SPOOL_DIRECTORY
from wattscribe.runs.experiment import Experiment, check
from wattscribe.runs.runner import recorded_experiment, run

Make = Callable[..., Experiment]


def measure(experiment: Experiment, out: Path) -> RunFacts:
    return read_run(run(experiment, out, meters=[]))


def by_model(facts: RunFacts) -> dict[str, TrialFacts]:
    return {trial.trial.recognizer.model: trial for trial in facts.trials}


def test_a_trial_records_what_it_took(experiment: Make, corpus: Path, tmp_path: Path) -> None:
    models = [
        f"fake:exact?corpus={corpus}&cpu=0.2&load_s=0.2",
        "fake:leaky?allocate_at=2&allocate_bytes=30000000&text=x",
    ]
    facts = by_model(measure(experiment(models=models, batch_size=2, warmup=1), tmp_path / "r"))
    exact = facts["exact"]
    assert exact.status == "done"
    assert [each.id for each in exact.utterances] == [f"u{n}" for n in range(6)]
    assert [each.hypothesis for each in exact.utterances] == [each.reference for each in exact.utterances]
    assert [each.speaker for each in exact.utterances] == ["s0", "s1"] * 3
    assert [round(each.audio_s, 3) for each in exact.utterances] == [0.3, 0.35, 0.4, 0.45, 0.5, 0.55]
    assert exact.window is not None
    assert exact.load_s is not None
    assert exact.load_s >= 0.2
    assert exact.cpu_s is not None
    assert exact.cpu_s >= 0.2 * 2.55 - 0.01, "the window's CPU seconds are the recognizer's"
    assert exact.cpu_s < 0.2 * 2.55 + 0.2, "loading and warm-up are not in it"
    starts = [each.start_s for each in exact.utterances]
    assert starts[0] == starts[1] < starts[2] == starts[3] < starts[4], "a batch shares its interval"
    assert exact.window.start_s <= starts[0]
    assert exact.utterances[-1].end_s <= exact.window.end_s
    assert sum(each.cpu_s or 0 for each in exact.utterances) <= exact.cpu_s + 1e-6
    assert exact.audit is not None
    assert exact.audit.ok
    # Leaking starts at the third utterance heard, the warm-up's two included: six times 30 MB.
    leaky = facts["leaky"]
    assert leaky.peak_memory_bytes is not None
    assert 0 <= leaky.peak_memory_bytes - 6 * 30_000_000 < 25_000_000


def test_speech_is_not_charged_to_the_recognizer(tmp_path: Path) -> None:
    """A corpus of 30 MB does not appear in the memory of a recognizer that holds one utterance at a time."""
    import soundfile

    write_corpus(tmp_path / "c", utterances=8)
    for path in (tmp_path / "c").glob("*.wav"):
        samples, rate = soundfile.read(path, dtype="float32")
        soundfile.write(path, list(samples) * 200, rate)
    facts = measure(check({"models": ["fake:a?text=x"], "data": [str(tmp_path / "c")]}), tmp_path / "r").trials[0]
    assert sum(each.audio_s for each in facts.utterances) * 64_000 > 40e6
    assert facts.peak_memory_bytes is not None
    assert facts.peak_memory_bytes < 25e6


@pytest.mark.parametrize(
    ("model", "words", "answered"),
    [
        ("fake:bad?raise_at=3&text=x", ["raised while transcribing u2", "told to raise"], 2),
        ("fake:bad?hang_at=2&text=x", ["no answer for 1 s while transcribing u1", "killed"], 1),
        ("fake:bad?exit_at=1&text=x", ["ended with exit status 3 while transcribing u0"], 0),
        ("fake:bad?fail_load=true", ["raised while loading", "fail while loading"], None),
        ("fake:bad?miscount_at=2&text=x", ["raised while transcribing u1", "0 answers to 1"], 1),
        ("fake:bad?exit_at=0&text=x", ["exit status 3 while warming up"], None),
        ("pocketsphinx:en-us?lm=/nowhere", ["raised while loading", "language model"], None),
    ],
)
def test_a_failing_recognizer_ends_its_trial_and_no_other(
    experiment: Make, tmp_path: Path, model: str, words: list[str], answered: int | None
) -> None:
    """Warm-up hears utterance 0 first, so the fake's count is one ahead."""
    facts = measure(experiment(models=[model, "fake:good?text=x"], timeout_s=1.0), tmp_path / "r")
    bad, good = (
        next(t for t in facts.trials if (t.trial.recognizer.model == "good") is wanted) for wanted in (False, True)
    )
    assert (good.status, len(good.utterances)) == ("done", 6)
    assert bad.status == "failed"
    assert bad.reason is not None
    for word in words:
        assert word in bad.reason
    errors = [each.error for each in bad.utterances]
    assert errors == ([] if answered is None else [None] * answered + [bad.reason])
    assert [each.hypothesis for each in bad.utterances if each.error] == [None] * (answered is not None)


def test_memory_limit(experiment: Make, tmp_path: Path) -> None:
    model = "fake:hungry?allocate_at=2&allocate_bytes=900000000&text=x"
    facts = measure(experiment(models=[model], memory_limit_bytes=600_000_000), tmp_path / "r")
    assert facts.trials[0].status == "failed"
    assert "out of memory while transcribing u1" in str(facts.trials[0].reason)


def test_killed_again_and_again(experiment: Make, tmp_path: Path) -> None:
    """One SIGKILL may have come from anybody, so the trial is tried again; three mean that it will not go."""
    facts = measure(experiment(models=["fake:a?kill_at=3&text=x"]), tmp_path / "r").trials[0]
    assert facts.status == "failed"
    assert "killed by SIGKILL while transcribing u2" in str(facts.reason)
    assert facts.surroundings is not None
    assert (facts.surroundings["attempt"], facts.surroundings["kills"]) == (3, 2)
    assert [each.id for each in facts.utterances] == ["u0", "u1", "u2"]


def test_chatter_does_not_reach_the_pipe(experiment: Make, tmp_path: Path) -> None:
    """What a library prints goes to the log; a crash's last line becomes part of the reason."""
    out = tmp_path / "r"
    facts = measure(experiment(models=["fake:a?fail_load=true"]), out)
    log = (out / LOG_NAME).read_text(encoding="utf-8")
    assert f"--- trial {facts.trials[0].trial.id} attempt 1" in log
    assert "Traceback" in log


def test_bad_inputs_are_recorded_and_the_rest_is_measured(tmp_path: Path) -> None:
    folder = write_corpus(tmp_path / "c", utterances=3)
    lines = (folder / "manifest.jsonl").read_text(encoding="utf-8")
    (folder / "empty.wav").write_bytes(b"")
    (folder / "noise.wav").write_bytes(b"this is not audio" * 100)
    bad = [
        {"audio_filepath": "missing.wav", "text": "x", "id": "missing"},
        {"audio_filepath": "empty.wav", "text": "x", "id": "empty"},
        {"audio_filepath": "noise.wav", "text": "x", "id": "not-audio"},
        {"audio_filepath": "u0.wav", "id": "no-text"},
        {"audio_filepath": "u1.wav", "text": "other", "id": "u1"},
    ]
    (folder / "manifest.jsonl").write_text(lines + "".join(json.dumps(each) + "\n" for each in bad), encoding="utf-8")
    keys = {"models": ["fake:a?text=x"], "data": [str(folder)], "noise": ["white"], "snr": [10.0]}
    facts = measure(check(keys), tmp_path / "r")
    assert [trial.status for trial in facts.trials] == ["done", "done"]
    assert {tuple(each.id for each in trial.utterances) for trial in facts.trials} == {("u0", "u1", "u2")}
    conditions = [trial.trial.condition.name for trial in facts.trials]
    for condition in conditions:
        lost = [each.id for each in facts.rejected if each.condition == condition]
        assert sorted(lost) == ["empty", "missing", "no-text", "not-audio", "u1"]
    assert {each.condition for each in facts.rejected} == set(conditions)
    assert all(each.reason and each.corpus == str(folder) for each in facts.rejected)
    with pytest.raises(InputError, match="`strict`"):
        run(check({**keys, "strict": True}), tmp_path / "strict", meters=[])


def test_a_corpus_without_anything_usable_fails_its_trials_only(tmp_path: Path, corpus: Path) -> None:
    empty = tmp_path / "e"
    empty.mkdir()
    (empty / "manifest.jsonl").write_text('{"audio_filepath": "no.wav", "text": "x"}\n', encoding="utf-8")
    facts = measure(check({"models": ["fake:a?text=x"], "data": [str(empty), str(corpus)]}), tmp_path / "r")
    status = {trial.trial.corpus: (trial.status, trial.reason) for trial in facts.trials}
    assert status[str(corpus)] == ("done", None)
    assert status[str(empty)] == ("failed", "there is no usable utterance among 1")


def test_limit_takes_the_first_usable(experiment: Make, tmp_path: Path) -> None:
    facts = measure(experiment(limit=2), tmp_path / "r")
    assert [each.id for each in facts.trials[0].utterances] == ["u0", "u1"]


def test_the_record_says_on_what_and_how(experiment: Make, tmp_path: Path) -> None:
    out = tmp_path / "named"
    facts = measure(experiment(seed=5), out)
    assert (facts.name, facts.seed, facts.experiment["seed"]) == ("named", 5, 5)
    assert facts.machine["libraries"]["wattscribe"]
    assert "git_revision" in facts.machine
    assert "governors" in facts.machine
    assert facts.meters["probes"]
    around = facts.trials[0].surroundings
    assert around is not None
    assert {"before", "after", "cooldown", "attempt"} <= set(around)
    assert not (out / SPOOL_DIRECTORY).exists()


def test_existing_run(experiment: Make, tmp_path: Path) -> None:
    out = tmp_path / "r"
    measure(experiment(), out)
    (out / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="there is a run already"):
        run(experiment(), out, meters=[])
    with pytest.raises(InputError, match="repeats is 2 here and 1 in the run"):
        run(experiment(repeats=2), out, resume=True, meters=[])
    with pytest.raises(InputError, match="exclude each other"):
        run(experiment(), out, resume=True, overwrite=True, meters=[])
    assert read_run(run(experiment(repeats=2), out, overwrite=True, meters=[])).experiment["repeats"] == 2
    assert (out / "notes.txt").read_text(encoding="utf-8") == "mine"


BAD_LINES = {
    "line 4": rb'{"audio_filepath": "u0.wav", "text": "x", "id": "half \ud800"}',
    "text": rb'{"audio_filepath": "u0.wav", "text": "half \udfff", "id": "text"}',
    "speaker": rb'{"audio_filepath": "u0.wav", "text": "x", "speaker": "\ud83d", "id": "speaker"}',
    "path": rb'{"audio_filepath": "\ud800.wav", "text": "x", "id": "path"}',
    "line 8": b'{"audio_filepath": "u0.wav", "text": "x", "duration": ' + b"1" * 5000 + b"}",
    "offset": b'{"audio_filepath": "u0.wav", "text": "x", "offset": 1e308, "duration": 1, "id": "offset"}',
    "line 10": b'{"audio_filepath": "u0.wav", "text": "x", "offset": 1' + b"0" * 400 + b', "id": "integer"}',
    "long": b'{"audio_filepath": "' + b"a" * 5000 + b'.wav", "text": "x", "id": "long"}',
}


def test_a_bad_line_costs_itself_alone(tmp_path: Path) -> None:
    folder = write_corpus(tmp_path / "c", utterances=3)
    with (folder / "manifest.jsonl").open("ab") as lines:
        lines.write(b"\n".join(BAD_LINES.values()) + b"\n")
    facts = measure(check({"models": ["fake:a?text=x"], "data": [str(folder)]}), tmp_path / "r")
    assert [trial.status for trial in facts.trials] == ["done"]
    assert [each.id for each in facts.trials[0].utterances] == ["u0", "u1", "u2"]
    assert [each.id for each in facts.rejected] == list(BAD_LINES)
    assert all(each.reason for each in facts.rejected)
    formats.write(facts, "html", tmp_path / "page.html")


def test_a_file_name_need_not_be_unicode(tmp_path: Path) -> None:
    """LibriSpeech's layout: a stray recording, and a damaged one in a folder, whose names are not UTF-8."""
    chapter = tmp_path / "c" / "chapter"
    chapter.mkdir(parents=True)
    write_speech(chapter / "1-2-0000.wav", 0.3, 0)
    (chapter / "1-2-0001.wav").write_bytes(b"")
    (chapter / os.fsdecode(b"\xff.wav")).write_bytes(b"")
    (chapter / "1-2.trans.txt").write_text("1-2-0000 ONE\n1-2-0001 TWO\n", encoding="utf-8")
    chapter.rename(tmp_path / "c" / os.fsdecode(b"b\xfcro"))
    facts = measure(check({"models": ["fake:a?text=x"], "data": [str(tmp_path / "c")]}), tmp_path / "r")
    assert [each.id for each in facts.trials[0].utterances] == ["1-2-0000"]
    assert [(each.id, each.reason) for each in facts.rejected] == [
        ("1-2-0001", "empty file (0 bytes)"),
        ("\\udcff", "text missing"),
    ]
    formats.write(facts, "html", tmp_path / "page.html")


def test_a_full_disk_is_told_as_one(experiment: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_open = Path.open

    def on_a_full_disk(path: Path, *arguments: Any, **options: Any) -> Any:
        return real_open(Path("/dev/full") if path.suffix == ".f32" else path, *arguments, **options)

    monkeypatch.setattr(Path, "open", on_a_full_disk)
    with pytest.raises(WattscribeError, match=r"cannot be written: No space left .*make room"):
        run(experiment(), tmp_path / "r", meters=[])


@pytest.mark.parametrize("slip", ["data", "noise", "strict", "model"])
def test_a_slip_does_not_cost_the_old_run(slip: str, tmp_path: Path, corpus: Path) -> None:
    """--overwrite with a mistyped path: what was measured, its page and its log are still there."""
    out, keys = tmp_path / "r", {"models": ["fake:a?text=x"], "data": [str(corpus)]}
    before = measure(check(keys), out)
    (out / REPORT_NAME).write_text("page", encoding="utf-8")
    bad = write_corpus(tmp_path / "bad", utterances=2)
    (bad / "u0.wav").write_bytes(b"")
    slips: dict[str, dict[str, object]] = {
        "data": {"data": [str(corpus), str(tmp_path / "mistyped")]},
        "noise": {"noise": [str(tmp_path / "rain")], "snr": [10.0]},
        "strict": {"data": [str(bad)], "strict": True},
        "model": {"models": ["sherpa:/nowhere/at/all"]},
    }
    with pytest.raises(InputError):
        run(check({**keys, **slips[slip]}), out, overwrite=True, meters=[])
    assert read_run(out) == before
    assert (out / REPORT_NAME).read_text(encoding="utf-8") == "page"
    assert (out / LOG_NAME).exists()
    assert not (out / SPOOL_DIRECTORY).exists()
    run(check(keys), out, overwrite=True, meters=[])
    assert not (out / REPORT_NAME).exists()


class Silenced:
    """A sensor that went away between looking and opening, in a way of its own."""

    name = "silenced"

    def channels(self) -> list[Channel]:
        raise MeterError("the rail is gone")

    def read(self) -> list[float | None]:
        return []

    def close(self) -> None:
        pass


def test_a_sensor_that_cannot_be_sampled_does_not_cost_the_old_run(experiment: Make, tmp_path: Path) -> None:
    out = tmp_path / "r"
    before = measure(experiment(), out)
    for overwrite, place in ((True, out), (False, tmp_path / "new")):
        with pytest.raises(MeterError, match="the rail is gone"):
            run(experiment(repeats=2), place, overwrite=overwrite, meters=[Silenced()])
    assert read_run(out) == before
    assert not (out / SPOOL_DIRECTORY).exists()
    assert not (tmp_path / "new").exists()


def test_a_run_of_an_older_version_that_could_not_be_now_is_refused_in_words(experiment: Make, tmp_path: Path) -> None:
    out = tmp_path / "r"
    run(experiment().model_copy(update={"sample_rate_hz": 5000.0}), out, meters=[])
    with pytest.raises(InputError, match="sample_rate_hz"):
        recorded_experiment(out)


def test_a_resume_from_elsewhere_says_where_the_run_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also with --retry-failed: a refused resume leaves the failed trial's verdict as it was."""
    write_corpus(tmp_path / "speech", utterances=1)
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "--model", "fake:a?fail_load=true", "--data", "speech", "--out", "r"]) == 1
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    capsys.readouterr()
    assert main(["bench", "--out", "../r", "--resume", "--retry-failed"]) == 2
    said = capsys.readouterr().err
    assert f"speech: this path is relative to where the run began. Continue from there: cd {tmp_path}\n" in said
    assert [trial.status for trial in read_run(tmp_path / "r").trials] == ["failed"]
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "--out", "r", "--resume", "--retry-failed"]) == 1
    (earlier,) = (read_run(tmp_path / "r").trials[0].surroundings or {})["earlier_failures"]
    assert earlier["attempt"] == 1


@pytest.mark.parametrize("change", ["gone", "other"])
def test_a_refused_retry_keeps_the_verdicts(change: str, tmp_path: Path) -> None:
    folder = write_corpus(tmp_path / "c", utterances=2)
    failing = check({"models": ["fake:a?fail_load=true"], "data": [str(folder)]})
    before = measure(failing, tmp_path / "r")
    if change == "gone":
        folder.rename(tmp_path / "moved")
    else:
        write_speech(folder / "u0.wav", 1.0, 99)
    with pytest.raises(InputError, match="no such file or folder" if change == "gone" else "changed since"):
        run(failing, tmp_path / "r", resume=True, retry_failed=True, meters=[])
    assert read_run(tmp_path / "r") == before


def test_speech_that_cannot_be_prepared_leaves_the_directory_free(tmp_path: Path, corpus: Path) -> None:
    keys = {"models": ["fake:a?text=x"], "data": [str(corpus)]}
    with pytest.raises(InputError, match="no such noise folder"):
        run(check({**keys, "noise": [str(tmp_path / "rain")], "snr": [10.0]}), tmp_path / "r", meters=[])
    assert not (tmp_path / "r").exists()
    facts = measure(check(keys), tmp_path / "r")
    assert [trial.status for trial in facts.trials] == ["done"]
