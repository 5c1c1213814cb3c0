"""The transducer loss, vectorised over the diagonals of the lattice, whole or in a band around a CTC alignment.

Memory: the lattice itself takes N·T·(U+1) floats a few times over. What weighs are the joiner's logits, N·T·(U+1)·V
floats and as many again for their gradient: 15 s at 80 ms frames, 70 tokens and 500 units are 26 MB each in float32. In
a band of S tokens a frame they are N·T·S·V.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from wattscribe.models.vocabulary import BLANK
from wattscribe.training.joiner import Joiner

NEVER = -1e30
"""Stands for log 0: finite, so that no difference of infinities turns into NaN."""


def _skew(x: Tensor) -> Tensor:
    """(N, T, U) → (N, U, T + U - 1) with entry [u, t + u] = x[t, u]: a diagonal becomes one column."""
    count, frames, tokens = x.shape
    padded = F.pad(x.transpose(1, 2), (0, tokens), value=NEVER).reshape(count, -1)
    return padded[:, : tokens * (frames + tokens - 1)].reshape(count, tokens, frames + tokens - 1)


def _unskew(x: Tensor, frames: int) -> Tensor:
    """The inverse of `_skew`: (N, U, T + U - 1) → (N, T, U)."""
    count, tokens, _ = x.shape
    padded = F.pad(x.reshape(count, -1), (0, tokens)).reshape(count, tokens, frames + tokens)
    return padded[:, :, :frames].transpose(1, 2)


class _Lattice(torch.autograd.Function):
    """Log-likelihood of a lattice by forward and backward sums; the gradient is each arc's posterior."""

    @staticmethod
    def forward(ctx: Any, blank: Tensor, emit: Tensor, ends: Tensor, tokens: Tensor) -> Tensor:
        frames = blank.shape[1]
        blank_d, emit_d = _skew(blank), _skew(emit)
        alpha = _alphas(blank_d, emit_d)
        rows = torch.arange(len(ends), device=blank.device)
        # The end lies one blank behind the last frame's last node, on diagonal ends + tokens.
        total = alpha[ends + tokens - 1, rows, tokens] + blank_d[rows, tokens, ends + tokens - 1]
        beta = _betas(blank_d, emit_d, ends, tokens)
        here, after = alpha[:-1].permute(1, 2, 0), beta[1:].permute(1, 2, 0)
        scale = total[:, None, None]
        by_blank = torch.exp(here + blank_d + after - scale)
        by_emit = torch.exp(here + emit_d + F.pad(after[:, 1:], (0, 0, 0, 1), value=NEVER) - scale)
        ctx.save_for_backward(_unskew(by_blank, frames), _unskew(by_emit, frames))
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        by_blank, by_emit = ctx.saved_tensors
        weight = grads[0][:, None, None]
        return by_blank * weight, by_emit * weight, None, None


def _alphas(blank: Tensor, emit: Tensor) -> Tensor:
    """(diagonals + 1, N, U): log-sum of all ways to each node."""
    count, tokens, diagonals = blank.shape
    alpha = blank.new_full((diagonals + 1, count, tokens), NEVER)
    alpha[0, :, 0] = 0
    for d in range(diagonals):
        arrive = alpha[d] + blank[:, :, d]
        arrive[:, 1:] = torch.logaddexp(arrive[:, 1:], alpha[d, :, :-1] + emit[:, :-1, d])
        alpha[d + 1] = arrive.clamp(min=NEVER)
    return alpha


def _betas(blank: Tensor, emit: Tensor, ends: Tensor, last: Tensor) -> Tensor:
    """(diagonals + 1, N, U): log-sum of all ways from each node to the end."""
    count, tokens, diagonals = blank.shape
    beta = blank.new_full((diagonals + 1, count, tokens), NEVER)
    goal = F.one_hot(last, tokens).bool()
    for d in range(diagonals, -1, -1):
        if d < diagonals:
            leave = beta[d + 1] + blank[:, :, d]
            leave[:, :-1] = torch.logaddexp(leave[:, :-1], beta[d + 1, :, 1:] + emit[:, :-1, d])
            beta[d] = leave.clamp(min=NEVER)
        beta[d] = torch.where(goal & (ends + last == d)[:, None], 0.0, beta[d])
    return beta


def _frame_by_frame(blank: Tensor, emit: Tensor, ends: Tensor, tokens: Tensor) -> Tensor:
    """Log-likelihood where each frame gives at most one token: blank and token both lead to the next frame."""
    alpha = torch.where(torch.arange(blank.shape[2], device=blank.device) == 0, 0.0, NEVER).to(blank.dtype)
    alpha = alpha.expand(blank.shape[0], -1)
    columns = [alpha]
    for t in range(blank.shape[1]):
        arrive = F.pad((alpha + emit[:, t])[:, :-1], (1, 0), value=NEVER)
        alpha = torch.logaddexp(alpha + blank[:, t], arrive).clamp(min=NEVER)
        columns.append(alpha)
    rows = torch.arange(len(ends), device=blank.device)
    return torch.stack(columns)[ends, rows, tokens]


def lattice_loss(blank: Tensor, emit: Tensor, frames: Tensor, tokens: Tensor, *, one_per_frame: bool = False) -> Tensor:
    """Negative log-likelihood (N) of a transducer lattice.

    `blank` and `emit` (N, T, U + 1) are log-probabilities of moving on in time and of emitting the next token at node
    (t, u), where emission from a lattice's last column counts for nothing; `frames` and `tokens` (N) are the lengths.
    `one_per_frame` scores what a decoder can say that moves on after each token, as sherpa-onnx's does; an utterance of
    more tokens than frames then counts nothing. Float32 or float64.
    """
    steps = torch.arange(blank.shape[1], device=blank.device)[None, :, None]
    places = torch.arange(blank.shape[2], device=blank.device)[None, None]
    alive = steps < frames[:, None, None]
    blank = torch.where(alive & (places <= tokens[:, None, None]), blank, NEVER)
    emit = torch.where(alive & (places < tokens[:, None, None]), emit, NEVER)
    if one_per_frame:
        likelihood = _frame_by_frame(blank, emit, frames, tokens)
        return torch.where(tokens <= frames, -likelihood, 0.0)
    total: Tensor = _Lattice.apply(blank, emit, frames, tokens)  # type: ignore[no-untyped-call]
    return -total


def _arc_scores(logits: Tensor, following: Tensor) -> tuple[Tensor, Tensor]:
    """Logits (…, V) and the next token of each node → log-probabilities of blank and of that token."""
    logits = logits.float() if logits.dtype != torch.float64 else logits
    norm = torch.logsumexp(logits, -1)
    return logits[..., BLANK] - norm, logits.gather(-1, following[..., None])[..., 0] - norm


def banded_transducer_loss(
    joiner: Joiner,
    encoder_out: Tensor,
    predictor_out: Tensor,
    targets: Tensor,
    frames: Tensor,
    tokens: Tensor,
    starts: Tensor,
    band: int,
    *,
    one_per_frame: bool = False,
) -> Tensor:
    """The loss over nodes `starts[n, t] ≤ u < starts[n, t] + band` only, so that the joiner runs on T × band nodes.

    An upper bound of the whole loss; equal to it where the band spans all tokens.
    """
    band = min(band, predictor_out.shape[1])
    places = starts.clamp(max=predictor_out.shape[1] - band)[..., None] + torch.arange(band, device=starts.device)
    encoded, predicted = joiner.from_encoder(encoder_out), joiner.from_predictor(predictor_out)
    rows = torch.arange(len(predicted), device=predicted.device)[:, None, None]
    logits = joiner.scores(encoded[:, :, None], predicted[rows, places])
    blank, emit = _arc_scores(logits, F.pad(targets, (0, 1))[rows, places])
    shape = (*places.shape[:2], predictor_out.shape[1])
    blank_all = blank.new_full(shape, NEVER).scatter(2, places, blank)
    emit_all = emit.new_full(shape, NEVER).scatter(2, places, emit)
    return lattice_loss(blank_all, emit_all, frames, tokens, one_per_frame=one_per_frame)


def ctc_loss(log_probs: Tensor, targets: Tensor, frames: Tensor, tokens: Tensor) -> Tensor:
    """CTC's negative log-likelihood (N) from (N, T, V); an utterance too short for its text counts 0."""
    return F.ctc_loss(
        log_probs.transpose(0, 1), targets, frames, tokens, blank=BLANK, reduction="none", zero_infinity=True
    )


@torch.no_grad()
def band_starts(log_probs: Tensor, targets: Tensor, frames: Tensor, tokens: Tensor, band: int) -> Tensor:
    """Where the band lies at each frame, (N, T): around CTC's best alignment, half of it behind: a transducer may answer later.

    Utterances too short for their text get the straight diagonal.
    """
    begun, fits = _tokens_begun(log_probs, targets, frames, tokens)
    steps = torch.arange(log_probs.shape[1], device=targets.device)[None]
    straight = (steps * tokens[:, None]) // frames[:, None].clamp(min=1)
    begun = torch.where(fits[:, None], begun, straight)
    starts = torch.minimum(begun - band // 2, tokens[:, None] + 1 - band).clamp(min=0)
    # The last frame must reach the last token, and no frame may jump over more than the band holds.
    last = (tokens[:, None] + 1 - band).clamp(min=0)
    reach = last - (frames[:, None] - 1 - steps).clamp(min=0) * (band - 1)
    return torch.maximum(starts, reach)


def _tokens_begun(log_probs: Tensor, targets: Tensor, frames: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """CTC's best path: how many tokens have begun before each frame (N, T), and whether a path exists (N)."""
    count, steps, _ = log_probs.shape
    labels = targets.new_zeros(count, 2 * targets.shape[1] + 1)
    labels[:, 1::2] = targets
    score = log_probs.gather(2, labels[:, None].expand(-1, steps, -1))
    skip = F.pad((labels[:, 2:] != labels[:, :-2]) & (labels[:, 2:] != BLANK), (2, 0), value=False)
    best = torch.full_like(score[:, 0], NEVER)
    best[:, :2] = score[:, 0, :2]
    moves = targets.new_zeros(count, steps, labels.shape[1])
    for t in range(1, steps):
        one, two = F.pad(best, (1, 0), value=NEVER)[:, :-1], F.pad(best, (2, 0), value=NEVER)[:, :-2]
        value, moves[:, t] = torch.stack([best, one, torch.where(skip, two, NEVER)]).max(0)
        best = torch.where((t < frames)[:, None], (value + score[:, t]).clamp(min=NEVER), best)
        moves[:, t] *= (t < frames)[:, None]
    ends = torch.stack([2 * tokens, (2 * tokens - 1).clamp(min=0)])
    finals = torch.stack([best.gather(1, end[:, None])[:, 0] for end in ends])
    top, which = finals.max(0)
    place = ends.gather(0, which[None])[0]
    begun = targets.new_zeros(count, steps)
    for t in range(steps - 1, -1, -1):
        moved = moves[:, t].gather(1, place[:, None])[:, 0]
        place = place - moved
        begun[:, t] = (place + 1) // 2 if t else 0
    return begun, top > NEVER / 2
