"""Shipped profiles are complete; a user's own file is refused with the key at fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.energy.builders import constant, device_data
from wattscribe.energy.arch import of_arch
from wattscribe.energy.breakdown import analyse
from wattscribe.energy.devices import Constant, Device, load, names
from wattscribe.energy.devices.profile import parse, unit_factor
from wattscribe.energy.rates import stated
from wattscribe.errors import InputError

REQUIRED = {
    "phone", "wearable", "mcu-npu", "server-gpu", "horowitz-45nm",
    "jetson-orin-nano-7w", "jetson-orin-nano-15w", "jetson-orin-nano-25w",
}  # fmt: skip


def test_the_required_profiles_are_shipped_with_ranges_and_sources() -> None:
    assert set(names()) >= REQUIRED
    for name in names():
        device = load(name)
        assert device.name == name
        assert device.evidence == "modelled"
        for cost in device.operations.values():
            assert len(cost.energy.source) > 20
            assert len(cost.peak.source) > 20
    assert load("phone").local.capacity_bytes == 8_000_000
    assert load("wearable").local.capacity_bytes == 1_000_000
    assert load("mcu-npu").local.capacity_bytes == 2_000_000
    assert len(load("mcu-npu").tiers) == 1


def constants(device: Device) -> list[tuple[str, Constant]]:
    found = [("idle", device.idle), *([("limit", device.limit)] if device.limit else [])]
    found += [
        (f"{tier.name}.{key}", getattr(tier, key)) for tier in device.tiers for key in ("capacity", "read", "bandwidth")
    ]
    return found + [
        (f"{name}.{key}", getattr(cost, key)) for name, cost in device.operations.items() for key in ("energy", "peak")
    ]


@pytest.mark.parametrize("name", names())
def test_every_shipped_constant_has_source_year_and_a_range(name: str) -> None:
    for key, each in constants(load(name)):
        assert each.low < each.high, key
        assert each.year is not None, key
        assert 2010 <= each.year <= 2030, key
        assert each.on_silicon is not None, key
        assert not (each.on_silicon and each.source.startswith(("assumed", "stated", "inferred"))), key


@pytest.mark.parametrize(("name", "limit_w"), [("7w", 7.0), ("15w", 15.0), ("25w", 25.0)])
def test_a_power_mode_is_not_left(name: str, limit_w: float) -> None:
    """At its rates no tier and no dtype draws more than the mode's budget; nor does any draw of the constants."""
    device = load(f"jetson-orin-nano-{name}")
    idle_w = device.idle.si("power")[0]
    for tier in device.tiers:
        assert idle_w + tier.read_j_per_byte * tier.bandwidth.si("rate")[0] <= limit_w
    for cost in device.operations.values():
        assert idle_w + cost.energy.si("energy_per_mac")[0] * cost.peak.si("macs")[0] <= limit_w
    made = of_arch("arch:emformer-rnnt-base", vocab=4097)
    found = analyse(made, stated(made, decoding="frame-by-frame"), device)
    assert found.total_w.value / found.busy <= limit_w + 1e-9


def test_a_device_that_would_pass_its_limit_is_slowed_down() -> None:
    free = load("jetson-orin-nano-7w").model_copy(update={"limit": None})
    fast = free.tiers[1].model_copy(
        update={"bandwidth": Constant(value=68, low=34, high=68, unit="GB/s", source="the peak")}
    )
    free = free.model_copy(update={"tiers": (free.tiers[0], fast)})
    limited = free.model_copy(update={"limit": load("jetson-orin-nano-7w").limit})
    made = of_arch("arch:emformer-rnnt-base", vocab=4097)
    at = stated(made, decoding="frame-by-frame")
    unlimited, held = (analyse(made, at, device, draws=0) for device in (free, limited))
    assert unlimited.total_w.value / unlimited.busy > 20, "as the profile was before: 24 W in a mode of 7"
    assert held.total_w.value / held.busy == pytest.approx(7.0, abs=0.1)
    assert held.busy > unlimited.busy
    with pytest.raises(InputError, match="limit must be above idle"):
        parse({**device_data(), "limit": constant(1e-6, "W")}, where=Path("mine.toml"))


def test_the_reference_is_the_published_figures() -> None:
    """Horowitz, ISSCC 2014: DRAM 1.3 to 2.6 nJ per 64 bit, 1 MB cache 100 pJ per 64 bit."""
    device = load("horowitz-45nm")
    value, low, high = device.main.read.si("energy_per_byte")
    assert (low, high) == (pytest.approx(1.3e-9 / 8), pytest.approx(2.6e-9 / 8))
    assert value == pytest.approx((low * high) ** 0.5, rel=0.01)
    assert device.local.read_j_per_byte == pytest.approx(100e-12 / 8)
    assert device.operation("int8")[1].energy.si("energy_per_mac")[0] == pytest.approx(0.23e-12)
    assert device.operation("float16")[1].energy.si("energy_per_mac")[0] == pytest.approx(1.5e-12)
    assert device.operation("float32")[1].energy.si("energy_per_mac")[0] == pytest.approx(4.6e-12)


def test_a_microcontroller_takes_what_measured_parts_take() -> None:
    """Not the adders' energy of 45 nm: 0.09 mJ for 1.4 ms at 117 MAC per cycle and 50 MHz; 41 to 128 pJ per cycle."""
    device = load("mcu-npu")
    int8, fp32 = (device.operation(name)[1].energy.si("energy_per_mac") for name in ("int8", "float32"))
    assert 10 * 0.161e-12 < int8[1] < int8[0] < int8[2] == pytest.approx(0.09e-3 / (1.4e-3 * 117 * 50e6), rel=0.01)
    assert 10 * 3.22e-12 < fp32[1] <= 41e-12 < fp32[0] < fp32[2]


def test_units_become_si() -> None:
    assert unit_factor("pJ/B", "energy_per_byte") == pytest.approx(1e-12)
    assert unit_factor("MiB", "bytes") == 2**20
    assert unit_factor("MB", "bytes") == 1e6
    assert unit_factor("GMAC/s", "macs") == pytest.approx(1e9)
    for unit, quantity in (("pJ", "energy_per_byte"), ("GB", "rate"), ("xW", "power"), ("", "bytes")):
        with pytest.raises(ValueError, match="unit"):
            unit_factor(unit, quantity)  # type: ignore[arg-type]


def _broken(*path: Any, value: Any = None, drop: bool = False) -> dict[str, Any]:
    data = device_data()
    place: Any = data
    for key in path[:-1]:
        place = place[key]
    if drop:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (_broken("tiers", 0, "read", drop=True), r"tiers\.0\.read: is missing"),
        (_broken("idle", "source", drop=True), r"idle\.source: is missing"),
        (_broken("tiers", 1, "read", "unit", value="pJ"), r"tiers\.1\.read: the unit 'pJ' does not measure this"),
        (_broken("idle", "unit", value="mJ"), r"idle: the unit 'mJ' does not measure this"),
        (_broken("operations", "int8", "energy", "low", value=5.0), r"operations\.int8\.energy: the range must hold"),
        (_broken("operations", "int8", "energy", "value", value=-1.0), r"operations\.int8\.energy\.value: .*greater"),
        (_broken("operations", "float32", drop=True), "operations.float32 is missing"),
        (_broken("operations", "int7", value={"energy": constant(1, "pJ/MAC"), "peak": constant(1, "MAC/s")}), "int7"),
        (_broken("tiers", value=[]), r"tiers: "),
        (_broken("tiers", 0, "read", value=constant(11, "nJ/B")), "tiers must run from near to far"),
        (_broken("speed", value=3), r"speed: "),
    ],
)
def test_a_file_at_fault_names_the_key(data: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse(data, where=Path("mine.toml"))


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no device 'toaster'.*Shipped: .*phone"):
        load("toaster")
    with pytest.raises(InputError, match="the device profile cannot be read: No such file"):
        load(tmp_path / "mine.toml")
    (tmp_path / "bad.toml").write_text("name = ")
    with pytest.raises(InputError, match="the device profile is not TOML"):
        load(tmp_path / "bad.toml")
    with pytest.raises(InputError, match="local memory cannot be -1"):
        load("phone").with_local_memory(-1)


def test_the_sample_of_the_documentation_passes_its_own_check(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "devices.md").read_text(encoding="utf-8")
    start = page.index('name = "mine"')
    block = page[start : page.index("```", start)]
    sample = tmp_path / "mine.toml"
    sample.write_text(block, encoding="utf-8")
    found = load(sample)
    assert (found.name, found.limit is not None, list(found.operations)) == ("mine", True, ["float32"])
