"""Small random checkpoints of every family, built and saved here: config, feature extractor, tokenizer, weights; no hub."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    HubertConfig,
    HubertForCTC,
    MoonshineConfig,
    MoonshineForConditionalGeneration,
    ParakeetCTCConfig,
    ParakeetEncoderConfig,
    ParakeetFeatureExtractor,
    ParakeetForCTC,
    ParakeetForRNNT,
    ParakeetForTDT,
    ParakeetRNNTConfig,
    ParakeetTDTConfig,
    ParakeetTokenizer,
    PreTrainedTokenizerFast,
    SpeechT5Config,
    SpeechT5FeatureExtractor,
    SpeechT5ForSpeechToText,
    UniSpeechConfig,
    UniSpeechForCTC,
    Wav2Vec2Config,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    WavLMConfig,
    WavLMForCTC,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizer,
)

LETTERS = "abcdefghijklmnopqrstuvwxyz"
WIDTH = 64
_CONVOLUTIONS: dict[str, Any] = {
    "conv_dim": (16,) * 7,
    "num_feat_extract_layers": 7,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
}
_ENCODER: dict[str, Any] = {
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 256,
}


def _ctc_tokenizer(directory: Path) -> Wav2Vec2CTCTokenizer:
    symbols = ["<pad>", "<s>", "</s>", "<unk>", "|", *LETTERS]
    vocabulary = directory / "vocab.json"
    vocabulary.write_text(json.dumps({symbol: index for index, symbol in enumerate(symbols)}))
    return Wav2Vec2CTCTokenizer(str(vocabulary))


def wide(model: torch.nn.Module, scale: float = 6.0) -> None:
    """Random layers as they come answer every frame alike; wider weights make the text follow the audio."""
    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() >= 2:
                parameter.normal_(0.0, scale / parameter.shape[-1] ** 0.5 / 3)


def _ctc(model_class: Any, config_class: Any) -> Callable[[Path], None]:
    def build(directory: Path) -> None:
        tokenizer = _ctc_tokenizer(directory)
        torch.manual_seed(1)
        config = config_class(
            **_ENCODER, **_CONVOLUTIONS, vocab_size=len(tokenizer), pad_token_id=0, bos_token_id=1, eos_token_id=2
        )
        model = model_class(config).eval()
        wide(model.lm_head, 20)
        model.save_pretrained(directory)
        tokenizer.save_pretrained(directory)
        Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(directory)

    return build


def _bytes_tokenizer(directory: Path) -> tuple[Path, Path]:
    """Byte-level vocabulary without merges, as GPT-2's files."""
    symbols = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: index for index, symbol in enumerate(symbols)}
    (directory / "vocab.json").write_text(json.dumps(vocabulary))
    (directory / "merges.txt").write_text("#version: 0.2\n")
    return directory / "vocab.json", directory / "merges.txt"


def whisper(
    directory: Path,
    *,
    layers: int = 2,
    places: int = 64,
    feed_forward: int = 256,
    hears_s: int = 6,
    languages: tuple[str, ...] = ("en",),
) -> None:
    """Whisper of one or several languages, with the real one's special tokens and 80 mels; it hears 6 s where that hears 30."""
    vocabulary, merges = _bytes_tokenizer(directory)
    special = [
        "<|endoftext|>", "<|startoftranscript|>", *(f"<|{each}|>" for each in languages),
        "<|translate|>", "<|transcribe|>", "<|startoflm|>",
        "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>",
    ]  # fmt: skip
    tokenizer = WhisperTokenizer(
        vocab=str(vocabulary), merges=str(merges), bos_token="<|endoftext|>", eos_token="<|endoftext|>",
        unk_token="<|endoftext|>", pad_token="<|endoftext|>",
    )  # fmt: skip
    tokenizer.add_special_tokens({"additional_special_tokens": special})
    tokenizer.add_tokens([f"<|{0.02 * step:.2f}|>" for step in range(1501)], special_tokens=False)
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in special}
    torch.manual_seed(2)
    config = WhisperConfig(
        vocab_size=len(tokenizer), d_model=WIDTH, encoder_layers=layers, decoder_layers=layers,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=feed_forward,
        decoder_ffn_dim=feed_forward, num_mel_bins=80,
        max_source_positions=50 * hears_s, max_target_positions=places, decoder_start_token_id=ids["<|startoftranscript|>"],
        bos_token_id=ids["<|endoftext|>"], eos_token_id=ids["<|endoftext|>"], pad_token_id=ids["<|endoftext|>"],
        suppress_tokens=[], begin_suppress_tokens=[],
    )  # fmt: skip
    model = WhisperForConditionalGeneration(config).eval()
    wide(model.model.decoder, 4)
    with torch.no_grad():  # 1,501 time stamps would outvote 26 letters
        model.model.decoder.embed_tokens.weight[-1501:] *= 0.1
    generation = model.generation_config
    generation._from_model_config = False  # a file of its own, as real checkpoints have
    generation.no_timestamps_token_id = ids["<|notimestamps|>"]
    generation.prev_sot_token_id = ids["<|startofprev|>"]
    generation.is_multilingual = len(languages) > 1
    if generation.is_multilingual:
        generation.lang_to_id = {f"<|{each}|>": ids[f"<|{each}|>"] for each in languages}
        generation.task_to_id = {task: ids[f"<|{task}|>"] for task in ("translate", "transcribe")}
    generation.decoder_start_token_id = ids["<|startoftranscript|>"]
    generation.max_length = 24
    generation.max_initial_timestamp_index = 50
    # Letters only: random bytes would be broken UTF-8. Real checkpoints suppress non-speech symbols in the same way.
    letters = set(tokenizer.convert_tokens_to_ids(list(LETTERS)))
    silent = set(range(len(tokenizer) - 1501)) - letters
    generation.suppress_tokens = sorted(silent)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    WhisperFeatureExtractor(feature_size=80, chunk_length=hears_s).save_pretrained(directory)


def whisper_ct2(directory: Path) -> None:
    """A random Whisper, converted as ct2-transformers-converter does, into a directory that is not there yet."""
    from ctranslate2.converters import TransformersConverter

    with tempfile.TemporaryDirectory() as source:
        whisper(Path(source), places=448, feed_forward=1024, hears_s=30)
        files = ["tokenizer.json", "preprocessor_config.json"]
        TransformersConverter(source, copy_files=files).convert(str(directory))


def distil_whisper(directory: Path) -> None:
    """A deep encoder and a decoder of fewer layers, as distillation leaves it."""
    whisper(directory, layers=1)
    config = json.loads((directory / "config.json").read_text())
    assert config["decoder_layers"] == 1


def fast_tokenizer(kind: type, directory: Path, **special: Any) -> Any:
    """Characters with a word mark, as SentencePiece vocabularies have."""
    symbols = ["<unk>", "<s>", "</s>", "<pad>", "▁", *LETTERS]
    tokenizer = Tokenizer(models.BPE(vocab={s: i for i, s in enumerate(symbols)}, merges=[], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return kind(tokenizer_object=tokenizer, unk_token="<unk>", **special)


def moonshine(directory: Path) -> None:
    tokenizer = fast_tokenizer(PreTrainedTokenizerFast, directory, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    torch.manual_seed(3)
    config = MoonshineConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=256, encoder_num_hidden_layers=2,
        decoder_num_hidden_layers=2, encoder_num_attention_heads=2, decoder_num_attention_heads=2, pad_token_id=3,
    )  # fmt: skip
    model = MoonshineForConditionalGeneration(config).eval()
    wide(model.model.decoder, 4)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    Wav2Vec2FeatureExtractor(return_attention_mask=True, do_normalize=False).save_pretrained(directory)


def speecht5(directory: Path) -> None:
    tokenizer = fast_tokenizer(PreTrainedTokenizerFast, directory, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    torch.manual_seed(4)
    config = SpeechT5Config(
        vocab_size=len(tokenizer), hidden_size=WIDTH, encoder_layers=2, decoder_layers=2, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=256, decoder_ffn_dim=256, conv_dim=(16,) * 7, num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2, pad_token_id=3, bos_token_id=1, eos_token_id=2, decoder_start_token_id=2,
        max_text_positions=64,
    )  # fmt: skip
    model = SpeechT5ForSpeechToText(config).eval()
    wide(model.speecht5.decoder, 4)
    wide(model.text_decoder_postnet, 20)
    model.generation_config.max_length = 24
    model.generation_config.suppress_tokens = [0, 1, 2, 3]
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    SpeechT5FeatureExtractor(return_attention_mask=True).save_pretrained(directory)


def _parakeet_encoder() -> ParakeetEncoderConfig:
    return ParakeetEncoderConfig(
        **_ENCODER, subsampling_conv_channels=16, num_mel_bins=80, conv_kernel_size=9, max_position_embeddings=500
    )


def _parakeet(build_model: Callable[[int], Any]) -> Callable[[Path], None]:
    def build(directory: Path) -> None:
        tokenizer = fast_tokenizer(ParakeetTokenizer, directory, pad_token="<pad>")
        torch.manual_seed(5)
        model = build_model(len(tokenizer)).eval()
        model.save_pretrained(directory)
        tokenizer.save_pretrained(directory)
        ParakeetFeatureExtractor(feature_size=80).save_pretrained(directory)

    return build


def _parakeet_ctc(vocabulary: int) -> Any:
    config = ParakeetCTCConfig(vocab_size=vocabulary, pad_token_id=3, encoder_config=_parakeet_encoder())
    model = ParakeetForCTC(config)
    wide(model.encoder, 3)
    wide(model.ctc_head, 20)
    return model


def _parakeet_tdt(vocabulary: int) -> Any:
    config = ParakeetTDTConfig(
        vocab_size=vocabulary + 1, decoder_hidden_size=WIDTH, num_decoder_layers=1, pad_token_id=3,
        blank_token_id=vocabulary, encoder_config=_parakeet_encoder(),
    )  # fmt: skip
    model = ParakeetForTDT(config)
    model.generation_config.suppress_tokens = list(range(vocabulary + 1, vocabulary + 1 + len(config.durations)))
    wide(model.encoder, 3)
    wide(model.joint, 10)
    model.generation_config.decoder_start_token_id = vocabulary
    return model


def _parakeet_rnnt(vocabulary: int) -> Any:
    config = ParakeetRNNTConfig(
        vocab_size=vocabulary + 1, decoder_hidden_size=WIDTH, num_decoder_layers=1, pad_token_id=3,
        blank_token_id=vocabulary, encoder_config=_parakeet_encoder(),
    )  # fmt: skip
    model = ParakeetForRNNT(config)
    wide(model.encoder, 3)
    wide(model.joint, 10)
    model.generation_config.decoder_start_token_id = vocabulary
    return model


BUILDERS: dict[str, Callable[[Path], None]] = {
    "whisper": whisper,
    "distil-whisper": distil_whisper,
    "wav2vec2": _ctc(Wav2Vec2ForCTC, Wav2Vec2Config),
    "hubert": _ctc(HubertForCTC, HubertConfig),
    "wavlm": _ctc(WavLMForCTC, WavLMConfig),
    "unispeech": _ctc(UniSpeechForCTC, UniSpeechConfig),
    "speecht5": speecht5,
    "moonshine": moonshine,
    "parakeet-ctc": _parakeet(_parakeet_ctc),
    "parakeet-tdt": _parakeet(_parakeet_tdt),
    "parakeet-rnnt": _parakeet(_parakeet_rnnt),
}
