"""The workload of a Transformers recognizer from its configuration: encoder per segment, decoder per token.

No weights are loaded: the model is built on PyTorch's meta device, where tensors have shapes and no memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wattscribe.as_found import as_found
from wattscribe.energy import torchcount
from wattscribe.energy.binding import DEFAULT_SEGMENT_S
from wattscribe.energy.workload import Component, Workload
from wattscribe.errors import InputError, MissingExtraError, ModelError
from wattscribe.units import FRAMES_PER_S, SAMPLE_RATE_HZ

MOST_LAYERS = 1000
_DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "float16", "int8": "int8"}


def workload_of(model: str, *, precision: str = "fp32", segment_s: float | None = None) -> Workload:
    """A Workload of `model` (a hub name or a local directory with config.json).

    Whisper: the encoder runs once per 30 s, its keys and values enter the decoder once per segment (cross_attention), the
    decoder runs once per token. CTC models: one run per segment (10 s where nothing is asked for). Raises InputError for
    families that it does not know, ModelError where the configuration cannot be had.
    """
    if precision not in _DTYPES:
        raise InputError(f"there is no precision {precision!r}", fix=f"One of: {', '.join(_DTYPES)}")
    transformers, torch = _libraries()
    with as_found():  # as both are once they are imported
        return _workload(transformers, torch, model, precision, segment_s)


def _workload(transformers: Any, torch: Any, model: str, precision: str, segment_s: float | None) -> Workload:
    try:
        config = transformers.AutoConfig.from_pretrained(model, trust_remote_code=False)
    except Exception as error:  # a configuration of another shape ends in any kind
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ModelError(
            f"its configuration cannot be loaded: {reason}", where=model, fix="Give a local directory"
        ) from error
    _check_layers(config, model)
    kind = str(config.model_type)
    name, dtype = Path(model).name, _DTYPES[precision]
    with torch.device("meta"), _of_sizes(model):
        if kind == "whisper":
            return _whisper(transformers, torch, config, name, dtype)
        if type(config) in transformers.MODEL_FOR_CTC_MAPPING:
            return _ctc(transformers, torch, config, name, dtype, DEFAULT_SEGMENT_S if segment_s is None else segment_s)
    raise InputError(
        f"the family {kind!r} cannot be counted", where=model, fix="Whisper and CTC models can; or export to ONNX"
    )


def _check_layers(config: Any, model: str) -> None:
    """Raises ModelError for more layers than any model has: building them, if of nothing, would take all memory."""
    for name, count in vars(config).items():
        if "layers" in name and isinstance(count, int) and not isinstance(count, bool) and count > MOST_LAYERS:
            raise ModelError(f"its configuration says {name}={count}", where=model, fix="Copy its configuration again")


def whisper_of(
    name: str,
    *,
    width: int,
    mel_bands: int,
    frames: int,
    encoder_layers: int,
    decoder_layers: int,
    feed_forward: int,
    vocabulary: int,
    precision: str = "fp32",
) -> Workload:
    """A Whisper given by its sizes: `frames` are the encoder's, 1500 for 30 s. For files of other runtimes.

    The number of heads is that of Whisper's own models, 64 values each; it changes no count.
    """
    transformers, torch = _libraries()
    heads = max(1, width // 64)
    config = transformers.WhisperConfig(
        d_model=width, num_mel_bins=mel_bands, max_source_positions=frames, vocab_size=vocabulary,
        encoder_layers=encoder_layers, decoder_layers=decoder_layers, encoder_ffn_dim=feed_forward,
        decoder_ffn_dim=feed_forward, encoder_attention_heads=heads, decoder_attention_heads=heads,
        pad_token_id=0, bos_token_id=0, eos_token_id=0, decoder_start_token_id=0,
    )  # fmt: skip
    with torch.device("meta"), _of_sizes(name):
        return _whisper(transformers, torch, config, name, _DTYPES[precision])


@contextmanager
def _of_sizes(model: str) -> Iterator[None]:
    """Sizes that do not go together end in any kind of error of the libraries: one of ours explains it."""
    try:
        yield
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise ModelError(
            f"no model can be built with its sizes ({reason})", where=model, fix="Copy its configuration again"
        ) from error


def _whisper(transformers: Any, torch: Any, config: Any, name: str, dtype: str) -> Workload:
    model = transformers.WhisperForConditionalGeneration(config).eval()
    encoder, decoder = model.model.encoder, model.model.decoder
    frames = 2 * config.max_source_positions
    counted, encoded = torchcount.count(encoder, lambda: encoder(torch.zeros(1, config.num_mel_bins, frames)))
    hidden = encoded.last_hidden_state
    token = torch.zeros(1, 1, dtype=torch.long)

    def step(past: Any) -> Any:
        decoded = decoder(token, encoder_hidden_states=hidden, past_key_values=past, use_cache=True)
        model.proj_out(decoded.last_hidden_state)
        return decoded

    first, state = torchcount.count(decoder, lambda: step(None))
    later, _ = torchcount.count(decoder, lambda: step(state.past_key_values))
    once = {key for key in first.call_elements if key not in later.call_elements}
    cross = torchcount.Counted(
        call_elements={key: first.call_elements[key] for key in once},
        macs=max(0.0, first.macs - later.macs),
        activations=max(0.0, first.activations - later.activations),
        largest=first.largest,
        layers=len(once),
    )
    _output(decoder, later, config)
    source = f"{name}: configuration run on the meta device"
    parts: tuple[Component, ...] = (
        torchcount.component(encoder, counted, "encoder", dtype=dtype, source=source),
        torchcount.component(decoder, cross, "cross_attention", dtype=dtype, only=once.__contains__, source=source),
        torchcount.component(
            decoder, later, "decoder", dtype=dtype, only=lambda key: key not in once, source=f"{source}, one token"
        ),
    )
    return Workload(
        name=name,
        kind="encoder-decoder",
        components=parts,
        segment_s=frames / FRAMES_PER_S,
        windows=True,
        frames_per_segment=float(config.max_source_positions),
        vocabulary=int(config.vocab_size),
    )


def _output(decoder: Any, counted: torchcount.Counted, config: Any) -> None:
    """The output projection is the embedding table again (tied): read as a whole for every token."""
    key = next(name for name, _ in decoder.named_parameters() if name.endswith("embed_tokens.weight"))
    counted.call_elements[key] = float(config.vocab_size * config.d_model)


def _ctc(transformers: Any, torch: Any, config: Any, name: str, dtype: str, segment_s: float) -> Workload:
    model = transformers.AutoModelForCTC.from_config(config).eval()
    samples = torch.zeros(1, max(1, round(segment_s * SAMPLE_RATE_HZ)))
    if model.main_input_name != "input_values":
        samples = torch.zeros(1, max(1, round(segment_s * FRAMES_PER_S)), int(getattr(config, "num_mel_bins", 80)))
    part = torchcount.of_module(model, samples, name="encoder", dtype=dtype)
    return Workload(
        name=name, kind="ctc", components=(part,), segment_s=segment_s, vocabulary=getattr(config, "vocab_size", None)
    )


def _libraries() -> tuple[Any, Any]:
    try:
        import torch
        import transformers
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "hf", needed_for="the workload of a Transformers model") from error
    return transformers, torch
