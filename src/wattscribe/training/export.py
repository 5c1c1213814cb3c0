"""A trained model → a directory that sherpa-onnx and our runtime read: encoder, decoder, joiner, tokens.txt.

The layout is sherpa-onnx's streaming `conformer` interface (online-conformer-transducer-model.cc): the encoder takes
features, two opaque caches and the count of feature frames heard before. Keys and values travel in the first cache,
the convolutions' past in the second, both padded to one width since sherpa-onnx allocates them so.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wattscribe.errors import InputError, MissingExtraError, TrainingError
from wattscribe.graph.portable import portable
from wattscribe.models.names import PRECISIONS
from wattscribe.training.config import EncoderConfig, TransducerConfig
from wattscribe.training.encoder import Encoder, LayerState
from wattscribe.training.joiner import Joiner
from wattscribe.training.model import TransducerModel
from wattscribe.training.predictor import LstmPredictor, StatelessPredictor
from wattscribe.training.tokens import Vocabulary
from wattscribe.training.writing import cannot_write

OPSET = 18
OPSET_OF_ROWS = 17
"""Of decoder and joiner: older runtimes read them, and reductions still carry their axes as attributes."""
_PRECISIONS = PRECISIONS[1:]
"""All that may be asked of a directory, but for `stored`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheShape:
    """How the two caches are shaped: (layers, left, N, width) and (layers, rows, N, width)."""

    layers: int
    left: int
    rows: int
    width: int


def cache_shape(config: EncoderConfig) -> CacheShape:
    """The smallest common shape; a model without convolutions still gets one row, which sherpa-onnx must allocate."""
    width = max(2 * layer.heads * layer.head_width for layer in config.layers)
    past = max(max(layer.conv_kernel - 1, 0) * layer.conv_width for layer in config.layers)
    return CacheShape(layers=len(config.layers), left=config.left_context, rows=max(-(-past // width), 1), width=width)


class EncoderStep(nn.Module):
    """encoder.onnx: one segment and the caches → projected frames and the next caches."""

    def __init__(self, encoder: Encoder, joiner: Joiner) -> None:
        super().__init__()
        self.encoder = _without_statistics(encoder)
        self.project = joiner.from_encoder
        self.shape = cache_shape(encoder.config)

    def forward(self, x: Tensor, attn_cache: Tensor, cnn_cache: Tensor, processed_lens: Tensor) -> tuple[Tensor, ...]:
        memories = attn_cache.permute(0, 2, 1, 3).unbind(0)
        pasts = cnn_cache.permute(0, 2, 1, 3).flatten(2).unbind(0)
        states = [
            self._state(memory, past, index) for index, (memory, past) in enumerate(zip(memories, pasts, strict=True))
        ]
        frames, following = self.encoder.step(x, states, processed_lens)
        attn = torch.stack([self._padded(state.memory, self.shape.width) for state in following])
        flat = self.shape.rows * self.shape.width
        cnn = torch.stack([self._kept(state, past, flat) for state, past in zip(following, pasts, strict=True)])
        cnn = torch.unflatten(cnn, 2, (self.shape.rows, self.shape.width))
        return self.project(frames), attn.permute(0, 2, 1, 3), cnn.permute(0, 2, 1, 3)

    def _state(self, memory: Tensor, past: Tensor, index: int) -> LayerState:
        layer = self.encoder.config.layers[index]
        inner, kept = 2 * layer.heads * layer.head_width, max(layer.conv_kernel - 1, 0)
        if not kept:
            return LayerState(memory[..., :inner], past[:, :0, None])
        conv = torch.unflatten(past[:, : kept * layer.conv_width], 1, (kept, layer.conv_width))
        return LayerState(memory[..., :inner], conv)

    def _kept(self, state: LayerState, past: Tensor, width: int) -> Tensor:
        """A layer's convolution inputs as one row; a layer without convolution passes its unused row on."""
        return self._padded(state.conv.flatten(1), width) if state.conv.shape[1] else past

    @staticmethod
    def _padded(x: Tensor, width: int) -> Tensor:
        return x if x.shape[-1] == width else nn.functional.pad(x, (0, width - x.shape[-1]))


def _without_statistics(encoder: Encoder) -> Encoder:
    """The encoder with its input's mean and scale folded into its first layer: two operators fewer a segment."""
    folded = copy.deepcopy(encoder)
    repeats = encoder.config.time_stack
    scale, mean = encoder.scale.repeat(repeats), encoder.mean.repeat(repeats)
    with torch.no_grad():
        folded.entry.weight.copy_(encoder.entry.weight * scale)
        folded.entry.bias.copy_(encoder.entry.bias - encoder.entry.weight @ (mean * scale))
        folded.mean.zero_()
        folded.scale.fill_(1)
    folded.folded = True
    return folded


class StatelessDecoder(nn.Module):
    """decoder.onnx: the last tokens (N, context) → (N, joiner width). −1, which sherpa-onnx starts from, means blank."""

    def __init__(self, predictor: StatelessPredictor, joiner: Joiner) -> None:
        super().__init__()
        self.predictor, self.project = predictor, joiner.from_predictor

    def forward(self, y: Tensor) -> Tensor:
        return self.project(self.predictor.windowed(y.clamp(min=0)))  # type: ignore[no-any-return]


class LstmDecoder(nn.Module):
    """decoder.onnx with states: y (N, 1), h and c (layers, N, hidden) → (N, joiner width), new_h, new_c."""

    def __init__(self, predictor: LstmPredictor, joiner: Joiner) -> None:
        super().__init__()
        self.predictor, self.project = predictor, joiner.from_predictor

    def forward(self, y: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        out, hidden, cell = self.predictor.step(y.clamp(min=0), h, c)
        return self.project(out), hidden, cell


class JoinerScores(nn.Module):
    """joiner.onnx: projected frame and projected predictor vector, (N, D) each → logit (N, V)."""

    def __init__(self, joiner: Joiner) -> None:
        super().__init__()
        self.joiner = joiner

    def forward(self, encoder_out: Tensor, decoder_out: Tensor) -> Tensor:
        return self.joiner.scores(encoder_out, decoder_out)


class BlankScore(nn.Module):
    """joiner_blank of a factorised joiner: log p(blank) (N, 1) from the small head alone."""

    def __init__(self, joiner: Joiner) -> None:
        super().__init__()
        self.joiner = joiner

    def forward(self, encoder_out: Tensor, decoder_out: Tensor) -> Tensor:
        return self.joiner.blank_score(encoder_out, decoder_out)


def export(
    model: TransducerModel,
    vocabulary: Vocabulary,
    directory: Path,
    *,
    precisions: tuple[str, ...] = ("fp32",),
    notes: Mapping[str, str] | None = None,
) -> list[Path]:
    """Write the directory and return its files. Raises InputError for a model that the layout cannot hold."""
    config = model.config
    if config.encoder.left_context < 1:
        raise InputError("left context 0 has no cache to export", fix="Train with a left context of at least 1")
    if len(vocabulary) != config.vocabulary:
        raise InputError(f"the vocabulary has {len(vocabulary)} units, the model {config.vocabulary}")
    unknown = set(precisions) - set(_PRECISIONS)
    if unknown:
        raise InputError(f"there is no precision {min(unknown)!r}", fix=f"Choose from {', '.join(_PRECISIONS)}")
    model = copy.deepcopy(model).cpu().float().eval()
    metadata = {**_shared_metadata(config), **(notes or {})}
    written = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        vocabulary.write_tokens(directory / "tokens.txt")
        for name, graph in _graphs(model, metadata).items():
            graph = graph if name == "encoder" else _older(graph)
            written += write_precisions(graph, directory, name, precisions)
    except OSError as error:
        raise cannot_write("the export", directory, error) from error
    return [*written, directory / "tokens.txt"]


def _graphs(model: TransducerModel, metadata: Mapping[str, str]) -> dict[str, Any]:
    """The networks as ONNX models, float32, with metadata."""
    encoder, joiner = model.config.encoder, model.joiner
    shape = cache_shape(encoder)
    streams = torch.export.Dim("N")
    caches = [torch.zeros(shape.layers, n, 2, shape.width) for n in (shape.left, shape.rows)]
    graphs = {
        "encoder": _graph(
            EncoderStep(model.encoder, joiner),
            {"x": torch.randn(2, encoder.window_frames, encoder.mels), "attn_cache": caches[0], "cnn_cache": caches[1],
             "processed_lens": torch.tensor([0, 64])},
            {"x": {0: streams}, "attn_cache": {2: streams}, "cnn_cache": {2: streams}, "processed_lens": {0: streams}},
            ["encoder_out", "new_attn_cache", "new_cnn_cache"], {**metadata, **_encoder_metadata(encoder, shape)},
        )
    }  # fmt: skip
    tail = {**metadata, "vocab_size": str(model.config.vocabulary)}
    if isinstance(model.predictor, StatelessPredictor):
        context = model.predictor.context
        graphs["decoder"] = _graph(
            StatelessDecoder(model.predictor, joiner), {"y": torch.zeros(2, context, dtype=torch.long)},
            {"y": {0: streams}}, ["decoder_out"], {**tail, "context_size": str(context)},
        )  # fmt: skip
    else:
        lstm = model.predictor.lstm
        state = torch.zeros(lstm.num_layers, 2, lstm.hidden_size)
        graphs["decoder"] = _graph(
            LstmDecoder(model.predictor, joiner), {"y": torch.zeros(2, 1, dtype=torch.long), "h": state, "c": state.clone()},
            {"y": {0: streams}, "h": {1: streams}, "c": {1: streams}}, ["decoder_out", "new_h", "new_c"],
            {**tail, "context_size": "1"},
        )  # fmt: skip
    width = joiner.from_encoder.out_features
    rows = {"encoder_out": torch.randn(2, width), "decoder_out": torch.randn(2, width)}
    dims = {name: {0: streams} for name in rows}
    joined = {**tail, "joiner_dim": str(width)}
    graphs["joiner"] = _graph(JoinerScores(joiner), rows, dims, ["logit"], joined)
    if joiner.blank_out is not None:
        graphs["blank"] = _graph(BlankScore(joiner), rows, dims, ["log_blank"], joined)
    return graphs


def _shared_metadata(config: TransducerConfig) -> dict[str, str]:
    return {
        "model_type": "conformer",
        "model_author": "wattscribe",
        "version": "1",
        "comment": "streaming Emformer transducer",
        "joiner_activation": config.joiner.activation,
        "factorised_blank": str(int(bool(config.joiner.blank_width))),
    }


def _encoder_metadata(config: EncoderConfig, shape: CacheShape) -> dict[str, str]:
    """sherpa-onnx's keys give the caches' shapes; ours, which begin with `wattscribe_`, say what the numbers mean."""
    return {
        "T": str(config.window_frames),
        "decode_chunk_len": str(config.segment_frames),
        "pad_length": str(config.right_context * config.time_stack),
        "num_encoder_layers": str(shape.layers),
        "left_context": str(shape.left),
        "encoder_dim": str(shape.width),
        "cnn_module_kernel": str(shape.rows + 1),
        "wattscribe_time_stack": str(config.time_stack),
        "wattscribe_segment": str(config.segment),
        "wattscribe_left_context": str(config.left_context),
        "wattscribe_right_context": str(config.right_context),
        "wattscribe_width": str(config.width),
    }


def _graph(
    module: nn.Module,
    inputs: dict[str, Tensor],
    dynamic: dict[str, Any],
    outputs: list[str],
    metadata: Mapping[str, str],
) -> Any:
    try:
        import onnx
        import onnxscript  # noqa: F401  (torch.onnx needs it)
    except ImportError as error:
        raise MissingExtraError(str(error.name), "train", needed_for="Export") from error
    with _quiet(), warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(), (), kwargs=inputs, dynamo=True, dynamic_shapes=dynamic, output_names=outputs,
            opset_version=OPSET, external_data=False, verbose=False,
        )  # fmt: skip
    if program is None:
        raise TrainingError("torch gave no ONNX model", where=type(module).__name__)
    graph = program.model_proto
    del (
        graph.metadata_props[:],
        graph.graph.value_info[:],
    )  # the exporter's inner shapes are stale where it transposed weights
    onnx.helper.set_model_props(graph, dict(metadata))
    for node in graph.graph.node:  # source lines of this machine have no place in a shipped model
        del node.metadata_props[:]
        node.doc_string = ""
    portable(graph)
    return graph


def _older(graph: Any) -> Any:
    from onnx import checker, version_converter

    older = version_converter.convert_version(graph, OPSET_OF_ROWS)
    checker.check_model(older)
    return older


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Exporters log advice and progress; only their errors are let through meanwhile."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def write_precisions(graph: Any, directory: Path, name: str, precisions: tuple[str, ...]) -> list[Path]:
    """`name.onnx`, `name.fp16.onnx`, `name.int8.onnx` as asked for."""
    import onnx

    paths = {
        "fp32": directory / f"{name}.onnx",
        "fp16": directory / f"{name}.fp16.onnx",
        "int8": directory / f"{name}.int8.onnx",
    }
    for precision in precisions:
        if precision == "fp32":
            onnx.save(graph, paths["fp32"])
        elif precision == "fp16":
            onnx.save(_half(graph), paths["fp16"])
        else:
            _quantise(graph, paths["int8"])
    return [paths[precision] for precision in precisions]


def _half(graph: Any) -> Any:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    half = convert_float_to_float16(copy.deepcopy(graph), keep_io_types=True)
    # It puts the casts of the inputs last; ONNX wants every node behind those that it reads.
    inputs = {item.name for item in half.graph.input}
    nodes = sorted(half.graph.node, key=lambda node: not (node.op_type == "Cast" and node.input[0] in inputs))
    del half.graph.node[:]
    half.graph.node.extend(nodes)
    return half


def _quantise(graph: Any, path: Path) -> None:
    """Weights of matrix products as int8 a column, activations quantised as they come (onnxruntime's dynamic scheme)."""
    import tempfile

    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "model.onnx"
        onnx.save(graph, source)
        with _quiet():  # it logs advice on the root logger that does not hold here
            quantize_dynamic(source, path, op_types_to_quantize=["MatMul", "Gemm"], per_channel=True,
                             weight_type=QuantType.QInt8)  # fmt: skip
