"""Transformers models: Whisper and its distilled kin, CTC encoders, SpeechT5, Moonshine, Parakeet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from wattscribe.as_found import as_found
from wattscribe.errors import InputError, RecognizerError
from wattscribe.recognizers import hf_prompted, options
from wattscribe.recognizers.base import Audio
from wattscribe.recognizers.checks import SHORTEST_SAMPLES, checked, in_a_line, require_open
from wattscribe.recognizers.hf_load import load, threads
from wattscribe.records import PrecisionAudit, RecognizerSpec, Transcript
from wattscribe.seq2seq.recognize import MOONSHINE_TOKENS_PER_S
from wattscribe.seq2seq.windows import cut_at_silence
from wattscribe.units import SAMPLE_RATE_HZ

PADDED_SAMPLES = 1600
"""Shorter audio is padded with silence to 0.1 s, which every family's strided convolutions can take."""

CHUNK_S = 40.0
"""A window that holds every LibriSpeech utterance (the longest is 35 s) whole: attention's memory grows with its square."""

MAX_NEW_TOKENS = 256
"""Transformers' own default for speech pipelines."""

Decoded = tuple[str, str | None]
"""A text, and the language in which a multilingual model transcribed it."""

PROMPT_TOKENS = 8
"""Room for the tokens that start a transcript, within the positions that a decoder has."""


class HfRecognizer:
    """A Transformers model; greedy decoding."""

    def __init__(self, spec: RecognizerSpec) -> None:
        self._spec = spec
        self._chunk_samples = round(options.number(spec, "chunk_s", CHUNK_S, minimum=1.0) * SAMPLE_RATE_HZ)
        self._max_new_tokens = options.integer(spec, "max_new_tokens", 0) or None
        self._loaded: Any = load(spec)
        self._language = self._stated_language()
        self._has_run = False

    @property
    def network(self) -> Any:
        """The loaded torch module."""
        require_open(self._loaded, self._spec)
        return self._loaded.model

    @as_found()
    def transcribe(self, batch: Sequence[Audio]) -> list[Transcript]:
        """One Transcript per input, `batch_size` pieces at a time; audio under 25 ms is answered with an empty text.

        Whisper's audio over 30 s goes through its own long-form generation, one at a time; for other families audio over
        `chunk_s` is cut at its quietest points and the texts are joined.
        """
        require_open(self._loaded, self._spec)
        pieces: list[tuple[int, Audio]] = []
        for index, audio in enumerate(checked(batch, self._spec)):
            pieces += [(index, piece) for piece in self._cut(audio) if len(piece) >= SHORTEST_SAMPLES]
        texts: list[list[str]] = [[] for _ in batch]
        languages: list[str | None] = [None] * len(batch)
        for group in self._groups(pieces):
            for (index, _), (text, language) in zip(group, self._run([piece for _, piece in group]), strict=True):
                texts[index].append(text.strip())
                languages[index] = language
        return [
            Transcript(text=" ".join(filter(None, parts)), language=language)
            for parts, language in zip(texts, languages, strict=True)
        ]

    def _cut(self, audio: Audio) -> Iterator[Audio]:
        if self._loaded.family == "whisper":
            yield audio
            return
        yield from cut_at_silence(audio, self._chunk_samples)

    def _groups(self, pieces: list[tuple[int, Audio]]) -> Iterator[list[tuple[int, Audio]]]:
        """Batches in order; a Whisper long form stands alone."""
        group: list[tuple[int, Audio]] = []
        for item in pieces:
            if self.alone(len(item[1])):
                if group:
                    yield group
                yield [item]
                group = []
                continue
            group.append(item)
            if len(group) == self._spec.batch_size:
                yield group
                group = []
        if group:
            yield group

    def alone(self, samples: int) -> bool:
        """Whisper's long form goes one by one."""
        return self._loaded.family == "whisper" and samples > int(self._loaded.features.n_samples)

    def _run(self, pieces: list[Audio]) -> list[Decoded]:
        """Texts and languages of one batch; the device has finished when it returns, as its tokens are read on the CPU."""
        import torch

        try:
            with torch.inference_mode(), threads(self._spec.threads):
                decoded = self._decode(pieces)
        except torch.cuda.OutOfMemoryError as error:
            raise RecognizerError(
                "the GPU's memory is exhausted", where=self._spec.name, fix="Lower batch_size"
            ) from error
        except Exception as error:  # a config of another shape ends in any kind
            reason = in_a_line(error)
            if "not implemented for" in reason:
                reason = f"torch has no {self._spec.precision} kernel for one of its operators on {self._spec.device}: {reason}"
            raise RecognizerError(reason, where=self._spec.name) from error
        self._has_run = True
        return decoded

    def _decode(self, pieces: list[Audio]) -> list[Decoded]:
        family = self._loaded.family
        if family == "prompted":
            return hf_prompted.transcribe(self._loaded, pieces, self._language, self._max_new_tokens or MAX_NEW_TOKENS)
        inputs = self._inputs(pieces)
        if family == "ctc":
            return [(text, None) for text in self._ctc(inputs)]
        languages = self._languages(inputs, len(pieces))
        task = {} if languages is None else {"language": languages, "task": "transcribe"}
        generated = self._loaded.model.generate(**inputs, **self._generation(pieces), **task)
        sequences = getattr(generated, "sequences", generated)
        if isinstance(sequences, dict):
            sequences = sequences["sequences"]
        # A transducer emits every token once; Parakeet's tokenizer would otherwise merge repeats as for CTC.
        extra = {"group_tokens": False} if family == "transducer" else {}
        texts = [
            str(self._loaded.tokenizer.decode(row, skip_special_tokens=True, **extra))
            for row in sequences.cpu().tolist()
        ]
        stated: Sequence[str | None] = languages or [None] * len(texts)
        return list(zip(texts, stated, strict=True))

    def _languages(self, inputs: dict[str, Any], count: int) -> list[str] | None:
        """Of each piece: as stated, or as a multilingual Whisper detects it in the first 30 s; None: the model has no choice."""
        if not self._multilingual:
            return None
        if self._language is not None:
            return [self._language] * count
        model = self._loaded.model
        names = {number: name.strip("<|>") for name, number in model.generation_config.lang_to_id.items()}
        tokens = model.detect_language(inputs[model.main_input_name], generation_config=model.generation_config)
        return [names[number] for number in tokens.cpu().tolist()]

    @property
    def _multilingual(self) -> bool:
        if self._loaded.family == "prompted":
            return bool(hf_prompted.languages(self._loaded.processor))
        if self._loaded.family != "whisper":
            return False
        return bool(getattr(self._loaded.model.generation_config, "is_multilingual", False))

    def _stated_language(self) -> str | None:
        """By option, else by the checkpoint itself, as after fine-tuning; None: each utterance's is detected."""
        stated = options.language(self._spec, multilingual=self._multilingual)
        if self._loaded.family == "prompted":
            known = hf_prompted.languages(self._loaded.processor)
            if stated is not None and stated not in known:
                raise InputError(
                    f"option language={stated} is unknown", where=self._spec.name, fix="One of: " + ", ".join(known)
                )
            return stated
        return stated or (
            getattr(self._loaded.model.generation_config, "language", None) if self._multilingual else None
        )

    def _inputs(self, pieces: list[Audio]) -> dict[str, Any]:
        padded = [np.pad(piece, (0, max(0, PADDED_SAMPLES - len(piece)))) for piece in pieces]
        how: dict[str, Any] = {"padding": True}
        if self._loaded.family == "whisper":
            long = self.alone(len(pieces[0]))
            how = {"padding": "longest", "truncation": False} if long else {}
        inputs = self._loaded.features(
            padded if len(padded) > 1 else padded[0],
            sampling_rate=SAMPLE_RATE_HZ,
            return_tensors="pt",
            return_attention_mask=True,
            **how,
        )
        model = self._loaded.model
        names = (model.main_input_name, "attention_mask")
        moved = {name: inputs[name].to(self._spec.device) for name in names if name in inputs}
        return {name: value.to(model.dtype) if value.is_floating_point() else value for name, value in moved.items()}

    def _ctc(self, inputs: dict[str, Any]) -> list[str]:
        """Greedy: the best symbol of every frame that is not padding; the tokenizer merges repeats and drops blanks."""
        model, tokenizer = self._loaded.model, self._loaded.tokenizer
        if model.config.model_type.startswith("parakeet"):
            rows = model.generate(**inputs).cpu().tolist()
        else:
            best = model(**inputs).logits.argmax(dim=-1).cpu()
            lengths = model._get_feat_extract_output_lengths(inputs["attention_mask"].sum(-1)).cpu().tolist()
            rows = [row[:length].tolist() for row, length in zip(best, lengths, strict=True)]
        return [str(tokenizer.decode(row)) for row in rows]

    def _generation(self, pieces: list[Audio]) -> dict[str, Any]:
        family = self._loaded.family
        if family == "transducer":
            return {}
        arguments: dict[str, Any] = {"num_beams": 1, "do_sample": False}
        limit = self._token_limit(max(map(len, pieces)) / SAMPLE_RATE_HZ)
        if limit is not None:
            arguments["max_new_tokens"] = limit
        if family == "whisper":
            arguments["return_timestamps"] = self.alone(len(pieces[0]))
        return arguments

    def _token_limit(self, longest_s: float) -> int | None:
        """The option, or Moonshine's rule, or the checkpoint's own limit (None), or the library's default."""
        model = self._loaded.model
        if self._max_new_tokens is not None:
            return self._max_new_tokens
        if model.config.model_type == "moonshine":
            return max(1, int(longest_s * MOONSHINE_TOKENS_PER_S))
        if model.generation_config.max_length is not None or model.generation_config.max_new_tokens is not None:
            return None
        places = getattr(model.config, "max_target_positions", None) or getattr(
            model.config, "max_text_positions", None
        )
        return MAX_NEW_TOKENS if places is None else min(MAX_NEW_TOKENS, places - PROMPT_TOKENS)

    @as_found()
    def audit(self) -> PrecisionAudit:
        """Counts the weights, and the operators of one run over a second of noise."""
        from wattscribe.recognizers.torch_facts import audit_torch

        require_open(self._loaded, self._spec)
        noise = np.random.default_rng(0).normal(0, 0.1, SAMPLE_RATE_HZ).astype(np.float32)
        if not self._has_run:  # what a model computes once and keeps (Mimi's codebooks) no utterance takes
            self._run([noise])
        return audit_torch(
            self._spec, self._loaded.model, lambda: self._run([noise]), parameters=self._loaded.parameters
        )

    def close(self) -> None:
        if self._loaded is None:
            return
        self._loaded = None
        if self._spec.device.startswith("cuda"):
            import torch

            torch.cuda.empty_cache()
