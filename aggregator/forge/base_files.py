"""The forge's base module as files, for hospitals that reach nothing but the forge."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from medforge.errors import ForgeUnavailable, MedForgeError
from medforge.files import sha256_file
from medforge.proto.errors import NotFound

_DIRECTORY = "base"


class BaseFile(NamedTuple):
    """Name a file of the base module, with its SHA-256 and its size in bytes."""

    name: str
    digest: str
    size: int


class BaseFiles:
    """Keep a copy of a forge's base module, as `medforge base fetch` writes it. Safe for several threads.

    It is made when the first hospital asks for it: from then on the forge's disk holds the weights once more.
    """

    def __init__(self, forge: Path, spec: str) -> None:
        self._directory = forge / _DIRECTORY
        self._spec = spec
        self._lock = threading.Lock()
        self._files: tuple[BaseFile, ...] | None = None

    def files(self) -> tuple[BaseFile, ...]:
        """Return the files by name; none where the base module is inside MedForge.

        Raises ForgeUnavailable where the copy cannot be made.
        """
        with self._lock:
            if self._files is None:
                self._files = self._copied()
            return self._files

    def find(self, digest: str) -> BaseFile:
        """Return the file of a digest; raises NotFound where the base module has no such file."""
        found = next((one for one in self.files() if one.digest == digest), None)
        if found is None:
            raise NotFound(f"the base module has no file {digest[:12]}; ask for its files again")
        return found

    def chunks(self, file: BaseFile, offset: int, size: int) -> Iterator[bytes]:
        """Read a file from a byte on, in pieces of at most ``size`` bytes."""
        with (self._directory / file.name).open("rb") as opened:
            opened.seek(offset)
            while data := opened.read(size):
                yield data

    def _copied(self) -> tuple[BaseFile, ...]:
        from medforge.bases.fetching import fetch_base
        from medforge.bases.spec import Embedded, parse_spec

        if isinstance(parse_spec(self._spec), Embedded):
            return ()
        try:
            if not self._directory.exists():
                fetch_base(self._spec, self._directory)
            paths = sorted(path for path in self._directory.iterdir() if path.is_file())
            return tuple(BaseFile(path.name, sha256_file(path), path.stat().st_size) for path in paths)
        except (MedForgeError, OSError) as error:
            raise ForgeUnavailable(
                f"this forge cannot hand out its base module just now ({error}); tell whoever runs it"
            ) from error
