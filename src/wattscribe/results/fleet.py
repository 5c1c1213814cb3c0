"""Several boards' runs as one result: merged when they are read, pooled within a class, compared between classes.

No row of a journal is copied. Each run's energy is from its own clock, sensors and idle baseline; only figures meet here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from wattscribe.errors import InputError
from wattscribe.records import Interval, RunFacts, TrialFacts
from wattscribe.results.boards import BoardClass, Disagreement, classes, disagreements, label_of, one_device
from wattscribe.results.cost import NOTHING, Energy, energy_of, energy_rule, mean, within_and_between
from wattscribe.results.energy_columns import per_audio_s
from wattscribe.results.findings import Entry, EvalSet, eval_sets
from wattscribe.results.groups import Scored, score
from wattscribe.results.pairing import pair_up
from wattscribe.results.relative import Ratio, energy_ratio
from wattscribe.results.shards import joined
from wattscribe.results.table import View, view

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Pooled:
    """One row of a class: a recognizer on a corpus under a condition, over all boards of the class that have it."""

    board_class: str
    entry: Entry
    """Of the first board; names, settings and speech are the same on all."""
    boards: tuple[str, ...]
    scored: Scored | None
    """Every repeat on every board; their errors are averaged."""
    rtf: float | None
    rtf_ci95: Interval | None
    latency_p50_s: float | None
    peak_memory_bytes: int | None
    energy: Energy
    """The mean over boards; its interval holds what boards differ by."""
    j_per_audio_s: float | None
    j_per_audio_s_ci95: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Between:
    """One row in two classes: what the second takes against the first. None where they do not compare."""

    base: Pooled
    other: Pooled
    energy: Ratio | None
    rtf: float | None
    rtf_ci95: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardShare:
    """What one board did, trial by trial that it finished: whole passes, or shards of them."""

    label: str
    id: str | None
    board_class: str
    created: str
    trials: int
    of: int
    failed: int
    audio_s: float
    energy: Energy
    """Of all of it."""
    j_per_audio_s: float | None
    j_per_audio_s_ci95: Interval | None
    rtf: float | None
    core_share: float | None
    """Of a core, by the scheduler's processes on the board during trials: the most of any trial."""
    wakeups_per_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetView:
    """All that is shown of several runs."""

    name: str
    shared: View | None
    """Where the boards shared the trials: all of them as one run. None: each board has its own."""
    classes: tuple[BoardClass, ...]
    pooled: tuple[Pooled, ...]
    between: tuple[Between, ...]
    boards: tuple[BoardShare, ...]
    disagreements: tuple[Disagreement, ...]
    one_device: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def fleet_view(runs: Sequence[RunFacts], *, name: str = "fleet") -> FleetView:
    """Merge runs. Raises InputError for runs of which none is there, and for two of the same label."""
    if not runs:
        raise InputError("there is no run to show")
    labels = [label_of(run) for run in runs]
    if again := [label for at, label in enumerate(labels) if label in labels[:at]]:
        fix = "Name each run once, and give boards different labels"
        raise InputError(f"two of these runs are called {again[0]!r}", fix=fix)
    kinds = tuple(classes(runs))
    found = tuple(difference for kind in kinds for difference in disagreements(kind))
    notes: list[str] = []
    shared = view(merged(runs, kinds, name)) if _share(runs) else None
    pooled = () if shared is not None else tuple(row for kind in kinds for row in _pool(kind, found, notes))
    return FleetView(
        name=name,
        shared=shared,
        classes=kinds,
        pooled=pooled,
        between=tuple(_between(pooled, kinds)),
        boards=tuple(_board_share(run, kind.name) for kind in kinds for run in kind.runs),
        disagreements=found,
        one_device=tuple(one_device(runs)),
        notes=tuple(dict.fromkeys(notes)),
    )


def amiss(runs: Sequence[RunFacts]) -> bool:
    """Whether a trial is missing or failed, or boards of a class gave different texts."""
    return any(trial.status != "done" for run in as_one(runs) for trial in run.trials) or any(
        map(disagreements, classes(runs))
    )


# --- shards over several boards -------------------------------------------------------------------------------------------
def _share(runs: Sequence[RunFacts]) -> bool:
    """Whether a run has shards that it did not do: others did."""
    trials = [trial for run in runs for trial in run.trials if trial.trial.part is not None]
    return len(runs) > 1 and any(trial.status not in ("done", "failed") for trial in trials)


def as_one(runs: Sequence[RunFacts]) -> list[RunFacts]:
    """Boards that shared the trials as the one run that they made; else each as it is."""
    return [merged(runs, classes(runs), "fleet")] if _share(runs) else list(runs)


def merged(runs: Sequence[RunFacts], kinds: Sequence[BoardClass], name: str) -> RunFacts:
    """One run's facts from all of them: of the machine what is the same everywhere. Joules are added up within one class."""
    first = runs[0]
    shared = {key: value for key, value in first.machine.items() if all(run.machine.get(key) == value for run in runs)}
    apart = (
        None if len(kinds) == 1 else f"its parts ran on boards of {len(kinds)} classes, whose joules are not added up"
    )
    whole = replace(
        first,
        name=name,
        created=min(run.created for run in runs),
        machine=shared,
        trials=tuple(trial for run in runs for trial in run.trials),
        rejected=tuple(dict.fromkeys(lost for run in runs for lost in run.rejected)),
        heard=tuple(dict.fromkeys(heard for run in runs for heard in run.heard)),
        board=None,
    )
    return joined(whole, apart=apart)


# --- within a class ---------------------------------------------------------------------------------------------------
def _pool(kind: BoardClass, found: Sequence[Disagreement], notes: list[str]) -> list[Pooled]:
    """Each row of the first board with the same of the others."""
    views = [view(run) for run in kind.runs]
    base = eval_sets(views[0])
    place = {id(group): at for at, group in enumerate(views[0].groups)}
    rows = sorted((entry for eval_set in base for entry in eval_set.entries), key=lambda entry: place[id(entry.group)])
    members: dict[int, list[tuple[str, Entry]]] = {id(entry): [(kind.labels[0], entry)] for entry in rows}
    for label, other in zip(kind.labels[1:], views[1:], strict=True):
        pairs, reasons, extra = pair_up(base, eval_sets(other))
        notes += [f"{label}: {line}" for line in (*reasons, *extra)]
        for one, same in pairs:
            members[id(one)].append((label, same))
    differ = any(one.board_class == kind.name for one in found)
    return [_pooled(kind, views[0], entry, members[id(entry)], differ=differ) for entry in rows]


def _pooled(
    kind: BoardClass, seen: View, entry: Entry, members: Sequence[tuple[str, Entry]], *, differ: bool
) -> Pooled:
    done = [(label, member) for label, member in members if member.group.done]
    trials = [trial for _, member in done for trial in member.group.done]
    energy = pooled_energy([member.energy for _, member in done], differ=differ)
    rows = [member.row for _, member in done]
    rtf, rtf_ci95 = mean_of_boards([(row.rtf, row.rtf_ci95) for row in rows])
    per_second, per_second_ci95 = per_audio_s(energy, trials)
    return Pooled(
        board_class=kind.name,
        entry=entry,
        boards=tuple(label for label, _ in done),
        scored=score([trial.utterances for trial in trials], seen.normaliser, seed=seen.facts.seed) if trials else None,
        rtf=rtf,
        rtf_ci95=rtf_ci95,
        latency_p50_s=mean([row.latency_p50_s for row in rows]),
        peak_memory_bytes=max(
            (row.peak_memory_bytes for row in rows if row.peak_memory_bytes is not None), default=None
        ),
        energy=energy,
        j_per_audio_s=per_second,
        j_per_audio_s_ci95=per_second_ci95,
    )


def pooled_energy(energies: Sequence[Energy], *, differ: bool = False) -> Energy:
    """The mean of boards' means, each board counted once however often it repeated; `unavailable` where they do not compare."""
    if len(energies) == 1:
        return energies[0]
    there = [energy for energy in energies if energy.energy_j is not None]
    if not there:
        return energies[0] if energies else NOTHING
    if len(there) < len(energies) or len({energy.kind for energy in there}) > 1 or differ:
        why = "its boards gave different texts" if differ else "its boards' figures cover different things"
        return replace(NOTHING, reason=f"not pooled: {why}")
    joules = [energy.energy_j for energy in there if energy.energy_j is not None]
    net = [(energy.net_j, energy.net_ci95_j) for energy in there if energy.net_j is not None]
    interval = within_and_between(joules, [energy.ci95_j for energy in there])
    return replace(
        there[0],
        energy_j=sum(joules) / len(joules),
        ci95_j=None if interval is None else (max(0.0, interval[0]), interval[1]),
        idle_j=mean([energy.idle_j for energy in there]),
        net_j=mean([value for value, _ in net]),
        net_ci95_j=within_and_between([value for value, _ in net], [ci95 for _, ci95 in net]) if net else None,
        mean_power_w=mean([energy.mean_power_w for energy in there]),
        reason="; ".join(dict.fromkeys(energy.reason for energy in there if energy.reason)) or None,
        readings=tuple(reading for energy in there for reading in energy.readings),
        rails=(),
        per_utterance={},
    )


def mean_of_boards(figures: Sequence[tuple[float | None, Interval | None]]) -> tuple[float | None, Interval | None]:
    """Of quantities that cannot be negative, each board's with its interval: their mean, with what the boards differ by."""
    known = [(value, interval) for value, interval in figures if value is not None]
    if not known:
        return None, None
    interval = within_and_between([value for value, _ in known], [ci95 for _, ci95 in known])
    low = None if interval is None else (max(0.0, interval[0]), interval[1])
    return sum(value for value, _ in known) / len(known), low


# --- between classes --------------------------------------------------------------------------------------------------
def _between(pooled: Sequence[Pooled], kinds: Sequence[BoardClass]) -> list[Between]:
    """Each class after the first against the first, row by row."""
    if len(kinds) < 2:
        return []
    rows = {kind.name: [row for row in pooled if row.board_class == kind.name] for kind in kinds}
    base = rows[kinds[0].name]
    sides = _sets(base)
    found = []
    for kind in kinds[1:]:
        other = rows[kind.name]
        pairs, _, _ = pair_up(sides, _sets(other))
        found += [_against(_row_of(base, one), _row_of(other, same)) for one, same in pairs]
    return found


def _sets(rows: Sequence[Pooled]) -> list[EvalSet]:
    by_speech: dict[tuple[str, object], list[Entry]] = {}
    for row in rows:
        by_speech.setdefault((row.entry.group.corpus, row.entry.group.condition), []).append(row.entry)
    return [
        EvalSet(corpus=entries[0].group.corpus, condition=entries[0].group.condition, entries=tuple(entries))
        for entries in by_speech.values()
    ]


def _row_of(rows: Sequence[Pooled], entry: Entry) -> Pooled:
    return next(row for row in rows if row.entry is entry)


def _against(base: Pooled, other: Pooled) -> Between:
    ratio = energy_ratio(base.energy, other.energy)
    rtf = energy_ratio(_as_energy(base), _as_energy(other))
    return Between(
        base=base,
        other=other,
        energy=ratio,
        rtf=None if rtf is None else rtf.value,
        rtf_ci95=None if rtf is None else rtf.ci95,
    )


def _as_energy(row: Pooled) -> Energy:
    """Its real-time factor as a quantity whose ratio is taken in the same way."""
    return replace(NOTHING, energy_j=row.rtf, ci95_j=row.rtf_ci95, evidence="measured")


# --- one board --------------------------------------------------------------------------------------------------------
def _board_share(run: RunFacts, kind: str) -> BoardShare:
    done = [trial for trial in run.trials if trial.status == "done"]
    energy, per_second = _energy_of_all(run, done)
    audio_s = sum(result.audio_s for trial in done for result in trial.utterances)
    busy = [(trial.window.duration_s, sum(u.audio_s for u in trial.utterances)) for trial in done if trial.window]
    taken = [(trial.surroundings or {}).get("bystanders") or {} for trial in done]
    heard_s = sum(seconds for _, seconds in busy)
    return BoardShare(
        label=label_of(run),
        id=None if run.board is None else run.board.id,
        board_class=kind,
        created=run.created,
        trials=len(done),
        of=len(run.trials),
        failed=sum(trial.status == "failed" for trial in run.trials),
        audio_s=audio_s,
        energy=energy,
        j_per_audio_s=per_second[0],
        j_per_audio_s_ci95=per_second[1],
        rtf=sum(seconds for seconds, _ in busy) / heard_s if heard_s else None,
        core_share=max((share for one in taken if (share := one.get("core_share")) is not None), default=None),
        wakeups_per_s=max((count for one in taken if (count := one.get("wakeups_per_s")) is not None), default=None),
    )


def _energy_of_all(run: RunFacts, done: Sequence[TrialFacts]) -> tuple[Energy, tuple[float | None, Interval | None]]:
    """Of all finished trials together, and per second of their audio; trials on another device than the first's are left out."""
    if not done:
        return NOTHING, (None, None)
    same = [trial for trial in done if trial.trial.recognizer.device == done[0].trial.recognizer.device]
    energy = energy_of(same, energy_rule(run))
    if energy.energy_j is None or any(reading.energy_j is None for reading in energy.readings):
        return energy, (None, None)
    audio_s = sum(result.audio_s for trial in same for result in trial.utterances)
    total_j = sum(reading.energy_j for reading in energy.readings if reading.energy_j is not None)
    ends = [reading.energy_ci95_j for reading in energy.readings if reading.energy_ci95_j is not None]
    interval = None
    if len(ends) == len(energy.readings) and audio_s:
        interval = (sum(low for low, _ in ends) / audio_s, sum(high for _, high in ends) / audio_s)
    return energy, (total_j / audio_s if audio_s else None, interval)
