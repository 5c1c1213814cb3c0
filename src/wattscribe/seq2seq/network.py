"""An ONNX graph written operator by operator, its weights made one at a time when they are written."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from wattscribe.errors import MissingExtraError, ModelError

Precision = Literal["fp32", "fp16", "int8"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")
Make = Callable[[], NDArray[Any]]

OPSET = 17
"""The first with LayerNormalization as one operator; every runtime since onnxruntime 1.12 reads it."""
MICROSOFT = "com.microsoft"
"""The domain of onnxruntime's own operators, which every build of it has."""
_OPSETS = ("", OPSET), (MICROSOFT, 1)
_IR_VERSION = 8
LARGEST_INLINE_BYTES = 1 << 30
"""A file of more is not parsed by protobuf beyond 2 GB, and writing one takes its size twice in memory."""
_SMALL_BYTES = 1024
_TO_FLOAT = 1
STEPS = 63
"""Of an 8-bit weight on either side of zero. Seven bits: on x86 without VNNI the sums of eight clip (recognizers/clipping.py)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Constant:
    name: str
    dtype: str
    shape: tuple[int, ...]
    make: Make

    @property
    def size_bytes(self) -> int:
        return prod(self.shape) * np.dtype(self.dtype).itemsize


class Network:
    """A graph under construction. Every method returns the name of the value that it makes."""

    def __init__(self, name: str, precision: Precision) -> None:
        self.name, self.precision = name, precision
        self._constants: dict[str, _Constant] = {}
        self._nodes: list[Any] = []
        self._quantised: dict[str, tuple[str, str, str]] = {}
        self._unnamed = 0

    # --- values ---------------------------------------------------------------------------------------------------
    def constant(self, name: str, value: Any, dtype: str = "int64") -> str:
        """A small one, known now; the same name again is the same constant."""
        array = np.asarray(value, dtype)
        return self.stored(name, dtype, array.shape, lambda: array)

    def weight(self, name: str, shape: Sequence[int], make: Make) -> str:
        """A float weight, stored in 16 bits and lifted where the precision says so."""
        if self.precision == "fp16":
            half = self.stored(f"{name}.half", "float16", tuple(shape), lambda: _halved(make()))
            return self.op("Cast", half, name=name, to=_TO_FLOAT)
        return self.stored(name, "float32", tuple(shape), make)

    def stored(self, name: str, dtype: str, shape: Sequence[int], make: Make) -> str:
        """A weight as it is stored, made when the file is written; the same name again is the same weight."""
        self._constants.setdefault(name, _Constant(name=name, dtype=dtype, shape=tuple(shape), make=make))
        return name

    def op(self, kind: str, *inputs: str, name: str = "", domain: str = "", **attributes: Any) -> str:
        """One operator of one output, which has its name."""
        return self.ops(kind, inputs, [name], domain=domain, **attributes)[0]

    def ops(
        self, kind: str, inputs: Sequence[str], outputs: Sequence[str], *, domain: str = "", **attributes: Any
    ) -> list[str]:
        """One operator of several outputs."""
        from onnx import helper

        named = [output or self._fresh(kind) for output in outputs]
        self._nodes.append(helper.make_node(kind, list(inputs), named, name=named[0], domain=domain, **attributes))
        return named

    def _fresh(self, kind: str) -> str:
        self._unnamed += 1
        return f"{kind.lower()}_{self._unnamed}"

    # --- layers ---------------------------------------------------------------------------------------------------
    def linear(self, x: str, name: str, shape: tuple[int, int], make: Make, bias: Make | None = None) -> str:
        """x @ W + b, W of `shape` (in, out)."""
        product = self._product(x, name, shape, make)
        if bias is None:
            return product
        return self.op("Add", product, self.weight(f"{name}.bias", (shape[1],), bias), name=f"{name}.biased")

    def _product(self, x: str, name: str, shape: tuple[int, int], make: Make) -> str:
        if self.precision != "int8":
            return self.op("MatMul", x, self.weight(f"{name}.weight", shape, make), name=name)
        self.stored(f"{name}.weight", "int8", shape, lambda: quantise(make(), axis=0)[0])
        self.stored(f"{name}.scale", "float32", (shape[1],), lambda: quantise(make(), axis=0)[1])
        return self.integer_product(x, f"{name}.weight", f"{name}.scale", name)

    def integer_product(self, x: str, weight: str, scale: str, name: str) -> str:
        """x, quantised as it comes, × 8-bit weights with a scale a column: what onnxruntime fuses into one operator."""
        if x not in self._quantised:
            names = [f"{x}.quantised", f"{x}.step", f"{x}.zero"]
            eight, step, zero = self.ops("DynamicQuantizeLinear", [x], names)
            self._quantised[x] = (eight, step, zero)
        eight, step, zero = self._quantised[x]
        sums = self.op("MatMulInteger", eight, weight, zero, name=f"{name}.sums")
        steps = self.op("Mul", step, scale, name=f"{name}.steps")
        return self.op("Mul", self.op("Cast", sums, name=f"{name}.float", to=_TO_FLOAT), steps, name=name)

    def norm(self, x: str, name: str, width: int, scale: Make, bias: Make) -> str:
        """Layer normalisation; 1e-5 is torch's and Whisper's epsilon."""
        parts = [self.stored(f"{name}.weight", "float32", (width,), scale)]
        parts.append(self.stored(f"{name}.bias", "float32", (width,), bias))
        return self.op("LayerNormalization", x, *parts, name=name, axis=-1, epsilon=1e-5)

    def gelu(self, x: str, name: str) -> str:
        """The exact one, spelled as onnxruntime recognises it."""
        root = self.constant("sqrt2", np.sqrt(2.0), "float32")
        one, half = self.constant("one", 1.0, "float32"), self.constant("half", 0.5, "float32")
        erf = self.op("Erf", self.op("Div", x, root))
        return self.op("Mul", self.op("Mul", x, self.op("Add", erf, one)), half, name=name)

    # --- writing --------------------------------------------------------------------------------------------------
    def write(self, path: Path, inputs: Sequence[Any], outputs: Sequence[Any], metadata: dict[str, str]) -> list[Path]:
        """Write the file, beside it `NAME.weights` where they are many; returns what was written."""
        onnx = import_onnx()
        helper = onnx.helper
        model = onnx.ModelProto(ir_version=_IR_VERSION, producer_name="wattscribe")
        domains = {node.domain for node in self._nodes}
        model.opset_import.extend(helper.make_opsetid(name, version) for name, version in _OPSETS if name in domains)
        helper.set_model_props(model, metadata)
        graph = model.graph  # filled in place: every step of the helpers would hold another copy of the weights
        graph.name = self.name
        graph.node.extend(self._nodes)
        graph.input.extend(inputs)
        graph.output.extend(outputs)
        beside = path.with_suffix(".weights")
        if sum(constant.size_bytes for constant in self._constants.values()) <= LARGEST_INLINE_BYTES:
            for constant in self._constants.values():
                _inside(constant, graph.initializer.add())
            onnx.save(model, path)
            return [path]
        self._outside(graph, beside)
        onnx.save(model, path)
        return [path, beside]

    def _outside(self, graph: Any, path: Path) -> None:
        """The weights one after the other into a file of their own; never two of them in memory."""
        with path.open("wb") as file:
            for constant in self._constants.values():
                tensor = graph.initializer.add()
                if constant.size_bytes < _SMALL_BYTES:
                    _inside(constant, tensor)
                    continue
                file.write(b"\0" * (-file.tell() % mmap.PAGESIZE))  # onnxruntime maps pages
                place = {"location": path.name, "offset": file.tell(), "length": constant.size_bytes}
                file.write(_array(constant).data)
                _describe(constant, tensor)
                tensor.data_location = tensor.EXTERNAL
                for key, value in place.items():
                    tensor.external_data.add(key=key, value=str(value))


def _inside(constant: _Constant, tensor: Any) -> None:
    _describe(constant, tensor)
    tensor.raw_data = _array(constant).tobytes()


def _describe(constant: _Constant, tensor: Any) -> None:
    from onnx import helper

    tensor.name = constant.name
    tensor.data_type = helper.np_dtype_to_tensor_dtype(np.dtype(constant.dtype))
    tensor.dims.extend(constant.shape)


def quantise(values: NDArray[Any], axis: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Weights as integers of −63 to 63 and the step of each column (axis 0) or row (axis 1)."""
    most = np.abs(values).max(axis=axis)
    steps = np.where(most > 0, most / STEPS, 1.0).astype(np.float32)
    whole = np.rint(values / (steps if axis == 0 else steps[:, None]))
    return np.clip(whole, -STEPS, STEPS).astype(np.int8), steps


def _halved(values: NDArray[Any]) -> NDArray[np.float16]:
    most = float(np.finfo(np.float16).max)
    return np.asarray(np.clip(values, -most, most), np.float16)


def _array(constant: _Constant) -> NDArray[Any]:
    values = np.asarray(constant.make(), constant.dtype, order="C")
    if values.shape != constant.shape:
        raise ModelError(
            f"its weights {constant.name} are of shape {values.shape}, its configuration says {constant.shape}",
            fix="Copy the checkpoint again",
        )
    return values


def import_onnx() -> Any:
    """Raises MissingExtraError."""
    try:
        import onnx
    except ImportError:
        raise MissingExtraError("onnx", "profile", needed_for="Export") from None
    return onnx
