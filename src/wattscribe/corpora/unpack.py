"""An archive from elsewhere → files below one folder, and nothing else: no links, devices, ways out or floods."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from wattscribe.errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an archive may hold. LibriSpeech's dev and test sets: under 0.4 GB, 3,000 files, 1 MB a file."""

    members: int = 50_000
    file_bytes: int = 256 << 20
    total_bytes: int = 4 << 30


def unpack(archive: Path, folder: Path, *, limits: Limits | None = None) -> list[Path]:
    """Extract regular files of a .tar.gz or .tar.bz2 into an empty `folder`; returns them. Modes, owners and times are left out.

    Raises InputError at the first member that is absolute, climbs out, is neither file nor directory, occurs twice, or
    passes a limit; also when the archive is damaged. The caller removes what was written by then.
    """
    limits = limits or Limits()
    written: list[Path] = []
    total = 0
    try:
        with tarfile.open(archive, "r:bz2" if archive.name.endswith(".bz2") else "r:gz") as tar:
            for count, member in enumerate(tar, start=1):
                total += member.size
                _check(member, count, total, limits, archive)
                path = folder / _safe_name(member, archive)
                if member.isdir():
                    path.mkdir(parents=True, exist_ok=True)
                    continue
                _write(tar, member, path, archive)
                written.append(path)
    except (tarfile.TarError, zlib.error, EOFError, FileExistsError, NotADirectoryError) as error:
        raise _damaged(archive, error) from error
    except OSError as error:
        if error.errno is not None:  # a full disk; bz2's own errors have no number
            raise
        raise _damaged(archive, error) from error
    return written


def unpack_zip(archive: Path, folder: Path, *, names: Sequence[str], limits: Limits | None = None) -> list[Path]:
    """Extract the files of these names, whatever folder of a .zip they are in, into `folder`, which is made; returns them.

    Raises InputError where one is missing, occurs twice or passes the limit of a file, and when the archive is damaged.
    """
    limits = limits or Limits()
    written = []
    try:
        with zipfile.ZipFile(archive) as held:
            for name in names:
                members = [member for member in held.infolist() if PurePosixPath(member.filename).name == name]
                if len(members) != 1 or members[0].file_size > limits.file_bytes:
                    raise InputError(
                        f"refused to unpack: {len(members)} files are called {name}, or it is too large",
                        where=archive,
                        fix="Download it from another source",
                    )
                folder.mkdir(parents=True, exist_ok=True)
                with held.open(members[0]) as source, (folder / name).open("xb") as out:
                    shutil.copyfileobj(source, out)
                written.append(folder / name)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise _damaged(archive, error) from error
    return written


def _damaged(archive: Path, error: Exception) -> InputError:
    return InputError(f"the archive is damaged ({error})", where=archive, fix="Delete it and download it again")


def _check(member: tarfile.TarInfo, count: int, total: int, limits: Limits, archive: Path) -> None:
    reason = None
    if not (member.isfile() or member.isdir()):
        reason = "is a link or a device"
    elif member.size > limits.file_bytes or member.size < 0:
        reason = f"would take {member.size} bytes"
    elif total > limits.total_bytes:
        reason = f"would bring the total to {total} bytes"
    elif count > limits.members:
        reason = f"is one of more than {limits.members}"
    if reason is not None:
        _refuse(member, reason, archive)


def _safe_name(member: tarfile.TarInfo, archive: Path) -> PurePosixPath:
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or "\\" in member.name or "\0" in member.name:
        _refuse(member, "would be written outside the target folder", archive)
    return name


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path, archive: Path) -> None:
    source = tar.extractfile(member)
    if source is None:
        _refuse(member, "holds no data", archive)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with source, path.open("xb") as out:
        shutil.copyfileobj(source, out)
    if path.stat().st_size != member.size:
        _refuse(member, f"holds {path.stat().st_size} of {member.size} bytes", archive)


def _refuse(member: tarfile.TarInfo, reason: str, archive: Path) -> None:
    raise InputError(
        f"refused to unpack: {member.name!r} {reason}", where=archive, fix="Download it from another source"
    )
