"""Where transducers spend their energy: the study's case from shapes, the real zipformer decoding a chapter, and the cost of
profiling a 76 M model itself. Prints one JSON value and writes `results/profile-*.md`, each with command, machine and date.

    python -m benchmarks.profile
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wattscribe.models import REFERENCE

HERE = Path(__file__).parent
RESULTS = HERE / "results"
SHARED = Path(os.environ.get("WATTSCRIBE_SHARED", HERE.parent.parent / "shared")) / "data"
ZIPFORMER = SHARED / "models" / "zipformer-gigaspeech-3.3m"
CHAPTER = SHARED / "librispeech" / "dev-clean"
ARCH = "arch:emformer-rnnt-base"
LIMIT_S, LIMIT_BYTES = 10.0, 1.5e9


def main() -> int:
    result: dict[str, Any] = {"arch": arch(), "large": large()}
    if ZIPFORMER.is_dir() and CHAPTER.is_dir():
        result["zipformer"] = decoded(
            ZIPFORMER,
            str(CHAPTER),
            "librispeech/dev-clean",
            ("fp32", "int8"),
            "The real zipformer (int8 encoder) decoding LibriSpeech chapter 3752-4944 (70 utterances, 328 s); rates counted.",
        )
    result["reference"] = decoded(
        REFERENCE,
        "bundled",
        "bundled",
        ("fp16", "int8"),
        "The shipped model decoding the bundled speech (60 utterances, 199 s); rates counted.",
    )
    result["within"] = result["large"]["within"] and result["arch"]["within"]
    print(json.dumps(result))
    return 0 if result["within"] else 1


# --- 1: the study's case, from shapes alone ---------------------------------------------------------------------------
def arch() -> dict[str, Any]:
    """Shares, the joiner halved until it fits, and the order; frame by frame."""
    from wattscribe.energy import arch as presets
    from wattscribe.energy import devices, sensitivity
    from wattscribe.energy.breakdown import analyse
    from wattscribe.energy.rates import stated

    lines, figures = [], {}
    within = True
    for name in devices.names():
        workload, device = presets.of_arch(ARCH, vocab=4097), devices.load(name)
        if len(device.tiers) == 1:
            continue
        at = stated(workload, decoding="frame-by-frame")
        shown = analyse(workload, at, device)
        order = sensitivity.first_mentions(sensitivity.order(workload, at, device), workload)
        joiner = shown.component("joiner")
        size, power = joiner.size_bytes / workload.size_bytes, joiner.total_w.value / shown.total_w.value
        low, high = shown.total_w.ci95
        lines.append(
            f"| {name} | {1e3 * shown.total_w.value:.1f} ({1e3 * low:.1f} to {1e3 * high:.1f}) | {100 * size:.1f} | "
            f"{100 * power:.1f} | {power / size:.1f} | {', '.join(order)} |"
        )
        figures[name] = {
            "total_mw": 1e3 * shown.total_w.value,
            "joiner_size_share": size,
            "joiner_power_share": power,
            "order": order,
        }
        within = within and (order[0] == "joiner" or "joiner" in shown.placement.local)
    halved = halvings()
    write(
        "profile-arch",
        f"wattscribe profile {ARCH} --vocab 4097 --decoding frame-by-frame --device …",
        [
            "Emformer RNN-T base, 76.7 M parameters in fp32, 25 frames/s and 4.8 tokens/s (stated), decoded frame by frame.",
            "",
            "| device | total mW (95 %) | joiner, % of size | joiner, % of power | ratio | suggested order |",
            "|---|---|---|---|---|---|",
            *lines,
            "",
            "The joiner halved until it fits the phone's local memory (8 MB, of which states and activations take 2.7):",
            "",
            "| joiner MB | where | joiner mW | against the row above |",
            "|---|---|---|---|",
            *halved["lines"],
        ],
    )
    return {
        "devices": figures,
        "halvings_mw": halved["mw"],
        "within": within and halved["mw"][-1] < 0.5 * halved["mw"][-2],
    }


def halvings() -> dict[str, Any]:
    from wattscribe.energy import arch as presets
    from wattscribe.energy import devices
    from wattscribe.energy.breakdown import analyse
    from wattscribe.energy.rates import stated

    workload, phone = presets.of_arch(ARCH, vocab=4097), devices.load("phone")
    at = stated(workload, decoding="frame-by-frame")
    lines: list[str] = []
    milliwatts: list[float] = []
    for factor in (1.0, 0.5, 0.25):
        shown = analyse(workload.replace(workload.component("joiner").scaled(factor)), at, phone)
        joiner = shown.component("joiner")
        where = "local" if "joiner" in shown.placement.local else "DRAM"
        milliwatts.append(1e3 * joiner.total_w.value)
        change = f"{100 * (milliwatts[-1] / milliwatts[-2] - 1):.0f} %" if len(milliwatts) > 1 else ""
        lines.append(f"| {joiner.size_bytes / 1e6:.2f} | {where} | {milliwatts[-1]:.2f} | {change} |")
    return {"lines": lines, "mw": milliwatts}


# --- 2 and 3: real transducers on real speech -------------------------------------------------------------------------
def decoded(model: Path, data: str, data_name: str, precisions: tuple[str, ...], title: str) -> dict[str, Any]:
    """Two devices × decoding × joiner precision, with rates counted in the decode."""
    from wattscribe.energy import devices
    from wattscribe.energy.breakdown import analyse
    from wattscribe.energy.files import of_directory
    from wattscribe.profiling import decode

    rows: list[dict[str, Any]] = []
    for precision in precisions:
        workload = of_directory(model, precision=precision)
        for decoding in ("frame-by-frame", "batched"):
            at = decode(str(model), data, workload, precision=precision, decoding=decoding)
            for name, kept in (("phone", 8_000_000), ("phone", 1_500_000), ("wearable", 1_000_000)):
                shown = analyse(workload, at, devices.load(name).with_local_memory(kept))
                rows.append(
                    {"precision": precision, "decoding": decoding, "device": name, "local": kept, **numbers(shown)}
                )
    lines = [
        f"| {row['device']}, {row['local'] / 1e6:g} MB | {row['precision']} | {row['decoding']} | {row['joiner_calls']:.1f} | "
        f"{row['total_mw']:.3f} ({row['low']:.3f} to {row['high']:.3f}) | "
        + " / ".join(f"{100 * share:.0f}" for share in row["power_share"])
        + f" | {row['joiner_reads_mw']:.4f} | {', '.join(row['inside']) or '–'}; "
        + " / ".join(f"{100 * share:.0f}" for share in row["shares_local"])
        + " |"
        for row in rows
    ]
    sizes = " / ".join(f"{100 * share:.0f}" for share in rows[0]["size_share"])
    write(
        f"profile-{model.name.partition('-')[0]}",
        f"wattscribe profile {model.name} --data {data_name} --device … --local-memory … --decoding … --precision …",
        [
            title,
            f"At {precisions[0]}, encoder / predictor / joiner are {sizes} % of the size.",
            "",
            "| device | precision | decoding | joiner calls/s | total mW (95 %) | power % e / p / j | joiner weight reads mW "
            "| local memory holds; % of activations' / states' traffic |",
            "|---|---|---|---|---|---|---|---|",
            *lines,
        ],
    )
    return {"rows": rows}


def numbers(shown: Any) -> dict[str, Any]:
    joiner = shown.component("joiner")
    low, high = shown.total_w.ci95
    total = shown.total_w.value
    return {
        "joiner_calls": joiner.calls_per_s,
        "total_mw": 1e3 * total,
        "low": 1e3 * low,
        "high": 1e3 * high,
        "power_share": [component.total_w.value / total for component in shown.components],
        "size_share": [component.size_bytes / shown.workload.size_bytes for component in shown.components],
        "inside": shown.placement.local,
        "shares_local": shown.placement.local_shares(),
        "joiner_reads_mw": 1e3 * sum(reads.value for reads in joiner.weight_reads_w.values()),
    }


# --- 4: what profiling a 76 M model costs -----------------------------------------------------------------------------
def large() -> dict[str, Any]:
    """Time and peak memory of `wattscribe profile` on an ONNX export with the Emformer's 76 M weights."""
    with tempfile.TemporaryDirectory() as folder:
        parameters = export(Path(folder))
        command = [
            sys.executable,
            "-m",
            "wattscribe",
            "profile",
            folder,
            "--chunk-ms",
            "160",
            "--frames-per-s",
            "25",
            "--json",
        ]
        start = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        wall_s = time.monotonic() - start
    peak_bytes = 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    counted = sum(component["parameters"] for component in json.loads(done.stdout)["components"].values())
    within = wall_s < LIMIT_S and peak_bytes < LIMIT_BYTES
    write(
        "profile-large",
        "wattscribe profile DIR --chunk-ms 160 --frames-per-s 25 --json",
        [
            f"An ONNX transducer of the Emformer base's shapes, {parameters / 1e6:.1f} M parameters in fp32, "
            f"{counted / 1e6:.1f} M counted.",
            "",
            "| figure | value | limit |",
            "|---|---|---|",
            f"| wall time, start of the process included | {wall_s:.1f} s | {LIMIT_S:g} s |",
            f"| peak resident set | {peak_bytes / 1e9:.2f} GB | {LIMIT_BYTES / 1e9:g} GB |",
        ],
    )
    return {"wall_s": wall_s, "peak_bytes": peak_bytes, "parameters": parameters, "counted": counted, "within": within}


def export(folder: Path) -> int:
    """Write encoder, decoder and joiner with the preset's matrices as a chain of products; returns their parameters."""
    from wattscribe.energy import arch as presets

    total = 0
    built = presets.Emformer()
    for name, layers, rows in (
        ("encoder", built.encoder(), 5),
        ("decoder", built.predictor(), 1),
        ("joiner", built.joiner(), 1),
    ):
        shapes = [shape for layer in layers for shape in layer.weights.values() if len(shape) == 2]
        total += _chain(folder / f"{name}.onnx", shapes, rows, embedding=name == "decoder")
    (folder / "tokens.txt").write_text("<blk> 0\n")
    return total


def _chain(path: Path, shapes: Sequence[tuple[int, ...]], rows: int, *, embedding: bool) -> int:
    """One graph: each matrix multiplies a vector of its width; all results are summed to one output."""
    import numpy as np
    import onnx
    from onnx import helper, numpy_helper

    generator = np.random.default_rng(0)
    nodes, weights, inputs, sums = [], [], [], []
    for index, shape in enumerate(shapes):
        weights.append(numpy_helper.from_array(generator.standard_normal(shape, dtype=np.float32), f"w{index}"))
        if embedding and index == 0:
            inputs.append(helper.make_tensor_value_info("y", onnx.TensorProto.INT64, ["N", 1]))
            nodes.append(helper.make_node("Gather", ["w0", "y"], ["o0"], name="embedding"))
        else:
            width = f"x{shape[1]}"
            if width not in {value.name for value in inputs}:
                size = [1, "T" if rows > 1 else 1, shape[1]]
                inputs.append(helper.make_tensor_value_info(width, onnx.TensorProto.FLOAT, size))
            nodes.append(helper.make_node("Transpose", [f"w{index}"], [f"t{index}"], name=f"t{index}", perm=[1, 0]))
            nodes.append(helper.make_node("MatMul", [width, f"t{index}"], [f"o{index}"], name=f"m{index}"))
        nodes.append(helper.make_node("ReduceSum", [f"o{index}"], [f"s{index}"], name=f"r{index}", keepdims=0))
        sums.append(f"s{index}")
    nodes.append(helper.make_node("Sum", sums, ["out"], name="sum"))
    graph = helper.make_graph(nodes, path.stem, inputs, [helper.make_tensor_value_info("out", 1, [])], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(path))
    return sum(int(np.prod(shape)) for shape in shapes)


def write(name: str, command: str, lines: list[str]) -> None:
    """One table with where it comes from."""
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"
    date = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    RESULTS.mkdir(exist_ok=True)
    head = [f"# {name}", "", f"`{command}` by `python -m benchmarks.profile`; {machine}; {date}.", ""]
    (RESULTS / f"{name}.md").write_text("\n".join([*head, *lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
