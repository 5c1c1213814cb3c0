"""What a user names after `--data` → a corpus."""

from __future__ import annotations

from pathlib import Path

from wattscribe import as_file
from wattscribe.corpora import kaldi, lhotse, stm, tsv
from wattscribe.corpora.base import Corpus, spelt_out
from wattscribe.corpora.librispeech import LibriSpeechCorpus, is_librispeech
from wattscribe.corpora.listed import ListedCorpus, text_lines
from wattscribe.corpora.manifest import ManifestCorpus
from wattscribe.errors import InputError

MANIFEST = "manifest.jsonl"
BUNDLED = "bundled"
BUNDLED_DIRECTORY = Path(__file__).parent / "bundled"
LOOKED_FOR = (
    "A corpus is a folder in LibriSpeech's layout (*.trans.txt at or below it), a Kaldi data folder (wav.scp and text), a "
    "manifest (.jsonl or .json, or a folder that holds manifest.jsonl), lhotse's cuts or supervisions (.jsonl, .jsonl.gz), a "
    "list of Common Voice or FLEURS (.tsv), segment time marks (.stm), 'hub:NAME[:CONFIG][:SPLIT]' or 'bundled'"
)


def open_corpus(spec: str) -> Corpus:
    """What `LOOKED_FOR` names: a list or folder of one of these kinds, `bundled`, or `hub:NAME[:CONFIG][:SPLIT]`.

    Raises InputError, which says what was looked for, when the spec is none of these.
    """
    if spelt_out(spec) != spec:
        raise InputError("this name is not UTF-8", where=repr(spec), fix="Rename it, or name a link to it")
    if spec == BUNDLED:
        return ManifestCorpus(BUNDLED_DIRECTORY / MANIFEST, name=BUNDLED)
    if spec.startswith("hub:"):
        from wattscribe.corpora.hub import open_hub

        return open_hub(spec)
    path = Path(spec).expanduser()
    try:
        if not spec or not path.exists():
            raise InputError("there is no such file or folder", where=repr(spec), fix=LOOKED_FOR)
        if not path.is_dir():
            return _of_file(as_file.check(path), spec)
        next(path.iterdir(), None)  # a folder that may not be listed looks like an empty one to what follows
        return _of_folder(path, spec)
    except OSError as error:
        fix = "Give a file or folder that can be read, with every folder above it"
        raise InputError(f"cannot be read ({error.strerror})", where=error.filename or path, fix=fix) from error


def _of_file(path: Path, spec: str) -> Corpus:
    """A list of any kind; a list in JSON is recognised by its keys, the others by their suffix."""
    suffix = path.suffix.lower()
    if suffix == tsv.SUFFIX:
        return ListedCorpus(lambda: tsv.tsv_lines(path), name=spec)
    if suffix == stm.SUFFIX:
        return ListedCorpus(lambda: stm.stm_lines([path]), name=spec)
    if not path.name.lower().endswith(lhotse.SUFFIXES):
        raise InputError("this file is not a list of speech", where=path, fix=LOOKED_FOR)
    if not any(line for line in text_lines(path)):
        raise InputError("the manifest is empty", where=path, fix="Write one JSON object per line")
    if lhotse.lhotse_kind(path) is not None:
        return ListedCorpus(lambda: lhotse.lhotse_lines(path), name=spec)
    return ManifestCorpus(path, name=spec)


def _of_folder(path: Path, spec: str) -> Corpus:
    """The first that the folder is, from the most particular layout to the least: docs/corpora.md has them in this order."""
    if (path / MANIFEST).is_file():
        return _of_file(path / MANIFEST, spec)
    if kaldi.is_kaldi(path):
        return ListedCorpus(lambda: kaldi.kaldi_lines(path), name=spec)
    if is_librispeech(path):
        return LibriSpeechCorpus(path, name=spec)
    lists = lhotse.lhotse_lists(path) or [file for file in sorted(path.glob(f"*{tsv.SUFFIX}")) if tsv.is_tsv(file)]
    if len(lists) > 1:
        names = ", ".join(file.name for file in lists)
        raise InputError(f"this folder holds {len(lists)} lists: {names}", where=path, fix="Name one of them")
    if lists:
        return _of_file(lists[0], spec)
    marks = stm.stm_files(path)
    if marks:
        return ListedCorpus(lambda: stm.stm_lines(marks), name=spec)
    raise InputError("this folder holds no speech that can be read", where=path, fix=LOOKED_FOR)
