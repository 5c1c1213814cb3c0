"""JSON Schemas of all that `--json` prints, made of the types that the verbs fill: `make schemas` writes them.

They are shipped as `wattscribe/schemas/*.json`, and a test compares what is there with what this makes. Within a version of a
schema fields may be added, never taken away or changed; that is why no schema forbids further ones.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from wattscribe import schemas
from wattscribe.cli import (
    calibrate,
    compare,
    completion,
    data,
    demo,
    described,
    described_fleet,
    devices,
    export,
    follow,
    measure,
    meters,
    report,
    train,
)
from wattscribe.compression import outcome
from wattscribe.energy import profile
from wattscribe.records import AttachedRecording
from wattscribe.results import fleet, table, tuned
from wattscribe.results.compare import Comparison

DIALECT = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """One kind of document. `sometimes`: keys that are left out where nothing is to be said; `version` None: lines have none."""

    kind: Any
    version: int | None
    about: str
    sometimes: frozenset[str] = frozenset()


OF_A_LOG = ("mean_of", "meter", "columns", "units", "energy_j", "gaps", "gaps_s", "recording")
CONTRACTS: Mapping[str, Contract] = {
    "report": Contract(kind=report.Report, version=table.SCHEMA, about="report --json and bench --json"),
    "compare": Contract(kind=Comparison, version=compare.SCHEMA, about="compare --json"),
    "demo": Contract(kind=demo.Demonstrated, version=demo.SCHEMA, about="demo --json"),
    "measure": Contract(kind=measure.Measured, version=measure.SCHEMA, about="measure --json"),
    "meters": Contract(kind=meters.Meters, version=meters.SCHEMA, about="meters --json", sometimes=frozenset(OF_A_LOG)),
    "attach": Contract(kind=AttachedRecording, version=meters.SCHEMA, about="meters attach --json"),
    "data": Contract(kind=data.Fetched, version=data.SCHEMA, about="data get --json"),
    "transcribe": Contract(
        kind=follow.HeardUtterance | follow.SourceCost,
        version=None,
        about="each line of transcribe --json",
        sometimes=frozenset(("language", "skipped_s")),
    ),
    "completion": Contract(kind=completion.Completion, version=completion.SCHEMA, about="completion --json"),
    "profile": Contract(kind=described.Profiled, version=profile.SCHEMA, about="profile --json"),
    "devices": Contract(kind=devices.Devices, version=devices.SCHEMA, about="devices --json"),
    "fleet": Contract(
        kind=described_fleet.FleetReport,
        version=fleet.SCHEMA,
        about="fleet run --json, and report --json of several runs",
    ),
    "tune": Contract(
        kind=described_fleet.TunedResult, version=tuned.SCHEMA, about="tune --json, and the tuned.json that it writes"
    ),
    "calibrate": Contract(kind=calibrate.Calibrated, version=calibrate.SCHEMA, about="calibrate --json"),
    "correction": Contract(kind=calibrate.Corrected, version=calibrate.SCHEMA, about="calibrate --rail --json"),
    "train": Contract(kind=train.Trained, version=train.SCHEMA, about="train --json"),
    "export": Contract(kind=export.Exported, version=export.SCHEMA, about="export --json"),
    "compress": Contract(
        kind=described.Compressed,
        version=outcome.SCHEMA,
        about="compress --json, and the result.json that it writes",
        sometimes=frozenset(("corpora", "longer_calls")),
    ),
}


class _Plain(GenerateJsonSchema):
    """Without titles that only repeat a field's name, and with every field required: what is missing is printed as null."""

    def field_is_required(self, field: Any, total: bool) -> bool:
        return True

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def made(name: str) -> dict[str, Any]:
    """The schema of one kind of document."""
    contract = CONTRACTS[name]
    body = TypeAdapter(contract.kind).json_schema(mode="serialization", schema_generator=_Plain)
    if contract.version is not None:
        body["properties"] = {"schema": {"const": contract.version}, **body["properties"]}
        body["required"] = ["schema", *body["required"]]
    _relax(body, contract.sometimes)
    body.pop("title", None)
    about = body.pop("description", None)
    return {
        "$schema": DIALECT,
        "title": f"wattscribe {contract.about}",
        **({"description": about} if about else {}),
        **body,
    }


def _relax(schema: Any, sometimes: frozenset[str]) -> None:
    """Take keys that are sometimes left out from what is required, at every depth."""
    if isinstance(schema, dict):
        if isinstance(schema.get("required"), list):
            schema["required"] = [name for name in schema["required"] if name not in sometimes]
        for item in schema.values():
            _relax(item, sometimes)
    elif isinstance(schema, list):
        for item in schema:
            _relax(item, sometimes)


def text(name: str) -> str:
    """As the file holds it."""
    return json.dumps(made(name), indent=1, ensure_ascii=False, sort_keys=False) + "\n"


def main(folder: Path) -> None:
    """Write every schema; those of documents that are no more are removed."""
    for path in folder.glob("*.json"):
        if path.stem not in CONTRACTS:
            path.unlink()
    for name in CONTRACTS:
        (folder / f"{name}.json").write_text(text(name), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else Path(schemas.__file__).parent)
