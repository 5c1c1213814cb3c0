"""What the figures were measured on: machine, CPU and GPU, power mode, clocks, governor, temperatures, versions, revision."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from wattscribe.errors import MeterError
from wattscribe.metering import nvidia
from wattscribe.metering.arm_cores import cores_name
from wattscribe.metering.files import SensorFiles
from wattscribe.metering.host import Host

LIBRARIES = (
    "moonshine-voice", "onnx-asr", "vosk", "openvino", "openvino-genai",
    "wattscribe", "numpy", "onnxruntime", "torch", "torchao", "transformers", "ctranslate2", "faster-whisper",
    "sherpa-onnx", "pocketsphinx", "jiwer", "whisper-normalizer", "soundfile", "soxr", "kaldi-native-fbank",
    "nvidia-ml-py", "psutil", "pywhispercpp",
)  # fmt: skip
JETSON_CLOCKS_NOTE = "every CPU's lowest allowed clock equals its highest, as jetson_clocks sets it"


def describe(root: Path = Path("/"), *, host: Host | None = None) -> dict[str, Any]:
    """Plain JSON-ready facts; what this machine does not tell is None. No host name, user or path is in it."""
    host = host if host is not None else Host.of_root(root)
    files = host.files
    return {
        "machine": product(files),
        "simulated_board": host.simulated,
        "os": _os_name(files),
        "kernel": files.text(files.path("proc/sys/kernel/osrelease")) or _own(files, platform.release()),
        "architecture": _own(files, platform.machine()),
        "python": platform.python_version(),
        "cpu": cpu_name(files),
        "cpu_cores": os.cpu_count() if _is_this_machine(files) else _count_cpus(files),
        "cpu_usable": usable_cores(),
        "memory_bytes": _memory_bytes(files),
        "load_1min": _load(files),
        "gpus": nvidia.describe_gpus(host.nvml),
        **state(host),
        "libraries": library_versions(),
        "git_revision": git_revision(Path.cwd()) if _is_this_machine(files) else None,
    }


def state(host: Host) -> dict[str, Any]:
    """The part that may change during a run: power mode, clocks, governor, temperatures, throttling."""
    files = host.files
    clocks = _clocks(files)
    return {
        "power_mode": _power_mode(host),
        "clocks_locked": _clocks_locked(clocks),
        "governors": sorted({clock["governor"] for clock in clocks if clock["governor"]}) or None,
        "turbo": _turbo(files),
        "clocks": clocks or None,
        "temperatures_c": _temperatures(files) or None,
        "throttled": _throttled(host),
        "on_mains": _on_mains(files),
    }


def cpu_name(files: SensorFiles | None = None) -> str | None:
    """The CPU's own name; on Arm, where /proc/cpuinfo gives numbers only, the names of its cores by these numbers."""
    files = files if files is not None else SensorFiles()
    processors = _processors(files.text(files.path("proc/cpuinfo")) or "")
    model = next((processor["model name"] for processor in processors if processor.get("model name")), None)
    cores = cores_name(processors)
    if model and not (cores and GENERIC_ARM.match(model)):
        return model
    hardware = next((processor["hardware"] for processor in processors if processor.get("hardware")), None)
    return cores or model or hardware or _own(files, _brand() or platform.processor() or None)


GENERIC_ARM = re.compile(r"armv\d|aarch64", re.IGNORECASE)
"""`ARMv8 Processor rev 1 (v8l)`, as JetPack 4 and 32-bit systems write: the architecture, not the core."""


def _processors(text: str) -> list[dict[str, str]]:
    """The fields of each processor, keys in lower case; lines before the first and after the last one belong to these."""
    processors: list[dict[str, str]] = [{}]
    for line in text.splitlines():
        key, _, value = line.partition(":")
        key = key.strip().lower()
        if key == "processor" and "processor" in processors[-1]:
            processors.append({})
        if key:
            processors[-1].setdefault(key, value.strip())
    return processors


def usable_cores() -> int:
    """Cores that this process may use; macOS keeps no process to some of them."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _brand() -> str | None:
    """macOS has no /proc; `platform.processor()` says `arm` there."""
    return sysctl("machdep.cpu.brand_string")


def sysctl(name: str) -> str | None:
    """What macOS's kernel says under a name; None on any other system."""
    if platform.system() != "Darwin":
        return None
    try:
        done = subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def library_versions(names: Iterable[str] = LIBRARIES) -> dict[str, str]:
    """Versions of what is installed among the libraries that make or score a transcript."""
    versions = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def git_revision(directory: Path) -> str | None:
    """The commit of the directory's repository, with `+changes` where tracked files differ; None outside of one."""
    revision = _git(directory, "rev-parse", "HEAD")
    if not revision:
        return None
    return f"{revision}+changes" if _git(directory, "status", "--porcelain", "--untracked-files=no") else revision


def _git(directory: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(directory), *arguments], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _is_this_machine(files: SensorFiles) -> bool:
    return files.root == Path("/")


def _own(files: SensorFiles, value: str | None) -> str | None:
    """A fact of the running system says nothing about another machine's file tree."""
    return value if _is_this_machine(files) else None


def product(files: SensorFiles) -> str | None:
    """The board or computer by its device tree or its firmware."""
    model = files.text(files.path("proc/device-tree/model")) or files.text(
        files.path("sys/firmware/devicetree/base/model")
    )
    if model:
        return model
    folder = files.path("sys/class/dmi/id")
    words = [files.text(folder / name) for name in ("sys_vendor", "product_name")]
    return " ".join(word for word in words if word) or None


def _os_name(files: SensorFiles) -> str | None:
    for line in (files.text(files.path("etc/os-release")) or "").splitlines():
        if line.startswith("PRETTY_NAME="):
            name = line.partition("=")[2].strip('"')
            release = files.text(files.path("etc/nv_tegra_release"))
            return f"{name}; {release.splitlines()[0].lstrip('# ')}" if release else name
    return None


def _count_cpus(files: SensorFiles) -> int | None:
    return len(files.glob("sys/devices/system/cpu/cpu[0-9]*")) or None


def _memory_bytes(files: SensorFiles) -> int | None:
    for line in (files.text(files.path("proc/meminfo")) or "").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return None


def _load(files: SensorFiles) -> float | None:
    text = files.text(files.path("proc/loadavg"))
    return float(text.split()[0]) if text else None


def _clocks(files: SensorFiles) -> list[dict[str, Any]]:
    """One entry per clock policy: a group of cores that change clock together."""
    entries = []
    for policy in files.glob("sys/devices/system/cpu/cpufreq/policy*"):
        numbers = {name: files.number(policy / f"scaling_{name}_freq") for name in ("cur", "min", "max")}
        entries.append(
            {
                "policy": policy.name,
                "governor": files.text(policy / "scaling_governor"),
                **{f"{name}_hz": None if value is None else value * 1e3 for name, value in numbers.items()},
            }
        )
    return entries


def _clocks_locked(clocks: list[dict[str, Any]]) -> str | None:
    known = [clock for clock in clocks if clock["min_hz"] and clock["max_hz"]]
    if not known:
        return None
    return JETSON_CLOCKS_NOTE if all(clock["min_hz"] == clock["max_hz"] for clock in known) else "no"


def _turbo(files: SensorFiles) -> bool | None:
    no_turbo = files.number(files.path("sys/devices/system/cpu/intel_pstate/no_turbo"))
    if no_turbo is not None:
        return no_turbo == 0
    boost = files.number(files.path("sys/devices/system/cpu/cpufreq/boost"))
    return None if boost is None else boost == 1


def _temperatures(files: SensorFiles) -> dict[str, float]:
    """°C per thermal zone; a zone that is off gives an error or an absurd value and is left out."""
    zones = {}
    for zone in files.glob("sys/class/thermal/thermal_zone*"):
        milli_c = files.number(zone / "temp")
        if milli_c is not None and -40_000 < milli_c < 150_000:
            zones[f"{zone.name}:{files.text(zone / 'type') or '?'}"] = milli_c / 1e3
    return zones


def _power_mode(host: Host) -> str | None:
    """nvpmodel's mode on Jetson, else the ACPI platform profile."""
    try:
        lines = host.commands.run(["nvpmodel", "-q"]).splitlines()
        modes = [line.partition(":")[2].strip() for line in lines if line.startswith("NV Power Mode")]
        if modes:
            return f"nvpmodel {modes[0]}"
    except MeterError:
        pass  # Not a Jetson, or root only; the status file remains.
    status = host.files.text(host.files.path("var/lib/nvpmodel/status"))
    if status:
        return f"nvpmodel {status}"
    return host.files.text(host.files.path("sys/firmware/acpi/platform_profile"))


def _throttled(host: Host) -> str | None:
    """Raspberry Pi: the firmware's flags; 0x0 is good, bit 0 under-voltage, bit 2 throttled, +16 since boot."""
    try:
        answer = host.commands.run(["vcgencmd", "get_throttled"])
    except MeterError:
        return None
    return answer.strip().partition("=")[2] or None


def _on_mains(files: SensorFiles) -> bool | None:
    online = [files.number(path) for path in files.glob("sys/class/power_supply/*/online")]
    known = [value for value in online if value is not None]
    return any(known) if known else None
