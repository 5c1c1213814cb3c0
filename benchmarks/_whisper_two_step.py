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
from wattscribe.seq2seq.two_step import BITS, CANDIDATES, apart, codes_of, two_step
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
    ranks = np.array([rank for row in rows for rank in row["ranks"]])
    return {
        "recordings": len(rows), "tokens": len(ranks),
        "differing": {name: sum(row["differs"][name] for row in rows) for name in MARKS},
        "cheap_rank": {"max": int(ranks.max()), "share_first": float((ranks == 1).mean())},
        "provable_share": round(sum(row["provable"] for row in rows) / len(ranks), 4),
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
    prompt = [net.number("sot"), net.number("no_timestamps")]
    tokens = {}
    for name, decoder in nets.items():
        decoding = WhisperEncoded(decoder, *(values.copy() for values in given), frames=net.window_frames // 2)
        tokens[name] = greedy(decoding, [prompt], rules, [Work()])[0]
    ranks, provable = _errors(WhisperEncoded(net, *given, frames=net.window_frames // 2), prompt, tokens["fp32"], rules)
    differs = {name: tokens[name] != tokens[f"{name} two-step"] for name in MARKS}
    return {"differs": differs, "ranks": ranks, "provable": provable}


def _errors(decoding: Encoded, prompt: list[int], tokens: list[int], rules: Rules) -> tuple[list[int], int]:
    """The chosen token's rank in the cheap pass, and for how many tokens the codes' errors allow no other choice.

    The hidden state is what the scores say: there are more of them than it has values. A score errs by no more than the length
    of its row's error times that of the hidden state (Cauchy and Schwarz).
    """
    table, cheap, inverse, errors = TABLES["all"]
    ranks, provable, fed = [], 0, prompt
    for place, token in enumerate([*tokens, rules.end]):
        scores = decoding.step(np.array([fed]))[0]
        hidden = inverse @ (table.T @ scores)
        approximate = cheap @ hidden
        ranks.append(1 + int((approximate > approximate[token]).sum()))
        could = rules.apply((approximate + errors * np.linalg.norm(hidden))[None], first=place == 0)[0]
        could[np.argsort(approximate)[-CANDIDATES:]] = -np.inf
        provable += bool(could.max() < scores[token])
        fed = [token]
    return ranks, provable


TABLES: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = {}


def _tables(path: Path) -> None:
    """The vocabulary, the same from its codes, what makes hidden states of scores, and each row's error."""
    import onnx

    graph = onnx.load(path).graph
    stored = next(tensor for tensor in graph.initializer if tensor.name == "decoder.embed_tokens.weight")
    table = onnx.numpy_helper.to_array(stored).astype(np.float32)
    differing, spread = apart(table)
    codes, scales = codes_of(differing, BLOCK)
    whole = np.stack([codes & 15, codes >> 4], axis=-1).reshape(*scales.shape, BLOCK).astype(np.float32) - (
        1 << (BITS - 1)
    )
    cheap = (whole * scales[..., None]).reshape(table.shape) * spread + table.mean(axis=0)
    TABLES["all"] = table, cheap, np.linalg.inv(table.T @ table), np.linalg.norm(table - cheap, axis=1)
