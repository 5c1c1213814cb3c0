"""Shipped profiles are complete; a user's own file is refused with the key at fault."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.energy.builders import constant, device_data
from wattscribe.energy.devices import load, names
from wattscribe.energy.devices.profile import parse, unit_factor
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


def test_the_reference_is_the_published_figures() -> None:
    device = load("horowitz-45nm")
    assert device.main.read_j_per_byte == pytest.approx(640e-12 / 4)
    assert device.operation("int8")[1].energy.si("energy_per_mac")[0] == pytest.approx(0.23e-12)
    assert device.operation("float16")[1].energy.si("energy_per_mac")[0] == pytest.approx(1.5e-12)
    assert device.operation("float32")[1].energy.si("energy_per_mac")[0] == pytest.approx(4.6e-12)


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
    with pytest.raises(InputError, match="no such device profile"):
        load(tmp_path / "mine.toml")
    (tmp_path / "bad.toml").write_text("name = ")
    with pytest.raises(InputError, match="not a readable TOML file"):
        load(tmp_path / "bad.toml")
    with pytest.raises(InputError, match="local memory cannot be -1"):
        load("phone").with_local_memory(-1)
