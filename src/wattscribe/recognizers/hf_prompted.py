"""Transformers models that a processor prompts: Qwen3-ASR, a speech language model, and Kyutai's, with text beside audio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import soxr

from wattscribe.recognizers.base import Audio
from wattscribe.units import SAMPLE_RATE_HZ

PROMPTED = ("qwen3_asr", "kyutai_speech_to_text")
"""Model types, as their config.json says."""

_NO_TRANSCRIPT_API = "measure it behind a server of its own (`http:`) or a program of yours (`cmd:`)"
REFUSED = {
    "voxtral": "Voxtral's prompt is made by mistral-common, with which hf: does not speak",
    "voxtral_realtime": "Voxtral Realtime's prompt is made by mistral-common, with which hf: does not speak",
    "canary": "Canary's prompt names languages and style, which hf: does not make; `onnx-asr:` and `sherpa:` run its exports",
    "cohere_asr": "Cohere Transcribe's prompt names a language, which hf: does not make; `sherpa:` runs its export",
    "fun_asr_nano": "Fun-ASR-Nano is a speech language model that hf: does not prompt; `sherpa:` runs its export",
    "granite_speech": "Granite Speech is a speech language model that hf: does not prompt",
    "granite_speech_plus": "Granite Speech is a speech language model that hf: does not prompt",
    "glmasr": "GLM-ASR is a speech language model that hf: does not prompt",
    "vibevoice_asr": "VibeVoice-ASR is a speech language model that hf: does not prompt",
    "nemo_speechlm": "Nemotron Transcribe is a speech language model that hf: does not prompt",
    "nemotron3_5_transcribe": "Nemotron Transcribe is a speech language model that hf: does not prompt",
    "moss_transcribe_diarize": "MOSS Transcribe is a speech language model that hf: does not prompt",
    "qwen2_audio": "Qwen2-Audio is a speech language model that hf: does not prompt",
    "qwen2_5_omni": "Qwen2.5-Omni is a model of many senses that hf: does not prompt",
    "qwen3_omni_moe": "Qwen3-Omni is a model of many senses that hf: does not prompt",
    "phi4_multimodal": "Phi-4-multimodal is a model of many senses that hf: does not prompt",
    "audioflamingo3": "Audio Flamingo 3 is a speech language model that hf: does not prompt",
    "musicflamingo": "Music Flamingo is an audio language model that hf: does not prompt",
    "gemma3n": "Gemma 3n is a model of many senses that hf: does not prompt",
    "seamless_m4t": "SeamlessM4T must be told a target language, which hf: does not do",
    "seamless_m4t_v2": "SeamlessM4T v2 must be told a target language, which hf: does not do",
    "moonshine_streaming": "Moonshine's streaming models run in `moonshine:`, from the files of their authors",
}
"""Model types that transcribe speech, and why they are not run here."""


def refusal(kind: str) -> tuple[str, str] | None:
    """What is said of a model that transcribes and is not run here, and what to do; None: nothing."""
    sentence = REFUSED.get(kind)
    return None if sentence is None else (sentence, f"Use the runtime that is named, or {_NO_TRANSCRIPT_API}")


def languages(processor: Any) -> dict[str, str]:
    """Codes → the names under which a Qwen3-ASR was trained; empty: no choice."""
    if type(processor).__name__ != "Qwen3ASRProcessor":
        return {}
    from transformers.models.qwen3_asr.processing_qwen3_asr import LANGUAGE_CODE_TO_NAME

    return dict(LANGUAGE_CODE_TO_NAME)


def transcribe(loaded: Any, pieces: Sequence[Audio], language: str | None, limit: int) -> list[tuple[str, str | None]]:
    """Texts and languages of one batch; greedy. `limit`: tokens per piece, of a model that does not end with the audio."""
    if loaded.model.config.model_type == "kyutai_speech_to_text":
        return [(text, None) for text in _kyutai(loaded, pieces)]
    return _qwen3(loaded, pieces, language, limit)


def _moved(inputs: Any, model: Any) -> dict[str, Any]:
    tensors = {name: value.to(model.device) for name, value in inputs.items()}
    return {name: value.to(model.dtype) if value.is_floating_point() else value for name, value in tensors.items()}


def _qwen3(loaded: Any, pieces: Sequence[Audio], language: str | None, limit: int) -> list[tuple[str, str | None]]:
    processor, model = loaded.processor, loaded.model
    name = None if language is None else languages(processor)[language]
    inputs = _moved(processor.apply_transcription_request(audio=list(pieces), language=name), model)
    made = model.generate(**inputs, max_new_tokens=limit, num_beams=1, do_sample=False)
    raw = processor.decode(made[:, inputs["input_ids"].shape[1] :].cpu(), skip_special_tokens=True)
    answers = processor.parse_output(raw if name is None else [f"language {name}<asr_text>{each}" for each in raw])
    codes = {name: code for code, name in languages(processor).items()}
    return [(each["transcription"], language or codes.get(each["language"] or "")) for each in answers]


def _kyutai(loaded: Any, pieces: Sequence[Audio]) -> list[str]:
    """One by one, since the model is given no mask; it hears 24 kHz, and a silence in which its delayed words come."""
    processor, model = loaded.processor, loaded.model
    rate_hz = int(processor.feature_extractor.sampling_rate)
    texts = []
    for piece in pieces:
        audio = soxr.resample(piece, SAMPLE_RATE_HZ, rate_hz)
        made = model.generate(
            **_moved(processor(audio=audio, sampling_rate=rate_hz), model), num_beams=1, do_sample=False
        )
        texts.append(str(processor.batch_decode(made.cpu(), skip_special_tokens=True)[0]))
    return texts
