"""What a torch model stores, and which products it really executes, seen from inside the dispatcher."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from wattscribe.recognizers.audit import Facts, judge
from wattscribe.records import PrecisionAudit, RecognizerSpec

_PRODUCTS = {
    "mm", "addmm", "bmm", "baddbmm", "matmul", "linear", "convolution", "_convolution", "mkldnn_convolution", "conv1d",
    "_int_mm", "_scaled_mm", "lstm", "_thnn_fused_lstm_cell", "mkldnn_rnn_layer", "linear_dynamic", "linear_relu_dynamic",
    "_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_efficient_attention", "_weight_int8pack_mm", "cudnn_convolution", "_cudnn_rnn",
}  # fmt: skip
"""Operators that multiply matrices; for these the dtype that is multiplied is recorded."""

_NAMES = {"qint8": "int8", "quint8": "uint8"}


def audit_torch(
    spec: RecognizerSpec, model: Any, probe: Callable[[], object], *, parameters: int | None
) -> PrecisionAudit:
    """Count the weights of `model` and the operators that `probe` executes, and judge them."""
    weights, dequantised = _weights(model)
    facts = Facts(
        requested=spec.precision,
        requested_device=spec.device,
        device=str(next(iter(model.parameters()), _cpu()).device),
        weight_bytes=weights,
        operators=_executed(probe),
        dequantised_bytes=dequantised,
        parameters=parameters,
    )
    return judge(facts)


def _cpu() -> Any:
    import torch

    return torch.empty(0)


def _weights(model: Any) -> tuple[dict[str, int], int]:
    """Bytes by dtype, shared tensors once; and the bytes of int8 weights of layers that multiply in float."""
    bytes_by_dtype: Counter[str] = Counter()
    # Kept alive: a packed layer unpacks its weight into a new tensor, whose address is used again once it is gone.
    tensors = list(_tensors(model))
    seen: dict[int, Any] = {}
    dequantised = 0
    for tensor in tensors:
        for part in _inner(tensor):
            key = part.data_ptr() or id(part)
            if key in seen or part.dtype.itemsize == 8 or str(part.dtype) == "torch.bool":
                continue  # 64-bit integers and masks are positions, not weights
            seen[key] = part
            name = str(part.dtype).removeprefix("torch.")
            bytes_by_dtype[_NAMES.get(name, name)] += part.numel() * part.element_size()
        if _weight_only(tensor):
            dequantised += sum(part.numel() for part in _inner(tensor) if part.element_size() == 1)
    return dict(bytes_by_dtype), dequantised


def _tensors(model: Any) -> Iterator[Any]:
    """Parameters, the buffers that a checkpoint stores, and what quantised layers keep packed."""
    yield from model.parameters()
    for module in model.modules():
        computed = module._non_persistent_buffers_set
        yield from (buffer for name, buffer in module.named_buffers(recurse=False) if name not in computed)
        if "quantized" in type(module).__module__ and callable(getattr(module, "weight", None)):
            yield module.weight()
            bias = module.bias() if callable(getattr(module, "bias", None)) else None
            if bias is not None:
                yield bias


def _inner(tensor: Any) -> Iterator[Any]:
    """The plain tensors in which a tensor subclass, such as torchao's, keeps its data."""
    flatten = getattr(tensor, "__tensor_flatten__", None)
    if flatten is None:
        yield tensor
        return
    for name in flatten()[0]:
        inner = getattr(tensor, name, None)
        if inner is not None:
            yield from _inner(inner)


def _weight_only(tensor: Any) -> bool:
    """torchao's Int8Tensor without activation quantisation is dequantised before its product."""
    return type(tensor).__name__ == "Int8Tensor" and getattr(tensor, "act_quant_kwargs", None) is None


def _executed(probe: Callable[[], object]) -> dict[str, int]:
    """Operator types that one run dispatches, `name:dtype` for products."""
    import torch
    from torch.utils import _python_dispatch
    from torch.utils._pytree import tree_leaves

    counts: Counter[str] = Counter()
    mode: Any = _python_dispatch.TorchDispatchMode  # untyped

    class Recorder(mode):  # type: ignore[misc]
        """Sees every operator; those of a tensor subclass are seen again as the plain operators they turn into."""

        inside = False

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            if any(kind not in (torch.Tensor, torch.nn.Parameter) for kind in types):
                if self.inside:
                    return NotImplemented
                self.inside = True
                try:
                    with self:
                        return func(*args, **kwargs)
                finally:
                    self.inside = False
            name = func.overloadpacket.__name__
            counts[_label(name, [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)])] += 1
            return func(*args, **kwargs)

    with torch.no_grad(), Recorder():
        probe()
    return dict(sorted(counts.items()))


def _label(name: str, tensors: list[Any]) -> str:
    if name not in _PRODUCTS or not tensors:
        return name
    if name in ("linear_dynamic", "linear_relu_dynamic"):
        return f"{name}:int8"  # fbgemm and oneDNN quantise the activations and multiply bytes
    kinds = [str(tensor.dtype).removeprefix("torch.") for tensor in tensors[-2:] if tensor.dim() >= 2]
    return f"{name}:{kinds[-1] if kinds else str(tensors[0].dtype).removeprefix('torch.')}"
