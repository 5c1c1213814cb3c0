"""Fine-tuning a pruned model while the dense one says what it would have answered (knowledge distillation).

The student gets the same batch. Where the dense model's own greedy answer would stand is not searched for: both joiners answer
at every frame after the true prefix that CTC finds most likely there, and the student's distribution is drawn to the teacher's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from wattscribe.errors import InputError, TrainingError
from wattscribe.training.data import Batch
from wattscribe.training.loss import band_starts
from wattscribe.training.model import TransducerModel
from wattscribe.training.objective import Weights, losses

CLIP = 1.0
SHARE = 0.5
"""Of the loss that the dense model's answers make up."""
TEMPERATURE = 1.5
WARM_SHARE = 0.2
"""Of the steps, in which the learning rate rises."""


def distil(
    student: TransducerModel,
    teacher: TransducerModel,
    batches: Iterable[Batch],
    *,
    steps: int,
    rate: float = 3e-4,
    share: float = SHARE,
    weights: Weights | None = None,
    bf16: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> list[float]:
    """Train `student` in place for `steps` batches; the losses. `bf16`: products in bfloat16, weights stay in float32. Raises
    InputError for too few batches or other vocabularies, TrainingError where the loss diverges."""
    if student.config.vocabulary != teacher.config.vocabulary:
        raise InputError("teacher and student have other vocabularies", fix="Reduce the vocabulary of both")
    optimiser = torch.optim.AdamW(student.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.01)
    total_steps = max(steps, 3)  # one to rise, one to fall, and the last
    rising = max(WARM_SHARE, 2 / total_steps)  # a rise of no steps (a fifth of five, less one) is divided by
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=rate, total_steps=total_steps, pct_start=rising)
    teacher.eval()
    history: list[float] = []
    for batch in batches:
        if len(history) == steps:
            break
        student.train()
        # Entered anew for each step: autocast keeps the weights that it has rounded until it is left.
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            own = losses(student, None, batch, weights or Weights()).total
            taught = answers_apart(student, teacher, batch) if share else own.new_zeros(())
            total = (1 - share) * own + share * taught
        if not torch.isfinite(total):
            raise TrainingError(f"the loss diverged at step {len(history)}", fix="Lower the learning rate")
        optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(student.parameters(), CLIP)
        optimiser.step()
        schedule.step()
        history.append(float(total.detach()))
        if len(history) % 20 == 0:
            say(f"step {len(history)} of {steps}: loss {sum(history[-20:]) / 20:.3f}")
    if len(history) < steps:
        raise InputError(
            f"the training data gave {len(history)} batches, {steps} were asked for", fix="Use more speech"
        )
    student.eval()
    return history


def answers_apart(student: TransducerModel, teacher: TransducerModel, batch: Batch) -> Tensor:
    """KL divergence per frame of the student's answer from the teacher's, both softened."""
    frames = teacher.encoder.frames(batch.frames)
    longest = int(frames.max())
    with torch.no_grad():
        encoded = teacher.encoder(batch.mels)[:, :longest]
        by_ctc = torch.log_softmax(teacher.ctc(encoded).float(), -1)
        emitted = band_starts(by_ctc, batch.targets, frames, batch.tokens, 1)
        wanted = _answers(teacher, encoded, batch, emitted)
    given = _answers(student, student.encoder(batch.mels)[:, :longest], batch, emitted)
    apart = (wanted.exp() * (wanted - given)).sum(-1)
    known = torch.arange(longest)[None] < frames[:, None]
    return (apart * known).sum() / known.sum().clamp(min=1) * TEMPERATURE**2


def _answers(model: TransducerModel, encoded: Tensor, batch: Batch, emitted: Tensor) -> Tensor:
    """(N, frames, vocabulary) log-probabilities after the first `emitted` tokens."""
    predicted = model.predictor(batch.targets)
    rows = emitted.long()[..., None].expand(-1, -1, predicted.shape[-1])
    logits = model.joiner(encoded, predicted.gather(1, rows))
    return torch.log_softmax(logits.float() / TEMPERATURE, -1)
