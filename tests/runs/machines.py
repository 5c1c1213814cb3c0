"""A machine whose power modes can be set: a tree of its files, and programs that print what the real ones print."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from wattscribe.metering import Host
from wattscribe.metering.files import SensorFiles
from wattscribe.metering.host import SystemCommands

POLICY = "sys/devices/system/cpu/cpufreq/policy0"
SLOW = "sys/devices/system/cpu/cpufreq/policy4"
MODES = {"0": "15W", "1": "7W", "2": "MAXN_SUPER"}

NVPMODEL = """#!/bin/sh
state={folder}/nvpmodel-id
name() {{ case "$1" in 0) echo 15W;; 1) echo 7W;; 2) echo MAXN_SUPER;; esac; }}
case "$1" in
-q)
  echo "NV Power Mode: $(name $(cat $state))"
  cat $state
  echo "NVPM ERROR: Error opening /sys/kernel/nvpmodel_emc_cap/emc_iso_cap: 13" >&2
  echo "NVPM ERROR: failed to read PARAM EMC: ARG MAX_FREQ: PATH /sys/kernel/nvpmodel_emc_cap/emc_iso_cap" >&2
  ;;
-m)
  echo "$2" >> {folder}/nvpmodel-log
  if [ "$2" = 1 ]; then
    echo "NVPM WARN: Golden image context is already created"
    echo "NVPM WARN: Reboot required for changing to this power mode: 1"
    echo "NVPM WARN: DO YOU WANT TO REBOOT NOW? enter YES/yes to confirm:"
    read answer
    [ "$answer" = yes ] && echo rebooted > {folder}/rebooted
    echo "NVPM ERROR: bad input!"
    echo "NVPM ERROR: optMask is 1, no request for power mode"
    exit 0
  fi
  if [ -e {folder}/not-root ]; then
    echo "NVPM ERROR: Error opening /sys/devices/system/cpu/cpu0/online: 13" >&2
    echo "NVPM ERROR: failed to set power mode!" >&2
    exit 0
  fi
  echo "$2" > $state
  ;;
esac
"""
"""Mode 1 needs a reboot; without the rights exit status 0 all the same, as has been seen."""

NVIDIA_SMI = """#!/bin/sh
limit={folder}/gpu-limit
case "$*" in
*--query-gpu*) echo "0, $(cat $limit), 100.00, 350.00" ;;
"-i 0 -pl "*)
  if [ -e {folder}/not-root ]; then
    echo "Failed to set power management limit for GPU 00000000:01:00.0: Insufficient Permissions"
    exit 4
  fi
  echo "Power limit for GPU 00000000:01:00.0 was set to $(printf %.2f "$4") W from $(cat $limit) W."
  echo "All done."
  printf %.2f "$4" > $limit
  ;;
esac
"""

JETSON_CLOCKS = """#!/bin/sh
cd {root}/sys/devices/system/cpu/cpufreq
case "$1" in
--store)
  if [ -e "$2" ]; then
    echo "File $2 already exists. Can I overwrite it? Y/N:"; read answer
    echo "Error: file $2 already exists!"; exit 1
  fi
  echo "Storing system configuration in $2"
  grep . policy*/scaling_m*_freq > "$2" ;;
--restore)
  [ -e "$2" ] || {{ echo "Error: $2 file not found !"; exit 1; }}
  echo "Restoring system configuration from $2"
  while IFS=: read file value; do echo "$value" > "$file"; done < "$2" ;;
"") for policy in policy*; do cat $policy/scaling_max_freq > $policy/scaling_min_freq; done ;;
esac
"""

CONF = """< PARAM TYPE=FILE NAME=CPU_ONLINE >
CORE_0 /sys/devices/system/cpu/cpu0/online
< POWER_MODEL ID=0 NAME=15W >
< POWER_MODEL ID=1 NAME=7W >
< POWER_MODEL ID=2 NAME=MAXN_SUPER >
< PM_CONFIG DEFAULT=0 >
"""


class Files(SensorFiles):
    """The tree; `forbidden` endings may not be written, `resets` endings show their first value after so many reads."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.forbidden: tuple[str, ...] = ()
        self.resets: dict[str, int] = {}
        self._first: dict[str, bytes] = {}

    def write(self, path: Path, text: str) -> None:
        if str(path).endswith(self.forbidden or ("\0",)):
            raise PermissionError(13, "Permission denied", str(path))
        super().write(path, text)

    def pread(self, path: Path, fd: int) -> bytes:
        content = super().pread(path, fd)
        for ending, reads in self.resets.items():
            if str(path).endswith(ending):
                first = self._first.setdefault(str(path), content)
                if content != first:
                    self.resets[ending] = reads - 1
                    if reads <= 0:
                        path.write_bytes(first)
                        return first
        return content


class Machine:
    """Two groups of cores, the second a slower one."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder, folder / "root"
        for policy, low, high in ((POLICY, 300_000, 2_000_000), (SLOW, 300_000, 1_100_000)):
            self.write(f"{policy}/scaling_governor", "schedutil")
            self.write(f"{policy}/scaling_available_governors", "performance powersave schedutil")
            for name in ("cpuinfo", "scaling"):
                self.write(f"{policy}/{name}_min_freq", str(low))
                self.write(f"{policy}/{name}_max_freq", str(high))
        self.write("etc/nvpmodel.conf", CONF)
        programs = folder / "programs"
        programs.mkdir()
        for name, text in (("nvpmodel", NVPMODEL), ("nvidia-smi", NVIDIA_SMI), ("jetson_clocks", JETSON_CLOCKS)):
            path = programs / name
            path.write_text(text.format(folder=folder, root=self.root))
            path.chmod(path.stat().st_mode | stat.S_IXUSR)
        (folder / "nvpmodel-id").write_text("0\n")
        (folder / "gpu-limit").write_text("350.00")
        self.path = f"{programs}{os.pathsep}{os.environ['PATH']}"
        self.files = Files(self.root)

    @property
    def host(self) -> Host:
        return Host(files=self.files, commands=SystemCommands())

    @property
    def kept(self) -> Path:
        return self.root / "var/lib/wattscribe/power-mode.json"

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")

    def read(self, name: str) -> str:
        return (self.root / name).read_text().strip()

    def shown(self) -> dict[str, str]:
        """All that a mode may change."""
        names = [f"{policy}/scaling_{end}" for policy in (POLICY, SLOW) for end in ("governor", "min_freq", "max_freq")]
        programs = {name: (self.folder / name).read_text().strip() for name in ("nvpmodel-id", "gpu-limit")}
        return {**{name: self.read(name) for name in names}, **programs}
