"""Every family of Transformers recognizers: our text is the text of the library's own pipeline on the same audio."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from wattscribe.errors import InputError, ModelError, RecognizerError
from wattscribe.recognizers import open_recognizer, parse_model
from wattscribe.recognizers.hf import HfRecognizer
from wattscribe.seq2seq.recognize import MOONSHINE_TOKENS_PER_S
from wattscribe.seq2seq.windows import cut_at_silence
from wattscribe.testing.contracts import babble
from wattscribe.units import SAMPLE_RATE_HZ as RATE

torch = pytest.importorskip("torch", reason="needs wattscribe[hf]")
pytest.importorskip("transformers", reason="needs wattscribe[hf]")

Checkpoint = Callable[[str], Path]
FAMILIES = (
    "whisper", "distil-whisper", "wav2vec2", "hubert", "wavlm", "unispeech", "speecht5", "moonshine",
    "parakeet-ctc", "parakeet-tdt", "parakeet-rnnt",
)  # fmt: skip
GENERATING = ("whisper", "distil-whisper", "speecht5", "moonshine")


def pipeline_texts(family: str, folder: Path, clips: list[np.ndarray], **keywords: Any) -> list[str]:
    from transformers import pipeline

    own = pipeline("automatic-speech-recognition", model=str(folder), **keywords)
    if family == "parakeet-ctc":
        return [generated_text(own.model, own.feature_extractor, own.tokenizer, clip) for clip in clips]
    texts = []
    for clip in clips:
        how: dict[str, Any] = {"generate_kwargs": {"num_beams": 1}} if family in GENERATING else {}
        if family == "moonshine":
            how["generate_kwargs"]["max_new_tokens"] = int(len(clip) / RATE * MOONSHINE_TOKENS_PER_S)
        texts.append(own(clip.copy(), **how)["text"].strip())
    return texts


def generated_text(model: Any, features: Any, tokenizer: Any, clip: np.ndarray) -> str:
    """Parakeet's documented interface. The pipeline differs: it also reads the frame of padding that the model's own
    `generate` masks."""
    inputs = features(clip, sampling_rate=RATE, return_tensors="pt").to(model.dtype)
    text: str = tokenizer.decode(model.generate(**inputs)[0].tolist())
    return text


@pytest.mark.parametrize("family", FAMILIES)
def test_text_equals_the_librarys_pipeline(family: str, checkpoint: Checkpoint, clips: Any) -> None:
    folder = checkpoint(family)
    recognizer = open_recognizer(parse_model(str(folder)))
    texts = [answer.text for answer in recognizer.transcribe(clips)]
    assert texts == pipeline_texts(family, folder, clips)
    assert all(len(text) >= 3 for text in texts)


def test_the_text_follows_the_audio(checkpoint: Checkpoint, clips: Any) -> None:
    """An answer that ignores its input would make every comparison above empty."""
    for family in ("wav2vec2", "wavlm", "parakeet-ctc"):
        texts = [answer.text for answer in open_recognizer(parse_model(str(checkpoint(family)))).transcribe(clips)]
        assert len(set(texts)) == len(clips)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("family", ["whisper", "wav2vec2", "parakeet-ctc"])
def test_half_precisions_run_on_the_cpu_as_what_they_are(
    family: str, precision: str, checkpoint: Checkpoint, clips: Any
) -> None:
    folder = checkpoint(family)
    recognizer = open_recognizer(parse_model(str(folder), precision=precision))
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    assert [answer.text for answer in recognizer.transcribe(clips)] == pipeline_texts(
        family, folder, clips, dtype=dtype
    )
    audit = recognizer.audit()
    assert audit.ok, audit.reason
    assert audit.operators[f"linear:{str(dtype).removeprefix('torch.')}"] > 0
    assert audit.weight_bytes[str(dtype).removeprefix("torch.")] == pytest.approx(2 * (audit.parameters or 0), rel=0.01)


INT8_SHARE = {"moonshine": False, "parakeet-tdt": False, "parakeet-rnnt": False}
"""In checkpoints this small, convolutions and LSTMs, which stay in float, are over half of these three."""


@pytest.mark.parametrize("family", FAMILIES)
def test_int8_stores_and_multiplies_bytes_and_the_audit_counts_them(
    family: str, checkpoint: Checkpoint, clips: Any
) -> None:
    recognizer = open_recognizer(parse_model(str(checkpoint(family)), precision="int8"))
    answers = recognizer.transcribe(clips)
    assert all(answer.text for answer in answers)
    audit = recognizer.audit()
    assert audit.operators["linear_dynamic:int8"] > 0
    assert not any(name.startswith(("linear:", "mm:", "addmm:")) for name in audit.operators)
    narrow = audit.weight_bytes.get("int8", 0) + audit.weight_bytes.get("uint8", 0)
    assert audit.ok is INT8_SHARE.get(family, True), audit
    assert audit.ok is (2 * narrow >= sum(audit.weight_bytes.values()))
    elements = _linear_and_embedding_elements(checkpoint(family))
    assert elements <= narrow <= 1.02 * elements  # torchao keeps a zero point per row in int8 too


def _linear_and_embedding_elements(folder: Path) -> int:
    """Counted in an independent way: from the modules of the model as Transformers loads it, ties untied."""
    from transformers import pipeline

    kinds = (torch.nn.Linear, torch.nn.Embedding)
    model = pipeline("automatic-speech-recognition", model=str(folder)).model
    modules = {name: module for name, module in model.named_modules() if type(module) in kinds}
    return sum(m.weight.numel() for name, m in modules.items() if not name.endswith("rel_attn_embed"))


def test_torchao_weights_are_counted_inside_their_subclass(checkpoint: Checkpoint, clips: Any) -> None:
    pytest.importorskip("torchao", reason="needs wattscribe[hf]")
    recognizer = open_recognizer(parse_model(f"{checkpoint('wav2vec2')}?quantiser=torchao", precision="int8"))
    assert all(answer.text for answer in recognizer.transcribe(clips[:1]))
    audit = recognizer.audit()
    assert audit.ok, audit.reason
    assert audit.operators["_int_mm:int8"] > 0


def test_weight_only_int8_is_found_out(checkpoint: Checkpoint) -> None:
    """What torchao's weight-only mode does: bytes in memory, products in float."""
    torchao = pytest.importorskip("torchao.quantization", reason="needs wattscribe[hf]")
    from wattscribe.recognizers.torch_facts import audit_torch

    model = torch.nn.Sequential(torch.nn.Linear(64, 64))
    torchao.quantize_(model, torchao.Int8WeightOnlyConfig())
    spec = parse_model("hf:any", precision="int8")
    audit = audit_torch(spec, model, lambda: model(torch.ones(2, 64)), parameters=None)
    assert not audit.ok
    assert "only dequantised" in str(audit.reason)
    assert audit.weight_bytes["int8"] == 64 * 64 + 64  # a zero point per row


def test_a_model_that_is_float_inside_is_not_int8(checkpoint: Checkpoint) -> None:
    from wattscribe.recognizers.torch_facts import audit_torch

    model = torch.nn.Linear(8, 8)
    audit = audit_torch(
        parse_model("hf:any", precision="int8"), model, lambda: model(torch.ones(1, 8)), parameters=None
    )
    assert (audit.ok, audit.weight_bytes) == (False, {"float32": 288})


@pytest.mark.parametrize("family", ["whisper", "wav2vec2", "parakeet-ctc"])
def test_a_batch_of_equal_lengths_changes_no_text(family: str, checkpoint: Checkpoint) -> None:
    clips = [babble(1.5, seed) for seed in range(5)]
    one, three = (open_recognizer(parse_model(str(checkpoint(family)), batch_size=size)) for size in (1, 3))
    assert one.transcribe(clips) == three.transcribe(clips)


@pytest.mark.parametrize("family", ["whisper", "wavlm", "wav2vec2", "parakeet-ctc"])
def test_padding_in_a_batch_adds_no_text(family: str, checkpoint: Checkpoint, clips: Any) -> None:
    """These families are masked by the library (layer norm, attention masks): unequal lengths in one batch are safe."""
    one, three = (open_recognizer(parse_model(str(checkpoint(family)), batch_size=size)) for size in (1, 3))
    for alone, together in zip(one.transcribe(clips), three.transcribe(clips), strict=True):
        assert abs(len(alone.text) - len(together.text)) <= max(2, len(alone.text) // 10)


def test_whispers_long_form_is_the_librarys(checkpoint: Checkpoint, clips: Any) -> None:
    folder = checkpoint("whisper")
    long = babble(9.0, 9)  # this checkpoint hears 6 s at once, real ones 30 s
    recognizer = open_recognizer(parse_model(str(folder), batch_size=2))
    answers = recognizer.transcribe([clips[0], long, clips[1]])
    from transformers import pipeline

    own = pipeline("automatic-speech-recognition", model=str(folder), generate_kwargs={"num_beams": 1})
    expected = own(long.copy(), return_timestamps=True)["text"].strip()
    assert answers[1].text == expected
    assert len(expected) >= 3
    assert [answers[0], answers[2]] == recognizer.transcribe(clips[:2])


def test_long_audio_of_other_families_is_cut_where_it_is_quiet(checkpoint: Checkpoint) -> None:
    silence = np.zeros(RATE // 2, np.float32)
    loud = [babble(0.8, 11) + np.float32(0.2), babble(0.8, 12) + np.float32(0.2)]
    joined = np.concatenate([loud[0], silence, loud[1]])
    pieces = list(cut_at_silence(joined, round(1.2 * RATE)))
    assert [round(len(piece) / RATE, 2) for piece in pieces] == [0.95, 1.15]
    assert np.array_equal(np.concatenate(pieces), joined)
    recognizer = open_recognizer(parse_model(f"{checkpoint('wav2vec2')}?chunk_s=1.2"))
    expected = " ".join(answer.text for answer in recognizer.transcribe(pieces))
    assert recognizer.transcribe([joined])[0].text == expected


def test_a_limit_of_tokens_is_kept(checkpoint: Checkpoint, clips: Any) -> None:
    recognizer = open_recognizer(parse_model(f"{checkpoint('whisper')}?max_new_tokens=4"))
    assert len(recognizer.transcribe(clips[:1])[0].text) <= 4


# --- what is refused ------------------------------------------------------------------------------------------------
def test_pickled_weights_are_never_loaded(checkpoint: Checkpoint, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text((checkpoint("wav2vec2") / "config.json").read_text())
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"pickled.*save_pretrained"):
        open_recognizer(parse_model(f"hf:{tmp_path}"))


def test_code_in_a_model_directory_is_never_run(checkpoint: Checkpoint, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "model"
    shutil.copytree(checkpoint("wav2vec2"), folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "theirs", "auto_map": {"AutoConfig": "evil.Config", "AutoModelForCTC": "evil.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"import pathlib; pathlib.Path({str(tmp_path / 'ran')!r}).write_text('x')")
    with pytest.raises(RecognizerError):
        open_recognizer(parse_model(f"hf:{folder}"))
    assert not (tmp_path / "ran").exists()


def test_a_model_without_a_text_head_is_refused(tmp_path: Path) -> None:
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    small = Wav2Vec2Config(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8,
                           conv_dim=(4,) * 7, num_conv_pos_embeddings=2, num_conv_pos_embedding_groups=1)  # fmt: skip
    Wav2Vec2Model(small).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="no speech-to-text head"):
        open_recognizer(parse_model(f"hf:{tmp_path}"))


def test_an_empty_directory_and_a_missing_gpu_are_named(tmp_path: Path, checkpoint: Checkpoint) -> None:
    with pytest.raises(ModelError, match=r"no config\.json"):
        open_recognizer(parse_model(f"hf:{tmp_path}"))
    if not torch.cuda.is_available():
        with pytest.raises(RecognizerError, match="no GPU"):
            open_recognizer(parse_model(str(checkpoint("wav2vec2")), device="cuda"))


def test_a_missing_kernel_is_said_and_not_cast_away(
    checkpoint: Checkpoint, clips: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    recognizer = open_recognizer(parse_model(str(checkpoint("wav2vec2")), precision="fp16"))

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("\"some_op\" not implemented for 'Half'")

    monkeypatch.setattr(recognizer, "_decode", refuse)
    with pytest.raises(RecognizerError, match="no fp16 kernel"):
        recognizer.transcribe(clips[:1])


def test_a_bad_option_is_named(checkpoint: Checkpoint) -> None:
    with pytest.raises(InputError, match="max_new_tokens='many'"):
        open_recognizer(parse_model(f"{checkpoint('whisper')}?max_new_tokens=many"))


def copied(checkpoint: Checkpoint, family: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpoint(family), tmp_path / family))


def changed_weights(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_a_config_names_no_code_to_fetch(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    def fetched(*_: Any, **__: Any) -> None:
        raise AssertionError("an attention kernel was fetched")

    monkeypatch.setattr(transformers.modeling_utils, "load_and_register_attn_kernel", fetched, raising=False)
    folder = copied(checkpoint, "whisper", tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "attn_implementation": "kernels-community/flash-attn3"}))
    recognizer = open_recognizer(parse_model(str(folder)))
    assert cast(HfRecognizer, recognizer).network.config._attn_implementation in ("sdpa", "eager")


def test_a_head_that_is_missing_is_refused_and_not_made_up(checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = copied(checkpoint, "wav2vec2", tmp_path)
    changed_weights(folder, lambda weights: weights.pop("lm_head.weight"))
    with pytest.raises(ModelError, match=r"lack lm_head\.weight"):
        open_recognizer(parse_model(str(folder)))


def test_weights_that_are_no_numbers_are_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = copied(checkpoint, "wav2vec2", tmp_path)
    changed_weights(folder, lambda weights: weights["lm_head.bias"].fill_(float("nan")))
    with pytest.raises(ModelError, match=r"lm_head\.bias are not numbers"):
        open_recognizer(parse_model(str(folder)))


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", "[]"),
        ("config.json", '{"model_type": "whisper", "d_model": "x"}'),
        ("tokenizer.json", '{"model": {"type": "BPE", "vocab": [], "merges": 3}}'),
        ("tokenizer_config.json", '{"tokenizer_class": 3}'),
        ("preprocessor_config.json", '{"feature_size": "x"}'),
        ("model.safetensors", "\x08\0\0\0\0\0\0\0{       "),
        ("model.safetensors", "short"),
    ],
)
def test_files_of_another_shape_raise_our_error(
    file: str, content: str, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    folder = copied(checkpoint, "whisper", tmp_path)
    (folder / file).write_text(content)
    with pytest.raises((RecognizerError, ModelError)) as refused:
        open_recognizer(parse_model(f"hf:{folder}"))
    assert "\n" not in str(refused.value)
