"""Count a PyTorch module: weight reads by hooks on its layers, multiply-accumulates by torch's own flop counter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from wattscribe.energy.workload import Component, WeightTensor
from wattscribe.errors import MissingExtraError

_ITEM_BYTES = {"float32": 4, "float16": 2, "int8": 1}


@dataclass(slots=True)
class Counted:
    """One run of a module: bytes by parameter name (as stored), macs, activation bytes."""

    call_elements: dict[str, float] = field(default_factory=dict)
    row_elements: dict[str, float] = field(default_factory=dict)
    macs: float = 0.0
    activations: float = 0.0
    largest: float = 0.0
    layers: int = 0


def count(module: Any, run: Callable[[], Any]) -> tuple[Counted, Any]:
    """Run once under hooks and the flop counter; returns the counts and what the run returned.

    An embedding reads the rows that it delivers, a recurrent matrix is read once per step, every other parameter once per
    call of its layer. A positional table that is used without being called is read as a whole.
    """
    torch = _torch()
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    counted = Counted()
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    called: set[int] = set()

    def hook(layer: Any, inputs: Any, output: Any) -> None:
        called.add(id(layer))
        counted.layers += 1
        moved = sum(tensor.numel() for tensor in _tensors(torch, (inputs, output)))
        counted.activations += moved
        counted.largest = max(counted.largest, moved)
        for key, parameter in layer.named_parameters(recurse=False):
            name = names[id(parameter)]
            if isinstance(layer, torch.nn.Embedding):
                counted.row_elements[name] = counted.row_elements.get(name, 0.0) + output.numel()
                continue
            steps = inputs[0].shape[1 if layer.batch_first else 0] if key.startswith("weight_hh") else 1
            counted.call_elements[name] = counted.call_elements.get(name, 0.0) + parameter.numel() * steps

    layers = [layer for layer in module.modules() if next(layer.named_parameters(recurse=False), None) is not None]
    handles = [layer.register_forward_hook(hook) for layer in layers]
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as flops:
            result = run()
    finally:
        for handle in handles:
            handle.remove()
    for layer in layers:
        if id(layer) not in called and isinstance(layer, torch.nn.Embedding):
            counted.call_elements[names[id(layer.weight)]] = float(layer.weight.numel())
    counted.macs = flops.get_total_flops() / 2
    return counted, result


def component(
    module: Any,
    counted: Counted,
    name: str,
    *,
    dtype: str = "float32",
    only: Callable[[str], bool] | None = None,
    source: str,
) -> Component:
    """A Component from one run. With `dtype` int8, matrices take one byte per element and vectors stay float32."""
    weights = []
    for key, parameter in module.named_parameters():
        if only is not None and not only(key):
            continue
        kind = "float32" if dtype == "int8" and parameter.dim() < 2 else dtype
        item = _ITEM_BYTES[kind]
        weights.append(
            WeightTensor(
                name=key,
                dtype=kind,
                shape=tuple(parameter.shape),
                size_bytes=parameter.numel() * item,
                call_bytes=counted.call_elements.get(key, 0.0) * item,
                row_bytes=counted.row_elements.get(key, 0.0) * item,
            )
        )
    item = _ITEM_BYTES[dtype]
    return Component(
        name=name,
        weights=tuple(weights),
        macs={dtype: counted.macs},
        activation_bytes=counted.activations * item,
        activation_bytes_unfused=2 * counted.activations * item,
        peak_activation_bytes=int(counted.largest * item),
        operators=counted.layers,
        source=source,
    )


def of_module(module: Any, *inputs: Any, name: str = "encoder", dtype: str = "float32") -> Component:
    """Any PyTorch module, run once on `inputs` (tensors, also on the meta device)."""
    counted, _ = count(module, lambda: module(*inputs))
    return component(module, counted, name, dtype=dtype, source=f"{type(module).__name__}: run once in PyTorch")


def _tensors(torch: Any, value: Any) -> list[Any]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, (list, tuple)):
        return [tensor for item in value for tensor in _tensors(torch, item)]
    return []


def _torch() -> Any:
    try:
        import torch
    except ModuleNotFoundError as error:
        raise MissingExtraError("torch", "hf", needed_for="counting a PyTorch module") from error
    return torch
