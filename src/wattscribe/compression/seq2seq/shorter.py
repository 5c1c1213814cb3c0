"""What a Whisper offers beyond other forms of its weights: fewer layers, and less silence."""

from __future__ import annotations

from collections.abc import Sequence

from wattscribe.compression.bits import PROBE_S
from wattscribe.compression.levers.layers import layers
from wattscribe.compression.moves import Move
from wattscribe.compression.seq2seq.gated import heard
from wattscribe.compression.step import Step
from wattscribe.compression.workbench import Workbench
from wattscribe.errors import MissingExtraError
from wattscribe.units import SAMPLE_RATE_HZ

KEEPS_S = (0.5, 0.25)
"""Silence around speech that goes to the encoder too."""
LEAST_SKIPPED = 0.005
"""Of the audio: less is not worth a detector."""


def cuts(bench: Workbench, base: Sequence[Step], component: str) -> list[Move]:
    """Each layer is cut by itself, and the divergence after repair measured; all save the same. In that order the moves then cut
    one, two and so on, half of them at most, as long as the last alone leaves a recognizer that hears the same language."""
    every = layers(bench.original.model(component), component)
    if len(every) < 2:
        return []
    probe = bench.probe.shorter(PROBE_S)
    harm = {name: bench.kl(bench.build([*base, _cut(component, [name])]), probe).kl for name in every[1:]}
    order = sorted(every[1:], key=lambda name: harm[name])
    listed = ", ".join(f"{name.rpartition('.')[2]}: {harm[name]:.2g}" for name in order)
    bench.say(f"  layers of the {component}, divergence without each: {listed}")
    order = [name for name in order if harm[name] <= bench.family.most_kl][: len(every) // 2]
    counts = range(1, len(order) + 1)
    return [
        Move(slot=f"cut:{component}", component=component, steps=(_cut(component, order[:count]),)) for count in counts
    ]


def _cut(component: str, names: Sequence[str]) -> Step:
    return Step(lever="cut-layers", component=component, tensors=tuple(sorted(names)))


def gates(bench: Workbench) -> list[Step]:
    """Where the speech that may be chosen on has silence to skip; what there is is said."""
    steps = []
    for keep_s in KEEPS_S:
        try:
            left = sum(len(heard(audio, keep_s)) for audio in bench.dev.audio) / SAMPLE_RATE_HZ
        except MissingExtraError as error:
            bench.say(f"  no voice gate is offered: {error}")
            return []
        skipped = bench.dev.audio_s - left
        bench.say(f"  voice gate that keeps {keep_s:g} s: would skip {skipped:.1f} of {bench.dev.audio_s:.1f} s")
        if skipped >= LEAST_SKIPPED * bench.dev.audio_s:
            steps.append(Step(lever="vad", component="encoder", options={"keep_s": keep_s}))
    return steps
