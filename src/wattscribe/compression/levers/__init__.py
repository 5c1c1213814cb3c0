"""What can be done to a model. A lever takes a candidate and a step and answers with another candidate; it measures nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from wattscribe.compression.calibrate import Calibration
from wattscribe.compression.candidate import Candidate
from wattscribe.compression.levers import (
    activation,
    convolution,
    depth,
    depthwise,
    factor,
    layers,
    loops,
    recurrent,
    segments,
    sharing,
    short_window,
    sparse,
    table,
    two_step,
    voice_gate,
    weights,
    width,
)
from wattscribe.compression.levers.tools import Asked
from wattscribe.compression.step import Step, Value
from wattscribe.errors import InputError

Apply = Callable[[Candidate, Step, Calibration], Candidate]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lever:
    """`lossless`: the text must stay the same, letter by letter; it is checked on the development set."""

    apply: Apply
    lossless: bool
    says: str
    takes: Mapping[str, type] = field(default_factory=dict)
    """Options of a step and their kinds."""
    numbers: Callable[[Candidate, Candidate, Step], Mapping[str, Value]] | None = None
    """Figures of its own, from the candidates before and after it."""


def _batched(candidate: Candidate, step: Step, calibration: Calibration) -> Candidate:
    return replace(candidate, decoding="batched")


def _placed(candidate: Candidate, step: Step, calibration: Calibration) -> Candidate:
    unit = str(step.options.get("unit", "component"))
    if unit not in ("component", "tensor"):
        raise InputError(f"weights cannot be placed by {unit!r}", fix="Use component or tensor")
    return replace(candidate, placement="tensor" if unit == "tensor" else "component")


def _joined(candidate: Candidate, step: Step, calibration: Calibration) -> Candidate:
    model = candidate.model("encoder")
    segments.join(_asked(model, step, step.component, calibration))
    return replace(candidate.with_model("encoder", model), segments=segments.joined(model))


def _sparse_numbers(before: Candidate, after: Candidate, step: Step) -> Mapping[str, Value]:
    """Sums over the step's components."""
    sums: dict[str, Value] = {}
    for component in before.COMPONENTS if step.component == "all" else (step.component,):
        models = before.model(component), after.model(component)
        for name, value in sparse.stores(*models, step.tensors, step.options).items():
            sums[name] = int(sums.get(name, 0)) + value
    return sums


def _asked(model: Any, step: Step, component: str, calibration: Calibration) -> Asked:
    return Asked(model=model, component=component, tensors=step.tensors, options=step.options, calibration=calibration)


def _on_model(change: Callable[[Asked], None]) -> Apply:
    """A lever that changes the graph of each component that the step names."""

    def apply(candidate: Candidate, step: Step, calibration: Calibration) -> Candidate:
        for component in candidate.COMPONENTS if step.component == "all" else (step.component,):
            if component not in candidate.COMPONENTS:
                raise InputError(
                    f"there is no component {component!r}", fix="One of: " + ", ".join(candidate.COMPONENTS)
                )
            model = candidate.model(component)
            asked = _asked(model, step, component, calibration)
            change(replace(asked, inside=candidate.inside(component, model)))
            candidate = candidate.with_model(component, model)
        return candidate

    return apply


LEVERS: Mapping[str, Lever] = {
    "batched-joiner": Lever(
        apply=_batched, lossless=True, says="ask the joiner for all frames of a segment at once: its weights are read once"
    ),
    "segments": Lever(
        apply=_joined, lossless=True,
        says="several segments in one call of the encoder: its weights are read once for all; to get the last words, "
        "unmodified sherpa-onnx needs as much silence at the end as one call takes (10 ms × T of the metadata)",
        takes={"count": int, "unroll": bool},
    ),
    "place": Lever(
        apply=_placed, lossless=True, says="put the weights that are read most per byte into local memory", takes={"unit": str}
    ),
    "share-equal": Lever(apply=_on_model(sharing.share_equal), lossless=True, says="store equal tensors once"),
    "narrow-indices": Lever(
        apply=_on_model(sharing.narrow_indices), lossless=True, says="constant 64-bit indices become 32-bit"
    ),
    "fold": Lever(apply=_on_model(sharing.fold), lossless=True, says="compute what depends on constants alone once"),
    "depthwise": Lever(
        apply=_on_model(depthwise.in_planes), lossless=True,
        says="convolutions of one filter per channel written in two dimensions, for which onnxruntime has a faster kernel",
    ),
    "short-softplus": Lever(
        apply=_on_model(activation.short_softplus), lossless=False,
        says="log(1 + exp x), spelled out in five to eight operators, becomes three or four: other last bits, fewer operators",
    ),
    "int8-conv": Lever(
        apply=_on_model(convolution.static_int8), lossless=False,
        says="convolutions in 8 bits, their ranges from calibration audio (onnxruntime, static)",
        takes={"method": str, "percentile": float, "feeds": int},
    ),
    "int8": Lever(
        apply=_on_model(weights.dynamic_int8), lossless=False,
        says="linear maps in 8 bits (7 of them, so that no CPU clips sums), inputs quantised as they come (onnxruntime, "
        "dynamic), codes by GPTQ",
        takes={"rounding": str},
    ),
    "lstm-int8": Lever(
        apply=_on_model(recurrent.dynamic_int8), lossless=False,
        says="LSTMs in 8 bits (7 of them), inputs and states quantised as they come (onnxruntime, DynamicQuantizeLSTM)",
    ),
    "blockwise": Lever(
        apply=_on_model(weights.blockwise), lossless=False,
        says="weights in blocks of 4 or 8 bits with a scale each (onnxruntime, MatMulNBits), codes by GPTQ",
        takes={"bits": int, "block": int, "rounding": str, "accuracy": int},
    ),
    "lookup-int8": Lever(
        apply=_on_model(weights.lookup_int8), lossless=False, says="the embedding table in 8 bits (onnxruntime)"
    ),
    "fp16": Lever(apply=_on_model(weights.fp16), lossless=False, says="what is still float32 is stored in 16 bits"),
    "low-rank": Lever(
        apply=_on_model(factor.low_rank), lossless=False, says="a map becomes two thin ones: SVD on activations",
        takes={"keep": float},
    ),
    "prune-width": Lever(
        apply=width.prune, lossless=False, says="inner channels are removed and the next map re-fitted by least squares",
        takes={"keep": float, "refit": bool},
    ),
    "table-int8": Lever(
        apply=_on_model(table.int8), lossless=False,
        says="the vocabulary's matrix in 8 bits (7 of them), a step a token, codes by GPTQ; embedding and scores share it",
        takes={"rounding": str},
    ),
    "table-blockwise": Lever(
        apply=_on_model(table.blocks), lossless=False,
        says="the vocabulary's matrix in blocks of 4 bits with a scale each (onnxruntime, MatMulNBits), codes by GPTQ; embedding "
        "and scores share it",
        takes={"block": int, "rounding": str, "accuracy": int, "rows": int},
    ),
    "two-step-vocabulary": Lever(
        apply=_on_model(two_step.in_two_steps), lossless=True,
        says="codes of a few bits pick candidates for the next token, exact scores decide: most rows are not read; "
        "greedy search says the same as long as the best row is a candidate, a beam's probabilities are those of candidates",
        takes={"candidates": int, "bits": int}, numbers=two_step.reads,
    ),
    "window": Lever(
        apply=_on_model(short_window.shorter), lossless=False,
        says="a window as short as the audio allows: its speech, a margin of silence, up to the next step; this runtime does it, "
        "sherpa-onnx does not know it; with `silence` the rest of a whole window stays as constants, one frame in so many",
        takes={"margin_s": float, "step_s": float, "silence": int},
    ),
    "vad": Lever(
        apply=_on_model(voice_gate.gated), lossless=False,
        says="silence further than so much from speech is not given to the encoder (silero-vad, extra vad); "
        "this runtime does it, sherpa-onnx does not know it",
        takes={"keep_s": float},
    ),
    "stop-loops": Lever(
        apply=_on_model(loops.stopped), lossless=True,
        says="a window ends where one phrase is said again and again; this runtime does it, sherpa-onnx does not know it",
    ),
    "cut-layers": Lever(
        apply=layers.cut, lossless=False,
        says="whole layers go, and the feed-forward map before them is fitted so that the stream behind them stays, by ridge "
        "regression on calibration audio",
    ),
    "linearise": Lever(
        apply=_on_model(depth.linearise), lossless=False,
        says="two maps and what lies between them become the one map that fits them best, by least squares on calibration audio",
    ),
    "sparse": Lever(
        apply=_on_model(sparse.sparsify), lossless=False,
        says="single weights become zero, unstructured or N:M; nothing shrinks, since no kernel here reads a sparse store",
        takes={"keep": float, "n": int, "m": int, "threshold": float}, numbers=_sparse_numbers,
    ),
}  # fmt: skip


def apply(candidate: Candidate, step: Step, calibration: Calibration) -> Candidate:
    """One step. Raises InputError for a step that the model has nothing for."""
    lever = LEVERS.get(step.lever)
    if lever is None:
        raise InputError(f"there is no lever {step.lever!r}", fix=f"One of: {', '.join(sorted(LEVERS))}")
    return lever.apply(candidate, step, calibration)


__all__ = ["LEVERS", "Lever", "apply"]
