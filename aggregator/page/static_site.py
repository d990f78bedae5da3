"""The pages as files: a directory that can be opened from a disk, or put on any web server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from medforge.aggregator.page.site import Site
from medforge.errors import InvalidInput
from medforge.files import read_file

MARK_FILE = "medforge-page.json"


class _Mark(BaseModel):
    """Say which forge a directory shows, and which of its files were written by us."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = 1
    forge: str
    files: tuple[str, ...] = ()


def check_directory(directory: Path, forge: str) -> None:
    """Raise InvalidInput unless pages of a forge (a UUID) may be written here: it is new, empty, or has them."""
    _read_mark(directory, forge)


def write_site(site: Site, directory: Path, written: Callable[[], None] = lambda: None) -> tuple[int, int]:
    """Write a site, one page in memory at a time; return how many files it has, and how many changed.

    A file that is the same already is left alone, one that no page belongs to any more is deleted; what else lies in
    the directory stays. ``written`` is called after each file. Raises as `check_directory` does.
    """
    before = _read_mark(directory, site.view.id)
    paths = list(site.paths())
    directory.mkdir(parents=True, exist_ok=True)
    # before the pages, so that one that was interrupted is taken up again
    _write_mark(directory, _Mark(forge=site.view.id, files=tuple(sorted({*before.files, *paths}))))
    changed = 0
    for path in paths:
        data = site.read(path)
        assert data is not None, path
        changed += _write(directory / path, data)
        written()
    for path in {*before.files} - {*paths}:
        _delete(directory, path)
    _write_mark(directory, _Mark(forge=site.view.id, files=tuple(sorted(paths))))
    return len(paths), changed


def _read_mark(directory: Path, forge: str) -> _Mark:
    path = directory / MARK_FILE
    if not path.exists():
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise InvalidInput(
                f"{directory} is not empty and holds no pages of a forge; give a new directory with --out"
            )
        return _Mark(forge=forge)
    try:
        mark = _Mark.model_validate_json(read_file(path, "the list of pages"))
    except ValidationError as error:
        raise InvalidInput(f"{path} is no list of pages; give a new directory with --out") from error
    if mark.forge != forge:
        raise InvalidInput(f"{directory} shows the forge {mark.forge[:80]}; give a new directory with --out")
    return mark


def _write_mark(directory: Path, mark: _Mark) -> None:
    _write(directory / MARK_FILE, mark.model_dump_json(indent=1).encode())


def _write(path: Path, data: bytes) -> bool:
    """Replace a file unless it holds these bytes; a reader sees the old ones or the new ones, whole."""
    # not durably: pages are made again in a moment, and two syncs for each of thousands take minutes
    if path.is_file() and path.read_bytes() == data:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(data)
    temporary.replace(path)
    return True


def _delete(directory: Path, path: str) -> None:
    target = directory / path
    if target.resolve().is_relative_to(directory.resolve()):
        target.unlink(missing_ok=True)
