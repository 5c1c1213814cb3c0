"""`wattscribe report runs/NAME`: one HTML page, or the table as Markdown, CSV, JSON or Parquet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import cyclopts

from wattscribe.cli.output import Json, Quiet
from wattscribe.errors import InputError
from wattscribe.results.row import Row
from wattscribe.verbs.of_runs import Format

app = cyclopts.App(name="wattscribe report", help="Turn a run into one HTML page, a table, CSV, JSON or Parquet.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One row per recognizer, corpus, condition and power mode."""

    rows: Sequence[Row]


@app.default
def report(
    *runs: Path,
    format: Format = "html",
    out: Annotated[Path | None, cyclopts.Parameter(["--out", "-o"])] = None,
    max_wer: str | None = None,
    max_watts: str | None = None,
    max_memory: str | None = None,
    condition: str | None = None,
    device: str | None = None,
    grid_gco2_per_kwh: float | None = None,
    battery_wh: float | None = None,
    watch: Annotated[bool, cyclopts.Parameter(negative=())] = False,
    port: int | None = None,
    tracking_uri: str | None = None,
    json_output: Json = False,
    quiet: Quiet = False,  # what is printed is the result
) -> None:
    """Write what a run found, or what several boards found together.

    Parameters
    ----------
    runs
        The run's directory, runs/NAME. Several, or the folder of a fleet's run: one report, as html, md or json.
    format
        html, parquet, open-asr (for that leaderboard), model-card: in RUN. md, csv, json, prometheus: printed. mlflow: logged.
    out
        Write to this file, of open-asr and model-card: into this folder, instead.
    max_wer
        The recommendation keeps this WER, in per cent: 5 or 5%.
    max_watts
        The recommendation keeps this mean power, in W: 3 or 3W.
    max_memory
        The recommendation keeps this peak memory: 500MB, 2GB or bytes.
    condition
        The condition under which the limits hold: clean unless given.
    device
        Also show what transducers would take on this device: a profile's name or file (see wattscribe devices).
    grid_gco2_per_kwh
        Grams of CO2 that the grid emits per kWh, as its operator or a national office states; shows CO2 per hour of audio.
    battery_wh
        Watt-hours of a battery: shows how long it lasts while listening, in a run with --pace realtime.
    watch
        Serve the page to browsers of this machine while the run goes on, until Ctrl-C; it follows the run (docs/live.md).
    port
        With --watch: the port to serve on, else a free one.
    tracking_uri
        With --format mlflow: the server, database or folder; MLFLOW_TRACKING_URI unless given.
    """
    import wattscribe

    keep = _limits(max_wer, max_watts, max_memory) | {"condition": condition}
    show: dict[str, Any] = {"device": device, "grid_gco2_per_kwh": grid_gco2_per_kwh, "battery_wh": battery_wh}
    if watch or port is not None:
        plain = format == "html" and not json_output and out is None
        _serve(_watchable(runs, plain=plain, watch=watch), port or 0, keep=keep, show=show)
    else:
        chosen = _format(runs, format, json_output)
        output = wattscribe.report(runs, out, format=chosen, tracking_uri=tracking_uri, **keep, **show)
        print(output, end="" if isinstance(output, str) and output.endswith("\n") else "\n")


def _watchable(runs: Sequence[Path], *, plain: bool, watch: bool) -> Path:
    if not watch:
        raise InputError("--port is where --watch serves the page", fix="Add --watch")
    if len(runs) != 1 or not plain:
        raise InputError("--watch serves one run's page and writes nothing", fix="Leave --format, --json and --out out")
    return runs[0]


def _format(runs: Sequence[Path], format: Format, json_output: bool) -> Format:
    if not runs:
        raise InputError("there is nothing to report", fix="Name a run: wattscribe report runs/NAME")
    if json_output and format not in ("html", "json"):
        raise InputError(f"--json and --format {format} contradict each other", fix="Give one of them")
    return "json" if json_output else format


def _limits(max_wer: str | None, max_watts: str | None, max_memory: str | None) -> dict[str, Any]:
    """As numbers, by the names that functions have. Raises InputError for what is none."""
    from wattscribe.results.quantities import bytes_of, percent_of, watts_of

    return {
        "max_wer_percent": None if max_wer is None else percent_of(max_wer, flag="--max-wer"),
        "max_power_w": None if max_watts is None else watts_of(max_watts, flag="--max-watts"),
        "max_memory_bytes": None if max_memory is None else bytes_of(max_memory, flag="--max-memory"),
    }


def _serve(run: Path, port: int, *, keep: dict[str, Any], show: dict[str, Any]) -> None:
    """Until a signal ends it."""
    from wattscribe.energy import devices
    from wattscribe.pages.serving import PageServer, page_of
    from wattscribe.results.findings import Limits

    device = show["device"]
    profile = None if device is None else devices.load(device)
    with PageServer(
        run, page_of(run, limits=Limits.stated(**keep), **{**show, "device": profile}), port=port
    ) as server:
        print(server.url, flush=True)
        server.serve_forever()
