"""Small random checkpoints of the families that came later: Nemotron's streaming transducers, Qwen3-ASR, Kyutai's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    KyutaiSpeechToTextConfig,
    KyutaiSpeechToTextFeatureExtractor,
    KyutaiSpeechToTextForConditionalGeneration,
    KyutaiSpeechToTextProcessor,
    Nemotron3_5AsrConfig,
    Nemotron3_5AsrForRNNT,
    Nemotron3_5AsrProcessor,
    NemotronAsrStreamingConfig,
    NemotronAsrStreamingEncoderConfig,
    NemotronAsrStreamingFeatureExtractor,
    NemotronAsrStreamingForRNNT,
    NemotronAsrStreamingProcessor,
    ParakeetTokenizer,
    PreTrainedTokenizerFast,
    Qwen3ASRConfig,
    Qwen3ASRFeatureExtractor,
    Qwen3ASRForConditionalGeneration,
    Qwen3ASRProcessor,
)

from tests.recognizers.checkpoints import LETTERS, WIDTH, fast_tokenizer, wide


def _nemotron(kind: str) -> Callable[[Path], None]:
    def build(directory: Path) -> None:
        tokenizer = fast_tokenizer(ParakeetTokenizer, directory, pad_token="<pad>")
        tokenizer.add_tokens(["<blank>"], special_tokens=True)
        blank = tokenizer.convert_tokens_to_ids("<blank>")
        encoder = NemotronAsrStreamingEncoderConfig(
            hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=2, intermediate_size=256, num_mel_bins=80,
            subsampling_conv_channels=16, max_position_embeddings=500, sliding_window=20, default_num_lookahead_tokens=3,
        )  # fmt: skip
        sizes: dict[str, Any] = {
            "vocab_size": len(tokenizer), "decoder_hidden_size": WIDTH, "num_decoder_layers": 1, "pad_token_id": 3,
            "blank_token_id": blank, "encoder_config": encoder,
        }  # fmt: skip
        torch.manual_seed(6)
        features = NemotronAsrStreamingFeatureExtractor(feature_size=80)
        lookahead = {"supported_num_lookahead_tokens": [3, 1], "default_num_lookahead_tokens": 3}
        model: Any
        processor: Any
        if kind == "nemotron":
            model = NemotronAsrStreamingForRNNT(NemotronAsrStreamingConfig(**sizes))
            processor = NemotronAsrStreamingProcessor(features, tokenizer, **lookahead)
        else:
            model = Nemotron3_5AsrForRNNT(Nemotron3_5AsrConfig(**sizes))
            processor = Nemotron3_5AsrProcessor(features, tokenizer, **lookahead)
        model.eval()
        wide(model.encoder, 3)
        wide(model.joint, 10)
        model.generation_config.decoder_start_token_id = blank
        model.save_pretrained(directory)
        processor.save_pretrained(directory)

    return build


_SPECIAL = {
    "audio_token": "<|audio_pad|>", "audio_bos_token": "<|audio_start|>", "audio_eos_token": "<|audio_end|>",
    "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>",
}  # fmt: skip
_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for c in m.content %}{% if c.type == 'audio' %}"
    "<|audio_start|><|audio_pad|><|audio_end|>{% else %}{{ c.text }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
)
"""What the real one comes down to: turns between marks, and a place for the audio."""


def qwen3_asr(directory: Path) -> None:
    """Bytes for text, as Qwen's; letters alone are said, and the forced suffix is tokens like any."""
    symbols = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={symbol: at for at, symbol in enumerate(symbols)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=_SPECIAL["eos_token"], pad_token=_SPECIAL["pad_token"],
        extra_special_tokens={name: _SPECIAL[name] for name in ("audio_token", "audio_bos_token", "audio_eos_token")},
    )  # fmt: skip
    fast.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]}, replace_extra_special_tokens=False)
    fast.add_tokens(["<asr_text>"])
    ids = {name: fast.convert_tokens_to_ids(token) for name, token in _SPECIAL.items()}
    torch.manual_seed(8)
    config = Qwen3ASRConfig(
        audio_config={
            "model_type": "qwen3_asr_encoder", "d_model": 32, "encoder_layers": 1, "encoder_attention_heads": 2,
            "encoder_ffn_dim": 64, "output_dim": WIDTH, "downsample_hidden_size": 16, "num_mel_bins": 80,
        },
        text_config={
            "model_type": "qwen3", "vocab_size": len(fast), "hidden_size": WIDTH, "intermediate_size": 128,
            "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 32,
            "max_position_embeddings": 2048, "tie_word_embeddings": False,
        },
        audio_token_id=ids["audio_token"], pad_token_id=ids["pad_token"], eos_token_id=ids["eos_token"],
        timestamp_token_id=0, tie_word_embeddings=False,
    )  # fmt: skip
    model = Qwen3ASRForConditionalGeneration(config).eval()
    wide(model, 4)
    letters = set(fast.convert_tokens_to_ids(list(LETTERS)))
    model.generation_config.suppress_tokens = sorted(set(range(len(fast))) - letters)
    model.generation_config.pad_token_id = ids["pad_token"]
    model.save_pretrained(directory)
    Qwen3ASRProcessor(Qwen3ASRFeatureExtractor(feature_size=80), fast, chat_template=_TEMPLATE).save_pretrained(
        directory
    )


def kyutai(directory: Path) -> None:
    """Mimi, which turns audio into codes, is small too; a token is said for each of its frames."""
    tokenizer = fast_tokenizer(PreTrainedTokenizerFast, directory, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    symbols = len(tokenizer)
    torch.manual_seed(9)
    config = KyutaiSpeechToTextConfig(
        codebook_vocab_size=17, vocab_size=symbols, hidden_size=WIDTH, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=512, sliding_window=512, ffn_dim=128, num_codebooks=4, audio_bos_token_id=16,
        audio_pad_token_id=symbols + 4 * 17, pad_token_id=3, bos_token_id=1, head_dim=32,
        codec_config={
            "model_type": "mimi", "num_quantizers": 4, "audio_channels": 1, "hidden_size": 32, "num_filters": 8,
            "num_residual_layers": 1, "upsampling_ratios": [8, 6, 5, 4], "codebook_size": 16,
            "vector_quantization_hidden_dimension": 16, "upsample_groups": 32, "num_hidden_layers": 1,
            "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 64,
            "sliding_window": 250, "codebook_dim": 16, "use_cache": False, "use_streaming": False,
        },
    )  # fmt: skip
    model = KyutaiSpeechToTextForConditionalGeneration(config).eval()
    wide(model.model, 4)
    model.generation_config.suppress_tokens = [0, 1, 2, 3]
    model.save_pretrained(directory)
    KyutaiSpeechToTextProcessor(
        KyutaiSpeechToTextFeatureExtractor(audio_delay_seconds=0.5, audio_silence_prefix_seconds=0.1), tokenizer
    ).save_pretrained(directory)


BUILDERS: dict[str, Callable[[Path], None]] = {
    "nemotron": _nemotron("nemotron"),
    "nemotron-3.5": _nemotron("nemotron-3.5"),
    "qwen3-asr": qwen3_asr,
    "kyutai": kyutai,
}
