"""The vocabulary in two steps on real speech, for `benchmarks.whisper`: the same tokens, and how far the cheap pass errs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from wattscribe.graph.session import open_session
from wattscribe.models.directory import CROSS
from wattscribe.seq2seq.mel import log_mel
from wattscribe.seq2seq.network_io import Encoded
from wattscribe.seq2seq.search import Rules, Work, greedy
from wattscribe.seq2seq.two_step import ALLOWED_BITS, BITS, CANDIDATES, apart, codes_of, two_step, values_of
from wattscribe.seq2seq.whisper_net import WhisperEncoded, WhisperNet

BLOCK = 128
MARKS = {"fp32": "", "int8": ".int8"}


def compare(export: Path, work: Path, recordings: Iterable[Any]) -> dict[str, Any]:
    """One line a recording in `work`; what is there is not decoded again."""
    kept = work / f"{export.name}.two-step.jsonl"
    rows = [json.loads(line) for line in kept.read_text().splitlines()] if kept.is_file() else []
    done = {(row["corpus"], row["at"]) for row in rows}
    nets: dict[str, WhisperNet] = {}
    encoder: Any = None
    with kept.open("a", encoding="utf-8") as file:
        for _, corpus, at, audio in recordings:
            if (corpus, at) in done:
                continue
            if not nets:
                nets, encoder = _nets(export), open_session(export / "encoder.onnx")
                _tables(export / "decoder.onnx")
            rules = _rules(nets["fp32"])
            rows.append({"corpus": corpus, "at": at, **_compared(nets, encoder, audio, rules)})
            file.write(json.dumps(rows[-1]) + "\n")
            file.flush()
    places = {bits: np.array([place for row in rows for place in row["places"][str(bits)]]) for bits in ALLOWED_BITS}
    tokens = len(places[BITS])
    return {
        "recordings": len(rows), "tokens": tokens,
        "differing": {name: sum(row["differs"][name] for row in rows) for name in MARKS},
        "place_in_the_cheap_pass": {
            f"{bits} bits": {"worst": int(each.max()), "share_first": round(float((each == 1).mean()), 3)}
            for bits, each in places.items()
        },
        "provable_share": round(sum(row["provable"] for row in rows) / tokens, 4),
    }  # fmt: skip


def _nets(export: Path) -> dict[str, WhisperNet]:
    return {
        f"{precision}{kind}": WhisperNet(export / "encoder.onnx", folder / f"decoder{mark}.onnx", threads=1)
        for precision, mark in MARKS.items()
        for kind, folder in (("", export), (" two-step", _two_step(export)))
    }


def _rules(net: WhisperNet) -> Rules:
    never, first = (
        tuple(map(int, net.metadata[key].split(","))) for key in ("suppress_tokens", "begin_suppress_tokens")
    )
    return Rules(end=net.number("eot"), limit=net.places - 2, never=never, never_first=first)


def _two_step(export: Path) -> Path:
    import onnx

    folder = export.with_name(f"{export.name}.two-step")
    folder.mkdir(exist_ok=True)
    for mark in MARKS.values():
        if not (folder / f"decoder{mark}.onnx").is_file():
            onnx.save(two_step(onnx.load(export / f"decoder{mark}.onnx")), folder / f"decoder{mark}.onnx")
    return folder


def _compared(nets: dict[str, WhisperNet], encoder: Any, audio: np.ndarray, rules: Rules) -> dict[str, Any]:
    """The encoder runs once, then every decoder transcribes."""
    net = nets["fp32"]
    mel = log_mel(audio, net.window_frames, net.number("n_mels"))[None]
    given = encoder.run(list(CROSS), {"mel": mel})
    prompt = [*map(int, net.metadata["sot_sequence"].split(",")), net.number("no_timestamps")]
    tokens = {}
    for name, decoder in nets.items():
        decoding = WhisperEncoded(decoder, *(values.copy() for values in given), frames=net.window_frames // 2)
        tokens[name] = greedy(decoding, [prompt], rules, [Work()])[0]
    places, provable = _errors(
        WhisperEncoded(net, *given, frames=net.window_frames // 2), prompt, tokens["fp32"], rules
    )
    differs = {name: tokens[name] != tokens[f"{name} two-step"] for name in MARKS}
    return {"differs": differs, "places": places, "provable": provable}


def _errors(decoding: Encoded, prompt: list[int], tokens: list[int], rules: Rules) -> tuple[dict[str, list[int]], int]:
    """By bits, the chosen token's place in the cheap pass; and for how many tokens the 4-bit codes' errors allow no other choice.

    The hidden state is what the scores say: there are more of them than it has values. A score errs by no more than the length
    of its row's error times that of the hidden state (Cauchy and Schwarz).
    """
    table, coded, inverse = TABLES["all"], TABLES["coded"], TABLES["inverse"][0]
    errors = np.linalg.norm(table[0] - coded[0], axis=1)
    places: dict[str, list[int]] = {str(bits): [] for bits in ALLOWED_BITS}
    provable, fed = 0, prompt
    for place, token in enumerate([*tokens, rules.end]):
        scores = decoding.step(np.array([fed]))[0]
        hidden = inverse @ (table[0].T @ scores)
        for bits, cheap in zip(ALLOWED_BITS, coded, strict=True):
            approximate = cheap @ hidden
            places[str(bits)].append(1 + int((approximate > approximate[token]).sum()))
        approximate = coded[0] @ hidden
        could = rules.apply((approximate + errors * np.linalg.norm(hidden))[None], first=place == 0)[0]
        could[np.argsort(approximate)[-CANDIDATES:]] = -np.inf
        provable += bool(could.max() < scores[token])
        fed = [token]
    return places, provable


TABLES: dict[str, list[np.ndarray]] = {}


def _tables(path: Path) -> None:
    """The vocabulary, the same from its codes by bits, and what makes hidden states of scores."""
    import onnx

    graph = onnx.load(path).graph
    stored = next(tensor for tensor in graph.initializer if tensor.name == "decoder.embed_tokens.weight")
    table = onnx.numpy_helper.to_array(stored).astype(np.float32)
    differing, spread = apart(table)
    coded = [values_of(*codes_of(differing, BLOCK, bits), bits) * spread + table.mean(axis=0) for bits in ALLOWED_BITS]
    TABLES.update(all=[table], coded=coded, inverse=[np.linalg.inv(table.T @ table)])
