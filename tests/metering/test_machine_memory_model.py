"""What the figures were measured on, how much memory was needed, and what is modelled where nothing is measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.known import known
from wattscribe.errors import InputError, MeterError
from wattscribe.metering import Host, cores, discovery, machine, memory, modelled
from wattscribe.metering.files import SensorFiles
from wattscribe.testing import FakeGpu, FakeNvml, sensor_trees

GROW = """
import sys
from wattscribe.metering.memory import PeakMemory
size = int(sys.argv[1])
early = bytearray(90_000_000); early[::4096] = b"x" * len(early[::4096]); del early
peak = PeakMemory()
held = bytearray(size); held[::4096] = b"x" * len(held[::4096]); del held
print(int(peak.reset), peak.above_baseline_bytes())
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="this kernel has no clear_refs")
def test_the_peak_is_that_of_the_work_and_not_of_the_start() -> None:
    answer = subprocess.run([sys.executable, "-c", GROW, "40000000"], capture_output=True, text=True, check=True)
    reset, above = (int(word) for word in answer.stdout.split())
    if not reset:
        pytest.skip("this kernel does not let us reset the peak")
    assert 38_000_000 < above < 50_000_000


def status_tree(tmp_path: Path, **values_kib: int) -> SensorFiles:
    (tmp_path / "proc/77").mkdir(parents=True, exist_ok=True)
    (tmp_path / "proc/77/status").write_text(
        "Name:\tpython\n" + "".join(f"{k}:\t{v} kB\n" for k, v in values_kib.items())
    )
    return SensorFiles(tmp_path)


def test_the_peak_is_read_from_vmhwm_in_kib(tmp_path: Path) -> None:
    files = status_tree(tmp_path, VmRSS=1000, VmHWM=1000)
    peak = memory.PeakMemory(77, files)
    assert not peak.reset
    status_tree(tmp_path, VmRSS=1200, VmHWM=5000)
    assert peak.above_baseline_bytes() == 4000 * 1024


def test_a_process_that_is_gone_has_no_memory_instead_of_zero(tmp_path: Path) -> None:
    peak = memory.PeakMemory(77, SensorFiles(tmp_path))
    assert peak.above_baseline_bytes() is None


def test_the_reset_writes_five(tmp_path: Path) -> None:
    files = status_tree(tmp_path, VmRSS=1000, VmHWM=1000)
    (tmp_path / "proc/77/clear_refs").write_bytes(b"")
    assert memory.reset_peak(77, files)
    assert (tmp_path / "proc/77/clear_refs").read_bytes() == b"5"


def test_own_memory_is_known_on_this_machine() -> None:
    assert known(memory.peak_rss_bytes()) >= known(memory.rss_bytes()) * 0.5 > 1_000_000


def test_gpu_memory_of_a_process_is_summed_over_gpus_and_unknown_is_none() -> None:
    nvml = FakeNvml([FakeGpu(processes={5: 100, 6: 7}), FakeGpu(processes={5: 50})])
    assert memory.gpu_memory_bytes(5, nvml) == 150
    assert memory.gpu_memory_bytes(99, nvml) is None
    assert memory.gpu_memory_bytes(5, FakeNvml([FakeGpu(processes={5: None})])) is None
    assert memory.gpu_memory_bytes(5, FakeNvml(start_error=9)) is None
    assert memory.gpu_used_bytes(FakeNvml([FakeGpu(used_bytes=10), FakeGpu(used_bytes=20)])) == 30
    assert nvml.open == 0


# --- machine ----------------------------------------------------------------------------------------------------------
def test_a_jetson_is_described_by_its_files(tmp_path: Path) -> None:
    tree = sensor_trees.orin_nano(tmp_path)
    tree.commands.answers["nvpmodel -q"] = "NV Power Mode: 15W\n0\n"
    facts = machine.describe(host=tree.host())
    assert facts["machine"] == "NVIDIA Jetson Orin Nano Developer Kit"
    assert facts["cpu"] == "Cortex-A78AE"
    assert facts["power_mode"] == "nvpmodel 15W"
    assert facts["governors"] == ["schedutil"]
    assert facts["clocks_locked"] == "no"
    assert facts["clocks"][0]["cur_hz"] == pytest.approx(1.5104e9)
    assert facts["temperatures_c"] == {"thermal_zone0:CPU-therm": 42.5}
    assert facts["git_revision"] is None
    json.dumps(facts, allow_nan=False)


def test_jetson_clocks_shows_as_locked_and_the_mode_is_known_without_the_program(tmp_path: Path) -> None:
    tree = sensor_trees.orin_nano(tmp_path)
    tree.write("sys/devices/system/cpu/cpufreq/policy0/scaling_min_freq", 1_510_400)
    tree.commands.answers["nvpmodel -q"] = MeterError("root only")
    facts = machine.describe(host=tree.host())
    assert "jetson_clocks" in facts["clocks_locked"]
    assert facts["power_mode"] == "nvpmodel pmode:0000"


def test_a_zone_that_is_off_has_no_temperature(tmp_path: Path) -> None:
    tree = sensor_trees.orin_nano(tmp_path)
    tree.write("sys/class/thermal/thermal_zone1/type", "CV0-therm")
    tree.write("sys/class/thermal/thermal_zone1/temp", -256_000)
    assert list(machine.describe(host=tree.host())["temperatures_c"]) == ["thermal_zone0:CPU-therm"]


def test_a_pi_s_throttling_and_a_laptop_s_mains_are_recorded(tmp_path: Path) -> None:
    pi = machine.describe(host=sensor_trees.raspberry_pi_5(tmp_path / "pi").host())
    assert (pi["throttled"], pi["cpu"]) == ("0x50000", "Cortex-A76")
    laptop = machine.describe(host=sensor_trees.battery_laptop(tmp_path / "laptop").host())
    assert laptop["on_mains"] is False


def test_a_gpu_is_described_with_its_limits(tmp_path: Path) -> None:
    (gpu,) = machine.describe(host=Host(files=SensorFiles(tmp_path), nvml=FakeNvml([FakeGpu()])))["gpus"]
    assert gpu["name"] == "NVIDIA H100 80GB HBM3"
    assert gpu["power_limit_w"] == 700.0
    assert gpu["sm_clock_hz"] == pytest.approx(1.98e9)


def test_this_machine_is_described_without_host_name_or_paths() -> None:
    facts = machine.describe()
    text = json.dumps(facts, allow_nan=False)
    assert facts["cpu_cores"] == os.cpu_count()
    assert facts["libraries"]["wattscribe"]
    assert str(Path.cwd()) not in text


def test_the_git_revision_tells_of_changes(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    assert machine.git_revision(tmp_path) is None
    git("init")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-m", "one")
    clean = machine.git_revision(tmp_path)
    assert len(known(clean)) == 40
    (tmp_path / "a").write_text("2")
    assert machine.git_revision(tmp_path) == f"{clean}+changes"


# --- the CPU's name ----------------------------------------------------------------------------------------------------
def cpuinfo(tmp_path: Path, *blocks: str, machine_name: str = "") -> Host:
    """A machine with this /proc/cpuinfo, one block per processor."""
    (tmp_path / "proc/device-tree").mkdir(parents=True, exist_ok=True)
    text = "\n\n".join(f"processor\t: {number}\n{block}" for number, block in enumerate(blocks))
    (tmp_path / "proc/cpuinfo").write_text(text)
    if machine_name:
        (tmp_path / "proc/device-tree/model").write_text(f"{machine_name}\0")
    return Host(files=SensorFiles(tmp_path))


def core(implementer: str, part: str, model: str = "") -> str:
    name = f"model name\t: {model}\n" if model else ""
    return f"{name}BogoMIPS\t: 108.00\nCPU implementer\t: {implementer}\nCPU part\t: {part}"


@pytest.mark.parametrize(
    ("blocks", "name"),
    [
        ([core("0x41", "0xd08")] * 4, "Cortex-A72"),
        ([core("0x41", "0xd03", "ARMv8 Processor rev 4 (v8l)")] * 4, "Cortex-A53"),
        ([core("0x41", "0xd07", "ARMv8 Processor rev 1 (v8l)")] * 4, "Cortex-A57"),
        ([core("0x41", "0xd08", "ARMv7 Processor rev 3 (v7l)")] * 4, "Cortex-A72"),
        ([core("0x4e", "0x004", "ARMv8 Processor rev 0 (v8l)")] * 6, "Carmel"),
        ([core("0x41", "0xd0c")] * 2, "Neoverse-N1"),
        ([core("0x51", "0x001")] * 2, "Snapdragon Oryon"),
        ([core("0x61", "0x023")] * 2, "Apple Firestorm-M1"),
        ([core("0x61", "0x000")] * 2, "Apple part 0x000"),
        ([core("0x48", "0xd01")], "Kunpeng-920"),
        ([core("0x99", "0xd08")], "implementer 0x99 part 0xd08"),
        ([core("0x41", "0xd05")] * 4 + [core("0x41", "0xd0b")] * 4, "4 × Cortex-A55 + 4 × Cortex-A76"),
        (["model name\t: Intel(R) N100"] * 4, "Intel(R) N100"),
    ],
)
def test_a_cpu_is_named_by_its_own_words_or_by_its_numbers(tmp_path: Path, blocks: list[str], name: str) -> None:
    assert machine.cpu_name(cpuinfo(tmp_path, *blocks).files) == name


# --- watts per core ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("cpu", "profile"),
    [
        ("AMD EPYC 7543 32-Core Processor", "server x86"),
        ("Intel(R) Xeon(R) Gold 6248 CPU @ 2.50GHz", "server x86"),
        ("11th Gen Intel(R) Core(TM) i7-1185G7 @ 3.00GHz", "laptop or desktop x86"),
        ("AMD Ryzen 7 PRO 6850U with Radeon Graphics", "laptop or desktop x86"),
        ("Intel(R) Pentium(R) CPU G4400 @ 3.30GHz", "laptop or desktop x86"),
        ("Intel(R) N100", "Intel N-series"),
        ("Intel(R) Core(TM) i3-N305", "Intel N-series"),
        ("Intel(R) Celeron(R) J4125 CPU @ 2.00GHz", "Intel N-series"),
        ("Intel(R) Celeron(R) N5105 @ 2.00GHz", "Intel N-series"),
        ("Intel(R) Atom(TM) x5-Z8350  CPU @ 1.44GHz", "Intel Atom"),
        ("Cortex-A53", "Cortex-A53"),
        ("Cortex-A57", "Cortex-A57"),
        ("Cortex-A72", "Cortex-A72"),
        ("Cortex-A76", "Cortex-A76"),
        ("Cortex-A78AE", "Cortex-A78"),
        ("Cortex-A78", "Cortex-A78"),
        ("Carmel", "Carmel"),
        ("Neoverse-N1", "Neoverse and other Arm servers"),
        ("Neoverse-V2", "Neoverse and other Arm servers"),
        ("Apple M2 Pro", "Apple silicon"),
        ("VirtualApple @ 2.50GHz", "Apple silicon"),
        ("Apple part 0x000", "Apple silicon"),
        ("Snapdragon(R) X Elite - X1E80100 - Qualcomm(R) Oryon(TM) CPU", "Snapdragon X, Oryon"),
        ("Qualcomm Technologies, Inc SM8250", "Snapdragon and Cortex-X"),
        ("Snapdragon Kryo-4XX-Gold", "Snapdragon and Cortex-X"),
    ],
)
def test_the_cpu_s_name_chooses_the_watts_per_core(cpu: str, profile: str) -> None:
    found = cores.profile_for(cpu)
    assert found is not None
    assert found.name == profile


@pytest.mark.parametrize("cpu", [None, "", "Quantum 9000", "QEMU Virtual CPU version 2.5+", "aarch64", "4 cores"])
def test_an_unknown_cpu_has_no_watts_and_the_reading_says_why(cpu: str | None) -> None:
    assert cores.profile_for(cpu) is None
    reading = modelled.cpu_reading(10.0, 4.0, cpu_name=cpu)
    assert reading.energy_j is None
    assert reading.energy_ci95_j is None
    assert reading.evidence == "unavailable"
    assert "not in the table of watts per core" in str(reading.reason)
    assert "wattscribe meters attach" in str(reading.reason)


def test_the_machine_s_name_helps_where_the_cpu_s_tells_nothing() -> None:
    """Journals of older versions hold `ARMv7 Processor rev 3 (v7l)`."""
    for name, profile in (
        ("Raspberry Pi 4 Model B Rev 1.4", "Cortex-A72"),
        ("NVIDIA Jetson Xavier NX Developer Kit", "Carmel"),
        ("NVIDIA Jetson Nano Developer Kit", "Cortex-A57"),
        ("NVIDIA Jetson Orin Nano Developer Kit", "Cortex-A78"),
    ):
        found = cores.profile_for("ARMv7 Processor rev 3 (v7l)", name)
        assert found is not None
        assert found.name == profile
    named = cores.profile_for("AMD EPYC", "Raspberry Pi 4 Model B")
    assert named is not None
    assert named.name == "server x86", "the CPU's own name comes first"


def test_two_kinds_of_cores_span_both_and_an_unknown_kind_has_no_figure() -> None:
    small, big = (cores.profile_for(name) for name in ("Cortex-A55", "Cortex-A76"))
    both = cores.profile_for("4 × Cortex-A55 + 4 × Cortex-A76")
    assert small is not None
    assert big is not None
    assert both is not None
    assert (both.low_w, both.typical_w, both.high_w) == (small.low_w, big.typical_w, big.high_w)
    assert cores.profile_for("4 × Cortex-A55 + 4 × Arm part 0xfff") is None


def test_a_modelled_reading_says_so_with_range_and_source() -> None:
    reading = modelled.cpu_reading(10.0, 4.0, cpu_name="AMD EPYC 7543")
    profile = cores.profile_for("AMD EPYC 7543")
    assert profile is not None
    assert reading.evidence == "modelled"
    assert reading.energy_j == pytest.approx(10 * profile.typical_w)
    assert reading.energy_ci95_j == pytest.approx((10 * profile.low_w, 10 * profile.high_w))
    assert reading.idle_j is None
    assert reading.samples == 0
    assert "modelled" in str(reading.reason)
    assert "not measured on silicon: inferred" in str(reading.reason)
    with pytest.raises(InputError):
        modelled.cpu_reading(-1.0, 4.0)


@pytest.mark.parametrize("profile", cores.PROFILES, ids=lambda profile: profile.name)
def test_every_profile_has_a_range_a_source_and_its_year(profile: cores.CoreProfile) -> None:
    assert 0 < profile.low_w < profile.typical_w < profile.high_w
    assert len(profile.source) > 20
    assert 2010 <= profile.year <= 2030
    assert not (profile.on_silicon and profile.source.startswith("inferred"))
    assert profile.matches


def test_meters_says_that_the_watts_are_not_known(tmp_path: Path) -> None:
    known = discovery.probe(host=cpuinfo(tmp_path, core("0x41", "0xd08")))[-1]
    unknown = discovery.probe(host=cpuinfo(tmp_path, core("0x99", "0xd08")))[-1]
    assert (known.meter, known.available, unknown.available) == ("modelled", True, False)
    assert "0.95 W per core" in known.reason
    assert "implementer 0x99 part 0xd08" in unknown.reason
