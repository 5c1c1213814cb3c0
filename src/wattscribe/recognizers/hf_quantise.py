"""Eight-bit weights for a Transformers model, by kept libraries, so that they are stored and multiplied in eight bits.

CPU: torch's own dynamic quantisation (fbgemm/oneDNN kernels); in eager mode torchao's int8 product was 7 times slower than it for
1,500 rows of a 512 × 512 layer and 90 times for one row, which would say nothing about int8. GPU, and layers whose weights are
read without calling them: torchao's dynamic int8. Embeddings are stored in eight bits too: in a small Whisper they are more
than half of the weights.
"""

from __future__ import annotations

import warnings
from typing import Any

from wattscribe.errors import MissingExtraError
from wattscribe.recognizers import options
from wattscribe.records import RecognizerSpec

_READ_DIRECTLY = {"WavLMAttention": ("q_proj", "k_proj", "v_proj", "out_proj")}
"""Modules that pass a Linear's weight to a functional attention: torch's quantised Linear has no such weight."""

_LEFT = ("rel_attn_embed",)
"""WavLM's table of relative positions (a few kB), whose weight is read directly too: it stays in float."""


def quantise(model: Any, spec: RecognizerSpec) -> Any:
    """The model with its Linear layers and embeddings in int8. Raises MissingExtraError without torchao where it is needed."""
    import torch

    quantiser = options.choice(spec, "quantiser", ("auto", "torch", "torchao"))
    if quantiser == "torchao" or (quantiser == "auto" and spec.device.startswith("cuda")):
        _untie(model)
        _torchao(model, set(_names(model, torch.nn.Linear)), set(_names(model, torch.nn.Embedding)))
        return model
    direct = set(_direct(model))
    _untie(model)
    linears = set(_names(model, torch.nn.Linear)) - direct
    _torchao(model, direct, set())
    return _torch_dynamic(model, linears, set(_names(model, torch.nn.Embedding)))


def _names(model: Any, kind: type) -> list[str]:
    """Names of the modules of exactly this type: a subclass may read its own weight."""
    return [name for name, module in model.named_modules() if type(module) is kind and not name.endswith(_LEFT)]


def _direct(model: Any) -> list[str]:
    return [
        f"{name}.{part}"
        for name, module in model.named_modules()
        for part in _READ_DIRECTLY.get(type(module).__name__, ())
    ]


def _untie(model: Any) -> None:
    """An output layer that shares its embedding's floats gets its own copy: each is then stored as int8."""
    import torch

    seen: set[int] = set()
    for module in model.modules():
        if isinstance(module, (torch.nn.Linear, torch.nn.Embedding)):
            if id(module.weight) in seen:
                module.weight = torch.nn.Parameter(module.weight.detach().clone(), requires_grad=False)
            seen.add(id(module.weight))


def _torch_dynamic(model: Any, linears: set[str], embeddings: set[str]) -> Any:
    from importlib import import_module

    quantization: Any = import_module("torch.ao.quantization")  # untyped

    per_layer: dict[str, Any] = dict.fromkeys(linears, quantization.per_channel_dynamic_qconfig)
    per_layer.update(dict.fromkeys(embeddings, quantization.float_qparams_weight_only_qconfig))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces that this API moves to torchao
        return quantization.quantize_dynamic(model, per_layer, inplace=True)


def _torchao(model: Any, linears: set[str], embeddings: set[str]) -> None:
    if not linears and not embeddings:
        return
    import torch

    try:
        import torchao.quantization as torchao
    except ImportError as error:
        raise MissingExtraError("torchao", "hf", needed_for="int8 of this model") from error
    if linears:
        torchao.quantize_(
            model,
            torchao.Int8DynamicActivationInt8WeightConfig(),
            filter_fn=lambda module, name: name in linears,
        )
    if embeddings:
        torchao.quantize_(
            model,
            torchao.IntxWeightOnlyConfig(weight_dtype=torch.int8, granularity=torchao.PerAxis(0)),
            filter_fn=lambda module, name: name in embeddings,
        )
