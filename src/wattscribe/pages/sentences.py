"""Findings as sentences: figure, interval, test, in this order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wattscribe.metering.limits import gain_error
from wattscribe.records import PowerTrace, RunFacts
from wattscribe.results.basis import bases, energy_name
from wattscribe.results.cost import STARVED_SHARE, energy_rule
from wattscribe.results.findings import (
    Correlation,
    Entry,
    EvalSet,
    PairTest,
    PrecisionStep,
    base_eval_sets,
    counterpart,
    noise_pair,
    paired,
    precision_name,
)
from wattscribe.results.groups import rejected_under, short_corpus
from wattscribe.results.recommend import by_kind
from wattscribe.results.row import Row
from wattscribe.results.table import View
from wattscribe.results.words import bytes_text, interval_text, number, p_text, percent_text, plural, sentence
from wattscribe.scoring import PairedResult

NAMED_ONE_BY_ONE = 3
"""More rows than this with the same warning share one sentence; the table marks each."""


LONG_S = 120.0
"""From here on a length is given in minutes."""


def summary(seen: View, all_eval_sets: Sequence[EvalSet]) -> list[str]:
    """What was measured and who came out best in what, in a few sentences."""
    recognizers = {entry.group.label for eval_set in all_eval_sets for entry in eval_set.entries}
    modes = {entry.group.mode_name for eval_set in all_eval_sets for entry in eval_set.entries} - {None}
    where = f" in {plural(len(modes), 'power mode')}" if modes else ""
    count = plural(len(recognizers) // max(1, len(modes)), "recognizer")
    lines = [f"{count}{where} transcribed {_speech(all_eval_sets)}."]
    for eval_set in base_eval_sets(all_eval_sets):
        lines += _bests(eval_set)
    noise = noise_pair(all_eval_sets)
    if noise is not None:
        lines += _noise_sentence(*noise)
    if left_out := rejected_under(seen.groups, seen.facts.rejected):
        lines.append(
            f"Left out of the score because they could not be used: {plural(len(left_out), 'input')}, named below."
        )
    failed = [row for row in seen.rows if row.status != "done"]
    if failed:
        lines.append(f"{plural(len(failed), 'row')} of {len(seen.rows)} did not finish; see below.")
    return lines


def _speech(all_eval_sets: Sequence[EvalSet]) -> str:
    corpora = list(dict.fromkeys(short_corpus(eval_set.corpus) for eval_set in all_eval_sets))
    conditions = list(dict.fromkeys(eval_set.condition.name for eval_set in all_eval_sets))
    most = max((entry.row.utterances for eval_set in all_eval_sets for entry in eval_set.entries), default=0)
    seconds = max((entry.row.audio_s or 0.0 for eval_set in all_eval_sets for entry in eval_set.entries), default=0.0)
    length = f"{number(seconds)} s" if seconds < LONG_S else f"{number(seconds / 60)} min"
    what = f"up to {plural(most, 'utterance')} ({length}) of {_and(corpora)}"
    return what + (f" under {plural(len(conditions), 'condition')}: {_and(conditions)}" if len(conditions) > 1 else "")


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else "nothing"


def _bests(eval_set: EvalSet) -> list[str]:
    """Who has the lowest WER, takes the least energy and is the fastest; one clause each, or one for all."""
    scored = eval_set.scored
    if not scored:
        return []
    best = min(scored, key=lambda entry: entry.row.wer or 0.0)
    lowest = f"the lowest WER, {percent_text(best.row.wer)} % {interval_text(best.row.wer_ci95, 100)}"
    bests = [(best, lowest.strip())]
    kinds = by_kind(scored)
    if len(kinds) == 1:
        bests += [(entry, clause) for entry, clause in map(_least, kinds.values()) if entry]
    quick = [entry for entry in scored if entry.row.rtf is not None]
    if quick:
        fastest = min(quick, key=lambda entry: entry.row.rtf or 0.0)
        bests.append((fastest, f"the lowest real-time factor, {number(fastest.row.rtf)}"))
    names = list(dict.fromkeys(entry.group.label for entry, _ in bests))
    clauses = [f"{name} has {_and([what for entry, what in bests if entry.group.label == name])}" for name in names]
    return [f"On {eval_set.name} {'; '.join(clauses)}.", *(_apart(kinds) if len(kinds) > 1 else [])]


def _least(entries: Sequence[Entry]) -> tuple[Entry, str]:
    """Who takes the least energy among entries of one kind, and the clause that says so."""
    least = min(entries, key=lambda entry: entry.row.j_per_audio_s or 0.0)
    row = least.row
    joules = f"{number(row.j_per_audio_s)} J per second of audio {interval_text(row.j_per_audio_s_ci95)}".strip()
    return least, f"the least energy ({energy_name(row.energy_evidence, row.energy_covers)}), {joules}"


def _apart(kinds: Mapping[tuple[str, str], Sequence[Entry]]) -> list[str]:
    """One sentence per kind in which there is a choice: what covers different things has no common winner."""
    lines = []
    for entries in kinds.values():
        if len(entries) > 1:
            least, clause = _least(entries)
            lines.append(f"Of the {len(entries)} whose joules cover the same, {least.group.label} has {clause}.")
    return lines


def _noise_sentence(quiet: EvalSet, loud: EvalSet) -> list[str]:
    """One sentence, or none where no change could be tested."""
    changes = [(entry, change) for entry in quiet.scored if (change := _noise_change(entry, loud))]
    if not changes:
        return []
    (least, low), (most, high) = (
        chosen(changes, key=lambda named_change: named_change[1].difference) for chosen in (min, max)
    )
    one = f"{100 * low.difference:+.1f} points {interval_text(low.ci95, 100)} for {least.group.label}"
    where = (
        f"On {short_corpus(quiet.corpus)}, {loud.condition.name}"
        if quiet.corpus == loud.corpus
        else sentence(loud.name)
    )
    what = f"{where} changes the WER against {quiet.condition.name if quiet.corpus == loud.corpus else quiet.name} by"
    if least is most:
        return [f"{what} {one}."]
    other = f"{100 * high.difference:+.1f} points {interval_text(high.ci95, 100)} for {most.group.label}"
    return [f"{what} {one}, and by {other}." if len(changes) == 2 else f"{what} {one} at least, to {other} at most."]


def noise_name(quiet: EvalSet, loud: EvalSet) -> str:
    """What came on top of the quiet speech: `white@10dB on librispeech/dev-clean`, or the noisy corpus by its name."""
    return f"{loud.condition.name} on {short_corpus(loud.corpus)}" if quiet.corpus == loud.corpus else loud.name


def noise_sentences(quiet: EvalSet, loud: EvalSet) -> list[str]:
    """What noise adds to each recognizer's WER."""
    lines = []
    for entry in quiet.scored:
        change = _noise_change(entry, loud)
        if change is not None:
            figures = f"{100 * change.difference:+.2f} points {interval_text(change.ci95, 100)}, {p_text(change.p)}"
            lines.append(f"{entry.group.label}: {figures} ({change.method})")
    return lines


def _noise_change(entry: Entry, loud: EvalSet) -> PairedResult | None:
    there = counterpart(entry, loud)
    result = paired(entry, there) if there else None
    return None if result is None else result[0]


def precision_sentences(steps: Sequence[PrecisionStep]) -> list[str]:
    """Energy ratio of a lower precision, with what it did to the WER."""
    return [_precision_sentence(step) for step in steps]


def _precision_sentence(step: PrecisionStep) -> str:
    ratio = step.ratio
    interval = f" {interval_text(ratio.ci95)}" if ratio.ci95 else ""
    test = f", {p_text(ratio.p)}" if ratio.p is not None else ", no interval"
    names = f"{precision_name(step.cheaper)}/{precision_name(step.base)}"
    basis = energy_name(step.base.energy.evidence, step.base.energy.covers)
    text = f"{step.base.row.model_label}, {names}: energy ratio {number(ratio.value)}{interval}{test} ({basis}; {ratio.method})"
    if step.wer_change is not None:
        change = step.wer_change
        text += f"; WER {100 * change.difference:+.2f} points {interval_text(change.ci95, 100)}, {p_text(change.p)}"
    bad = [precision_name(entry) for entry in (step.base, step.cheaper) if entry.row.precision_ok is False]
    text += f". {step.eval_set.name}."
    return text + (f" Precision not as requested: {_and(bad)}." if bad else "")


def correlation_sentences(correlations: Sequence[Correlation]) -> list[str]:
    """Rank correlations, or why there is none."""
    lines = []
    for correlation in correlations:
        if correlation.result is None:
            lines.append(f"Parameters against {correlation.about}: not computed, {correlation.reason}.")
            continue
        result = correlation.result
        sure = "go together" if result.p < 0.05 else "are not shown to go together"
        lines.append(
            f"Parameters and {correlation.about} {sure}: rank correlation {result.rho:+.2f} {interval_text(result.ci95)}, "
            f"{p_text(result.p)} ({result.method}; at {correlation.precision})."
        )
    return lines


def pair_sentence(tests: Sequence[PairTest]) -> str:
    """How many pairs differ, and how that was decided."""
    differing = sum(test.differs for test in tests)
    verb = "differs" if differing == 1 else "differ"
    return (
        f"{differing} of {plural(len(tests), 'pair')} {verb} in WER at the 5 % level after Holm's correction for all pairs "
        "(paired by speaker, or by utterance below five speakers). MAPSSWE is the matched-pairs test on "
        "segments, not corrected."
    )


def board_sentences(facts: RunFacts) -> list[str]:
    """That the board was played, where it was: before any figure."""
    board = facts.machine.get("simulated_board")
    if board is None:
        return []
    return [
        f"Simulated board {board}: the recognizers really ran, but no joule and no watt here was measured. They show how a run "
        "with sensors is read, and say nothing about any device."
    ]


def flag_sentences(seen: View) -> list[str]:
    """Rows whose precision was not the one asked for, and rows whose times are only upper bounds."""
    flags: dict[str, str] = {}
    for row in seen.rows:
        if row.precision_ok is False:
            name = f"{row.model_label} {row.precision}"
            flags[name] = f"{name}: precision not as requested: {row.precision_reason or 'no reason recorded'}"
    return [*board_sentences(seen.facts), *flags.values(), *starved_sentences(seen.rows)]


def starved_sentences(rows: Sequence[Row]) -> list[str]:
    """Who waited for a core that other work had, one by one while they are few: measure again on a quiet machine."""
    starved = [row for row in rows if (row.starved_share or 0.0) > STARVED_SHARE]
    if len(starved) > NAMED_ONE_BY_ONE:
        worst = max(row.starved_share or 0.0 for row in starved)
        return [
            f"{len(starved)} of {plural(len(rows), 'row')} stood ready and waited for a core that other work had, for "
            f"{100 * worst:.0f} % of the time at worst; their times and energies are upper bounds."
        ]
    return [
        f"{row.model_label} {row.precision}, {short_corpus(row.corpus)}, {row.condition}: it stood ready and waited for "
        f"a core that other work had, {number(row.starved_s)} s in a pass and {100 * (row.starved_share or 0.0):.0f} % of its "
        "time at worst; its times and energies are upper bounds."
        for row in starved
    ]


def scaling_sentences(rows: Sequence[Row]) -> list[str]:
    """What was made quieter as a whole so that no sample clips; once per corpus and condition."""
    lines = {
        (row.corpus, row.condition): f"{short_corpus(row.corpus)}, {row.condition}: "
        f"{row.scaled_utterances} of {plural(row.utterances, 'utterance')} exceeded full scale once mixed and were scaled down "
        f"as a whole, speech and noise alike (the smallest factor is {number(row.scale_min)}), so nothing clips."
        for row in rows
        if row.scaled_utterances
    }
    return list(lines.values())


def recording_sentences(facts: RunFacts) -> list[str]:
    """Recordings that were attached, and how well their clocks fit."""
    lines = []
    for recording in facts.recordings:
        drift = (
            "its drift is unknown" if recording.drift_ppm is None else f"it drifts by {recording.drift_ppm:+.1f} ppm"
        )
        outside = f"; {plural(recording.trials_outside, 'trial')} lie outside of it" if recording.trials_outside else ""
        lines.append(
            f"Recording {recording.name} ({recording.covers}): {recording.samples:,} samples, "
            f"one every {number(recording.spacing_s)} s. Its clock was aligned by {recording.method}: "
            f"{drift}, residual {number(1e3 * recording.residual_s)} ms. It covers "
            f"{plural(recording.trials, 'trial')}{outside}."
        )
    return lines


def sensor_sentences(seen: View) -> list[str]:
    """What the intervals of measured joules cannot hold: a wrong scale, and what a sensor does not look at."""
    measured = _measured(seen)
    used = {name: measured[name] for name in energy_rule(seen.facts).channel_of_device.values() if name in measured}
    stated = {name: recording.gain_error for recording in seen.facts.recordings for name in recording.channels}
    lines = []
    for name in sorted(used):
        error = gain_error(used[name].meter) if name not in stated else _stated(stated[name])
        lines.append(
            f"Not in the intervals: the gain error of {name}, {error}. It is the same in every trial on one board, so ratios "
            "between its trials are free of it."
        )
    for meter_probe in seen.facts.meters.get("probes") or ():
        blind = [name for name in meter_probe.get("instants") or () if f"{meter_probe['meter']}.{name}" in used]
        if blind:
            remedy = f" To fix it before the next run: {meter_probe['fix']}" if meter_probe.get("fix") else ""
            lines.append(
                f"{meter_probe['meter']}.{blind[0]} showed instants: a change of load between two reads was unseen, "
                f"and the intervals are wider for it.{remedy}"
            )
    return lines


def _measured(seen: View) -> dict[str, PowerTrace]:
    """One trace of each channel that a sensor read, by its name; none where no row has joules of a sensor."""
    read = {"measured", "simulated"}
    if not any(row.energy_j is not None and row.energy_evidence in read for row in seen.rows):
        return {}
    traces = (trace for trial in seen.facts.trials for trace in trial.traces)
    return {trace.channel: trace for trace in traces if trace.evidence in read}


def _stated(error: float | None) -> str:
    return "which its data sheet tells" if error is None else f"{number(100 * error)} % as stated when it was attached"


def evidence_sentences(seen: View) -> list[str]:
    """What the joules rest on, and why some are missing."""
    columns = bases(seen.rows)
    lines = basis_sentences(seen)
    for basis in columns:
        first = next(row for row in seen.rows if basis.per_audio_s(row)[0] is not None)
        reason = {"cpu_": first.cpu_energy_reason, "device_": first.device_energy_reason}.get(
            basis.prefix, first.energy_reason
        )
        if reason is not None:
            lines.append(f"{basis.header}, first row: {reason.removeprefix(f'{basis.evidence}: ')}.")
    if any(basis.evidence == "modelled" for basis in columns):
        lines.append(
            "A modelled interval is the stated range of the model's constants, not the spread of a measurement."
        )
    missing = sorted(
        {row.energy_reason for row in seen.rows if row.energy_j is None and row.energy_reason and row.repeats}
    )
    lines += recording_sentences(seen.facts) + sensor_sentences(seen)
    return lines + [f"Unavailable: {why}." for why in missing]


def basis_sentences(seen: View) -> list[str]:
    """What each column of joules covers, which of them must not be compared, and what they come to in Wh and CO2."""
    columns = bases(seen.rows)
    lines = [f"{basis.header} is {basis.evidence}: {basis.covers}." for basis in columns]
    lines = [
        f"{line[:-1]}; another machine than this run's." if basis.prefix == "device_" else line
        for line, basis in zip(lines, columns, strict=True)
    ]
    if len(columns) > 1:
        lines.append("Columns of joules cover different things and must not be compared with each other.")
    lines += dict.fromkeys(
        f"No figure on {row.device_profile}: {row.device_energy_reason}."
        for row in seen.rows
        if row.device_energy_j is None and row.device_energy_reason and row.repeats
    )
    uncounted = dict.fromkeys(row.model_label for row in seen.rows if row.repeats and row.device_profile is None)
    if uncounted and any(basis.prefix == "device_" for basis in columns):
        lines.append(
            f"No counted work is available for {', '.join(uncounted)}, whose runtime does not count its invocations: on a device "
            "nothing stands for it, and its joules here are this machine's."
        )
    if columns:
        lines.append(f"J per second of audio are Wh per hour of audio{_grid_text(seen.rows)}.")
    return lines


def _grid_text(rows: Sequence[Row]) -> str:
    grid = next((row.grid_gco2_per_kwh for row in rows if row.grid_gco2_per_kwh is not None), None)
    if grid is None:
        return ""
    return f"; CO2 at {number(grid)} g per kWh, as stated, for what the joules in front cover and no more"


def tiles(all_eval_sets: Sequence[EvalSet]) -> list[tuple[str, str, str]]:
    """The figures at the top of the page: (figure, name, note)."""
    bases = base_eval_sets(all_eval_sets)
    scored = bases[0].scored if bases else ()
    if not scored:
        return []
    best = min(scored, key=lambda entry: entry.row.wer or 0.0)
    cards = [
        (
            f"{percent_text(best.row.wer)} %",
            f"lowest word error rate (WER), {bases[0].name}",
            f"{best.group.label} {interval_text(best.row.wer_ci95, 100)}",
        )
    ]
    cards += _energy_tile(scored)
    quick = [entry for entry in scored if entry.row.rtf]
    if quick:
        fastest = min(quick, key=lambda entry: entry.row.rtf or 0.0)
        cards.append(
            (
                f"{number(fastest.row.rtf)}",
                "lowest real-time factor: seconds of work per second of audio",
                fastest.group.label,
            )
        )
    small = [entry for entry in scored if entry.row.peak_memory_bytes]
    if small:
        least = min(small, key=lambda entry: entry.row.peak_memory_bytes or 0)
        cards.append((bytes_text(least.row.peak_memory_bytes), "least peak memory", least.group.label))
    return cards


def _energy_tile(scored: Sequence[Entry]) -> list[tuple[str, str, str]]:
    """The least energy on the one basis that all have in common: the machine's own figures, else its CPU's; else no tile."""
    rows = [(entry, entry.row) for entry in scored]
    for basis in bases([row for _, row in rows]):
        figures = [(value, entry) for entry, row in rows if (value := basis.per_audio_s(row)[0]) is not None]
        if basis.prefix != "device_" and len(figures) == len(rows):
            value, entry = min(figures, key=lambda figure: figure[0])
            return [(f"{number(value)} J", f"least energy per second of audio, {basis.name}", entry.group.label)]
    return []
