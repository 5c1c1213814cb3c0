"""The joiner: an encoder frame and a predictor vector → scores of the next token, blank first."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from wattscribe.training.config import JoinerConfig


class Joiner(nn.Module):
    """Projections are added, activated and read out. Logits (…, vocabulary); softmax over them is the distribution.

    The projections run once per encoder frame and once per token, so exports fold them into encoder.onnx and
    decoder.onnx; joiner.onnx is `scores`. With `blank_width` the blank has its own small head on further columns of the
    projections (arXiv 2211.00896): p(blank) = sigmoid(b), the other tokens share the rest by their own softmax. What
    is returned then are log-probabilities, so decoders need no special case.
    """

    def __init__(self, encoder_width: int, predictor_width: int, vocabulary: int, config: JoinerConfig) -> None:
        super().__init__()
        self.config = config
        projected = config.width + config.blank_width
        self.from_encoder = nn.Linear(encoder_width, projected)
        self.from_predictor = nn.Linear(predictor_width, projected, bias=False)
        self.out = nn.Linear(config.width, vocabulary - bool(config.blank_width))
        self.blank_out = nn.Linear(config.blank_width, 1) if config.blank_width else None

    def forward(self, encoder_out: Tensor, predictor_out: Tensor) -> Tensor:
        """(…, encoder width) and (…, predictor width), broadcast against each other → (…, vocabulary)."""
        return self.scores(self.from_encoder(encoder_out), self.from_predictor(predictor_out))

    def scores(self, encoder_projected: Tensor, predictor_projected: Tensor) -> Tensor:
        """The same from projected inputs."""
        mixed = encoder_projected + predictor_projected
        active = torch.tanh(mixed) if self.config.activation == "tanh" else torch.relu(mixed)
        if self.blank_out is None:
            return self.out(active)  # type: ignore[no-any-return]
        spoken, blank = active[..., : self.config.width], active[..., self.config.width :]
        blank = self.blank_out(blank).float()
        rest = torch.log_softmax(self.out(spoken).float(), -1) + nn.functional.logsigmoid(-blank)
        return torch.cat([nn.functional.logsigmoid(blank), rest], -1)

    def blank_score(self, encoder_projected: Tensor, predictor_projected: Tensor) -> Tensor:
        """log p(blank) alone, (…, 1): a decoder skips the rest where it is high. Only with `blank_width`."""
        if self.blank_out is None:
            raise ValueError("this joiner has no head of its own for blank")
        mixed = (encoder_projected + predictor_projected)[..., self.config.width :]
        active = torch.tanh(mixed) if self.config.activation == "tanh" else torch.relu(mixed)
        return nn.functional.logsigmoid(self.blank_out(active).float())
