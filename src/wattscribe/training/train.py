"""The training loop: batch, losses, step, and every so often a checkpoint and a look at dev WER."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Ge, Le
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from wattscribe.errors import InputError, MissingExtraError, TrainingError
from wattscribe.records import to_json
from wattscribe.training.augment import Augmentation, NoiseBank
from wattscribe.training.checkpoint import Position, finite, load_state, load_weights, save_model, save_state
from wattscribe.training.data import Batch, Changes, SpeechData
from wattscribe.training.decode import dev_wer
from wattscribe.training.fields import Count, Natural, NotNegative, Positive, Seconds, Some, check
from wattscribe.training.model import TransducerModel
from wattscribe.training.objective import Losses, Objective, TeacherHead, Weights
from wattscribe.training.precision import Precision, chosen
from wattscribe.training.schedule import DivergenceWatch, Schedule, weights_at
from wattscribe.training.sound import SoundChanges
from wattscribe.training.tokens import Vocabulary
from wattscribe.training.writing import cannot_write


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a model is trained, apart from the model and the speech."""

    seed: Natural = 0
    schedule: Schedule = field(default_factory=lambda: Schedule(steps=1000))
    phases: Annotated[tuple[Weights, ...], Some] = (Weights(),)
    augmentation: Augmentation = field(default_factory=Augmentation)
    sound: SoundChanges = field(default_factory=SoundChanges)
    noise: str | None = None
    """A folder of recorded noise beside the made-up ones."""
    batch_s: Positive = 100.0
    precision: Precision = "auto"
    clip: Positive = 5.0
    weight_decay: NotNegative = 0.01
    muon: bool = False
    """Muon (orthogonalised momentum) for the encoder blocks' matrices, AdamW for the rest."""
    average: Annotated[float, Ge(0), Le(0.999999)] = 0.998
    """Decay of the running average of weights, which is what dev sets and saved models use."""
    workers: Natural = 1
    devices: Count = 1
    accelerator: Literal["cpu", "cuda", "auto"] = "cpu"
    """With several devices each takes every n-th batch and gradients are averaged."""
    log_every: Count = 20
    save_every_s: Seconds = 300.0
    dev_every_s: Seconds = 600.0

    def __post_init__(self) -> None:
        check(self, "training")
        for phase in self.phases:
            if not (phase.transducer or phase.ctc or phase.middle_ctc or phase.teacher):
                raise InputError(
                    "training.phases: a phase in which no loss counts", fix="Weigh one of its losses above 0"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """What training came to: the model carries the averaged weights."""

    model: TransducerModel
    position: Position
    losses: tuple[float, ...]
    dev_wer: Mapping[str, float] = field(default_factory=dict)


class _Stream(IterableDataset[tuple[Position, Batch]]):
    """Batches from a position on, for ever."""

    def __init__(self, data: SpeechData, settings: Settings, start: Position, rank: int, world: int) -> None:
        self.data, self.settings, self.start, self.rank, self.world = data, settings, start, rank, world
        self.changes = Changes(
            features=settings.augmentation, sound=settings.sound, noises=NoiseBank(settings.seed, folder=settings.noise)
        )

    def __iter__(self) -> Iterator[tuple[int, int, Batch]]:  # type: ignore[override]
        settings, epoch, first = self.settings, self.start.epoch, self.start.batch
        rooms = self.changes.rooms()
        while True:
            plan = self.data.plan(settings.seed, epoch, settings.batch_s)
            # Whole rounds only: every device has a batch in every step.
            for number in range(first + self.rank, len(plan) // self.world * self.world, self.world):
                rng = np.random.default_rng((settings.seed, epoch, number))
                yield epoch, number - self.rank + self.world, self.data.batch(plan[number], self.changes, rooms, rng)
            epoch, first = epoch + 1, 0


def optimisers(model: nn.Module, head: nn.Module | None, settings: Settings) -> list[torch.optim.Optimizer]:
    """AdamW for all, or Muon for the blocks' matrices; vectors are not decayed."""
    named = [*model.named_parameters(), *(head.named_parameters(prefix="head") if head is not None else ())]
    matrices = [p for name, p in named if settings.muon and ".blocks." in name and p.ndim == 2 and "taps" not in name]
    chosen = {id(p) for p in matrices}
    rest = [p for _, p in named if id(p) not in chosen]
    groups = [
        {"params": [p for p in rest if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimiser_list: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=1.0, betas=(0.9, 0.98), fused=True)]
    if matrices:
        optimiser_list.append(
            torch.optim.Muon(matrices, lr=1.0, weight_decay=settings.weight_decay, adjust_lr_fn="match_rms_adamw")
        )
    return optimiser_list


class _Average:
    """The running average of a model's weights."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self.values = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        self.updates += 1
        decay = min(self.decay, self.updates / (self.updates + 10))  # young averages forget the random start
        torch._foreach_lerp_(list(self.values.values()), list(model.state_dict().values()), 1 - decay)

    def into(self, model: TransducerModel) -> TransducerModel:
        """A copy of the model that carries the average."""
        copy = TransducerModel(model.config)
        copy.load_state_dict(self.values)
        return copy.eval()


def fit(
    model: TransducerModel,
    vocabulary: Vocabulary,
    data: SpeechData,
    settings: Settings,
    *,
    out_dir: Path | None = None,
    resume: bool = True,
    dev: Mapping[str, SpeechData] | None = None,
    head: TeacherHead | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Fitted:
    """Train in place. With `out_dir`, the state is kept there and an interrupted run resumes where it stopped.

    A state is kept only once the next batch's loss has shown that its weights are good. Raises TrainingError where the
    loss diverges or the disk is full; the last whole checkpoint stays.
    """
    return _Run(model, vocabulary, data, settings, out_dir, dev or {}, head, say).go(resume=resume)


def check_devices(settings: Settings) -> None:
    """Refuse more GPUs than there are. Raises InputError."""
    there = torch.cuda.device_count()
    if settings.accelerator == "cuda" and there < settings.devices:
        raise InputError(f"training.accelerator = 'cuda' with devices = {settings.devices}: torch finds {there} of them",
                         fix="Give accelerator = 'cpu' or 'auto', or fewer devices")  # fmt: skip


def launch(settings: Settings) -> Any:
    """Lightning Fabric over the wanted devices; with several it starts this command once more for each."""
    check_devices(settings)
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.strategies import DDPStrategy
    except ImportError as error:
        raise MissingExtraError("lightning-fabric", "train", needed_for="Training") from error
    # The joiner has no gradient while only CTC is trained.
    strategy = DDPStrategy(find_unused_parameters=True) if settings.devices > 1 else "auto"
    precision = {"bf16": "bf16-mixed", "fp32": "32-true"}[chosen(settings.precision, settings.accelerator)]
    fabric = Fabric(accelerator=settings.accelerator, devices=settings.devices, strategy=strategy, precision=precision)
    fabric.launch()
    return fabric


class _Run:
    """One training: everything that changes from step to step."""

    def __init__(
        self, model: TransducerModel, vocabulary: Vocabulary, data: SpeechData, settings: Settings,
        out_dir: Path | None, dev: Mapping[str, SpeechData], head: TeacherHead | None, say: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.model, self.vocabulary, self.data, self.settings = model, vocabulary, data, settings
        self.out_dir, self.dev, self.head, self.say = out_dir, dev, head, say
        self.fabric = launch(settings)
        wanted = optimisers(model, head, settings)
        self.bare = Objective(model, head)
        self.objective, *self.optimisers = self.fabric.setup(self.bare, *wanted)
        self.average = _Average(model, settings.average)
        self.position = Position()
        self.watch = DivergenceWatch()
        self.history: list[float] = []
        self.dev_wer: dict[str, float] = {}

    @property
    def state_path(self) -> Path | None:
        return None if self.out_dir is None else self.out_dir / "state.pt"

    def go(self, *, resume: bool) -> Fitted:
        if self.state_path is not None and self.state_path.exists():
            if resume:
                self._load(self.state_path)
            elif self.fabric.is_global_zero:
                self._forget(self.state_path)
        settings, loader = self.settings, self._loader()
        saved = looked = clock = time.monotonic()
        recent: list[Losses] = []
        due = False
        for epoch, number, batch in loader:
            self._agree()
            share = settings.schedule.share(self.position.step, self.position.elapsed_s)
            losses = self._losses(batch, weights_at(settings.phases, share))
            if share >= 1:
                break
            if due and not self.watch.rising:
                self._save()
                saved, due = time.monotonic(), False
            recent.append(self._step(losses))
            now = time.monotonic()
            self.position = replace(
                self.position, step=self.position.step + 1, epoch=epoch, batch=number,
                elapsed_s=self.position.elapsed_s + now - clock,
                audio_s=self.position.audio_s + batch.audio_s * self.fabric.world_size,
            )  # fmt: skip
            clock = now
            if self.position.step % settings.log_every == 0:
                self._log(recent)
                recent = []
            due = now - saved > settings.save_every_s
            if now - looked > settings.dev_every_s:
                self._look()
                looked = clock = time.monotonic()  # looking is not training
        averaged = self._look()
        self._save()
        return Fitted(model=averaged, position=self.position, losses=tuple(self.history), dev_wer=dict(self.dev_wer))

    def _loader(self) -> Any:
        stream = _Stream(self.data, self.settings, self.position, self.fabric.global_rank, self.fabric.world_size)
        if not self.settings.workers:
            return iter(stream)
        return DataLoader(stream, batch_size=None, num_workers=1, prefetch_factor=4)

    def _agree(self) -> None:
        """All devices go by the first one's clock, so that all stop, and change phase, at one step."""
        if self.fabric.world_size > 1:
            elapsed = torch.tensor(self.position.elapsed_s, dtype=torch.float64, device=self.fabric.device)
            torch.distributed.broadcast(elapsed, 0)
            self.position = replace(self.position, elapsed_s=float(elapsed))

    def _losses(self, batch: Batch, weights: Weights) -> Losses:
        """Of the batch with the current weights, which it shows to be good. Raises TrainingError where they are not."""
        settings = self.settings
        torch.manual_seed(settings.seed + self.position.step)  # dropout too is a function of the step: resume is exact
        self.model.train()
        self.bare.weights = weights
        losses: Losses = self.objective(self.fabric.to_device(batch))
        # Of all devices together, so that all stop at one step.
        value = float(self.fabric.all_reduce(losses.total.detach(), reduce_op="mean"))
        if self.watch.diverged(value, weights):
            last = self.state_path if self.state_path is not None and self.state_path.exists() else "none"
            raise TrainingError(f"the loss diverged at step {self.position.step} ({value:.3g}); last good checkpoint: {last}",
                                fix="Lower the learning rate, then start again")  # fmt: skip
        return losses

    def _step(self, losses: Losses) -> Losses:
        rate = self.settings.schedule.rate(self.position.step, self.position.elapsed_s)
        self.fabric.backward(losses.total)
        nn.utils.clip_grad_norm_(self.objective.parameters(), self.settings.clip, error_if_nonfinite=False)
        for group in self._groups():
            group["lr"] = rate
        for optimiser in self.optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.average.update(self.model)
        self.history.append(float(losses.total.detach()))
        return Losses(*(part.detach() for part in losses))

    def _groups(self) -> list[dict[str, Any]]:
        return [group for optimiser in self.optimisers for group in optimiser.param_groups]

    def _log(self, recent: list[Losses]) -> None:
        means = [float(torch.stack(part).mean()) for part in zip(*recent, strict=True)]
        position = self.position
        rate = self.settings.schedule.rate(position.step, position.elapsed_s)
        line = (
            f"step {position.step} epoch {position.epoch} {position.elapsed_s / 60:.1f} min {position.audio_s / 3600:.2f} h "
            f"{position.audio_s / max(position.elapsed_s, 1e-9):.0f} s/s rate {rate:.2e} loss {means[0]:.3f} "
            f"transducer {means[1]:.3f} ctc {means[2]:.3f} teacher {means[3]:.3f}"
        )
        if self.fabric.is_global_zero:
            self.say(line)
        self._note({"losses": means, "rate": rate, "position": to_json(position)})

    def _look(self) -> TransducerModel:
        averaged = self.average.into(self.model)
        share = self.settings.schedule.share(self.position.step, self.position.elapsed_s)
        speaks = weights_at(self.settings.phases, share).transducer > 0
        for name, data in self.dev.items() if self.fabric.is_global_zero else ():
            self.dev_wer[name] = dev_wer(averaged, self.vocabulary, data, by_ctc=not speaks)
        if self.dev_wer and self.fabric.is_global_zero:
            self.say("dev WER " + " ".join(f"{name} {wer:.1%}" for name, wer in self.dev_wer.items()))
            self._note({"dev_wer": self.dev_wer, "position": to_json(self.position)})
        return averaged

    def _note(self, facts: Mapping[str, Any]) -> None:
        if self.out_dir is None or not self.fabric.is_global_zero:
            return
        try:
            self.out_dir.mkdir(parents=True, exist_ok=True)
            with (self.out_dir / "log.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(facts) + "\n")
        except OSError as error:
            raise cannot_write("the log", self.out_dir, error) from error

    def _save(self) -> None:
        if self.out_dir is None or self.state_path is None or not self.fabric.is_global_zero:
            return
        if not finite(self.model.state_dict()):
            raise TrainingError(f"weights are no longer finite at step {self.position.step}; nothing was written",
                                where=self.out_dir, fix="Lower the learning rate, then start again")  # fmt: skip
        state = {
            "model": self.model.state_dict(),
            "average": self.average.values,
            "average_updates": self.average.updates,
            "head": {} if self.head is None else self.head.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "position": to_json(self.position),
            "entries": len(self.data.entries),
        }
        save_state(self.state_path, state)
        save_model(self.out_dir / "model", self.average.into(self.model), self.vocabulary, {"dev_wer": self.dev_wer,
                   "position": to_json(self.position), "settings": to_json(self.settings)})  # fmt: skip

    def _forget(self, path: Path) -> None:
        """Begin anew: what an earlier training left would be taken for this one's."""
        for kept in (path, path.with_name("log.jsonl")):
            kept.unlink(missing_ok=True)

    def _load(self, path: Path) -> None:
        state = load_state(path)
        load_weights(self.model, state["model"], path)
        try:
            self._take(state)
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise InputError("the training state belongs to another training, or is damaged", where=path,
                             fix="Use the config it was made with, or begin anew with `resume=False`") from error  # fmt: skip
        self.say(f"resumed at step {self.position.step}")

    def _take(self, state: Mapping[str, Any]) -> None:
        if self.head is not None and state["head"]:
            self.head.load_state_dict(state["head"])
        self.average.values = dict(state["average"])
        self.average.updates = int(state["average_updates"])
        if len(state["optimisers"]) == len(self.optimisers):
            for optimiser, kept in zip(self.optimisers, state["optimisers"], strict=True):
                own = [{k: v for k, v in group.items() if k != "params"} for group in optimiser.param_groups]
                optimiser.load_state_dict(kept)
                for group, settings in zip(optimiser.param_groups, own, strict=True):
                    group.update(settings)  # the current settings apply, not those of the state
        self.position = Position(**state["position"])
        if state["entries"] != len(self.data.entries):
            # Other speech than before: this epoch's plan is no longer the same, so begin the next.
            self.position = replace(self.position, epoch=self.position.epoch + 1, batch=0)
