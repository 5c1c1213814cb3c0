"""What ran, judged against what was asked for: a pure function over counted facts.

The traps it exists for are known from issue threads: "int8" models that run in float after constant folding, graphs that only
store 8-bit weights and dequantise them, runtimes that fall back to the CPU or to 32-bit floats without a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from wattscribe.graph.model import BITS as ONNX_BITS
from wattscribe.models.names import STORED
from wattscribe.recognizers.executed_on import in_words
from wattscribe.records import PrecisionAudit, ProviderShare

_FLOAT_NAME = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
_INT8_COMPANION = {"int8_float16": "float16", "int8_bfloat16": "bfloat16", "int8_float32": "float32"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What an adapter counted in the model that it loaded."""

    requested: str
    """A precision of the registry."""
    requested_device: str
    device: str
    """The device that executes."""
    weight_bytes: Mapping[str, int]
    operators: Mapping[str, int] = field(default_factory=dict)
    """`Type:dtype` → count, the dtype being the one that the operator computes its products in. Empty: not visible."""
    dequantised_bytes: int = 0
    """Bytes of 8-bit weights that are turned back into floats before any arithmetic."""
    executed_on: tuple[ProviderShare, ...] = ()
    """By execution provider, where they are visible."""
    parameters: int | None = None
    note: str | None = None
    """What the adapter saw that explains a mismatch, for instance that only an int8 file was there."""
    bits: Mapping[str, int] = field(default_factory=lambda: ONNX_BITS)
    """Per element, of the dtypes' names."""


def judge(facts: Facts) -> PrecisionAudit:
    """The audit: `ok` is False with a reason where the device or the arithmetic is not the one asked for."""
    reason = _device_reason(facts) or _precision_reason(facts)
    shares = in_words(facts.executed_on) if facts.executed_on else None
    if reason is not None and (notes := list(filter(None, (shares, facts.note)))):
        reason = f"{reason} ({'; '.join(notes)})"
    return PrecisionAudit(
        requested=facts.requested,
        ok=reason is None,
        reason=reason,
        weight_bytes=dict(facts.weight_bytes),
        operators=dict(facts.operators),
        device=facts.device,
        parameters=facts.parameters,
        note=shares if reason is None else None,
        executed_on=facts.executed_on,
    )


def _device_reason(facts: Facts) -> str | None:
    asked, ran = facts.requested_device.partition(":")[0], facts.device.partition(":")[0]
    return None if asked == ran else f"{asked} was asked for, {ran} executed"


def _precision_reason(facts: Facts) -> str | None:
    if facts.requested == STORED:
        return None
    if sum(facts.weight_bytes.values()) == 0:
        return "no weights are visible, so the precision cannot be confirmed"
    if facts.requested in _FLOAT_NAME:
        return _float_reason(facts, _FLOAT_NAME[facts.requested])
    return _int8_reason(facts) or _companion_reason(facts)


def _float_reason(facts: Facts, dtype: str) -> str | None:
    """Asked for a float type: most weight bytes must be of it, and it must be what the products are computed in."""
    share = _share(facts, {dtype})
    if share < 0.5:
        return (
            f"{facts.requested} was asked for, {share:.0%} of the weight bytes are {dtype}: {_mix(facts.weight_bytes)}"
        )
    others = {name.rpartition(":")[2] for name in facts.operators if ":" in name} - {dtype}
    integer = sorted(name for name in others if facts.bits.get(name, 64) <= 8)
    if integer:
        return f"{facts.requested} was asked for, part of the products are computed in {', '.join(integer)}"
    ran = {name.rpartition(":")[2] for name in facts.operators if ":" in name}
    if ran and dtype not in ran:
        return f"{facts.requested} was asked for, the products are computed in {', '.join(sorted(ran))}"
    return None


def _int8_reason(facts: Facts) -> str | None:
    """Asked for int8: at least half of the weight bytes in 8 bits or fewer, and not all of them dequantised first."""
    narrow = sum(
        count for dtype, count in facts.weight_bytes.items() if facts.bits.get(dtype, 64) <= 8 and dtype != "bool"
    )
    share = narrow / sum(facts.weight_bytes.values())
    if share < 0.5:
        return f"int8 was asked for, {share:.0%} of the weight bytes are 8-bit or smaller: {_mix(facts.weight_bytes)}"
    if facts.dequantised_bytes * 2 > narrow:
        return (
            f"int8 was asked for, {facts.dequantised_bytes / narrow:.0%} of the 8-bit weight bytes are only dequantised "
            "to float: the products are computed in float"
        )
    return None


def _companion_reason(facts: Facts) -> str | None:
    """`int8_float16` also names the float type of everything else."""
    wanted = _INT8_COMPANION.get(facts.requested)
    floats = {dtype for dtype in facts.weight_bytes if "float" in dtype and facts.bits.get(dtype, 64) > 8}
    if wanted is None or not floats or wanted in floats:
        return None
    return f"{facts.requested} was asked for, what is not int8 is {', '.join(sorted(floats))}"


def _share(facts: Facts, dtypes: set[str]) -> float:
    return sum(count for dtype, count in facts.weight_bytes.items() if dtype in dtypes) / sum(
        facts.weight_bytes.values()
    )


def _mix(weight_bytes: Mapping[str, int]) -> str:
    """`float32 2.6 MB, int8 0.5 MB`, the largest first."""
    order = sorted(weight_bytes.items(), key=lambda item: -item[1])
    return ", ".join(f"{dtype} {count / 1e6:.3g} MB" for dtype, count in order if count)
