"""Greedy decoding inside training: what dev WER is counted on. The runtime proper is `wattscribe.streaming`."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from wattscribe.models.vocabulary import BLANK
from wattscribe.scoring import count_errors
from wattscribe.training.augment import NONE, NoiseBank
from wattscribe.training.data import Changes, SpeechData
from wattscribe.training.features import SILENCE
from wattscribe.training.model import TransducerModel
from wattscribe.training.predictor import LstmPredictor
from wattscribe.training.tokens import Vocabulary

SILENT_FRAMES = 50


@torch.no_grad()
def greedy_ctc(model: TransducerModel, mels: Tensor, frames: Tensor) -> list[list[int]]:
    """Token ids of each utterance by the CTC head: repeats merged, blanks dropped."""
    best = model.ctc(model.encoder(mels)).argmax(-1)
    answers = []
    for row, count in zip(best, model.encoder.frames(frames).tolist(), strict=True):
        merged = torch.unique_consecutive(row[:count])
        answers.append([int(token) for token in merged if token != BLANK])
    return answers


@torch.no_grad()
def greedy_transducer(model: TransducerModel, mels: Tensor, frames: Tensor, *, per_frame: int = 1) -> list[list[int]]:
    """Token ids of each utterance by predictor and joiner, all utterances of the batch moving together.

    `per_frame` 1 is sherpa-onnx's greedy search, and ours: after a token the next frame is looked at.
    """
    encoded = model.joiner.from_encoder(model.encoder(mels))
    counts = model.encoder.frames(frames)
    rows = torch.arange(len(mels), device=mels.device)
    place, on_frame = torch.zeros_like(counts), torch.zeros_like(counts)
    answers: list[list[int]] = [[] for _ in rows]
    predictions = _Predictions(model, len(mels), mels.device)
    while bool((place < counts).any()):
        now = encoded[rows, place.clamp(max=encoded.shape[1] - 1)]
        best = model.joiner.scores(now, predictions.projected).argmax(-1)
        speaks = (best != BLANK) & (place < counts)
        for row in torch.nonzero(speaks).flatten().tolist():
            answers[row].append(int(best[row]))
        predictions.append(best, speaks)
        on_frame = torch.where(speaks, on_frame + 1, 0)
        stays = speaks & (on_frame < per_frame)
        on_frame = torch.where(stays, on_frame, 0)
        place = torch.where(stays, place, place + 1)
    return answers


class _Predictions:
    """The tokens of each utterance of the batch so far, as the joiner takes them."""

    def __init__(self, model: TransducerModel, count: int, device: torch.device) -> None:
        self.model = model
        predictor = model.predictor
        if isinstance(predictor, LstmPredictor):
            shape = (predictor.lstm.num_layers, count, predictor.lstm.hidden_size)
            self.hidden, self.cell = torch.zeros(shape, device=device), torch.zeros(shape, device=device)
            token = torch.full((count, 1), BLANK, device=device)
            out, self.hidden, self.cell = predictor.step(token, self.hidden, self.cell)
        else:
            self.history = torch.full((count, predictor.context), BLANK, device=device)
            out = predictor.windowed(self.history)
        self.projected = model.joiner.from_predictor(out)

    def append(self, tokens: Tensor, speaks: Tensor) -> None:
        if not bool(speaks.any()):
            return
        predictor = self.model.predictor
        if isinstance(predictor, LstmPredictor):
            out, hidden, cell = predictor.step(tokens[:, None], self.hidden, self.cell)
            self.hidden = torch.where(speaks[None, :, None], hidden, self.hidden)
            self.cell = torch.where(speaks[None, :, None], cell, self.cell)
        else:
            longer = torch.cat([self.history[:, 1:], tokens[:, None]], 1)
            self.history = torch.where(speaks[:, None], longer, self.history)
            out = predictor.windowed(self.history)
        self.projected = torch.where(speaks[:, None], self.model.joiner.from_predictor(out), self.projected)


@torch.no_grad()
def dev_wer(model: TransducerModel, vocabulary: Vocabulary, data: SpeechData, *, by_ctc: bool = False) -> float:
    """Word error rate over the data as it is, greedily decoded, unnormalised lower-case words."""
    model.eval()
    changes = Changes(features=NONE, noises=NoiseBank(seconds=1.0))
    references, hypotheses = [], []
    for plan in data.plan(0, 0, 120.0):
        batch = data.batch(plan, changes, changes.rooms(), np.random.default_rng(0))
        # Half a second of quiet: the model may answer late.
        mels = torch.nn.functional.pad(batch.mels, (0, 0, 0, SILENT_FRAMES), value=SILENCE)
        for row, count in enumerate(batch.frames.tolist()):
            mels[row, count:] = SILENCE
        answers = (greedy_ctc if by_ctc else greedy_transducer)(model, mels, batch.frames + SILENT_FRAMES)
        for answer, text in zip(answers, batch.texts, strict=True):
            references.append(text)
            hypotheses.append(vocabulary.decode(answer))
    counts = count_errors(references, hypotheses, rule="none")
    return float(counts.errors.sum() / max(counts.words.sum(), 1))
