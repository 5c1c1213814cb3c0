"""The transducer loss against enumeration of every path, its gradient, and the band."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from tests.training.conftest import tiny_config
from wattscribe.training import loss as losses
from wattscribe.training.joiner import Joiner


def whole_lattice_loss(
    logits: Tensor, targets: Tensor, frames: Tensor, tokens: Tensor, *, one_per_frame: bool = False
) -> Tensor:
    """Of the logits of every node (N, T, U + 1, V), for which training has no memory."""
    following = functional.pad(targets, (0, 1))[:, None].expand(-1, logits.shape[1], -1)
    blank, emit = losses._arc_scores(logits, following)
    return losses.lattice_loss(blank, emit, frames, tokens, one_per_frame=one_per_frame)


def enumerated(logits: Tensor, targets: list[int]) -> Tensor:
    """Minus the log of the summed probability of every way through one lattice (T, U + 1, V)."""
    scores = logits.log_softmax(-1)
    frames, tokens = logits.shape[0], len(targets)
    ways = []
    for emissions in itertools.combinations(range(frames + tokens - 1), tokens):
        t = u = 0
        total = scores.new_zeros(())
        for step in range(frames + tokens - 1):
            if step in emissions:
                total = total + scores[t, u, targets[u]]
                u += 1
            else:
                total = total + scores[t, u, 0]
                t += 1
        ways.append(total + scores[t, u, 0])
    return -torch.logsumexp(torch.stack(ways), 0)


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.tuples(st.integers(1, 5), st.integers(0, 4)), min_size=1, max_size=3),
    vocabulary=st.integers(2, 6),
    seed=st.integers(0, 10_000),
)
def test_equals_enumeration(lengths: Any, vocabulary: Any, seed: int) -> None:
    torch.manual_seed(seed)
    frames, tokens = (torch.tensor(part) for part in zip(*lengths, strict=True))
    longest, most = int(frames.max()), max(int(tokens.max()), 1)
    logits = torch.randn(len(lengths), longest, most + 1, vocabulary, dtype=torch.float64) * 3
    targets = torch.randint(1, vocabulary, (len(lengths), most))
    found = whole_lattice_loss(logits, targets, frames, tokens)
    for row, (t, u) in enumerate(lengths):
        wanted = enumerated(logits[row, :t, : u + 1], targets[row, :u].tolist())
        assert float(found[row]) == pytest.approx(float(wanted), rel=1e-9)


@settings(max_examples=40, deadline=None)
@given(frames=st.integers(1, 6), tokens=st.integers(0, 5), seed=st.integers(0, 9_999))
def test_one_token_a_frame_equals_enumeration(frames: Any, tokens: Any, seed: int) -> None:
    torch.manual_seed(seed)
    logits = torch.randn(1, frames, tokens + 1, 4, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(1, 4, (1, max(tokens, 1)))[:, :tokens]
    lengths = torch.tensor([frames]), torch.tensor([tokens])
    found = whole_lattice_loss(logits, targets, *lengths, one_per_frame=True)
    if tokens > frames:
        assert float(found.detach()) == 0
        return
    scores, ways = logits.log_softmax(-1)[0], []
    for spoken in itertools.combinations(range(frames), tokens):
        u, total = 0, scores.new_zeros(())
        for t in range(frames):
            total = total + (scores[t, u, targets[0, u]] if t in spoken else scores[t, u, 0])
            u += t in spoken
        ways.append(total)
    wanted = -torch.logsumexp(torch.stack(ways), 0)
    assert float(found.detach()) == pytest.approx(float(wanted.detach()), rel=1e-9)
    (one,) = torch.autograd.grad(found.sum(), logits)
    (other,) = torch.autograd.grad(wanted, logits)
    torch.testing.assert_close(one, other)


def test_gradient() -> None:
    torch.manual_seed(1)
    logits = torch.randn(3, 5, 4, 5, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(1, 5, (3, 3))
    frames, tokens = torch.tensor([5, 3, 1]), torch.tensor([3, 1, 0])
    assert torch.autograd.gradcheck(lambda x: whole_lattice_loss(x, targets, frames, tokens), logits)


def test_padding_has_no_gradient() -> None:
    torch.manual_seed(2)
    logits = torch.randn(1, 6, 5, 4, dtype=torch.float64, requires_grad=True)
    loss = whole_lattice_loss(logits, torch.randint(1, 4, (1, 4)), torch.tensor([4]), torch.tensor([2]))
    loss.sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert float(logits.grad[:, 4:].abs().max()) == 0
    assert float(logits.grad[:, :, 3:].abs().max()) == 0
    assert float(logits.grad[:, :4, :3].abs().min()) > 0


def _joiner_inputs(seed: int, count: int, frames: int, tokens: int) -> Any:
    torch.manual_seed(seed)
    joiner = Joiner(6, 5, 9, tiny_config(9).joiner).double()
    encoded = torch.randn(count, frames, 6, dtype=torch.float64)
    said = torch.randn(count, tokens + 1, 5, dtype=torch.float64)
    return joiner, encoded, said, torch.randint(1, 9, (count, tokens))


def test_a_band_over_all_tokens_is_the_whole_loss() -> None:
    joiner, encoded, said, targets = _joiner_inputs(3, 2, 7, 4)
    frames, tokens = torch.tensor([7, 5]), torch.tensor([4, 2])
    whole = whole_lattice_loss(joiner(encoded[:, :, None], said[:, None]), targets, frames, tokens)
    starts = torch.zeros(2, 7, dtype=torch.long)
    banded = losses.banded_transducer_loss(joiner, encoded, said, targets, frames, tokens, starts, 5)
    torch.testing.assert_close(banded, whole)


@settings(max_examples=40, deadline=None)
@given(frames=st.integers(1, 14), tokens=st.integers(1, 9), band=st.integers(2, 5), seed=st.integers(0, 999))
def test_a_band_is_finite_and_never_below_the_whole_loss(frames: Any, tokens: Any, band: Any, seed: int) -> None:
    joiner, encoded, said, targets = _joiner_inputs(seed, 2, frames, tokens)
    counts, lengths = torch.tensor([frames, max(frames - 2, 1)]), torch.tensor([tokens, max(tokens - 3, 0)])
    scores = torch.randn(2, frames, 9, dtype=torch.float64).log_softmax(-1)
    starts = losses.band_starts(scores, targets, counts, lengths, band)
    whole = whole_lattice_loss(joiner(encoded[:, :, None], said[:, None]), targets, counts, lengths)
    banded = losses.banded_transducer_loss(joiner, encoded, said, targets, counts, lengths, starts, band)
    reachable = (lengths + 1 - band) <= (counts - 1) * (band - 1)
    assert bool((banded[reachable] < 1e9).all())
    assert bool((banded >= whole - 1e-9).all())


def test_the_band_follows_the_alignment() -> None:
    """Scores that put the tokens at frames 2, 5 and 6: the band is there when they are said."""
    targets, places = torch.tensor([[3, 4, 4]]), (2, 5, 7)
    scores = torch.full((1, 9, 6), -8.0)
    scores[0, :, 0] = -0.1
    for token, place in zip(targets[0], places, strict=True):
        scores[0, place, 0], scores[0, place, token] = -8.0, -0.1
    begun, fits = losses._tokens_begun(scores, targets, torch.tensor([9]), torch.tensor([3]))
    assert bool(fits.all())
    assert begun[0].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 3]


def test_a_text_too_long_for_ctc_gets_the_diagonal() -> None:
    targets = torch.full((1, 6), 2)
    scores = torch.zeros(1, 3, 4).log_softmax(-1)
    _, fits = losses._tokens_begun(scores, targets, torch.tensor([3]), torch.tensor([6]))
    assert not bool(fits.any())
    starts = losses.band_starts(scores, targets, torch.tensor([3]), torch.tensor([6]), 4)
    assert starts[0].tolist() == [0, 0, 3]


def test_no_loop_over_cells() -> None:
    """As many lattice operations for 8 utterances of 20 tokens as for 1: only frames + tokens count."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
        calls: int = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            self.calls += 1
            return func(*args, **(kwargs or {}))

    def calls(count: int, frames: int, tokens: int) -> int:
        logits, targets = torch.randn(count, frames, tokens + 1, 4), torch.randint(1, 4, (count, tokens))
        with Counting() as mode:  # type: ignore[no-untyped-call]
            whole_lattice_loss(logits, targets, torch.full((count,), frames), torch.full((count,), tokens))
        return int(mode.calls)

    assert calls(8, 12, 6) == calls(1, 12, 6)
    assert calls(2, 12, 6) == calls(2, 6, 12)


def test_torchaudio_agrees() -> None:
    functional = pytest.importorskip("torchaudio.functional", reason="torchaudio does not load here")
    torch.manual_seed(4)
    logits, targets = torch.randn(3, 9, 6, 7), torch.randint(1, 7, (3, 5))
    frames, tokens = torch.tensor([9, 7, 3]), torch.tensor([5, 2, 1])
    wanted = functional.rnnt_loss(logits, targets.int(), frames.int(), tokens.int(), blank=0, reduction="none")
    torch.testing.assert_close(whole_lattice_loss(logits, targets, frames, tokens), wanted)
