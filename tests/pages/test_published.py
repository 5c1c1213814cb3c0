"""Results where others look for them: each format read by the library, or scored by the rule, that is at its other side."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import kaldialign
import pytest

import wattscribe
from tests.pages.hostile import hostile
from tests.stored_runs import CLEAN, MODELS, NOISY, Shape, made_up_run, store_run
from wattscribe.cli import main
from wattscribe.errors import InputError, MissingExtraError
from wattscribe.records import RunFacts, UtteranceResult
from wattscribe.results.table import view
from wattscribe.scoring import normaliser


def facts_of(corpus: str = "bundled") -> RunFacts:
    return made_up_run(
        models=MODELS[:2],
        conditions=(CLEAN, NOISY[1]),
        precisions=("fp32", "int8"),
        shape=Shape(corpus=corpus),
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return store_run(facts_of(), tmp_path / "run")


# --- Open ASR Leaderboard -----------------------------------------------------------------------------------------------
def taken_apart(name: str) -> tuple[str, str]:
    """As the leaderboard's `score_results` takes the name of a file apart: the first hyphen parts owner and model."""
    name = name[name.find("MODEL_") :]
    at = name.find("DATASET_")
    model = name[:at].replace("MODEL_", "").rstrip("_")
    hyphen = model.find("-")
    assert hyphen > 0
    return f"{model[:hyphen]}/{model[hyphen + 1 :]}", name[at:].replace("DATASET_", "").removesuffix(".jsonl")


def test_the_leaderboard_s_own_rule_finds_the_run_s_wer(run: Path) -> None:
    """Its rule: normalise both texts, then kaldialign's rate over all words, compounds merged."""
    folder = wattscribe.report(run, format="open-asr")
    assert folder == run / "open-asr"
    rows = {(row.model, row.precision, row.condition): row for row in view(facts_of()).rows}
    files = sorted(Path(folder).iterdir())
    assert len(files) == len(rows) == 8
    words = normaliser("whisper")
    seen = set()
    for path in files:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        assert all(list(line) == ["audio_filepath", "duration", "time", "text", "pred_text"] for line in lines)
        references = [tuple(words(line["text"]).split()) for line in lines]
        hypotheses = [tuple(words(line["pred_text"]).split()) for line in lines]
        rate = kaldialign.batch_error_rate(references, hypotheses, merge_compounds=True)["err_rate"]
        model, dataset = taken_apart(path.name)
        precision = model.rpartition("-")[2]
        name = f"fake:{model.split('/')[1].split('-')[0]}"
        row = rows[name, precision, "rain@10dB" if "rain" in dataset else "clean"]
        seen.add((row.model, row.precision, row.condition))
        assert rate == pytest.approx(row.wer, abs=0.002)
        assert sum(line["duration"] for line in lines) / sum(line["time"] for line in lines) == pytest.approx(row.rtfx)
    assert seen == set(rows)


def test_a_published_set_is_called_as_the_leaderboard_calls_it_only_where_it_is_that_set(tmp_path: Path) -> None:
    facts = facts_of("data/LibriSpeech/test-clean")
    facts = replace(facts, trials=facts.trials[:2])
    limited = replace(facts, trials=tuple(replace(each, trial=replace(each.trial, limit=5)) for each in facts.trials))
    whole = [path.name for path in Path(wattscribe.report(facts, tmp_path / "a", format="open-asr")).iterdir()]
    part = [path.name for path in Path(wattscribe.report(limited, tmp_path / "b", format="open-asr")).iterdir()]
    column = "librispeech_test.clean"
    assert [name for name in whole if column in name] == [
        "MODEL_fake-tiny_DATASET_hf-audio-open-asr-leaderboard_librispeech_test.clean.jsonl"
    ]
    assert len(whole) == 2
    assert not [name for name in part if column in name], "five utterances are not the set"


@pytest.mark.parametrize(
    ("corpus", "dataset"),
    [
        ("hub:hf-audio/open-asr-leaderboard:ami:test", "hf-audio-open-asr-leaderboard_ami_test"),
        ("hub:someone/speech", "someone-speech__test"),
        ("hub:someone/speech:validation", "someone-speech__validation"),
        ("hub:/home/me/saved:dev", "saved__dev"),
        ("/home/me/private/calls", "private-calls__test"),
    ],
)
def test_names_of_corpora(corpus: str, dataset: str, tmp_path: Path) -> None:
    facts = facts_of(corpus)
    facts = replace(facts, trials=facts.trials[:1])
    (path,) = Path(wattscribe.report(facts, tmp_path / "a", format="open-asr")).iterdir()
    assert taken_apart(path.name)[1] == dataset
    assert "home" not in path.name


def test_a_model_of_the_hub_keeps_its_name(tmp_path: Path) -> None:
    models = [replace(MODELS[0], name=name, runtime="hf") for name in ("openai/whisper-tiny.en", "nvidia/stt_en")]
    facts = made_up_run(models=models, conditions=(CLEAN,), precisions=("fp32",))
    names = sorted(
        taken_apart(path.name)[0] for path in Path(wattscribe.report(facts, tmp_path, format="open-asr")).iterdir()
    )
    assert names == ["nvidia/stt_en", "openai/whisper-tiny.en"]


def changed(facts: RunFacts, change: dict[str, object]) -> RunFacts:
    """The first utterance of each trial otherwise."""
    trials = []
    for each in facts.trials:
        first: UtteranceResult = replace(each.utterances[0], **change)  # type: ignore[arg-type]
        trials.append(replace(each, utterances=(first, *each.utterances[1:])))
    return replace(facts, trials=tuple(trials))


def lines_of(facts: RunFacts, folder: Path) -> list[dict[str, object]]:
    (path,) = Path(wattscribe.report(facts, folder, format="open-asr")).iterdir()
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_no_answer_is_an_empty_text_and_a_reference_without_words_is_left_out(tmp_path: Path) -> None:
    facts = made_up_run(models=MODELS[:1], conditions=(CLEAN,), precisions=("fp32",))
    count = len(facts.trials[0].utterances)
    unanswered = lines_of(changed(facts, {"hypothesis": None, "error": "timeout"}), tmp_path / "a")
    assert unanswered[0]["pred_text"] == ""
    assert len(unanswered) == count
    for reference in ("", "(coughs)", "ignore time segment in scoring"):
        assert len(lines_of(changed(facts, {"reference": reference}), tmp_path / f"b{len(reference)}")) == count - 1


def test_utterances_of_a_batch_share_its_time(tmp_path: Path) -> None:
    facts = made_up_run(models=MODELS[:1], conditions=(CLEAN,), precisions=("fp32",), shape=Shape(utterances=4))
    (trial,) = facts.trials
    batched = tuple(
        replace(each, start_s=100.0 + at // 2, end_s=100.5 + at // 2) for at, each in enumerate(trial.utterances)
    )
    lines = lines_of(replace(facts, trials=(replace(trial, utterances=batched),)), tmp_path / "a")
    assert [line["time"] for line in lines] == [0.25] * 4


def test_a_run_without_a_finished_trial_has_nothing_to_publish(tmp_path: Path) -> None:
    facts = facts_of()
    pending = replace(facts, trials=tuple(replace(each, status="failed") for each in facts.trials))
    for kind in ("open-asr", "model-card"):
        with pytest.raises(InputError, match="no trial of the run"):
            wattscribe.report(pending, tmp_path / kind, format=kind)
        assert not (tmp_path / kind).exists()


# --- a model card -------------------------------------------------------------------------------------------------------
def test_the_hub_s_own_classes_read_the_card(run: Path) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="the extra `hf` is not installed")
    folder = Path(wattscribe.report(run, format="model-card"))
    assert sorted(path.name for path in folder.iterdir()) == ["fake-base.md", "fake-tiny.md"]
    card = hub.ModelCard((folder / "fake-tiny.md").read_text(encoding="utf-8"))
    assert card.data.model_name == "fake:tiny"
    rows = {(row.precision, row.condition): row for row in view(facts_of()).rows if row.model == "fake:tiny"}
    found = [each for each in card.data.eval_results if each.metric_type == "wer"]
    assert len(found) == len(rows) == 4
    for each in found:
        assert isinstance(each, hub.EvalResult)
        assert each.task_type == "automatic-speech-recognition"
        assert each.dataset_type == "bundled"
        precision = re.search(r"\((\w+)\)", each.metric_name or "")
        assert precision is not None
        row = rows[precision[1], each.dataset_config or "clean"]
        assert each.metric_value == pytest.approx(100 * (row.wer or 0), abs=0.006)
    energies = [each for each in card.data.eval_results if each.metric_type == "energy_j_per_audio_s"]
    assert len(energies) == 4
    assert all("measured: module total" in each.metric_name for each in energies)
    again = hub.ModelCard(str(card))
    assert [vars(each) for each in again.data.eval_results] == [vars(each) for each in card.data.eval_results]
    assert card.text.count("| fp32") == card.text.count("| int8") == 2
    assert "Energy is measured." in card.text


def test_what_was_not_measured_is_not_called_so(tmp_path: Path) -> None:
    facts = facts_of()
    bare = replace(facts, trials=tuple(replace(each, traces=()) for each in facts.trials))
    modelled = replace(bare, machine={**bare.machine, "cpu": "AMD EPYC 7763"})
    for name, some in (("bare", bare), ("modelled", modelled)):
        wattscribe.report(some, tmp_path / name, format="model-card")
        assert "Energy is measured" not in (tmp_path / name / "fake-tiny.md").read_text(encoding="utf-8")


def test_a_hostile_run_makes_cards_that_are_read_as_one(tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="the extra `hf` is not installed")
    folder = Path(wattscribe.report(hostile(), tmp_path / "cards", format="model-card"))
    texts = [path.read_text(encoding="utf-8") for path in folder.iterdir()]
    assert len(texts) == 2
    for text in texts:
        card = hub.ModelCard(text)
        assert card.data.eval_results
        assert "<script" not in card.text
        assert "<img" not in card.text
    assert all(path.parent == folder for path in folder.rglob("*"))


# --- Prometheus ---------------------------------------------------------------------------------------------------------
def test_prometheus_own_parser_reads_every_figure(run: Path) -> None:
    parser = pytest.importorskip("prometheus_client.parser", reason="requirements-test.txt is not installed")
    families = {
        each.name: each for each in parser.text_string_to_metric_families(wattscribe.report(run, format="prometheus"))
    }
    rows = {(row.model, row.precision, row.condition): row for row in view(facts_of()).rows}
    assert {each.type for each in families.values()} == {"gauge"}
    for name, column in (
        ("wattscribe_wer_ratio", "wer"),
        ("wattscribe_peak_memory_bytes", "peak_memory_bytes"),
        ("wattscribe_energy_joules", "energy_j"),
        ("wattscribe_audio_seconds", "audio_s"),
    ):
        samples = families[name].samples
        assert len(samples) == len(rows)
        for sample in samples:
            labels = sample.labels
            row = rows[labels["model"], labels["precision"], labels["condition"]]
            assert sample.value == pytest.approx(getattr(row, column))
            assert sample.timestamp is None, "node_exporter's textfile collector refuses time stamps"
    assert {each.labels["evidence"] for each in families["wattscribe_energy_joules"].samples} == {"measured"}
    assert {each.labels["quantile"] for each in families["wattscribe_latency_seconds"].samples} == {
        "0.5",
        "0.9",
        "0.99",
    }


def test_labels_of_a_hostile_run_come_back_as_they_were() -> None:
    parser = pytest.importorskip("prometheus_client.parser", reason="requirements-test.txt is not installed")
    facts = hostile()
    worse = 'a"} 1\nevil_metric{x="\\'
    trials = tuple(
        replace(each, trial=replace(each.trial, recognizer=replace(each.trial.recognizer, model=worse)))
        for each in facts.trials
    )
    text = wattscribe.report(replace(facts, trials=trials), format="prometheus")
    families = list(parser.text_string_to_metric_families(text))
    assert all(each.name.startswith("wattscribe_") for each in families)
    models = {s.labels["model"] for each in families for s in each.samples if "model" in s.labels}
    assert models == {f"fake:{worse}"}
    identities = [(s.name, tuple(sorted(s.labels.items()))) for each in families for s in each.samples]
    assert len(identities) == len(set(identities)), "Prometheus refuses a file with one series twice"


def test_a_figure_that_is_missing_has_no_line(tmp_path: Path) -> None:
    facts = facts_of()
    bare = replace(facts, trials=tuple(replace(each, traces=(), cpu_s=None) for each in facts.trials))
    text = wattscribe.report(bare, format="prometheus")
    assert "energy_joules" not in text
    assert "cpu_seconds" not in text
    assert "nan" not in text.lower()


# --- MLflow -------------------------------------------------------------------------------------------------------------
@pytest.fixture
def mlflow_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[object, str]:
    mlflow = pytest.importorskip("mlflow", reason="the extra `mlflow` is not installed")
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    return mlflow.MlflowClient(tracking_uri=uri), uri


def test_mlflow_s_own_client_finds_rows_figures_and_the_report(
    run: Path, mlflow_client: tuple[object, str], capfd: pytest.CaptureFixture[str]
) -> None:
    client, uri = mlflow_client
    capfd.readouterr()
    assert main(["report", str(run), "--format", "mlflow", "--tracking-uri", uri]) == 0
    printed = capfd.readouterr()
    assert printed.err == ""
    parent = printed.out.strip()
    experiment = client.get_experiment_by_name("wattscribe")  # type: ignore[attr-defined]
    logged = client.search_runs([experiment.experiment_id])  # type: ignore[attr-defined]
    children = [each for each in logged if each.data.tags.get("mlflow.parentRunId") == parent]
    rows = {(row.model, row.precision, row.condition): row for row in view(facts_of()).rows}
    assert len(children) == len(rows) == len(logged) - 1
    for each in children:
        params, metrics = each.data.params, each.data.metrics
        row = rows[params["model"], params["precision"], params["condition"]]
        assert metrics["wer"] == pytest.approx(row.wer)
        assert metrics["energy_ci95_j_low"] == pytest.approx((row.energy_ci95_j or (0, 0))[0])
        assert each.data.tags["wattscribe.energy_evidence"] == "measured"
        assert each.info.status == "FINISHED"
        assert "gpu_memory_bytes" not in metrics, "missing is not 0"
    names = {each.path for each in client.list_artifacts(parent)}  # type: ignore[attr-defined]
    assert names == {"report.html", "report.json", "report.md"}


def test_a_store_that_refuses_is_one_line(
    run: Path, mlflow_client: tuple[object, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(run), "--format", "mlflow", "--tracking-uri", "nothing://x"]) == 1
    error = capsys.readouterr().err.strip()
    assert "\n" not in error
    assert error.startswith("wattscribe report: MLflow refuses: ")
    assert "--tracking-uri" in error


def test_mlflow_s_telemetry_is_off_and_the_environment_is_as_it_was(
    run: Path, mlflow_client: tuple[object, str]
) -> None:
    from mlflow.telemetry import get_telemetry_client

    before = dict(os.environ)
    wattscribe.report(run, format="mlflow", tracking_uri=mlflow_client[1])
    assert dict(os.environ) == before
    assert get_telemetry_client() is None


def test_without_mlflow_the_extra_is_named(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mlflow", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'wattscribe\[mlflow\]'"):
        wattscribe.report(run, format="mlflow")


def test_options_that_contradict_are_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, words in (
        (["--format", "md", "--tracking-uri", "x"], "--tracking-uri does nothing with --format md"),
        (["--format", "mlflow", "--out", "x"], "MLflow keeps its files itself"),
        (["--format", "md", "--json"], "--json and --format md contradict each other"),
    ):
        assert main(["report", str(run), *arguments]) == 2
        assert words in capsys.readouterr().err
