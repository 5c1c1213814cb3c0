"""A tiny random model in Kaldi's own binary files, as Vosk opens them: one affine layer, and a graph of letters in any order."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LETTERS = "abcdefghijklmnopqrstuvwxyz"
CEPSTRA = 40
_OPENFST = 2125659606
"""First word of every OpenFst file."""


def _int(value: int) -> bytes:
    return b"\x04" + struct.pack("<i", value)


def _float(value: float) -> bytes:
    return b"\x04" + struct.pack("<f", value)


def _ints(values: list[int]) -> bytes:
    return b"\x04" + struct.pack(f"<{len(values) + 1}i", len(values), *values)


def _vector(values: NDArray[np.float32]) -> bytes:
    return b"FV " + _int(len(values)) + values.astype("<f4").tobytes()


def _matrix(values: NDArray[np.float32]) -> bytes:
    return b"FM " + _int(values.shape[0]) + _int(values.shape[1]) + values.astype("<f4").tobytes()


def _transitions(phones: int) -> bytes:
    """Every phone has one state with a loop and a way out: transitions 2p - 1 and 2p, density p - 1."""
    topology = (
        b"<Topology> " + _ints(list(range(1, phones + 1))) + _ints([-1, *([0] * phones)]) + _int(1)
        + _int(2) + _int(0) + _int(2) + _int(0) + _float(0.5) + _int(1) + _float(0.5) + _int(-1) + _int(0)
        + b"</Topology> "
    )  # fmt: skip
    triples = b"<Triples> " + _int(phones) + b"".join(_int(p) + _int(0) + _int(p - 1) for p in range(1, phones + 1))
    scores = np.array([0.0, *([np.log(0.5)] * (2 * phones))], np.float32)
    return (
        b"<TransitionModel> " + topology + triples + b"</Triples> <LogProbs> " + _vector(scores) + b"</LogProbs> "
        b"</TransitionModel> "
    )


def _network(phones: int) -> bytes:
    draw = np.random.default_rng(5)
    weights = draw.normal(0, 0.05, (phones, CEPSTRA)).astype(np.float32)
    weights[:, 0] = 0  # loudness would choose one letter for all
    return (
        b"<Nnet3> \ninput-node name=input dim=40\ncomponent-node name=affine component=affine input=input\n"
        b"output-node name=output input=affine objective=linear\n\n<NumComponents> "
        + _int(1) + b"<ComponentName> affine <FixedAffineComponent> <LinearParams> " + _matrix(weights)
        + b"<BiasParams> " + _vector(np.zeros(phones, np.float32)) + b"</FixedAffineComponent> </Nnet3> "
        b"<LeftContext> " + _int(0) + b"<RightContext> " + _int(0) + b"<Priors> " + _vector(np.zeros(0, np.float32))
    )  # fmt: skip


def _graph(phones: int) -> bytes:
    """State 0, and one for each letter: in with the word, around in its loop, and back."""
    arcs = [[(2 * p, p, 1.0, p) for p in range(1, phones + 1)]]
    arcs += [[(2 * p - 1, 0, 0.1, p), (0, 0, 2.0, 0)] for p in range(1, phones + 1)]
    header = struct.pack("<i", _OPENFST)
    for text in (b"vector", b"standard"):
        header += struct.pack("<i", len(text)) + text
    header += struct.pack("<iiQqqq", 2, 0, 3, 0, len(arcs), sum(map(len, arcs)))
    body = b""
    for leaving in arcs:
        body += struct.pack("<fq", 0.0, len(leaving))
        body += b"".join(struct.pack("<iifi", *arc) for arc in leaving)
    return header + body


def vosk_model(directory: Path) -> None:
    for name in ("am", "graph", "conf"):
        (directory / name).mkdir()
    phones = len(LETTERS)
    (directory / "am/final.mdl").write_bytes(b"\0B" + _transitions(phones) + _network(phones))
    (directory / "graph/HCLG.fst").write_bytes(_graph(phones))
    (directory / "graph/words.txt").write_text("<eps> 0\n" + "".join(f"{w} {i}\n" for i, w in enumerate(LETTERS, 1)))
    (directory / "conf/mfcc.conf").write_text(
        "--use-energy=false\n--num-mel-bins=40\n--num-ceps=40\n--low-freq=20\n--high-freq=-400\n"
    )
    (directory / "conf/model.conf").write_text(
        "--min-active=200\n--max-active=3000\n--beam=10.0\n--lattice-beam=2.0\n--acoustic-scale=1.0\n"
        "--frame-subsampling-factor=3\n--endpoint.silence-phones=1:2\n"
    )
