"""The encoder: Emformer blocks, each with one streaming form and one masked form over a whole batch that equals it.

Frames of the whole batch stand as `[right copies | main]`: for every segment its `right_context` following frames are
copied in front, so that in every layer a segment sees its own look-ahead and never a later segment's (Emformer,
arXiv 2010.10759, section 3). With right context 0 there are no copies.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wattscribe.training.config import EncoderConfig, LayerConfig

UNSEEN = -1e4
"""Added to the scores of frames that may not be seen: exp of it is 0 in every precision, also in float16's range."""


class LayerState(NamedTuple):
    """What a block keeps of the past: keys and values (N, left, 2 × inner), convolution inputs (N, k-1, width)."""

    memory: Tensor
    conv: Tensor


class Layout(NamedTuple):
    """Where right copies and main frames stand in a whole batch, and who may see whom."""

    copies: int
    segments: int
    segment: int
    right: int
    mask: Tensor
    """(copies + main, copies + main), 0 where the row's frame may attend to the column's, else `UNSEEN`."""


def layout(frames: int, config: EncoderConfig, device: torch.device | None = None) -> Layout:
    """The layout of `frames` main frames, a multiple of the segment."""
    segments = frames // config.segment
    right = config.right_context
    owner_copy = torch.arange(segments, device=device).repeat_interleave(right)
    main = torch.arange(frames, device=device)
    owner = torch.cat([owner_copy, main // config.segment])
    start = owner[:, None] * config.segment
    is_copy = torch.arange(len(owner), device=device) < len(owner_copy)
    place = torch.cat([owner_copy, main])
    seen_main = (place[None] >= start - config.left_context) & (place[None] < start + config.segment) & ~is_copy[None]
    seen_copy = (owner[:, None] == owner[None]) & is_copy[None]
    mask = torch.where(seen_main | seen_copy, 0.0, UNSEEN)
    return Layout(len(owner_copy), segments, config.segment, right, mask)


class Attention(nn.Module):
    """Multi-head attention of a segment over its left context, itself and its right context."""

    def __init__(self, width: int, config: LayerConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.inner = config.heads * config.head_width
        self.query_key_value = nn.Linear(width, 3 * self.inner)
        self.out = nn.Linear(self.inner, width)

    def _heads(self, x: Tensor) -> Tensor:
        return torch.unflatten(x, 2, (self.heads, -1)).transpose(1, 2)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        # Spelled out: torch's fused attention with a mask is 2 to 4 times slower in bf16 on a CPU, forward and backward.
        query, key, value = self._heads(query), self._heads(key), self._heads(value)
        scores = query @ key.transpose(2, 3) * query.shape[3] ** -0.5
        mixed = torch.softmax(scores + mask, 3).to(value.dtype) @ value
        return self.out(mixed.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(N, frames, width) with a mask of (frames, frames)."""
        query, key, value = self.query_key_value(x).chunk(3, dim=2)
        return self._attend(query, key, value, mask)

    def step(self, x: Tensor, memory: Tensor, mask: Tensor, segment: int) -> tuple[Tensor, Tensor]:
        """One segment and its right context → its output and the new memory."""
        query, fresh = self.query_key_value(x).split([self.inner, 2 * self.inner], dim=2)
        known = torch.cat([memory, fresh], 1)
        key, value = known.chunk(2, dim=2)
        # The last frames before the next segment: right context is recomputed then, so it is not kept.
        return self._attend(query, key, value, mask), known[:, segment : segment + memory.shape[1]]


class CausalConvolution(nn.Module):
    """A gated depthwise convolution over the past: positions and short patterns, cheap and quickly learnt."""

    def __init__(self, width: int, config: LayerConfig) -> None:
        super().__init__()
        self.kernel = config.conv_kernel
        self.gate = nn.Linear(width, 2 * config.conv_width)
        self.taps = nn.Parameter(torch.randn(self.kernel, config.conv_width) * self.kernel**-0.5)
        self.bias = nn.Parameter(torch.zeros(config.conv_width))
        self.out = nn.Linear(config.conv_width, width)

    def _convolve(self, padded: Tensor) -> Tensor:
        weight = self.taps.t()[:, None].to(padded.dtype)
        mixed = F.conv1d(padded.transpose(1, 2), weight, self.bias.to(padded.dtype), groups=weight.shape[0])
        return self.out(F.silu(mixed.transpose(1, 2)))  # type: ignore[no-any-return]

    def forward(self, x: Tensor, frames: Layout) -> Tensor:
        gated = F.glu(self.gate(x), dim=2)
        copies, main = gated[:, : frames.copies], gated[:, frames.copies :]
        past = F.pad(main, (0, 0, self.kernel - 1, 0))
        mixed = self._convolve(past)
        if not frames.copies:
            return mixed
        # A copy's past: the frames of its segment (and before), then the copies before it.
        ends = torch.arange(1, frames.segments + 1, device=x.device)[:, None] * frames.segment
        before = past[:, (ends + torch.arange(self.kernel - 1, device=x.device)).flatten()]
        before = torch.unflatten(before, 1, (frames.segments, self.kernel - 1))
        blocks = torch.cat([before, torch.unflatten(copies, 1, (frames.segments, frames.right))], 2)
        mixed_copies = torch.unflatten(self._convolve(blocks.flatten(0, 1)), 0, (x.shape[0], frames.segments))
        return torch.cat([mixed_copies.flatten(1, 2), mixed], 1)

    def step(self, x: Tensor, past: Tensor, segment: int) -> tuple[Tensor, Tensor]:
        padded = torch.cat([past, F.glu(self.gate(x), dim=2)], 1)
        return self._convolve(padded), padded[:, segment : segment + self.kernel - 1]


class Block(nn.Module):
    """Attention, optional convolution, feed-forward: each behind a layer norm and added to its input."""

    def __init__(self, width: int, config: LayerConfig, dropout: float) -> None:
        super().__init__()
        self.config = config
        self.norm_attention = nn.LayerNorm(width)
        self.attention = Attention(width, config)
        self.norm_convolution = nn.LayerNorm(width) if config.conv_kernel else None
        self.convolution = CausalConvolution(width, config) if config.conv_kernel else None
        self.norm_feed_forward = nn.LayerNorm(width)
        self.expand = nn.Linear(width, config.feed_forward)
        self.contract = nn.Linear(config.feed_forward, width)
        self.dropout = nn.Dropout(dropout)

    def _feed_forward(self, x: Tensor) -> Tensor:
        inner = self.dropout(F.relu(self.expand(self.norm_feed_forward(x))))
        return x + self.dropout(self.contract(inner))  # type: ignore[no-any-return]

    def forward(self, x: Tensor, frames: Layout) -> Tensor:
        x = x + self.dropout(self.attention(self.norm_attention(x), frames.mask))
        if self.convolution is not None and self.norm_convolution is not None:
            x = x + self.dropout(self.convolution(self.norm_convolution(x), frames))
        return self._feed_forward(x)

    def step(self, x: Tensor, state: LayerState, mask: Tensor, segment: int) -> tuple[Tensor, LayerState]:
        attended, memory = self.attention.step(self.norm_attention(x), state.memory, mask, segment)
        x, conv = x + attended, state.conv
        if self.convolution is not None and self.norm_convolution is not None:
            mixed, conv = self.convolution.step(self.norm_convolution(x), state.conv, segment)
            x = x + mixed
        return self._feed_forward(x), LayerState(memory, conv)


class Encoder(nn.Module):
    """Log-mels → encoder frames. `forward` sees a whole batch, `step` one segment with states; they give the same."""

    mean: Tensor
    scale: Tensor

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.zeros(config.mels))
        self.register_buffer("scale", torch.ones(config.mels))
        self.entry = nn.Linear(config.mels * config.time_stack, config.width)
        self.blocks = nn.ModuleList(Block(config.width, layer, config.dropout) for layer in config.layers)
        self.norm = nn.LayerNorm(config.width)
        self.folded = False
        """True in an export, whose first layer already holds mean and scale."""

    def set_statistics(self, mean: Tensor, deviation: Tensor) -> None:
        """Mean and standard deviation of each mel band over training speech, for the input's scale."""
        self.mean.copy_(mean)
        self.scale.copy_(1 / deviation.clamp(min=1e-3))

    def _stack(self, mels: Tensor) -> Tensor:
        scaled = mels if self.folded else (mels - self.mean) * self.scale
        return self.entry(torch.unflatten(scaled, 1, (-1, self.config.time_stack)).flatten(2))  # type: ignore[no-any-return]

    def frames(self, mel_frames: Tensor) -> Tensor:
        """Encoder frames that stand for so many feature frames."""
        return torch.div(mel_frames + self.config.time_stack - 1, self.config.time_stack, rounding_mode="floor")

    def forward(self, mels: Tensor) -> Tensor:
        """(N, feature frames, mels) → (N, encoder frames, width); see `with_middle`."""
        return self.with_middle(mels)[0]

    def with_middle(self, mels: Tensor) -> tuple[Tensor, Tensor]:
        """The frames, and what the middle block would answer: a loss on both makes deep encoders learn faster.

        The input is padded with its own last frame to whole segments and their right context, and all whole segments'
        frames are returned: the caller knows the lengths.
        """
        config = self.config
        segments = -(-mels.shape[1] // config.segment_frames)
        wanted = (segments * config.segment + config.right_context) * config.time_stack
        mels = torch.cat([mels, mels[:, -1:].expand(-1, wanted - mels.shape[1], -1)], 1)
        stacked = self._stack(mels)
        main = segments * config.segment
        frames = layout(main, config, mels.device)
        steps = torch.arange(1, segments + 1, device=mels.device)[:, None] * config.segment
        copies = (steps + torch.arange(config.right_context, device=mels.device)).flatten()
        x = torch.cat([stacked[:, copies], stacked[:, :main]], 1)
        middle = x
        for index, block in enumerate(self.blocks, 1):
            x = block(x, frames)
            middle = x if index == max(len(self.blocks) // 2, 1) else middle
        return self.norm(x[:, frames.copies :]), self.norm(middle[:, frames.copies :])

    def step(self, mels: Tensor, states: list[LayerState], past_frames: Tensor) -> tuple[Tensor, list[LayerState]]:
        """One segment and its right context, (N, window_frames, mels) → (N, segment, width) and the next states.

        `past_frames` (N) are the feature frames of earlier segments: cached frames from before the start are masked.
        """
        config = self.config
        x = self._stack(mels)
        past = torch.div(past_frames, config.time_stack, rounding_mode="floor")
        places = torch.arange(config.left_context + x.shape[1], device=mels.device)
        known = (places[None] >= config.left_context - past[:, None])[:, None, None]
        mask = torch.where(known, 0.0, UNSEEN)
        following = []
        for block, state in zip(self.blocks, states, strict=True):
            x, state = block.step(x, state, mask, config.segment)  # type: ignore[operator]
            following.append(state)
        return self.norm(x[:, : config.segment]), following
