"""Which files of a directory are which part of a recognizer: the one answer for every verb, runtime and count.

`find_model` goes by names, and opens a graph only where the names of an incomplete transducer are those of a whole Whisper.
What it raises is what every verb says of the directory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wattscribe.errors import InputError, ModelError
from wattscribe.graph.read import read_model
from wattscribe.models import locate
from wattscribe.models.names import AUX, MODEL, PRECISIONS, STORED, Named, order_of, read_name

Layout = Literal["transducer", "moonshine", "encoder-decoder", "single"]
"""single: one graph, as of CTC, a voice gate, an enhancer."""

TRANSDUCER = ("encoder", "decoder", "joiner")
MOONSHINE = ("preprocessor", "encoder", "uncached_decoder", "cached_decoder")
"""sherpa-onnx's four graphs; the same model is also written as an encoder and a merged decoder."""
NAMEABLE = (*TRANSDUCER, MODEL)
"""Parts that an option of `sherpa:` may name."""
_MOONSHINE_FILES = ("preprocess", "encode", "uncached_decode", "cached_decode")
CROSS = ("n_layer_cross_k", "n_layer_cross_v")
"""Outputs of a Whisper's encoder in sherpa-onnx's layout: keys and values of cross-attention, all layers in one."""
LOGITS, SCORES = "logits", "scores"
"""The decoder's output; what it is made of in our exports, by a last step that puts out of reach what is never said."""
FIRST_DECODER = "first_decoder"
"""Where optimum wrote two decoders: the one for the first token, without a cache."""

_LOOKED_FOR = (
    "config.json with *.safetensors (hf), CTranslate2's model.bin (ct2), "
    "encoder*.onnx, decoder*.onnx, joiner*.onnx and tokens.txt (onnx or sherpa), encoder and decoder of a Whisper or "
    "Moonshine (onnx), other sherpa-onnx layouts (sherpa)"
)
_COPY = "Copy it from where the model was exported"
_COPY_AGAIN = "Copy it again from where the model was exported"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFiles:
    """One file for each part. `notes` says where the precision that was asked for is not there."""

    directory: Path
    layout: Layout
    parts: Mapping[str, Path]
    notes: tuple[str, ...] = ()

    @property
    def main(self) -> Path:
        """The encoder, or the only graph."""
        return self.parts[MODEL if self.layout == "single" else "encoder"]

    @property
    def is_ort(self) -> bool:
        """Whether the graphs are in onnxruntime's own format."""
        return self.main.suffix == ".ort"

    @property
    def has_tokens(self) -> bool:
        """Whether there is any file *tokens.txt."""
        return bool(self._tokens())

    def _tokens(self) -> list[Path]:
        return [path for folder in {self.directory, self.main.parent} for path in folder.glob("*tokens.txt")]

    def tokens(self) -> Path:
        """tokens.txt, or the only file *tokens.txt. Raises ModelError where there is none, or several."""
        paths = self._tokens()
        plain = [path for path in paths if path.name == "tokens.txt"]
        paths = sorted(plain or paths)
        if len(paths) == 1:
            return paths[0]
        if not paths:
            raise ModelError(
                "tokens.txt is missing",
                where=self.directory,
                fix=f"{_COPY}; `wattscribe profile` counts the model without it",
            )
        raise _several(self.directory, "tokens.txt", paths)


def find_model(
    directory: str | Path, precision: str | None = None, *, named: Mapping[str, str] | None = None
) -> ModelFiles:
    """The parts of `directory`, each in the precision asked for (None: the widest that is stored) or the nearest one.

    `named` gives files by part where the user does. Raises InputError for an unknown precision or no directory, ModelError
    for missing, ambiguous and unusable files.
    """
    precision = precision or STORED
    if precision not in PRECISIONS:
        raise InputError(
            f"there is no precision {precision!r}", where=directory, fix="One of: " + ", ".join(PRECISIONS)
        )
    folder = locate(directory)
    require_directory(folder, directory)
    files = [read_name(path) for path in graphs_of(folder)]
    given = {part: _given(folder, part, name) for part, name in (named or {}).items()}
    layout, wanted = _layout(folder, {file.role for file in files} | set(given), files)
    notes: list[str] = []
    parts = {}
    for part in wanted:
        parts[part] = given.get(part) or _choose(folder, part, _of_part(files, part, layout), precision, notes)
    if layout == "encoder-decoder" and "with_past" in parts["decoder"].name and "decoder" not in given:
        parts.update(_first_decoder(files, parts["decoder"]))
    for path in parts.values():
        _check_file(path)
    if layout == "encoder-decoder":
        _refuse_transducer(folder, parts["encoder"], parts["decoder"])
    return ModelFiles(directory=folder, layout=layout, parts=parts, notes=tuple(notes))


def graphs_of(directory: Path) -> list[Path]:
    """The ONNX files of a directory, or of the folder `onnx` in which transformers.js keeps them; else its .ort files."""
    for folder in (directory, directory / "onnx"):
        for suffix in ("onnx", "ort"):
            paths = [path for path in sorted(folder.glob(f"*.{suffix}")) if not path.name.startswith(".")]
            if any(read_name(path).role != AUX for path in paths):
                return paths
    return sorted(directory.glob("*.onnx")) or sorted(directory.glob("*.ort"))


def require_directory(path: Path, named: object) -> None:
    """Raises InputError where the path that the user named is no directory."""
    if not path.is_dir():
        what = "this is a file, a model directory is needed" if path.exists() else "there is no such directory"
        raise InputError(what, where=named or "(empty)", fix="Give the directory that holds the model's files")


def _no_graphs(directory: Path) -> ModelError:
    """What is said where ONNX was looked for: whose model it is, where it is another's."""
    if (directory / "config.json").is_file() and any(directory.glob("*.safetensors")):
        return ModelError(
            "is a checkpoint of Transformers, and no ONNX", where=directory,
            fix=f"Run it as hf:{directory}; a Whisper is exported by `wattscribe export hf:{directory} -o DIR`",
        )  # fmt: skip
    if (directory / "config.json").is_file() and (directory / "model.bin").is_file():
        return ModelError("is a model of CTranslate2, and no ONNX", where=directory, fix=f"Run it as ct2:{directory}")
    return nothing_in(directory)


def nothing_in(directory: Path) -> ModelError:
    """What is said of a directory that holds no model."""
    return ModelError("no model is recognised here", where=directory, fix=f"Looked for: {_LOOKED_FOR}")


def _layout(folder: Path, roles: set[str], files: Sequence[Named]) -> tuple[Layout, tuple[str, ...]]:
    """The layout that the parts make up, and which of them it takes. Raises ModelError where one is missing."""
    if not files and not roles:
        raise _no_graphs(folder)
    if roles & {"uncached_decoder", "cached_decoder"}:
        missing = [name for part, name in zip(MOONSHINE, _MOONSHINE_FILES, strict=True) if part not in roles]
        if missing:
            raise ModelError(
                f"is Moonshine in sherpa-onnx's layout, but {', '.join(f'{name}*.onnx' for name in missing)} is missing",
                where=folder,
                fix=f"It takes {', '.join(f'{name}.onnx' for name in _MOONSHINE_FILES)}",
            )
        return "moonshine", MOONSHINE
    if "joiner" in roles:
        missing = [part for part in TRANSDUCER if part not in roles]
        if missing:
            raise _missing(folder, missing[0])
        return "transducer", TRANSDUCER
    if "decoder_joint" in roles:
        raise ModelError(
            "its decoder and joiner are one graph, which nothing here runs",
            where=folder,
            fix="Export them apart: sherpa-onnx's scripts/nemo write encoder.onnx, decoder.onnx and joiner.onnx",
        )
    if {"encoder", "decoder"} <= roles:
        return "encoder-decoder", ("encoder", "decoder")
    if "decoder" in roles:
        raise _missing(folder, "encoder")
    return "single", (MODEL,)


def _of_part(files: Sequence[Named], part: str, layout: Layout) -> list[Named]:
    """The files that could be the part: of a single graph any, those that are something else by their names last."""
    if layout != "single":
        return [file for file in files if file.role == part]
    for roles in ((MODEL,), ("encoder",)):
        candidates = [file for file in files if file.role in roles]
        if candidates:
            return candidates
    return list(files)


def _choose(folder: Path, part: str, files: Sequence[Named], precision: str, notes: list[str]) -> Path:
    """The part's file of that precision, else of the nearest one with a note. Raises ModelError where it is not clear."""
    for stored in order_of(precision):
        candidates = _running_decoder([file for file in files if file.precision == stored])
        if not candidates:
            continue
        plainest = min(file.rank for file in candidates)
        candidates = [file for file in candidates if file.rank == plainest]
        if len(candidates) > 1:
            raise _several(folder, part, [file.path for file in candidates])
        if precision not in (STORED, stored):
            notes.append(f"there is no {precision} {part}: {candidates[0].path.name} ({stored}) runs")
        return candidates[0].path
    raise _missing(folder, part)


def _running_decoder(files: Sequence[Named]) -> Sequence[Named]:
    """Of optimum's decoders, the one that runs for every token: with a cache, else the merged one."""
    for mark in ("with_past", "merged"):
        marked = [file for file in files if mark in file.path.name]
        if marked:
            return marked
    return files


def _first_decoder(files: Sequence[Named], later: Path) -> dict[str, Path]:
    """optimum's decoder without a cache that stands beside the one with a cache."""
    first = later.with_name(later.name.replace("with_past_", ""))
    return {FIRST_DECODER: first} if any(file.path == first for file in files) else {}


def _given(folder: Path, part: str, name: str) -> Path:
    if not (folder / name).is_file():
        raise ModelError(f"there is no file {name!r} for option {part}", where=folder)
    return folder / name


def _refuse_transducer(folder: Path, encoder: Path, decoder: Path) -> None:
    """Raises ModelError for a transducer whose joiner is missing: by its names it is an encoder with its decoder.

    icefall's predictor states its context, NeMo's encoder its class; an encoder with states that is no transducer's is
    Paraformer's, which has none (sherpa-onnx keeps them outside of the graph).
    """
    if encoder.suffix == ".ort":
        return
    model = read_model(encoder)
    kind = model.metadata.get("model_type", "")
    if (
        "context_size" in read_model(decoder).metadata
        or (kind.startswith("EncDec") and ("RNNT" in kind or "Transducer" in kind or "TDT" in kind))
        or len(model.graph.inputs) > 2
    ):
        raise _missing(folder, "joiner")


def _missing(folder: Path, part: str) -> ModelError:
    return ModelError(
        f"{part}*.onnx is missing", where=folder, fix="A transducer needs encoder*.onnx, decoder*.onnx, joiner*.onnx"
    )


def _several(folder: Path, part: str, files: Sequence[Path]) -> ModelError:
    names = ", ".join(path.name for path in files)
    named = f"; `sherpa:` also takes ?{part}=FILE" if part in NAMEABLE else ""
    fix = f"Keep one of them in the directory{named}"
    return ModelError(f"{len(files)} files could be the {part}: {names}", where=folder, fix=fix)


def _check_file(path: Path) -> None:
    wrong = None
    if not path.exists():
        wrong = "is a link to nothing"
    elif not path.is_file():
        wrong = "is not a file"
    elif not path.stat().st_size:
        wrong = "is empty"
    if wrong is not None:
        raise ModelError(wrong, where=path, fix=_COPY_AGAIN)
