"""Models of the comparison: which widths stay, pruned and fine-tuned, in 8 bits, and what they decode."""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from benchmarks._components_predicted import WAYS
from wattscribe import records
from wattscribe.compression.candidate import COMPONENTS, Candidate
from wattscribe.compression.dense.surgery import Cut
from wattscribe.compression.dense.tune import prune_and_tune
from wattscribe.compression.levels import Uniform
from wattscribe.compression.measure import Decoded, decode
from wattscribe.compression.opened import OpenedTransducer
from wattscribe.compression.options import Options
from wattscribe.compression.run import make_bench
from wattscribe.compression.speech import SpeechSet
from wattscribe.compression.workbench import joined
from wattscribe.energy.options import Decoding
from wattscribe.errors import InputError
from wattscribe.streaming import open_transducer
from wattscribe.training.config import TransducerConfig
from wattscribe.training.model import TransducerModel, build

STEPS = 100
RATE = 3e-4
"""Behind maps that are fitted anew 60 steps bring a joiner of 0.3 of its width from 0.28 to 0.24 nat a frame off the dense
model's answers, at the training's own peak of 1e-3 to 0.27."""
INNER: Mapping[str, tuple[str, ...]] = {
    "encoder": ("feed_forward", "convolution"), "predictor": ("hidden", "embedding"), "joiner": ("joint",),
}  # fmt: skip
"""Widths of a cut by component; attention heads come whole and stay."""


# --- which widths stay --------------------------------------------------------------------------------------------------
def bytes_of(config: TransducerConfig) -> dict[str, int]:
    """Weights by component as the export parts them, a byte each: the joiner's projections run with the other two."""
    with torch.device("meta"):
        model = build(config)
    counted = {
        name: sum(each.numel() for each in getattr(model, name).parameters()) for name in ("encoder", "predictor")
    }
    joiner = model.joiner
    counted["encoder"] += sum(each.numel() for each in joiner.from_encoder.parameters())
    counted["predictor"] += joiner.from_predictor.weight.numel()
    return {**counted, "joiner": sum(each.numel() for each in joiner.out.parameters())}


def after(config: TransducerConfig, cut: Cut) -> TransducerConfig:
    """The shape that `surgery.prune` leaves of a cut without heads and layers."""
    layers = tuple(
        replace(each, feed_forward=_kept(each.feed_forward, cut.feed_forward), conv_width=_kept(each.conv_width, cut.convolution))
        for each in config.encoder.layers
    )  # fmt: skip
    spoken = config.predictor
    predictor = replace(
        spoken, embedding=_kept(spoken.embedding, cut.embedding), hidden=_kept(spoken.hidden, cut.hidden)
    )
    joiner = replace(config.joiner, width=_kept(config.joiner.width, cut.joint))
    return replace(config, encoder=replace(config.encoder, layers=layers), predictor=predictor, joiner=joiner)


def _kept(width: int, keep: float) -> int:
    return max(1, round(keep * width)) if width else 0


def cut_to(config: TransducerConfig, parts: Mapping[str, float]) -> Cut:
    """The cut that leaves each component about this part of its bytes. Raises InputError where its inner widths are too few."""
    cut, before = Cut(), bytes_of(config)
    for component in ("joiner", "predictor", "encoder"):  # the joiner's width is a side of the other two's projections
        wanted = parts.get(component, 1.0) * before[component]
        low, high = 0.02, 1.0
        if bytes_of(after(config, _with(cut, component, low)))[component] > wanted:
            raise InputError(f"{component}: {parts[component]:.0%} of its bytes is less than its inner widths hold")
        for _ in range(12):
            middle = (low + high) / 2
            small = bytes_of(after(config, _with(cut, component, middle)))[component] <= wanted
            low, high = (middle, high) if small else (low, middle)
        cut = _with(cut, component, 1.0 if parts.get(component, 1.0) >= 1 else low)
    return cut


def _with(cut: Cut, component: str, keep: float) -> Cut:
    widths: dict[str, Any] = dict.fromkeys(INNER[component], keep)
    return replace(cut, **widths)


def removed_by(config: TransducerConfig, cut: Cut) -> int:
    return sum(bytes_of(config).values()) - sum(bytes_of(after(config, cut)).values())


def global_cut(model: TransducerModel, removed: float) -> Cut:
    """One threshold over all channels of all components, each weighed against the mean of its own kind in its own layer."""
    channels = relative(model)
    low, high = 0.0, 0.95
    cut = Cut()
    for _ in range(14):
        middle = (low + high) / 2
        threshold = torch.quantile(torch.cat([scores for layers in channels.values() for scores in layers]), middle)
        shares: dict[str, Any] = {
            kind: max(float((torch.cat(layers) >= threshold).float().mean()), 0.02) for kind, layers in channels.items()
        }
        cut = Cut(**shares)
        low, high = (middle, high) if removed_by(model.config, cut) < removed else (low, middle)
    return cut


def relative(model: TransducerModel) -> dict[str, list[torch.Tensor]]:
    """By kind, the length of what makes a channel times that of what reads it, over the mean of its layer."""
    tensors = {name: tensor.detach() for name, tensor in model.state_dict().items()}

    def channel(written: torch.Tensor, read: torch.Tensor) -> torch.Tensor:
        lengths: torch.Tensor = written.flatten(1).norm(dim=1) * read.norm(dim=0)
        return lengths / lengths.mean()

    by_kind: dict[str, list[torch.Tensor]] = {"feed_forward": [], "convolution": []}
    for number in range(len(model.config.encoder.layers)):
        block = f"encoder.blocks.{number}"
        by_kind["feed_forward"].append(channel(tensors[f"{block}.expand.weight"], tensors[f"{block}.contract.weight"]))
        width = tensors[f"{block}.convolution.bias"].shape[0]
        gate = tensors[f"{block}.convolution.gate.weight"][:width]
        by_kind["convolution"].append(channel(gate, tensors[f"{block}.convolution.out.weight"]))
    written = torch.cat([tensors["joiner.from_encoder.weight"], tensors["joiner.from_predictor.weight"]], dim=1)
    by_kind["joint"] = [channel(written, tensors["joiner.out.weight"])]
    gates = tensors["predictor.lstm.weight_hh_l0"].unflatten(0, (4, -1)).transpose(0, 1)
    by_kind["hidden"] = [channel(gates, tensors["joiner.from_predictor.weight"])]
    by_kind["embedding"] = [channel(tensors["predictor.embedding.weight"].T, tensors["predictor.lstm.weight_ih_l0"])]
    return by_kind


# --- pruned, fine-tuned, in 8 bits --------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """Everything that a model is made with."""

    checkpoint: Path
    recipe: Path
    dev: str
    cache: Path
    steps: int = STEPS
    seeds: int = 3
    """How often each cut is made, with another order of the training speech."""
    ways: tuple[tuple[Decoding, int], ...] = WAYS
    """Decoding and beam of what is compared."""
    jobs: int = 1
    """Models that are made and decoded at a time; each on one thread."""
    segments: int = 1
    """Segments that a call of the encoder takes, in every model alike: the same text, fewer reads of its weights."""


def pruned(making: Making, cut: Cut, seed: int) -> Candidate:
    """Pruned by moment-weighted scores, fine-tuned, in 8 bits; kept under a name that follows from all of it."""
    weights = hashlib.sha256((making.checkpoint / "model" / "model.safetensors").read_bytes()).hexdigest()
    said = f"{weights} {making.recipe.read_text(encoding='utf-8')} {cut} {seed} {making.steps} {making.segments}"
    kept = making.cache / f"eight-{hashlib.sha256(said.encode()).hexdigest()[:16]}"
    if not kept.is_dir():
        _write(_eight_bits(making, _tuned(making, cut, seed, kept.with_suffix(".toml"))), kept)
    networks = {name: (kept / name).read_bytes() for name in COMPONENTS}
    return Candidate(networks=networks, tokens=(kept / "tokens").read_bytes())


def _tuned(making: Making, cut: Cut, seed: int, config: Path) -> Candidate:
    widths = ", ".join(f"{each.name} = {asdict(cut)[each.name]}" for each in fields(cut) if each.name != "drop_layers")
    making.cache.mkdir(parents=True, exist_ok=True)
    config.write_text(
        f"experiment = {json.dumps(str(making.recipe.resolve()))}\nsteps = {making.steps}\nrate = {RATE}\nseed = {seed}\n"
        f"batch_s = 40.0\ncut = {{ {widths} }}\n",
        encoding="utf-8",
    )
    return prune_and_tune(making.checkpoint, config, cache=making.cache, say=print)[1]


def _eight_bits(making: Making, candidate: Candidate) -> Candidate:
    """Maps, convolutions, LSTM and embedding, rounded to the nearest: nothing that one model could do and another not."""
    bench = make_bench(candidate, Options(data=(making.dev,), cache=making.cache), print)
    steps = [
        replace(step, options={"rounding": "nearest"}) if step.lever == "int8" else step
        for step in Uniform.steps(bench, 1.0)
    ]
    together = [joined(making.segments)] if making.segments > 1 else []
    return bench.build([*together, *steps])


def _write(candidate: Candidate, kept: Path) -> None:
    part = kept.with_suffix(".part")
    part.mkdir(parents=True, exist_ok=True)
    for name, network in candidate.networks.items():
        (part / name).write_bytes(network)
    (part / "tokens").write_bytes(candidate.tokens)
    part.rename(kept)


# --- decoding ------------------------------------------------------------------------------------------------------------
def decoded_by(candidate: Candidate, speech: SpeechSet, cache: Path, *, decoding: Decoding, beam: int) -> Decoded:
    """Text, counts and seconds of every utterance, one thread, call after call as from a microphone; kept."""
    path = cache / f"decoded-{candidate.digest}-{decoding}-{beam}-{speech.digest}.json"
    if not path.is_file():
        with candidate.directory() as folder:
            transducer = open_transducer(
                folder,
                frame_by_frame=decoding == "frame-by-frame",
                decoding="beam" if beam > 1 else "greedy",
                beam=beam,
            )
            decoded = decode(OpenedTransducer(transducer), speech)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(records.to_json(decoded)), encoding="utf-8")
        part.replace(path)
    return read_decoded(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One model, and how it is to be decoded: (decoding, beam)."""

    cut: Cut
    seed: int = 0
    ways: tuple[tuple[Decoding, int], ...]


def prepare(making: Making, speech: SpeechSet, wanted: Sequence[Wanted], jobs: int) -> None:
    """Make and decode what is not kept yet, so many models at a time; whoever asks for one then finds it."""
    if jobs > 1:
        with ProcessPoolExecutor(jobs, get_context("spawn"), initializer=_begin, initargs=(making, speech)) as pool:
            list(pool.map(_one, wanted))


def _begin(making: Making, speech: SpeechSet) -> None:
    torch.set_num_threads(1)
    _GIVEN[:] = [making, speech]


def _one(wanted: Wanted) -> None:
    making, speech = _GIVEN
    candidate = pruned(making, wanted.cut, wanted.seed)
    for decoding, beam in wanted.ways:
        decoded_by(candidate, speech, making.cache, decoding=decoding, beam=beam)
    print(f"{datetime.datetime.now():%H:%M} made and decoded: {wanted.cut}, seed {wanted.seed}", flush=True)


_GIVEN: list[Any] = []
"""Of a process of `prepare`."""


def read_decoded(path: Path) -> Decoded:
    return records.from_json(Decoded, json.loads(path.read_text(encoding="utf-8")))
