"""A pretrained streaming transducer as a teacher: its encoder's outputs are dense supervision on any audio, labelled or not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wattscribe.errors import ModelError, TrainingError
from wattscribe.training.features import log_mels

FRAMES_PER_TEACHER_FRAME = 4
"""Zipformer2 gives one output per 40 ms: 8 for each `decode_chunk_len` of 32 feature frames."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taught:
    """What the teacher made of one utterance."""

    encoder_out: NDArray[np.float32]
    """Shape (teacher frames, width)."""
    text: str


class Teacher:
    """A zipformer2 directory in sherpa-onnx layout, run segment by segment as it streams. Raises ModelError."""

    def __init__(self, directory: Path, *, threads: int = 1) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1

        def load(*names: str) -> Any:
            for name in names:
                if (directory / name).is_file():
                    return onnxruntime.InferenceSession(directory / name, options, providers=["CPUExecutionProvider"])
            raise ModelError(
                f"the teacher has no {names[0]}", where=directory, fix="Give a directory in sherpa-onnx layout"
            )

        self.encoder = load("encoder.onnx", "encoder.int8.onnx")
        self.predictor = load("decoder.onnx", "decoder.int8.onnx")
        self.joiner = load("joiner.onnx", "joiner.int8.onnx")
        meta = self.encoder.get_modelmeta().custom_metadata_map
        if meta.get("model_type") != "zipformer2":
            raise ModelError(
                "the teacher is no zipformer2", where=directory, fix="Give a streaming zipformer2 directory"
            )
        self.window, self.shift = int(meta["T"]), int(meta["decode_chunk_len"])
        lines = (directory / "tokens.txt").read_text(encoding="utf-8").splitlines()
        self.tokens = {int(line.split()[-1]): line.rsplit(maxsplit=1)[0] for line in lines}

    def teach(self, samples: NDArray[np.float32]) -> Taught:
        """Encoder outputs and the greedy transcript of 16 kHz samples; the end is padded with silence, not cut."""
        mels = log_mels(samples)
        segments = -(-len(mels) // self.shift)
        if segments == 0:
            raise TrainingError("the audio is empty", fix="Leave out empty files")
        quiet = log_mels(np.zeros(16_000, np.float32))[0]
        padded = np.tile(quiet, ((segments - 1) * self.shift + self.window, 1))
        padded[: len(mels)] = mels
        states = self._first_states()
        outputs = []
        for index in range(segments):
            window = padded[index * self.shift : index * self.shift + self.window]
            answer = self.encoder.run(None, {"x": window[None], **states})
            outputs.append(answer[0][0])
            states = dict(zip(states, answer[1:], strict=True))
        encoder_out = np.concatenate(outputs)[: -(-len(mels) // FRAMES_PER_TEACHER_FRAME)]
        return Taught(encoder_out=encoder_out, text=self._greedy(encoder_out))

    def _first_states(self) -> dict[str, NDArray[Any]]:
        kinds = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
        inputs = self.encoder.get_inputs()[1:]
        return {
            item.name: np.zeros([d if isinstance(d, int) else 1 for d in item.shape], kinds[item.type])
            for item in inputs
        }

    def _greedy(self, encoder_out: NDArray[np.float32]) -> str:
        history, pieces = [0, 0], []
        decoder_out = self.predictor.run(None, {"y": np.array([history], np.int64)})[0]
        start = 0
        while start < len(encoder_out):
            rest = encoder_out[start:]
            logits = self.joiner.run(
                None, {"encoder_out": rest, "decoder_out": np.repeat(decoder_out, len(rest), axis=0)}
            )[0]
            best = logits.argmax(-1)
            spoken = np.flatnonzero(best != 0)
            if not len(spoken):
                break
            token = int(best[spoken[0]])
            start += int(spoken[0]) + 1
            pieces.append(self.tokens[token])
            history = [history[1], token]
            decoder_out = self.predictor.run(None, {"y": np.array([history], np.int64)})[0]
        return "".join(pieces).replace("▁", " ").replace("<unk>", " ").strip().lower()
