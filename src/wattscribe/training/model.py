"""A transducer of any size: encoder, predictor, joiner, and a CTC head that only training uses."""

from __future__ import annotations

from torch import Tensor, nn

from wattscribe.training.config import TransducerConfig
from wattscribe.training.encoder import Encoder
from wattscribe.training.joiner import Joiner
from wattscribe.training.predictor import build_predictor


class TransducerModel(nn.Module):
    """Built from its config alone, so that a checkpoint or a pruned shape needs no code of its own."""

    def __init__(self, config: TransducerConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config.encoder)
        self.predictor = build_predictor(config.vocabulary, config.predictor)
        self.joiner = Joiner(config.encoder.width, self.predictor.width, config.vocabulary, config.joiner)
        self.ctc = nn.Linear(config.encoder.width, config.vocabulary)

    def forward(self, mels: Tensor) -> Tensor:
        """Encoder frames of a batch: (N, feature frames, mels) → (N, frames, width)."""
        return self.encoder(mels)  # type: ignore[no-any-return]


def build(config: TransducerConfig) -> TransducerModel:
    """A model with fresh weights."""
    return TransducerModel(config)
