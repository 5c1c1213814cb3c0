"""What external meters' programs write, by kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

COUNT = 40


def lines(*parts: str) -> str:
    return "\n".join([*parts, ""])


def rows(form: str, count: int = COUNT, step: float = 0.5, start: float = 0.0) -> str:
    """`form` with the time as t; half a second apart."""
    return "\n".join(form.format(t=start + step * i, i=i, ms=1e3 * (start + step * i)) for i in range(count))


def stamped(form: str, count: int = COUNT) -> str:
    return "\n".join(form.format(s=f"{i // 60:02d}:{i % 60:02d}", i=i) for i in range(count))


NVIDIA = "2024/05/04 12:{s}.123, "
EXPORTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "Joulescope statistics": (
        "js_stats.csv",
        lines("#time,current,voltage,power,charge,energy", rows("{t:.1f},1.8,5,9,{t},{t}")),
        {},
    ),
    "Joulescope statistics, logger": (
        "js_logger.csv",
        lines(
            "#& 20240504_120000.000000 LOGGER : OPEN",
            "#& 20240504_120000.100000 PARAM : columns=time,current,voltage,power,charge,energy",
            "#= header=time,current,voltage,power,charge,energy",
            "#= units=s,A,V,W,C,J",
            "#= start_time=1714824000.0",
            rows("{t:.7f},1.8,5.0000,9,1,1", 20),
            "#& 20240504_120010.000000 EVENT : 0",
            rows("{t:.7f},1.8,5.0000,9,1,1", 20, start=10.0),
        ),
        {},
    ),
    "Joulescope samples": ("js.csv", lines("#time (s),current (A),voltage (V)", rows("{t:.7f},1.8000e+00,5.0000")), {}),
    "Monsoon (Python library)": ("py.csv", lines("Time(ms),Main(mA),Main Voltage(V),", rows("{t!r},1800.0,5.0,")), {}),
    "Monsoon (Python library), NumPy 2": (
        "py2.csv",
        lines(
            "Time(ms),Main(mA),USB(mA),Main Voltage(V),USB Voltage(V),",
            rows("np.float64({t!r}),np.float64(1800.0),np.float64(0.1),np.float64(5.0),np.float64(4.9),"),
        ),
        {},
    ),
    "Monsoon (Python library), current only": ("py3.csv", lines("Time(s),Main(mA)", rows("{t},1800.0")), {"voltage": 5.0}),
    "Monsoon (PowerTool)": (
        "tool.csv",
        lines("Time (s),Main Avg Current (mA),Main Avg Power (mW),Main Avg Voltage (V)", rows("{t:.4f},1800.0,9000.0,5.0")),
        {},
    ),
    "Otii": ("Main current - Arc.csv", lines("Timestamp,Value", rows("{t:.6f},1.800000")), {"voltage": 5.0}),
    "PowerSensor3": (
        "dump.txt",
        lines(
            "marker time dt_micro device_timestamp current0 voltage0 power0 current1 voltage1 power1 power_total",
            rows("S {t:g} 50 {i} 0.5 12 6 0.6 5 3 9", 20),
            "M x",
            rows("S {t:g} 50 {i} 0.5 12 6 0.6 5 3 9", 20, start=10.0),
        ),
        {},
    ),
    "PowerSensor3, commas": (
        "ps3.csv",
        lines(
            "marker,time,dt_micro,device_timestamp,current0,voltage0,power0,power_total",
            rows("S,{t:g},50,{i},0.75,12,9,9"),
        ),
        {},
    ),
    "FNIRSI (fnirsi_logger)": (
        "fnb58.txt",
        lines(
            "",
            "timestamp sample_in_packet voltage_V current_A dp_V dn_V temp_C_ema energy_Ws capacity_As",
            rows("{t:.3f} 0 5.00000 1.80000 3.035 0.072 28.200 0.002901 0.000578", start=1774531584.0),
        ),
        {},
    ),
    "UM24C/UM25C/UM34C (pyummeter)": (
        "um25c.csv",
        lines(
            "Date;Voltage (V);Intensity (A);Power (W);Resistance (Ohm);USB D+ (V);USB D- (V);Charging Mode;Temperature (°C);"
            "Model;Recording;Record duration (sec);Record intensity (A);Record capacity (Ah);Record energy (Wh);"
            "Capacity (Ah);Energy (Wh)",
            stamped("2024-05-04 12:{s}.123456;5;1.8;9;2.8;0.02;0.01;UNKNOWN;29;UM25C;0;0;0.13;0;0;0.1;0.5"),
        ),
        {},
    ),
    "UM24C/UM25C/UM34C/TC66C (rd-usb)": (
        "rdusb.csv",
        lines(
            "Time,Voltage (V),Current (A),Power (W),Temperature (°C),Data+ (V),Data- (V),Resistance (Ω),"
            "Accumulated current (mAh),Accumulated power (mWh),Accumulated time (seconds),Run time,Run time (seconds),Unix time",
            stamped("2024-05-04 12:{s},5.00,1.800,9.000,29,0.02,0.01,2.8,100,500,0,00:00:00,0,171482400{i}"),
        ),
        {},
    ),
    "Nordic PPK2 (Power Profiler)": (
        "ppk2.csv",
        lines("Timestamp(ms),Current(uA),D0-D7", rows("{ms:.2f},1800000,00000000")),
        {"voltage": "5"},
    ),
    "SPEC PTDaemon (spl.txt)": (
        "spl.txt",
        lines(
            "Time,05-04-2024 11:59:58.145,NOTICE,Analyzer identity response of 32 bytes: YOKOGAWA,WT310,C2PH13047V,F1.03",
            stamped("Time,05-04-2024 12:{s}.322,Watts,9.000000,Volts,-1.000000,Amps,-1.000000,PF,-1.000000,Mark,notset,"
                    "Ch1,Watts,6.000000,Volts,227.1,Amps,0.1,PF,0.5,Ch2,Watts,3.000000,Volts,227.1,Amps,0.1,PF,0.5"),
            "Time,05-04-2024 12:01:10.071,ERROR,Bad volts reading nan from WT310",
            "Buffer was 1.000E+00;1;300.0E+00;1",
        ),
        {},
    ),
    "nvidia-smi": (
        "gpu.csv",
        lines(
            "timestamp, name, power.limit [W], power.draw [W], power.draw.average [W], utilization.gpu [%]",
            stamped(NVIDIA + "NVIDIA L4, 72.00 W, 9.00 W, 50.00 W, 3 %"),
        ),
        {},
    ),
    "nvidia-smi, two GPUs": (
        "gpus.csv",
        lines(
            "index, timestamp, power.draw [W]",
            *(f"{gpu}, 2024/05/04 12:00:{i:02d}.{100 + gpu}, {4 + gpu}.00 W" for i in range(COUNT) for gpu in range(2)),
        ),
        {},
    ),
    "nvidia-smi, two GPUs without index": (
        "burst.csv",
        lines("timestamp, power.draw [W]", *(NVIDIA.format(s=f"00:{i // 2:02d}") + "4.50 W" for i in range(COUNT))),
        {},
    ),
    "Home Assistant history": (
        "history.csv",
        lines(
            "entity_id,state,last_changed",
            *(f"sensor.plug_power,9,2024-05-04T12:00:{i:02d}.000Z" for i in range(COUNT)),
            *(f"sensor.plug_power_factor,0.{i:02d},2024-05-04T12:00:{i:02d}.000Z" for i in range(COUNT)),
            *(f"sensor.plug_voltage,23{i % 10}.1,2024-05-04T12:00:{i:02d}.000Z" for i in range(COUNT)),
        ),
        {},
    ),
    "Shelly EM (em_data.csv)": (
        "em_data.csv",
        lines(
            "Date/time UTC,Active energy Wh (1),Returned energy Wh (1),Min V,Max V",
            *(f"2024-05-04 12:{i:02d},0.15,0.00,232.0,233.5" for i in range(COUNT)),
        ),
        {},
    ),
}  # fmt: skip


def export(kind: str, folder: Path) -> tuple[Path, dict[str, Any]]:
    name, text, options = EXPORTS[kind]
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path, options
