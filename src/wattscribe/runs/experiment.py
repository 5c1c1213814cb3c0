"""The experiment as a user writes it: one TOML file or flags, checked before anything is measured."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from wattscribe.corpora.base import spelt_out
from wattscribe.errors import InputError, did_you_mean
from wattscribe.metering.sampler import DEFAULT_RATE_HZ, MAX_RATE_HZ
from wattscribe.records import MAX_BATCH, MAX_THREADS, Condition, ModeCommand, PowerMode
from wattscribe.runs.part import PartEntry
from wattscribe.text_files import read_toml

Decibels = Annotated[float, Field(ge=-200, le=200)]
"""24-bit audio spans 144 dB; beyond 200 dB a ratio is a slip of the keyboard."""

MAX_REPEATS = 10_000
MAX_MINUTES = 24 * 60.0
MAX_WAIT_S = 30 * 24 * 3600.0
"""A month: what the system can wait for at once, and longer than anybody does."""
MAX_IDLE_S = 3600.0
MAX_MARK_UNIT_S = 600.0
MAX_BYTES = (1 << 63) - 1
"""What the kernel takes as a limit, and a seed that any format can hold."""

MAX_SHARDS = 10_000
MIN_DUTY = 0.001
"""A second of speech in a quarter of an hour; less is a slip."""

BUILT_IN_NOISE = ("white", "pink")
BUILT_IN_CORPORA = ("bundled",)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class ModelEntry(_Strict):
    """One `[[models]]` table: a model with settings of its own; what it leaves out, the experiment gives."""

    model: str = Field(min_length=1)
    precision: list[str] | None = None
    device: str | None = None
    threads: int | None = Field(default=None, ge=1, le=MAX_THREADS)
    batch_size: int | None = Field(default=None, ge=1, le=MAX_BATCH)
    options: dict[str, str] = {}


class ConditionEntry(_Strict):
    """One `[[conditions]]` table, for a combination that the short keys cannot name (a room and noise, say)."""

    noise: str | None = None
    snr: Decibels | None = None
    rir: str | None = None
    longform_minutes: float | None = Field(default=None, gt=0, le=MAX_MINUTES)

    @model_validator(mode="after")
    def _noise_and_snr_together(self) -> ConditionEntry:
        if (self.noise is None) != (self.snr is None):
            raise ValueError("noise and snr belong together")
        return self


Words = list[str] | str
"""A program with its arguments, as a list or as one text that is split as a shell splits it."""


class ModeEntry(_Strict):
    """One `[[modes]]` table: how the machine is set for the trials of this mode; nothing but a name: as it was found."""

    name: str | None = Field(default=None, min_length=1)
    nvpmodel: int | str | None = None
    jetson_clocks: bool | None = None
    governor: str | None = Field(default=None, min_length=1)
    max_mhz: float | None = Field(default=None, gt=0)
    gpu_power_limit_w: float | None = Field(default=None, gt=0)
    threads: int | None = Field(default=None, ge=1, le=MAX_THREADS)
    set: Words | None = None
    restore: Words | None = None
    read: Words | None = None
    expect: str | None = None

    @model_validator(mode="after")
    def _whole(self) -> ModeEntry:
        given = [value is not None for value in (self.set, self.restore, self.read, self.expect)]
        if any(given) and not all(given):
            raise ValueError(
                "set, restore, read and expect belong together: what sets the mode, what undoes it, and what tells (read "
                "prints expect while it holds)"
            )
        if not self.called:
            raise ValueError("this mode sets nothing: give it a name if that is meant")
        return self

    @property
    def called(self) -> str:
        """Its name, or what it sets."""
        limits = {"governor": self.governor, "nvpmodel": self.nvpmodel}
        parts = [f"{key} {value}" for key, value in limits.items() if value is not None]
        parts += [] if self.jetson_clocks is None else [f"jetson_clocks {_on(self.jetson_clocks)}"]
        parts += [] if self.max_mhz is None else [f"{self.max_mhz:g} MHz"]
        parts += [] if self.gpu_power_limit_w is None else [f"GPU {self.gpu_power_limit_w:g} W"]
        parts += [] if self.threads is None else [f"{self.threads} thread{'' if self.threads == 1 else 's'}"]
        parts += [] if self.set is None else [shlex.join(_split(self.set))]
        return self.name or ", ".join(parts)

    def mode(self) -> PowerMode:
        """As trials carry it."""
        values = {
            "nvpmodel": None if self.nvpmodel is None else str(self.nvpmodel),
            "jetson_clocks": None if self.jetson_clocks is None else _on(self.jetson_clocks),
            "governor": self.governor,
            "max_mhz": None if self.max_mhz is None else f"{self.max_mhz:g}",
            "gpu_power_limit_w": None if self.gpu_power_limit_w is None else f"{self.gpu_power_limit_w:g}",
        }
        command = None
        if self.set is not None and self.restore is not None and self.read is not None and self.expect is not None:
            command = ModeCommand(
                set=_split(self.set), restore=_split(self.restore), read=_split(self.read), expect=self.expect.strip()
            )
        return PowerMode(
            name=self.called,
            settings={key: value for key, value in values.items() if value is not None},
            command=command,
            threads=self.threads,
        )


def _on(value: bool) -> str:
    return "on" if value else "off"


def _split(words: Words) -> tuple[str, ...]:
    return tuple(shlex.split(words)) if isinstance(words, str) else tuple(words)


class Experiment(_Strict):
    """Every recognizer transcribes every corpus under every condition, `repeats` times.

    Each field is a key of the file, and mostly a flag (`cli/bench.py`), and is described as the flags show it.
    """

    models: list[ModelEntry | str] = Field(min_length=1)
    """runtime:model, for instance hf:openai/whisper-tiny.en, ct2:tiny.en, sherpa:DIR, pocketsphinx:en-us, onnx:DIR."""
    data: list[str] = Field(min_length=1)
    """A LibriSpeech folder, a manifest.jsonl or its folder, hub:NAME, or bundled."""
    precision: list[str] = []
    """Comma-separated: fp32,fp16,bf16,int8. If omitted: what the runtime or the model directory has."""
    device: str = "cpu"
    """cpu, cuda or cuda:N."""
    threads: int = Field(default=1, ge=1, le=MAX_THREADS)
    """Threads of each recognizer."""
    batch_size: int = Field(default=1, ge=1, le=MAX_BATCH)
    """Utterances given to the recognizer at once."""
    options: dict[str, str] = {}
    """key=value for the recognizers, for instance beam=4."""
    clean: bool = True
    """Also measure clean speech, without noise or room."""
    noise: list[str] = []
    """A folder of audio files, or white or pink; needs `snr`."""
    snr: list[Decibels] = []
    """Signal-to-noise ratios in dB, from -200 to 200, comma-separated: 20,10,5,0."""
    rir: list[str] = []
    """A room impulse response, or a folder of them."""
    longform_minutes: float | None = Field(default=None, gt=0, le=MAX_MINUTES)
    """Also join utterances with pauses into recordings of up to this many minutes."""
    conditions: list[ConditionEntry] = []
    modes: list[ModeEntry] = []
    repeats: int = Field(default=1, ge=1, le=MAX_REPEATS)
    """How often each combination is measured."""
    seed: int = Field(default=0, ge=0, le=MAX_BYTES)
    """Of the noise, the pauses and the order of the trials."""
    limit: int | None = Field(default=None, ge=1)
    """Only this many of the first usable utterances of each corpus."""
    part: PartEntry | None = None
    shards: int = Field(default=1, ge=1, le=MAX_SHARDS)
    """Parts of each corpus that are trials of their own: for boards that share the work, and what an interruption costs."""
    latency: bool = False
    """Feed streaming recognizers piece by piece and measure their delays."""
    pace: Literal["none", "realtime"] = "none"
    """realtime: audio arrives as it is spoken, and the energy is that of listening, waiting included."""
    duty: float = Field(default=1.0, ge=MIN_DUTY, le=1)
    """With `pace` realtime: the share of the time in which somebody speaks, above 0 and up to 1; the rest are pauses."""
    timeout_s: float = Field(default=120.0, gt=0, le=MAX_WAIT_S)
    """Seconds after which an utterance without an answer ends its trial; for audio of over 30 s, per 30 s."""
    load_timeout_s: float = Field(default=600.0, gt=0, le=MAX_WAIT_S)
    """The same for preparing, loading and warming up."""
    memory_limit_bytes: int | None = Field(default=None, gt=0, le=MAX_BYTES)
    """Bytes of address space that a recognizer may take, beyond those of an empty worker."""
    warmup: int = Field(default=1, ge=0, le=MAX_REPEATS)
    """Batches transcribed before the window opens."""
    idle_s: float = Field(default=2.0, ge=0, le=MAX_IDLE_S)
    """Seconds of idle baseline before and after each trial, where a sensor can be read."""
    cooldown_limit_s: float = Field(default=60.0, ge=0, le=MAX_IDLE_S)
    cooldown_band: float = Field(default=0.05, gt=0)
    """Idle power has returned when it is within this share of the run's first baseline."""
    meters: list[str] = []
    """Beside the sensors: cmd:COMMAND that prints watts or joules; whole:METER.CHANNEL stands for the whole device."""
    sample_rate_hz: float = Field(default=DEFAULT_RATE_HZ, gt=0, le=MAX_RATE_HZ)
    mark: bool = False
    """Busy and idle pulses before the first trial and after the last, for the recording of an external meter; start that
    first. Afterwards: wattscribe meters attach."""
    mark_unit_s: float = Field(default=1.0, gt=0, le=MAX_MARK_UNIT_S)
    """Seconds of the shortest pulse, 1 unless the meter takes fewer than four samples in that time."""
    normaliser: Literal["whisper", "basic", "characters", "none"] = "whisper"
    """whisper, basic, characters or none: the text rule of the score."""
    strict: bool = False
    """Stop at the first bad input instead of counting it."""

    @model_validator(mode="after")
    def _whole(self) -> Experiment:
        if bool(self.noise) != bool(self.snr):
            raise ValueError("noise and snr belong together: noise names what is mixed in, snr lists how loud, in dB")
        if self.pace == "none" and self.duty != 1.0:
            raise ValueError("duty is the share of speech in real time: it needs pace = 'realtime'")
        if self.shards > 1 and (self.pace == "realtime" or (self.limit is not None and self.part is None)):
            raise ValueError("shards cut a whole corpus: leave out limit, and pace = 'realtime'")
        if self.part is not None and self.shards > len(set(self.part.taken)):
            raise ValueError(f"a part of {len(set(self.part.taken))} remainders is not cut into {self.shards} shards")
        if not self.all_conditions():
            raise ValueError("there is no condition: clean is false and no noise, rir, longform_minutes or conditions")
        for key, values in (("noise", self.noise), ("snr", self.snr), ("rir", self.rir)):
            again = [value for at, value in enumerate(values) if value in values[:at]]
            if again:
                raise ValueError(f"{key} lists {again[0]!r} twice: leave one out")
        called = [mode.called for mode in self.modes]
        if again := [name for at, name in enumerate(called) if name in called[:at]]:
            raise ValueError(f"two modes are called {again[0]!r}: give them different names")
        names = [condition.name for condition in self.all_conditions()]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(
                f"two conditions would both be called {twice[0]!r}: leave one out, or give the folders different names"
            )
        return self

    def all_conditions(self) -> list[Condition]:
        """Clean, each noise at each SNR, each room, long-form, then the explicit ones, in this order."""
        conditions = [Condition(seed=self.seed)] if self.clean else []
        conditions += [Condition(noise=noise, snr_db=snr, seed=self.seed) for noise in self.noise for snr in self.snr]
        conditions += [Condition(rir=rir, seed=self.seed) for rir in self.rir]
        if self.longform_minutes is not None:
            conditions.append(Condition(longform_s=self.longform_minutes * 60, seed=self.seed))
        for entry in self.conditions:
            longform_s = None if entry.longform_minutes is None else entry.longform_minutes * 60
            conditions.append(
                Condition(noise=entry.noise, snr_db=entry.snr, rir=entry.rir, longform_s=longform_s, seed=self.seed)
            )
        return conditions


def load(path: Path, overrides: Mapping[str, Any] | None = None) -> Experiment:
    """Read a TOML file; its relative paths start at the file, those in `overrides` (flags) at the current directory."""
    fix = "Name a TOML file such as docs/bench.md shows, or state `models` and `data`"
    values = read_toml(Path(path), what="the experiment", fix=fix)
    return check(_override(relocated(values, Path(path).parent), overrides or {}), where=path)


def check(values: Mapping[str, Any], *, where: object | None = None) -> Experiment:
    """Plain values → Experiment. Raises InputError that names the key and lists what is allowed."""
    for key, value in values.items():
        if (name := _not_unicode(value)) is not None:
            raise InputError(
                f"{key}: the name {spelt_out(name)!r} is not UTF-8", where=where, fix="Rename it, or name a link to it"
            )
    try:
        return Experiment.model_validate(dict(values))
    except ValidationError as error:
        raise InputError(_explain(error), where=where) from error


def _not_unicode(value: Any) -> str | None:
    """A text in it that no journal can hold: a file's name need not be Unicode."""
    if isinstance(value, str):
        return value if spelt_out(value) != value else None
    inside = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else ()
    return next((name for item in inside if (name := _not_unicode(item)) is not None), None)


def differences(recorded: Mapping[str, Any], now: Experiment) -> list[str]:
    """What of a run's recorded experiment differs from this one, one phrase per key; a key that it lacks had its default."""
    current = now.model_dump()
    defaults = {key: field.default for key, field in Experiment.model_fields.items() if not field.is_required()}
    before = {**defaults, **recorded}
    return [
        f"{key} is {current.get(key)!r} here and {before.get(key)!r} in the run"
        for key in sorted(set(current) | set(before))
        if current.get(key) != before.get(key)
    ]


def _explain(error: ValidationError) -> str:
    errors = error.errors()
    first = next(
        (detail for detail in errors if detail["type"] == "extra_forbidden"), errors[0]
    )  # a mistyped key is missing too
    place = [part for part in first["loc"] if part not in ("ModelEntry", "str")]
    key = ".".join(str(part) for part in place)
    if first["type"] == "extra_forbidden":
        tables: dict[str, type[BaseModel]] = {
            "models": ModelEntry,
            "conditions": ConditionEntry,
            "modes": ModeEntry,
            "part": PartEntry,
        }
        kind = tables.get(str(place[0]), Experiment) if len(place) > 1 else Experiment
        near = did_you_mean(str(place[-1]), kind.model_fields)
        return f"there is no key {key!r}{'' if near is None else f', {near}'}. Allowed: {', '.join(kind.model_fields)}"
    if first["type"] == "missing":
        return f"the key `{key}` is missing"
    message = first["msg"].removeprefix("Value error, ")
    return message if not key else f"{key}: {message}, not {first['input']!r}"


def _override(values: Mapping[str, Any], flags: Mapping[str, Any]) -> dict[str, Any]:
    """Flags win over the file's keys, also over those in its `[[models]]` tables."""
    merged = {**values, **flags}
    if "models" not in flags and isinstance(merged.get("models"), list):
        overridden = {key for key in ("precision", "device", "threads", "batch_size") if key in flags}
        merged["models"] = [
            {key: value for key, value in model.items() if key not in overridden} if isinstance(model, dict) else model
            for model in merged["models"]
        ]
    return merged


def relocated(values: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """The same values with paths that start at `base` rewritten to start at the current directory."""
    moved = dict(values)
    for key, built_in in (("data", BUILT_IN_CORPORA), ("noise", BUILT_IN_NOISE), ("rir", ())):
        if isinstance(moved.get(key), list):
            moved[key] = [_moved(path, base, built_in) for path in moved[key]]
    if isinstance(moved.get("models"), list):
        moved["models"] = [_moved_model(model, base) for model in moved["models"]]
    if isinstance(moved.get("conditions"), list):
        moved["conditions"] = [
            {key: _moved(condition[key], base, BUILT_IN_NOISE if key == "noise" else ()) for key in condition}
            if isinstance(condition, dict)
            else condition
            for condition in moved["conditions"]
        ]
    return moved


def _moved(value: Any, base: Path, built_in: Sequence[str]) -> Any:
    if not isinstance(value, str) or value in built_in or value.startswith("hub:") or Path(value).is_absolute():
        return value
    return os.path.normpath(base / Path(value).expanduser())


def _moved_model(value: Any, base: Path) -> Any:
    if isinstance(value, dict):
        return {**value, "model": _moved_model(value.get("model"), base)} if "model" in value else value
    if not isinstance(value, str):
        return value
    name, question, query = value.partition("?")
    runtime, colon, model = name.partition(":")
    prefix, place = (runtime + colon, model) if colon else ("", name)
    arguments = ""
    if runtime == "cmd":
        place, space, arguments = place.partition(" ")
        arguments = space + arguments
    if place.startswith(("./", "../")) or (place and not Path(place).is_absolute() and (base / place).exists()):
        place = _explicit(os.path.normpath(base / place))
    return prefix + place + arguments + question + query


def _explicit(path: str) -> str:
    """A path that can be taken for nothing but a path."""
    return path if path.startswith(("/", "../")) else f"./{path}"


def split_list(text: str) -> list[str]:
    """`fp32,int8` → ['fp32', 'int8']."""
    return [part.strip() for part in text.split(",") if part.strip()]


def split_numbers(text: str, *, flag: str) -> list[float]:
    """`20,10,5` → [20.0, 10.0, 5.0]. Raises InputError that names the flag."""
    try:
        return [float(part) for part in split_list(text)]
    except ValueError:
        raise InputError(f"{flag} {text!r} is not a list of numbers", fix=f"Write {flag} 20,10,5,0") from None


def split_options(pairs: Iterable[str]) -> dict[str, str]:
    """['beam=4'] → {'beam': '4'}. Raises InputError."""
    options = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise InputError(f"cannot read the option {pair!r}", fix="Write `options` key=value")
        options[key] = value
    return options
