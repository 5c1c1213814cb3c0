"""What a Transformers encoder–decoder really did for one utterance: windows, steps, tokens fed, counted by hooks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from wattscribe.errors import InputError
from wattscribe.recognizers.base import Audio
from wattscribe.recognizers.hf import HfRecognizer
from wattscribe.records import Counts, Transcript


def transcribe_counted(recognizer: HfRecognizer, audio: Audio) -> Transcript:
    """The transcript with its counts: `encoder_calls` are windows, `predictor_calls` decoder steps (each emits one token),
    `predictor_rows` the tokens fed in them, the prompt's included. Raises InputError for a model without a decoder."""
    model = recognizer.network
    if not hasattr(model, "get_decoder"):
        raise InputError(
            "only encoder–decoder models can be counted", where=type(model).__name__, fix="State the rates"
        )
    totals = {"windows": 0, "frames": 0, "steps": 0, "fed": 0}

    def encoded(_module: Any, _given: Any, output: Any) -> None:
        totals["windows"] += 1
        totals["frames"] += int(output[0].shape[1])

    def stepped(_module: Any, given: Any, named: Any, _output: Any) -> None:
        tokens = named.get("input_ids", given[0] if given else None)
        totals["steps"] += 1
        totals["fed"] += 1 if tokens is None else int(tokens.numel())

    hooks = [
        model.get_encoder().register_forward_hook(encoded),
        model.get_decoder().register_forward_hook(stepped, with_kwargs=True),
    ]
    try:
        (transcript,) = recognizer.transcribe([audio])
    finally:
        for hook in hooks:
            hook.remove()
    counts = Counts(
        encoder_calls=totals["windows"],
        encoder_rows=totals["windows"],
        predictor_calls=totals["steps"],
        predictor_rows=totals["fed"],
        frames=totals["frames"],
        tokens=totals["steps"],
    )
    return replace(transcript, counts=counts)
