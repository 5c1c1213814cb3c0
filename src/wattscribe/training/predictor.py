"""The predictor: the tokens so far, as a stateless convolution over the last tokens or as an LSTM."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from wattscribe.models.vocabulary import BLANK
from wattscribe.training.config import PredictorConfig


class StatelessPredictor(nn.Module):
    """Embedding and a causal depthwise convolution over the last `context` tokens (arXiv 1909.09577's observation)."""

    def __init__(self, vocabulary: int, config: PredictorConfig) -> None:
        super().__init__()
        self.context = config.context
        self.width = config.embedding
        self.embedding = nn.Embedding(vocabulary, config.embedding)
        self.taps = nn.Parameter(torch.full((config.context, config.embedding), config.context**-0.5))

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, U) emitted tokens → (N, U + 1, width): the state before each token and after the last."""
        start = tokens.new_full((tokens.shape[0], self.context), BLANK)
        return self.windowed(torch.cat([start, tokens], 1).unfold(1, self.context, 1))

    def windowed(self, history: Tensor) -> Tensor:
        """(…, context) token ids → (…, width); this is decoder.onnx."""
        return torch.relu((self.embedding(history) * self.taps).sum(-2))


class LstmPredictor(nn.Module):
    """Embedding, LSTM and layer norm."""

    def __init__(self, vocabulary: int, config: PredictorConfig) -> None:
        super().__init__()
        self.width = config.hidden
        self.embedding = nn.Embedding(vocabulary, config.embedding)
        self.lstm = nn.LSTM(config.embedding, config.hidden, config.layers, batch_first=True)
        self.norm = nn.LayerNorm(config.hidden)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, U) emitted tokens → (N, U + 1, width)."""
        start = tokens.new_full((tokens.shape[0], 1), BLANK)
        said = self.embedding(torch.cat([start, tokens], 1))
        # In float32: oneDNN refuses a bfloat16 LSTM on some processors, and on others it is a third as fast.
        with torch.autocast(said.device.type, enabled=False):
            answer, _ = self.lstm(said.float())
        return self.norm(answer)  # type: ignore[no-any-return]

    def step(self, token: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(N, 1) last token and states (layers, N, hidden) → (N, width) and new states; the first token is blank."""
        answer, (hidden, cell) = self.lstm(self.embedding(token), (hidden, cell))
        return self.norm(answer[:, -1]), hidden, cell


def build_predictor(vocabulary: int, config: PredictorConfig) -> StatelessPredictor | LstmPredictor:
    """The predictor that the config names."""
    return (StatelessPredictor if config.kind == "stateless" else LstmPredictor)(vocabulary, config)
