"""The page about a run: what it found in words, the table, the figures, the evidence behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from markupsafe import Markup

from wattscribe.pages import figures, page, sections, sentences
from wattscribe.pages.listening import listening_section
from wattscribe.pages.modes import modes_section
from wattscribe.pages.names import Names, names_of
from wattscribe.pages.page import Block, Figure, Section, Table, Watched, Words, render
from wattscribe.pages.power_figures import power_traces
from wattscribe.pages.worst import worst_utterances
from wattscribe.records import RunFacts
from wattscribe.results.findings import (
    EvalSet,
    Limits,
    base_eval_sets,
    correlations,
    eval_sets,
    noise_pair,
    on_device,
    pair_tests,
    precision_steps,
)
from wattscribe.results.notes import rule_sentences
from wattscribe.results.recommend import recommend
from wattscribe.results.table import View, view

if TYPE_CHECKING:
    from wattscribe.energy.devices import Device


def run_page(
    facts: RunFacts,
    *,
    limits: Limits | None = None,
    device: Device | None = None,
    grid_gco2_per_kwh: float | None = None,
    battery_wh: float | None = None,
    watched: Watched | None = None,
) -> str:
    """The page as HTML. A `device` that was asked for gets a section of its own, with figures and advice."""
    seen = view(facts, device=device, grid_gco2_per_kwh=grid_gco2_per_kwh, battery_wh=battery_wh)
    all_eval_sets = eval_sets(seen)
    names = names_of(all_eval_sets)
    return render(
        facts.name,
        [
            _summary(seen, all_eval_sets, limits or Limits()),
            sections.table_section(seen),
            listening_section(seen.rows),
            modes_section(all_eval_sets, names),
            _study_figures(all_eval_sets, names),
            *([_on_device(all_eval_sets, names, device, limits or Limits(), facts.seed)] if device else []),
            _noise(all_eval_sets, names),
            _findings(seen, all_eval_sets),
            _power(seen, all_eval_sets),
            _worst(seen, all_eval_sets),
            _left_out(seen),
            _record(facts),
        ],
        subtitle=_subtitle(facts),
        tiles=sentences.tiles(all_eval_sets),
        watched=watched,
    )


def fragment(facts: RunFacts) -> str:
    """For a notebook: what the page begins with, and its table."""
    seen = view(facts)
    words = Words(lines=sentences.summary(seen, eval_sets(seen)))
    flags = [*sentences.flag_sentences(seen), *rule_sentences(seen.normaliser, seen.groups)]
    warnings = [Words(lines=flags, tone="warn", as_list=True)] if flags else []
    blocks = [block for block in sections.table_section(seen).blocks if isinstance(block, (Words, Table))]
    return page.fragment(facts.name, [words, *warnings, *blocks], subtitle=_subtitle(facts))


def _subtitle(facts: RunFacts) -> str:
    return f"{_taken(facts)} {facts.created[:16].replace('T', ' ')} UTC. {_machine(facts)}"


def _taken(facts: RunFacts) -> str:
    return "Measured" if facts.machine.get("simulated_board") is None else "Simulated"


def _machine(facts: RunFacts) -> str:
    parts = [facts.machine.get(key) for key in ("machine", "cpu", "os")]
    return ", ".join(str(part) for part in parts if part)


def _summary(seen: View, all_eval_sets: Sequence[EvalSet], limits: Limits) -> Section:
    flags = [*sentences.flag_sentences(seen), *rule_sentences(seen.normaliser, seen.groups)]
    blocks: list[Block] = [Words(lines=sentences.summary(seen, all_eval_sets))]
    if flags:
        blocks.append(Words(lines=flags, tone="warn", as_list=True))
    advice = [
        item for eval_set in base_eval_sets(all_eval_sets, limits.condition) for item in recommend(eval_set, limits)
    ]
    if advice:
        blocks.append(Markup("<h3>Recommendation</h3>"))
    blocks += [Words(lines=[line.text], tone="good" if line.entry else "warn") for line in advice]
    lead = (
        "WER is the word error rate: the share of words that are wrong. Square brackets hold 95 % intervals."
        if all_eval_sets
        else ""
    )
    return Section(id="summary", title="In short", blocks=blocks, lead=lead)


def _study_figures(all_eval_sets: Sequence[EvalSet], names: Names) -> Section:
    drawn: list[Figure | None] = [figures.wer_bars(all_eval_sets, names)]
    bases = base_eval_sets(all_eval_sets)
    if bases:
        first = bases[0]
        drawn += figures.energy_bars(first, names)
        drawn.append(figures.speed_and_memory_bars(first, names))
        drawn += [*figures.bubbles(first, names), *figures.pareto_front(first, names)]
    lead = (
        "Word errors, energy, speed and memory of every recognizer. Press a name in a legend to hide it, point at a mark for "
        f"its figures. {names.sentence}"
    )
    return Section(id="figures", title="Figures", lead=lead, blocks=[figure for figure in drawn if figure is not None])


def _on_device(all_eval_sets: Sequence[EvalSet], names: Names, device: Device, limits: Limits, seed: int) -> Section:
    """What transducers would take on the device that was asked for, and which to take there."""
    there = on_device(all_eval_sets)
    blocks: list[Block] = []
    for eval_set in base_eval_sets(there, limits.condition):
        if any(entry.row.j_per_audio_s is not None for entry in eval_set.entries):
            blocks += [
                Words(lines=[line.text], tone="good" if line.entry else "warn") for line in recommend(eval_set, limits)
            ]
    steps = sentences.precision_sentences(precision_steps(there, seed=seed))
    blocks += [Words(lines=steps, as_list=True)] if steps else []
    drawn = [
        figure
        for eval_set in base_eval_sets(there)[:1]
        for figure in (*figures.energy_bars(eval_set, names), *figures.bubbles(eval_set, names))
    ]
    drawn += [figure for figure in figures.against_snr(there, names) if figure.id.startswith("snr-energy")]
    blocks += [replace(figure, id=f"device-{figure.id}", title=f"{figure.title}, on {device.name}") for figure in drawn]
    if not drawn:
        blocks.append(
            Words(lines=[f"Nothing can be modelled on {device.name}: only transducers with counted invocations."])
        )
    lead = (
        f"{device.title}: counted invocations times the constants of this profile. Another machine than this run's, whose "
        "real-time factor and memory are shown."
    )
    return Section(id="device", title=f"On {device.name}", lead=lead, blocks=blocks)


def _noise(all_eval_sets: Sequence[EvalSet], names: Names) -> Section:
    return Section(id="noise", title="Against noise", blocks=figures.against_snr(all_eval_sets, names))


def _findings(seen: View, all_eval_sets: Sequence[EvalSet]) -> Section:
    seed = seen.facts.seed
    blocks: list[Block] = []
    steps = sentences.precision_sentences(precision_steps(all_eval_sets, seed=seed))
    if steps:
        blocks += [Markup("<h3>What a lower precision saves</h3>"), Words(lines=steps, as_list=True)]
    pair = noise_pair(all_eval_sets)
    if pair is not None:
        blocks.append(Markup("<h3>What {} adds to the WER</h3>").format(sentences.noise_name(*pair)))
        blocks.append(Words(lines=sentences.noise_sentences(*pair), as_list=True))
    ranks = sentences.correlation_sentences(correlations(all_eval_sets, seed=seed))
    if ranks:
        blocks += [Markup("<h3>Does size tell?</h3>"), Words(lines=ranks, as_list=True)]
    tests = pair_tests(all_eval_sets, seed=seed)
    if tests:
        blocks += [Markup("<h3>Which recognizers differ</h3>"), Words(lines=[sentences.pair_sentence(tests)])]
        blocks.append(sections.pair_table(tests))
    streaming = sections.streaming_table(seen)
    if streaming is not None:
        blocks += [Markup("<h3>Streaming</h3>"), streaming]
    lead = "Square brackets are 95 % intervals. Nothing is claimed without a test."
    return Section(id="findings", title="Findings", lead=lead, blocks=blocks)


def _power(seen: View, all_eval_sets: Sequence[EvalSet]) -> Section:
    blocks: list[Block] = [Words(lines=sentences.evidence_sentences(seen))]
    blocks += sections.energy_tables(all_eval_sets)
    there = on_device(all_eval_sets)
    blocks += [table for table in sections.energy_tables(there) if table.numeric]
    traces = power_traces(all_eval_sets)
    if traces is not None:
        blocks.append(traces)
    else:
        how = "wattscribe meters says which sensors there are, and what would make them readable"
        blocks.append(Words(lines=[f"No power was sampled, so there is no trace to draw: {how}."]))
    return Section(id="power", title="Where the joules come from", blocks=blocks)


def _worst(seen: View, all_eval_sets: Sequence[EvalSet]) -> Section:
    return Section(id="worst", title="Worst utterances", blocks=worst_utterances(all_eval_sets, seen.normaliser))


def _left_out(seen: View) -> Section:
    tables = (sections.failed_table(seen), sections.rejected_table(seen))
    return Section(
        id="left-out", title="What failed or was left out", blocks=[table for table in tables if table is not None]
    )


def _record(facts: RunFacts) -> Section:
    blocks: list[Block] = [sections.facts_list({**facts.machine, "seed": facts.seed})]
    if facts.meters:
        other = {key: value for key, value in facts.meters.items() if key != "probes"}
        table = sections.meter_table(facts.meters)
        blocks += [Markup("<h3>Meters</h3>"), *([table] if table else []), sections.facts_list(other)]
    if facts.experiment:
        blocks += [Markup("<h3>Experiment</h3>"), sections.facts_list(facts.experiment)]
    return Section(id="machine", title="Machine and experiment", blocks=blocks)
