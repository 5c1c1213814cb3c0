"""`librispeech:test-clean` → a folder that `open_corpus` reads: downloaded, checked, unpacked in one move."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from types import MappingProxyType

from wattscribe.corpora.download import Progress, fetch
from wattscribe.corpora.unpack import unpack
from wattscribe.errors import InputError

BASE_URL = "https://www.openslr.org/resources/12"
"""OpenSLR's page for LibriSpeech (SLR12). Its mirrors: us.openslr.org, openslr.elda.org, openslr.magicdatatech.com."""

MD5 = MappingProxyType(
    {
        "dev-clean": "42e2234ba48799c1f50f24a7926300a1",
        "dev-other": "c8d0bcc9cca99d4f8b62fcc847357931",
        "test-clean": "32fa31d27d2e1cad72775fee3f4849a9",
        "test-other": "fb5a50374b501bb3bac4815ee91d3135",
    }
)
"""From https://www.openslr.org/resources/12/md5sum.txt, as published with the corpus (Panayotov et al., ICASSP 2015)."""

RELEASE = "LibriSpeech"
"""The folder at the top of every LibriSpeech archive."""


def get(
    spec: str,
    out: Path,
    *,
    mirror: str = BASE_URL,
    md5: str | None = None,
    keep_archive: bool = False,
    progress: Progress = lambda held, total: None,
) -> Path:
    """Fetch `librispeech:SET` into `out/LibriSpeech/SET` and return that folder; nothing is done when it is there already.

    `mirror` is the address of the folder that holds `SET.tar.gz`; `md5` replaces the published checksum (for a set of one's
    own in this layout). The folder appears only complete: an interrupted run leaves a `.part` file that the next one resumes.
    """
    name = _set_name(spec)
    expected = md5 or MD5[name]
    target = out / RELEASE / name
    if target.is_dir():
        return target
    for place in (target.parent, target):
        if place.exists() and not place.is_dir():
            raise InputError("this is a file, and a folder is needed", where=place, fix="Choose another `out`")
    archive = fetch(f"{mirror.rstrip('/')}/{name}.tar.gz", out / f"{name}.tar.gz", md5=expected, progress=progress)
    _place(archive, target)
    if not keep_archive:
        archive.unlink()
    return target


def _set_name(spec: str) -> str:
    corpus, _, name = spec.partition(":")
    if corpus != "librispeech" or name not in MD5:
        on_offer = ", ".join(f"librispeech:{each}" for each in MD5)
        raise InputError("there is no such set to download", where=repr(spec), fix=f"One of: {on_offer}")
    return name


def _place(archive: Path, target: Path) -> None:
    """Unpack beside the target, then move the set into place with one rename; the release's notes follow."""
    staging = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=archive.parent))
    try:
        unpack(archive, staging)
        unpacked = staging / RELEASE / target.name
        if not unpacked.is_dir():
            raise InputError(
                f"the archive holds no {RELEASE}/{target.name}", where=archive, fix="Name another `mirror`"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        for note in sorted((staging / RELEASE).glob("*.TXT")):
            note.replace(target.parent / note.name)
        unpacked.rename(target)
    finally:
        shutil.rmtree(staging)
