"""From what a user writes to a RecognizerSpec, every mistake answered with what is possible."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from wattscribe.errors import InputError
from wattscribe.models import SHIPPED, locate
from wattscribe.models.directory import require_directory
from wattscribe.recognizers.detect import runtime_of
from wattscribe.recognizers.ggml_file import is_ggml
from wattscribe.recognizers.registry import RuntimeEntry, entry_of, named, runtimes
from wattscribe.records import MAX_BATCH, MAX_THREADS, RecognizerSpec
from wattscribe.text_files import whole


def parse_model(
    text: str,
    *,
    precision: str | None = None,
    device: str = "cpu",
    threads: int = 1,
    batch_size: int = 1,
    options: Mapping[str, str] | None = None,
) -> RecognizerSpec:
    """Read `runtime:model`, `runtime:model?option=value&…` or a local directory; `reference` is the shipped model's.

    `precision` None takes the runtime's default: fp32, or `stored` where the directory decides. Options given in the text
    win over `options`. Raises InputError for an unknown runtime, precision, device or option and for a missing directory.
    """
    name, _, query = text.partition("?")
    runtime, model = _split(name)
    entry = entry_of(runtime)
    if entry is None:
        raise InputError(f"there is no runtime {runtime!r}", where=text, fix=_runtimes())
    if runtime == "python":
        _require_class(model, text)
    elif entry.directory:
        model = str(locate(model)) if model in SHIPPED else model
        require_directory(Path(model).expanduser(), model)
    elif runtime != "fake" and not model:
        raise InputError("no model is named", where=text, fix=f"Write {runtime}:MODEL, where MODEL is {entry.model}")
    elif entry.check is not None:
        named(entry.check)(model)
    elif _looks_like_path(model):
        require_directory(Path(model).expanduser(), model)
    spec = RecognizerSpec(
        runtime=runtime,
        model=model,
        precision=entry.precisions[0] if precision is None else precision,
        device=device,
        threads=threads,
        batch_size=batch_size,
        options={**(options or {}), **_parse_query(query, text)},
    )
    check(spec)
    return spec


def options_of(text: str) -> Collection[str] | None:
    """What the runtime of a model, as a user writes it, may be asked; None: anything. Raises InputError as `parse_model`."""
    entry = entry_of(_split(text.partition("?")[0])[0])
    return None if entry is None else entry.options


def check(spec: RecognizerSpec) -> RuntimeEntry:
    """The spec's runtime entry; raises InputError where the spec asks for something that the runtime does not have."""
    entry = entry_of(spec.runtime)
    if entry is None:
        raise InputError(f"there is no runtime {spec.runtime!r}", fix=_runtimes())
    if spec.precision not in entry.precisions:
        raise InputError(
            f"{spec.runtime} has no precision {spec.precision!r}", where=spec.name, fix=_one_of(entry.precisions)
        )
    device, _, index = spec.device.partition(":")
    if device not in entry.devices:
        raise InputError(f"{spec.runtime} has no device {spec.device!r}", where=spec.name, fix=_one_of(entry.devices))
    unknown = sorted(set(spec.options) - set(entry.options)) if entry.options is not None else []
    if unknown and entry.options is not None:
        raise InputError(f"{spec.runtime} has no option {unknown[0]!r}", where=spec.name, fix=_one_of(entry.options))
    if index and (whole(index) is None or len(index) > 4):
        raise InputError(f"there is no device {spec.device!r}", where=spec.name, fix="Write cuda or cuda:N")
    for what, value, most in (("threads", spec.threads, MAX_THREADS), ("batch_size", spec.batch_size, MAX_BATCH)):
        if not 1 <= value <= most:
            raise InputError(f"{what} is {value}", where=spec.name, fix=f"It must be 1 to {most}")
    return entry


def _split(text: str) -> tuple[str, str]:
    """Runtime and model; a directory without a runtime is recognised by its content."""
    runtime, colon, model = text.partition(":")
    if colon and runtime in runtimes():
        return runtime, model
    path = locate(text)
    if path.is_dir():
        return runtime_of(path), text
    if path.is_file() and is_ggml(path):
        return "whispercpp", text
    if _looks_like_path(text):
        raise InputError("there is no such directory", where=text, fix=_runtimes())
    if colon:
        raise InputError(f"there is no runtime {runtime!r}", where=text, fix=_runtimes())
    raise InputError("no runtime is named and there is no such directory", where=text, fix=_runtimes())


def _looks_like_path(model: str) -> bool:
    return model.startswith(("/", "./", "../", "~")) or model in (".", "..")


def _require_class(model: str, text: str) -> None:
    if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*", model):
        raise InputError("no class is named", where=text, fix="Write python:MODULE:CLASS?option=value")


def _parse_query(query: str, text: str) -> dict[str, str]:
    """`a=1&b=2` → {'a': '1', 'b': '2'}."""
    options = {}
    for part in filter(None, query.split("&")):
        key, equals, value = part.partition("=")
        if not equals or not key:
            raise InputError(f"cannot read the option {part!r}", where=text, fix="Write it as ?name=value&name=value")
        options[key] = value
    return options


def _one_of(names: Iterable[str]) -> str:
    return "One of: " + ", ".join(names)


def _runtimes() -> str:
    return "Write runtime:model with one of: " + ", ".join(f"{name}:" for name in runtimes())
