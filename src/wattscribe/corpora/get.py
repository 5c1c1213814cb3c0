"""A name on offer (`noise:kitchen`) → a folder: downloaded, checked, unpacked in one move."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from wattscribe.corpora.download import Progress, fetch
from wattscribe.corpora.unpack import unpack, unpack_zip
from wattscribe.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One archive, and what becomes of it."""

    address: str
    """The folder on the server that holds the archive; a mirror replaces it."""
    file: str
    checksum: str
    """As its publisher states it: MD5 or SHA-256, told apart by its length."""
    folder: str
    """Below the user's folder."""
    inside: str = ""
    """The folder in the archive that becomes `folder`; empty: the files that `only` names."""
    only: tuple[str, ...] = ()
    """Names of files to take, without their folders."""


def _librispeech(name: str, md5: str) -> Offer:
    """OpenSLR's SLR12 (Panayotov et al., ICASSP 2015). Mirrors: us.openslr.org, openslr.elda.org, openslr.magicdatatech.com."""
    inside = f"{RELEASE}/{name}"
    return Offer(
        address="https://www.openslr.org/resources/12",
        file=f"{name}.tar.gz",
        checksum=md5,
        folder=inside,
        inside=inside,
    )


def _demand(name: str, environment: str, md5: str) -> Offer:
    """DEMAND (Thiemann, Ito, Vincent 2013; CC BY-SA 3.0): 5 minutes at 16 kHz from 16 microphones, of which the first is kept."""
    return Offer(
        address="https://zenodo.org/records/1227121/files",
        file=f"{environment}_16k.zip",
        checksum=md5,
        folder=f"noise/{name}",
        only=("ch01.wav",),
    )


RELEASE = "LibriSpeech"
"""The folder at the top of every LibriSpeech archive."""

OFFERS: Mapping[str, Offer] = MappingProxyType(
    {
        # From https://www.openslr.org/resources/12/md5sum.txt
        "librispeech:dev-clean": _librispeech("dev-clean", "42e2234ba48799c1f50f24a7926300a1"),
        "librispeech:dev-other": _librispeech("dev-other", "c8d0bcc9cca99d4f8b62fcc847357931"),
        "librispeech:test-clean": _librispeech("test-clean", "32fa31d27d2e1cad72775fee3f4849a9"),
        "librispeech:test-other": _librispeech("test-other", "fb5a50374b501bb3bac4815ee91d3135"),
        # As Zenodo states them beside each file of record 1227121
        "noise:kitchen": _demand("kitchen", "DKITCHEN", "7ffbf52d7f4699f96927846103dc8788"),
        "noise:living-room": _demand("living-room", "DLIVING", "46741384d9e434a0bd8b3ec1830b6052"),
        "noise:office": _demand("office", "OOFFICE", "7b61cc2d182d5a654cb9c3101ddd4041"),
        "noise:cafeteria": _demand("cafeteria", "PCAFETER", "99927d148128254141a9417d051510bb"),
        "noise:traffic": _demand("traffic", "STRAFFIC", "2efa87262f272bbf9ba578088e81939c"),
        "noise:car": _demand("car", "TCAR", "4d930012796bd298932245a26189f973"),
        # From checksum.txt of k2-fsa/sherpa-onnx, release kws-models; Apache-2.0
        "model:zipformer-gigaspeech-3.3m": Offer(
            address="https://github.com/k2-fsa/sherpa-onnx/releases/download/kws-models",
            file="sherpa-onnx-kws-zipformer-gigaspeech-3.3M-2024-01-01.tar.bz2",
            checksum="f170013b4716e41b62b9bfd809687c207cef798ef9bc6534d524e17af9b6561a",
            folder="models/zipformer-gigaspeech-3.3m",
            inside="sherpa-onnx-kws-zipformer-gigaspeech-3.3M-2024-01-01",
        ),
    }
)


def get(
    name: str,
    out: Path,
    *,
    mirror: str | None = None,
    checksum: str | None = None,
    keep_archive: bool = False,
    progress: Progress = lambda held, total: None,
) -> Path:
    """Fetch what is on offer under this name into a folder below `out` and return that folder; at once when it is there.

    `mirror` is the address of the folder that holds the archive; `checksum` replaces the published one (for an archive of one's
    own in the same layout). The folder appears only complete: an interrupted run leaves a `.part` file that the next one resumes.
    """
    offer = _offer(name)
    target = out / offer.folder
    if target.is_dir():
        return target
    for place in (target.parent, target):
        if place.exists() and not place.is_dir():
            raise InputError("this is a file, and a folder is needed", where=place, fix="Choose another `out`")
    address = f"{(mirror or offer.address).rstrip('/')}/{offer.file}"
    archive = fetch(address, out / offer.file, checksum=checksum or offer.checksum, progress=progress)
    _place(archive, offer, target)
    if not keep_archive:
        archive.unlink()
    return target


def _offer(name: str) -> Offer:
    if name not in OFFERS:
        raise InputError("there is no such download", where=repr(name), fix=f"One of: {', '.join(OFFERS)}")
    return OFFERS[name]


def _place(archive: Path, offer: Offer, target: Path) -> None:
    """Unpack beside the target, then move it into place with one rename; LibriSpeech's notes follow."""
    staging = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=archive.parent))
    try:
        if offer.only:
            unpack_zip(archive, staging / "only", names=offer.only)
        else:
            unpack(archive, staging)
        unpacked = staging / (offer.inside or "only")
        if not unpacked.is_dir():
            raise InputError(f"the archive holds no {offer.inside}", where=archive, fix="Name another `mirror`")
        target.parent.mkdir(parents=True, exist_ok=True)
        for note in sorted((staging / RELEASE).glob("*.TXT")):
            note.replace(target.parent / note.name)
        unpacked.rename(target)
    finally:
        shutil.rmtree(staging)
