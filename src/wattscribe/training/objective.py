"""What training lowers: transducer loss, CTC beside it, and a teacher's encoder outputs to come close to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from wattscribe.errors import InputError
from wattscribe.training.data import Batch
from wattscribe.training.fields import Natural, NotNegative, Share, check
from wattscribe.training.loss import band_starts, banded_transducer_loss, ctc_loss
from wattscribe.training.model import TransducerModel
from wattscribe.training.teacher import FRAMES_PER_TEACHER_FRAME


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """How much each loss counts from this share of the training on; `band` 0 takes the whole lattice."""

    from_share: Share = 0.0
    transducer: NotNegative = 1.0
    ctc: NotNegative = 0.3
    middle_ctc: NotNegative = 0.0
    """CTC on the middle block (intermediate CTC, arXiv 2102.03216), with the same head."""
    teacher: NotNegative = 0.0
    band: Natural = 8
    one_per_frame: bool = False
    """Train for decoders that take at most one token a frame, as sherpa-onnx and our runtime do."""

    def __post_init__(self) -> None:
        check(self, "training.phases")
        if self.band == 1:  # the first token's node alone: no path leads to the last one
            raise InputError(
                "training.phases.band = 1", fix="Give at least 2 tokens a frame, or 0 for the whole lattice"
            )


class Losses(NamedTuple):
    """Per-token losses and the teacher's squared error over its variance; `total` is what is lowered."""

    total: Tensor
    transducer: Tensor
    ctc: Tensor
    teacher: Tensor


def fits_teacher(time_stack: int) -> None:
    """Refuse encoder frames that do not hold whole frames of a teacher: the two would drift apart. Raises InputError."""
    if time_stack % FRAMES_PER_TEACHER_FRAME:
        raise InputError(
            f"model.encoder.time_stack = {time_stack}: a teacher's outputs come every {FRAMES_PER_TEACHER_FRAME} feature frames",
            fix="Give 4 or 8, or training.phases without teacher",
        )


class TeacherHead(nn.Module):
    """Encoder frames → the teacher's outputs, standardised; only training uses it."""

    mean: Tensor
    scale: Tensor

    def __init__(self, width: int, time_stack: int, teacher_width: int = 320, delay: int = 1) -> None:
        super().__init__()
        fits_teacher(time_stack)
        self.per_frame = time_stack // FRAMES_PER_TEACHER_FRAME
        self.delay = delay
        """Encoder frames by which the student may answer later: at a segment's end it has no look-ahead."""
        self.out = nn.Linear(width, self.per_frame * teacher_width)
        self.register_buffer("mean", torch.zeros(teacher_width))
        self.register_buffer("scale", torch.ones(teacher_width))

    def forward(self, encoded: Tensor, taught: Tensor) -> Tensor:
        """Mean squared error over known teacher frames, in units of their variance."""
        frames = min(encoded.shape[1] - self.delay, taught.shape[1] // self.per_frame)
        wanted = (taught[:, : frames * self.per_frame] - self.mean) * self.scale
        wanted = torch.unflatten(wanted, 1, (frames, self.per_frame)).flatten(2)
        known = ~wanted.isnan()
        answer = self.out(encoded[:, self.delay : self.delay + frames]).float()
        error = torch.where(known, answer - wanted.nan_to_num(), 0.0) ** 2
        return error.sum() / known.sum().clamp(min=1)


class Objective(nn.Module):
    """Model and teacher head as one module whose forward is the losses: what is spread over several devices."""

    def __init__(self, model: TransducerModel, head: TeacherHead | None) -> None:
        super().__init__()
        self.model, self.head = model, head
        self.weights = Weights()

    def forward(self, batch: Batch) -> Losses:
        return losses(self.model, self.head, batch, self.weights)


def losses(model: TransducerModel, head: TeacherHead | None, batch: Batch, weights: Weights) -> Losses:
    """All losses of a batch; those with weight 0 are not computed and stand as 0."""
    encoded, middle = model.encoder.with_middle(batch.mels)
    frames = model.encoder.frames(batch.frames)
    zero = encoded.new_zeros((), dtype=torch.float32)
    count = batch.tokens.sum().clamp(min=1)
    log_probs = torch.log_softmax(model.ctc(encoded).float(), -1)
    by_ctc = ctc_loss(log_probs, batch.targets, frames, batch.tokens).sum() / count if weights.ctc else zero
    by_middle = zero
    if weights.middle_ctc:
        early = torch.log_softmax(model.ctc(middle).float(), -1)
        by_middle = ctc_loss(early, batch.targets, frames, batch.tokens).sum() / count
    by_transducer = zero
    if weights.transducer:
        predicted = model.predictor(batch.targets)
        encoded_frames = encoded[:, : int(frames.max())]
        if weights.band:
            starts = band_starts(log_probs[:, : int(frames.max())], batch.targets, frames, batch.tokens, weights.band)
        else:
            starts = batch.targets.new_zeros(encoded_frames.shape[:2])
        by_transducer = banded_transducer_loss(
            model.joiner, encoded_frames, predicted, batch.targets, frames, batch.tokens, starts,
            weights.band or predicted.shape[1], one_per_frame=weights.one_per_frame,
        ).sum() / count  # fmt: skip
    by_teacher = zero
    if weights.teacher and head is not None and batch.taught is not None:
        by_teacher = head(encoded, batch.taught)
    total = weights.transducer * by_transducer + weights.ctc * by_ctc + weights.teacher * by_teacher
    total = total + weights.middle_ctc * by_middle
    return Losses(total, by_transducer, by_ctc, by_teacher)
