"""`make bench-compress`: what compression reaches on the real zipformer, and on the reference transducer where there is one.

python -m benchmarks.compress [--reduced] [--shared FOLDER] [--reference FOLDER] [--out FOLDER]

Full: targeted, uniform and global strategies, three seeds, wearable and phone; about two hours on 2 cores. Reduced: the
kept recipe of the repository carried out anew on a quarter of the speech; under ten minutes.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wattscribe.compress import outcome
from wattscribe.compress.outcome import Compression
from wattscribe.compress.run import Options, compress_model
from wattscribe.errors import WattscribeError

RESULTS = Path(__file__).parent / "results"
RECIPE = RESULTS / "compress-zipformer.recipe.toml"
ZIPFORMER = "models/zipformer-gigaspeech-3.3m"
ENERGY_BAR, WER_BAR = 0.60, 0.003
"""Of the issue, for the zipformer against its directory as it is."""


def options_of(shared: Path, **changes: Any) -> Options:
    """Developed on the LibriSpeech chapter and LJSpeech, calibrated on unlabelled speech of other speakers."""
    settings: dict[str, Any] = {
        "data": (str(shared / "librispeech"), str(shared / "ljspeech")),
        "unlabelled": (str(shared / "unlabelled"),),
        "max_wer_increase": 100 * WER_BAR,
        "cache": Path(tempfile.gettempdir()) / "wattscribe-bench-compress",
    }
    return Options(**{**settings, **changes})


def runs(shared: Path, *, reduced: bool) -> list[tuple[str, Options]]:
    """What is measured, by name."""
    test = ("bundled", str(shared / "librispeech-noisy"))
    if reduced:
        small = options_of(shared, recipe=RECIPE, limit=20, calibration_s=60.0, probe_s=30.0)
        return [("zipformer recipe (reduced)", small)]
    found = [
        (f"zipformer targeted seed {seed}", options_of(shared, seed=seed, test_data=test if seed == 0 else ()))
        for seed in (0, 1, 2)
    ]
    found += [(f"zipformer {name}", options_of(shared, strategy=name)) for name in ("uniform", "global")]
    found.append(("zipformer targeted phone", options_of(shared, device="phone")))
    return found


def row(name: str, found: Compression) -> dict[str, Any]:
    """One line of the table."""
    plain = outcome.to_json(found)
    kept = (
        "dev",
        "test",
        "baselines_mj_per_audio_s",
        "fidelity_unlabelled",
        "device",
        "strategy",
        "seed",
        "notes",
        "steps",
    )
    return {"name": name, **{key: plain[key] for key in kept}}


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: set by set, against the bar."""
    lines = [
        "| run | set | energy, mJ/s | saved | of nothing placed | WER, % | change (95 %) | bound | RTF | size, MB |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for each in rows:
        for part in ("dev", "test"):
            found = each[part]
            if found is None:
                continue
            low, high = (100 * value for value in found["wer_increase_ci95"])
            none = 1 - found["energy_after_mj_per_audio_s"] / each["baselines_mj_per_audio_s"]["none"]
            lines.append(
                f"| {each['name']} | {part}, {found['utterances']} utterances | {found['energy_before_mj_per_audio_s']:.3f} → "
                f"{found['energy_after_mj_per_audio_s']:.3f} | −{100 * found['energy_reduction']:.1f} % | −{100 * none:.1f} % | "
                f"{100 * found['wer_before']:.2f} → {100 * found['wer_after']:.2f} | {100 * found['wer_increase']:+.2f} "
                f"({low:+.2f} to {high:+.2f}) | {100 * found['wer_increase_upper95']:+.2f} | {found['rtf_cpu_before']:.4f} → "
                f"{found['rtf_cpu_after']:.4f} | {found['size_before_bytes'] / 1e6:.2f} → {found['size_after_bytes'] / 1e6:.2f} |"
            )
    return "\n".join(lines) + "\n"


def verdict(rows: Sequence[Mapping[str, Any]]) -> str:
    """Against the bars of the issue, from the figures alone."""
    lines = []
    for each in rows:
        dev = each["dev"]
        held = dev["energy_reduction"] >= ENERGY_BAR and dev["wer_increase"] <= WER_BAR
        held = held and dev["rtf_cpu_after"] <= dev["rtf_cpu_before"] * 1.02
        proof = "proven" if dev["non_inferior"] else "not proven with this much speech"
        lines.append(
            f"- {each['name']}: −60 % energy, WER within 0.3, RTF no worse: {'met' if held else 'NOT met'}; "
            f"non-inferiority at 95 %: {proof}."
        )
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, write `compress-*.json` and `.md`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compress", description=__doc__.splitlines()[0])
    parser.add_argument("--reduced", action="store_true", help="one run on a part of the speech, under ten minutes")
    parser.add_argument("--shared", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--reference", type=Path, help="an exported reference transducer (encoder, decoder, joiner)")
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = parser.parse_args(arguments)
    models = [("zipformer", chosen.shared / ZIPFORMER)]
    if chosen.reference is not None:
        models.append(("reference", chosen.reference))
    if not models[0][1].is_dir():
        print(f"the model is not here: {models[0][1]}; give --shared", file=sys.stderr)
        return 2
    rows = []
    for name, options in runs(chosen.shared, reduced=chosen.reduced):
        for model, path in models:
            label = name.replace("zipformer", model)
            print(f"== {label}", flush=True)
            with tempfile.TemporaryDirectory(prefix="wattscribe-") as folder:
                try:
                    found = compress_model(path, Path(folder) / "out", options)
                except WattscribeError as error:
                    print(f"{label}: {error}", file=sys.stderr)
                    continue
            rows.append(row(label, found))
            print("\n".join(outcome.lines(found)), flush=True)
    return write(rows, chosen.out, reduced=chosen.reduced)


def write(rows: Sequence[Mapping[str, Any]], out: Path, *, reduced: bool) -> int:
    """The files, and 0 where every run gave figures."""
    out.mkdir(parents=True, exist_ok=True)
    name = "compress-reduced" if reduced else "compress-zipformer"
    command = "python -m benchmarks.compress" + (" --reduced" if reduced else "")
    head = f"`{command}`, {datetime.date.today().isoformat()}, {platform.machine()}, one thread.\n\n"
    (out / f"{name}.json").write_text(json.dumps(list(rows), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (out / f"{name}.md").write_text("# Compression\n\n" + head + table(rows) + "\n" + verdict(rows), encoding="utf-8")
    print(table(rows))
    print(verdict(rows))
    return 0 if rows else 1


if __name__ == "__main__":
    raise SystemExit(main())
