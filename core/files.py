"""Digests and durable writes, for the writer's eyes unless said otherwise."""

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from typing import Any, TextIO

from medforge.errors import InvalidInput
from medforge.faults import reached

AnyPath = str | os.PathLike[str]
"""A path as users write it."""

SHORTEST_PREFIX = 8
"""The fewest letters of a digest that may stand for it."""

PRIVATE, SHARED = 0o600, 0o666
"""Permissions of a file that its owner alone reads, and of one that is handed on; less what the umask takes away."""
_OTHERS = 0o077


def sha256_bytes(data: bytes) -> str:
    """Digest bytes; 64 lower-case hex characters."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Digest a file without reading it into memory at once."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def canonical_json(value: object) -> bytes:
    """Encode a value as JSON with one possible spelling: sorted keys, no spaces, UTF-8, no NaN.

    Raises InvalidInput for a text of somebody's that UTF-8 cannot hold, as a name in another encoding is.
    """
    try:
        return _canonical_json(value)
    except UnicodeEncodeError as error:
        odd = error.object[max(error.start - 40, 0) : error.end + 40]
        raise InvalidInput(f"the text '{odd}' is not UTF-8; rename the file or folder that it comes from") from error


def _canonical_json(value: object) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def path_text(path: AnyPath) -> str:
    """Return a path as text that any file can hold: bytes that are not UTF-8 become escapes, all else stays."""
    return os.fspath(path).encode("utf-8", "backslashreplace").decode()


def parse_json(data: str | bytes, longest: int = 1 << 22) -> Any:
    """Decode JSON that somebody else wrote.

    Raises ValueError for what is not JSON, and for what `canonical_json` could not write again: a number that is not
    finite, half a surrogate pair, a name that comes twice in an object, a text that is nested too deeply, or one longer
    than ``longest`` (decoded values take many times the space of their text).
    """
    if len(data) > longest:
        raise ValueError(f"it is longer than {longest} characters")
    try:
        value = json.loads(data, object_pairs_hook=_distinct)
        _canonical_json(value)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return value


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name comes twice in one object")
    return value


def digest_of_files(files: Mapping[str, bytes]) -> str:
    """Digest a set of named files, independent of their order."""
    return sha256_bytes(canonical_json({name: sha256_bytes(data) for name, data in files.items()}))


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_private(directory: Path) -> None:
    """Make a directory, and those above it that are missing, for its owner alone; one that is there stays as it is."""
    if directory.is_dir():
        return
    make_private(directory.parent)
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        # another thread may have been quicker, or a file is in the way
        if not directory.is_dir():
            raise


def open_private(path: AnyPath, flags: int) -> int:
    """Open a file, a new one for its owner alone: what `open` takes as an ``opener``."""
    return os.open(path, flags, PRIVATE)


def open_to_others(directory: Path) -> Iterator[Path]:
    """Yield what below a directory, and whether it, can be read or written by others than its owner, links aside."""
    for path in (directory, *directory.rglob("*")):
        try:
            found = path.lstat().st_mode
        except FileNotFoundError:
            # somebody works here meanwhile
            continue
        if not stat.S_ISLNK(found) and found & _OTHERS:
            yield path


def write_atomically(path: Path, data: bytes, mode: int = PRIVATE, lasting: bool = True) -> None:
    """Write a file so that after a crash it holds either its old content or ``data``, whole and durable.

    ``mode`` are its permissions, less what the process's umask takes away: its owner's alone, unless it is to be
    handed on. A file that was there before does not keep its own. What is not ``lasting`` waits for no disk, and may be
    lost or damaged where the machine itself crashes: for caches whose readers tell.
    """
    if mode == PRIVATE:
        make_private(path.parent)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(data)
        file.flush()
        if lasting:
            os.fsync(file.fileno())
    reached("before a file")
    temporary.replace(path)
    if lasting:
        sync_directory(path.parent)


@contextmanager
def written_whole(path: Path) -> Iterator[TextIO]:
    """Open a text file (UTF-8) to be written bit by bit; it takes its place when all is written, and not if that fails.

    Raises InvalidInput where nothing can be written there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        file = open(temporary, "w", encoding="utf-8", newline="", opener=open_private)  # noqa: SIM115
    except OSError as error:
        raise InvalidInput(f"cannot write {path}: {error.strerror or error}; choose another place") from error
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def write_files(directory: AnyPath, files: Mapping[str, bytes], mode: int = PRIVATE, lasting: bool = True) -> None:
    """Write named files (relative paths) below a directory, each as `write_atomically` does."""
    for name, data in sorted(files.items()):
        write_atomically(Path(directory) / name, data, mode, lasting)


def read_file(path: Path, what: str) -> bytes:
    """Read a whole file.

    Raises InvalidInput, naming ``what`` and the path, where it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"cannot read {what} at {path}: {error.strerror or error}; check the path") from error


def check_results(results: Iterable[Path | None], read: Iterable[Path] = ()) -> None:
    """Raise InvalidInput where writing results would destroy something, or cannot go well, before they are computed.

    Results take the place of earlier ones: no directory, link, device or pipe, nothing that is ``read``, and no two in
    one file.
    """
    sources = {path.absolute() for path in read}
    for path in (one.absolute() for one in results if one is not None):
        if path.name == "-":
            raise InvalidInput("results are not written to standard output as '-'; name a file, or use --json")
        if path in sources:
            raise InvalidInput(f"{path} would be replaced, which is read or is another result; name another file")
        sources.add(path)
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise InvalidInput(f"{path} cannot be written: it is a folder, a link or a device; name a file")
        if not path.parent.is_dir():
            raise InvalidInput(f"{path} cannot be written: there is no folder {path.parent}; make it first")
        if not os.access(path.parent, os.W_OK):
            raise InvalidInput(f"{path} cannot be written: its folder is not yours to write; name another place")


def check_new(directory: Path) -> None:
    """Raise InvalidInput unless a directory is empty or not there."""
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise InvalidInput(f"{directory} is not an empty directory; give a new one with --out")


@contextmanager
def new_directory(out: Path) -> Iterator[Path]:
    """Lend a directory beside ``out`` that takes its place once all went well; raises InvalidInput where it has one."""
    check_new(out)
    aside = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        aside.mkdir(parents=True)
    except OSError as error:
        raise InvalidInput(f"cannot write {out}: {error.strerror or error}; choose another place") from error
    try:
        yield aside
        aside.replace(out)
        sync_directory(out.parent)
    finally:
        rmtree(aside, ignore_errors=True)
