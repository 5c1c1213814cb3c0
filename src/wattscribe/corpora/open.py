"""What a user names after `--data` → a corpus."""

from __future__ import annotations

from pathlib import Path

from wattscribe.corpora.base import Corpus, spelt_out
from wattscribe.corpora.librispeech import LibriSpeechCorpus, is_librispeech
from wattscribe.corpora.manifest import ManifestCorpus
from wattscribe.errors import InputError

MANIFEST = "manifest.jsonl"
BUNDLED = "bundled"
BUNDLED_DIRECTORY = Path(__file__).parent / "bundled"
LOOKED_FOR = (
    "A corpus is a folder in LibriSpeech's layout (*.trans.txt at or below it), a manifest file (.jsonl or .json), a folder "
    "that holds manifest.jsonl, 'hub:NAME[:CONFIG][:SPLIT]' or 'bundled'"
)


def open_corpus(spec: str) -> Corpus:
    """A LibriSpeech-layout folder, a manifest or a folder holding one, `bundled`, or `hub:NAME[:CONFIG][:SPLIT]`.

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
    if not spec or not path.exists():
        raise InputError("there is no such file or folder", where=repr(spec), fix=LOOKED_FOR)
    if path.is_file():
        if path.suffix.lower() not in (".jsonl", ".json"):
            raise InputError("this file is not a manifest", where=path, fix=LOOKED_FOR)
        return _manifest(path, spec)
    if (path / MANIFEST).is_file():
        return _manifest(path / MANIFEST, spec)
    if is_librispeech(path):
        return LibriSpeechCorpus(path, name=spec)
    raise InputError("this folder holds no speech that can be read", where=path, fix=LOOKED_FOR)


def _manifest(path: Path, spec: str) -> ManifestCorpus:
    with path.open("rb") as lines:
        if not any(line.strip() for line in lines):
            raise InputError("the manifest is empty", where=path, fix="Write one JSON object per line")
    return ManifestCorpus(path, name=spec)
