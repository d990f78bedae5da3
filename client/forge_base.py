"""A forge's base module, fetched from the forge itself: a hospital then needs no other connection."""

from __future__ import annotations

import shutil
from pathlib import Path

from medforge.bases.fetching import WEIGHTS_FILE
from medforge.bases.spec import CONFIG_FILE
from medforge.bases.text_tower import CONFIG_FILE as TEXT_CONFIG
from medforge.bases.text_tower import TOKENIZER_FILES
from medforge.errors import CorruptFile, InvalidInput, printable
from medforge.files import check_new, sha256_file, sync_directory
from medforge.progress import Progress
from medforge.proto import forge_pb2 as pb
from medforge.proto.connection import Connection
from medforge.proto.remote import RemoteForge

_KNOWN = frozenset({WEIGHTS_FILE, CONFIG_FILE, TEXT_CONFIG, *TOKENIZER_FILES})
_MEGABYTE = 1 << 20


def fetch_from_forge(connection: Connection, out: Path) -> tuple[str, str]:
    """Write the forge's base module into a new or empty directory, and return its spec and fingerprint.

    Where it is inside MedForge nothing is written. What was received before goes on from where it stopped: it lies in
    ``OUT.part`` beside it. Raises InvalidInput where the disk has no room, CorruptFile where what came is not the
    forge's base.
    """
    from medforge.base import load_base

    check_new(out)
    aside = out.with_name(f"{out.name}.part")
    with RemoteForge(connection) as forge:
        told = forge.describe()
        files = forge.base_files()
        if not files:
            return told.base_spec, told.base
        _check(files)
        aside.mkdir(parents=True, exist_ok=True)
        _check_room(files, aside)
        for file in sorted(files.values(), key=lambda one: one.size):
            _receive(forge, file, aside / file.name)
    fingerprint = load_base(f"hf-local:{aside}", "cpu").fingerprint
    if fingerprint != told.base:
        shutil.rmtree(aside)
        raise CorruptFile(
            f"what came from {connection.address} is base module {fingerprint[:12]}, not the forge's {told.base[:12]}; "
            "tell whoever runs the forge"
        )
    out.rmdir() if out.exists() else None
    aside.replace(out)
    sync_directory(out.parent)
    return told.base_spec, fingerprint


def _check(files: dict[str, pb.BaseFile]) -> None:
    strange = sorted(set(files) - _KNOWN)
    if strange:
        raise InvalidInput(
            f"the forge's base module has a file {printable(strange[0])!r}, which this version does not know; install "
            "the forge's version of medforge"
        )


def _check_room(files: dict[str, pb.BaseFile], aside: Path) -> None:
    here = sum(path.stat().st_size for path in aside.iterdir())
    needed, free = sum(one.size for one in files.values()) - here, shutil.disk_usage(aside).free
    if needed > free:
        raise InvalidInput(
            f"the base module needs {needed / 1e6:.0f} MB more, {free / 1e6:.0f} are free at {aside.parent}; free "
            "some, or choose another place"
        )


def _receive(forge: RemoteForge, file: pb.BaseFile, path: Path) -> None:
    start = path.stat().st_size if path.exists() else 0
    if start > file.size:
        path.unlink()
        start = 0
    with path.open("ab") as sink, Progress(file.name, file.size // _MEGABYTE, start=start // _MEGABYTE) as bar:
        written = start
        for data in forge.base_file(file, start) if start < file.size else ():
            sink.write(data)
            bar.advance((written + len(data)) // _MEGABYTE - written // _MEGABYTE)
            written += len(data)
    if sha256_file(path) != file.digest:
        path.unlink()
        raise CorruptFile(f"{file.name} came altered from {forge.at}, or is another one's; run the same command again")
