"""A run in MLflow, by MLflow's own client: a parent run with the report as artifact, and below it a run per row.

What identifies a row are parameters, figures are metrics under the names of schema 1, words (evidence, reasons) are tags.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from wattscribe import __version__
from wattscribe.as_found import as_found
from wattscribe.errors import MissingExtraError, WattscribeError
from wattscribe.records import finite
from wattscribe.results.row import Identity, Row
from wattscribe.results.table import View

EXPERIMENT = "wattscribe"
"""Where MLFLOW_EXPERIMENT_NAME names no other."""
LONGEST = 5000
"""Characters of a tag's value; the longest that every store of MLflow takes."""
_PARAMS = frozenset(field.name for field in fields(Identity))


def log(seen: View, flat: Callable[[Row], Mapping[str, Any]], texts: Mapping[str, str], *, uri: str | None) -> str:
    """The id of the new parent run. `flat`: a row's columns as CSV has them; `texts`: artifacts by their file name.

    `uri` None: MLFLOW_TRACKING_URI, as for every client of MLflow. Each call logs anew. Raises MissingExtraError, WattscribeError
    where the store refuses; what was logged until then is marked as failed.
    """
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise MissingExtraError("mlflow-skinny", "mlflow", needed_for="a report in MLflow") from error
    try:
        with as_found():  # mlflow is here now: its loggers say errors only
            return _logged(MlflowClient(tracking_uri=uri), seen, flat, texts)
    except MlflowException as error:
        what = " ".join(str(error).split())
        raise WattscribeError(
            f"MLflow refuses: {what}", fix="Give `tracking_uri`, for instance sqlite:///mlflow.db or http://HOST:5000"
        ) from error


def _logged(client: Any, seen: View, flat: Callable[[Row], Mapping[str, Any]], texts: Mapping[str, str]) -> str:
    experiment = _experiment(client)
    parent = _begin(client, experiment, seen.facts.name, _tags_of_run(seen))
    try:
        for row in seen.rows:
            _log_row(client, experiment, parent, row, finite(dict(flat(row))))
        _log_texts(client, parent, texts)
    except BaseException:
        client.set_terminated(parent, status="FAILED")
        raise
    client.set_terminated(parent)
    return parent


def _experiment(client: Any) -> str:
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
    known = client.get_experiment_by_name(name)
    return str(known.experiment_id if known is not None else client.create_experiment(name))


def _begin(client: Any, experiment: str, name: str, tags: Mapping[str, str]) -> str:
    return str(client.create_run(experiment, run_name=name, tags=dict(tags)).info.run_id)


def _tags_of_run(seen: View) -> dict[str, str]:
    facts = seen.facts
    machine = {
        f"machine.{key}": str(value) for key, value in facts.machine.items() if isinstance(value, (str, int, float))
    }
    told = {"version": __version__, "created": facts.created, "seed": str(facts.seed), "normaliser": seen.normaliser}
    return {f"wattscribe.{_key(key)}": value[:LONGEST] for key, value in {**told, **machine}.items()}


def _log_row(client: Any, experiment: str, parent: str, row: Row, columns: Mapping[str, Any]) -> None:
    from mlflow.entities import Metric, Param, RunTag

    given = {name: value for name, value in columns.items() if value is not None}
    params = [Param(name, str(value)) for name, value in given.items() if name in _PARAMS]
    figures = {
        name: value for name, value in given.items() if name not in _PARAMS and not isinstance(value, (str, bool))
    }
    words = {name: str(value) for name, value in given.items() if name not in _PARAMS and name not in figures}
    name = f"{row.model_label} {row.precision}, {row.condition}"
    run = _begin(client, experiment, name, {"mlflow.parentRunId": parent})
    metrics = [Metric(name, float(value), 0, 0) for name, value in figures.items()]
    tags = [RunTag(f"wattscribe.{name}", text[:LONGEST]) for name, text in words.items()]
    client.log_batch(run, metrics=metrics, params=params, tags=tags)
    client.set_terminated(run, status="FINISHED" if row.status == "done" else "FAILED")


def _log_texts(client: Any, run: str, texts: Mapping[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, text in texts.items():
            path = Path(folder, name)
            path.write_text(text, encoding="utf-8", errors="replace")
            client.log_artifact(run, str(path))


def _key(text: str) -> str:
    """What MLflow takes in a name."""
    return re.sub(r"[^\w.-]", "_", text, flags=re.ASCII)
