"""Convolutions in 8 bits: onnxruntime's static quantiser, ranges from real segments of calibration audio."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from wattscribe.compression.calibrate import Feeds
from wattscribe.compression.levers.tools import Asked, name_nodes, written_by_quantiser
from wattscribe.compression.linears import Index, sweep
from wattscribe.errors import InputError


def convolutions(model: Any) -> list[str]:
    """Nodes with a constant float weight and more than one output position per weight, by the value they make."""
    index = Index(model)
    names = []
    for node in model.graph.node:
        weight = index.constant(node.input[1]) if node.op_type == "Conv" else None
        if weight is not None and str(weight.dtype) == "float32":
            names.append(str(node.output[0]))
    return names


def static_int8(asked: Asked) -> None:
    """QuantizeLinear → QLinearConv → DequantizeLinear, a scale per output channel. Options: method, percentile, feeds.

    Weights take 7 of the 8 bits: CPUs without VNNI add pairs of products in 16 bits, and with 8 the sums clip, in noise above all
    (zipformer, noisy chapter: WER +3.5 points with 8 bits, +0.2 with 7)."""
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    model, options = asked.model, asked.options
    names = set(asked.chosen(convolutions(model), "has no float convolution"))
    name_nodes(model)
    nodes = [node.name for node in model.graph.node if node.output and node.output[0] in names]
    methods = {"minmax": CalibrationMethod.MinMax, "percentile": CalibrationMethod.Percentile}
    method = str(options.get("method", "percentile"))
    if method not in methods:
        raise InputError(f"there is no range method {method!r}", fix="Use minmax or percentile")
    extra: dict[str, Any] = {"ActivationSymmetric": False, "WeightSymmetric": True}
    if method == "percentile":
        extra["CalibPercentile"] = float(options.get("percentile", 99.99))
    calibration, count = asked.calibration, int(options.get("feeds", 64))
    feeds = (calibration.feeds_of(model) if asked.component == "encoder" else calibration.feeds(asked.component))[
        :count
    ]
    original = {output.name for output in model.graph.output}
    # the calibrator adds an output per convolution, chosen or not: types that it cannot infer would stop it
    with written_by_quantiser(asked) as path:
        quantize_static(
            model, path, _Reader(feeds), quant_format=QuantFormat.QOperator, op_types_to_quantize=["Conv"],
            per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, reduce_range=True,
            nodes_to_quantize=nodes, calibrate_method=methods[method], extra_options=extra,
        )  # fmt: skip
    if {output.name for output in model.graph.output} != original:
        raise InputError(f"onnxruntime's quantiser changed the outputs of the {asked.component}")
    sweep(model)


class _Reader:
    """onnxruntime's CalibrationDataReader over feeds."""

    def __init__(self, feeds: Sequence[Feeds]) -> None:
        self._feeds = feeds
        self._left: Iterator[Feeds] = iter(feeds)

    def get_next(self) -> Feeds | None:
        return next(self._left, None)

    def rewind(self) -> None:
        self._left = iter(self._feeds)

    def __len__(self) -> int:
        return len(self._feeds)

    def set_range(self, start_index: int, end_index: int) -> None:
        self._left = iter(self._feeds[start_index:end_index])
