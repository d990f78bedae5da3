"""The files that a table's cells mean: paths, names or bare identifiers, as other machines wrote them."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PureWindowsPath

from medforge.client.data.pixels.files import walk

Parts = tuple[str, ...]
"""The folders and the name of a path, in Unicode's composed form."""


class NamedFiles:
    """Find the files below `root` that texts mean; only those with one of `suffixes`, if any are given, are looked for.

    A text is a path from `root` (or an absolute one), with slashes either way. What is not there as it is written is
    looked for among all files: one whose path ends in the text, or is the end of it, with the ending left out or the
    letters in another case if need be. A text that could mean several files means none.
    """

    def __init__(self, root: Path, suffixes: Iterable[str] = ()) -> None:
        self.root = root
        self.suffixes = frozenset(suffix.casefold() for suffix in suffixes)
        self._by_name: dict[str, list[tuple[Parts, Path]]] | None = None

    def find(self, text: str) -> list[Path]:
        """Return the file that is meant; several where the text does not say which, none where there is none."""
        for spelling in dict.fromkeys((text, text.replace("\\", "/"))):
            # a name may be longer than any file system allows, or hold a zero
            try:
                if (path := self.root / spelling).is_file():
                    return [path]
            except (OSError, ValueError):
                continue
        asked = parts_of(text)
        if not asked:
            return []
        near = self._index.get(asked[-1].casefold(), [])
        for exact in (same_end, _same_end_but_suffix):
            found = [(parts, path) for parts, path in near if exact(parts, asked)]
            found = found or [(parts, path) for parts, path in near if exact(_folded(parts), _folded(asked))]
            if found:
                return [path for _, path in found]
        return []

    @property
    def _index(self) -> dict[str, list[tuple[Parts, Path]]]:
        """Return the files by name and by name without its ending, in one case."""
        if self._by_name is None:
            self._by_name = defaultdict(list)
            for path in walk(self.root):
                if self.suffixes and path.suffix.casefold() not in self.suffixes:
                    continue
                parts = parts_of(path.relative_to(self.root).as_posix())
                for name in {parts[-1].casefold(), _bare(parts[-1]).casefold()}:
                    self._by_name[name].append((parts, path))
        return self._by_name


def parts_of(text: str) -> Parts:
    """Return the parts of a path written on any system, without a drive, dots and leading slashes."""
    path = PureWindowsPath(unicodedata.normalize("NFC", text))
    return tuple(part for part in path.parts if part not in (".", path.anchor))


def _bare(name: str) -> str:
    """Return a name without its ending; a packed file has two."""
    return Path(name).stem.removesuffix(".nii")


def _folded(parts: Parts) -> Parts:
    return tuple(part.casefold() for part in parts)


def same_end(file: Parts, asked: Parts) -> bool:
    """Say whether one path is the other, or its end."""
    shared = min(len(file), len(asked))
    return file[-shared:] == asked[-shared:]


def _same_end_but_suffix(file: Parts, asked: Parts) -> bool:
    return same_end((*file[:-1], _bare(file[-1])), asked)
