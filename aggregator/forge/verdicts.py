"""What checks have found: whoever sends the same again is told the same, and nothing is read again."""

from __future__ import annotations

import json
import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from medforge.errors import BaseMismatch, CorruptFile, InvalidBranch, InvalidInput, MedForgeError
from medforge.files import canonical_json, make_private, open_private, sha256_bytes
from medforge.proto.errors import OverLimit

_log = logging.getLogger(__name__)
_MOST = 4096
_LONGEST_LINE = 1 << 14
_KINDS: dict[str, type[MedForgeError]] = {
    kind.__name__: kind for kind in (InvalidBranch, BaseMismatch, CorruptFile, InvalidInput, OverLimit)
}
_SOUND = ""


def key_of(*what: object) -> str:
    """Return the key of something that was checked: the digest of all that its check depends on, as JSON."""
    return sha256_bytes(canonical_json(what))


class Verdicts:
    """Remember what was found sound, and what was refused for what it holds, with the sentence.

    By keys (`key_of`), each of which covers all that its check depends on, so that nothing holds any longer than that.
    At most ``most`` are remembered, those asked for last. They are written to a file beside, so that a restart keeps
    them; where that cannot be written or read, only this process remembers. Safe for any number of threads.
    """

    def __init__(self, path: Path, most: int = _MOST) -> None:
        self._path = path
        self._most = most
        self._lock = threading.Lock()
        # key → (kind, sentence)
        self._known: OrderedDict[str, tuple[str, str]] = OrderedDict(list(self._read())[-most:])
        self._lines = 0
        self._rewrite_at_once = True

    def is_sound(self, key: str) -> bool:
        """Say whether something was found sound; raises the error again by which it was refused."""
        with self._lock:
            found = self._known.get(key)
            if found is None:
                return False
            self._known.move_to_end(key)
        kind, sentence = found
        if kind != _SOUND:
            raise _KINDS[kind](sentence)
        return True

    @contextmanager
    def refusing(self, *keys: str) -> Iterator[None]:
        """Remember under some keys what is raised inside about what was sent; what passes by itself is no verdict."""
        try:
            yield
        except MedForgeError as error:
            if type(error) in _KINDS.values():
                for key in keys:
                    self._remember(key, type(error).__name__, str(error))
            raise

    def found_sound(self, key: str) -> None:
        """Remember that something is sound."""
        self._remember(key, _SOUND, "")

    def _remember(self, key: str, kind: str, sentence: str) -> None:
        with self._lock:
            self._known[key] = (kind, sentence)
            self._known.move_to_end(key)
            while len(self._known) > self._most:
                self._known.popitem(last=False)
            try:
                self._write(key, kind, sentence)
            except OSError:
                _log.debug("what was found of a branch cannot be written down", exc_info=True)
                self._rewrite_at_once = True

    def _write(self, key: str, kind: str, sentence: str) -> None:
        """Add a line to the file, or write all of it anew where most of it is forgotten."""
        anew = self._rewrite_at_once or self._lines >= 2 * self._most
        lines = [[key, kind, sentence]] if not anew else [[one, *verdict] for one, verdict in self._known.items()]
        make_private(self._path.parent)
        with open(self._path, "wb" if anew else "ab", opener=open_private) as file:
            file.writelines(canonical_json(line) + b"\n" for line in lines)
        self._lines = len(lines) if anew else self._lines + 1
        self._rewrite_at_once = False

    def _read(self) -> Iterator[tuple[str, tuple[str, str]]]:
        """Read what an earlier process found; a line that is damaged is passed over."""
        try:
            with self._path.open("rb") as file:
                for _ in range(4 * self._most):
                    line = file.readline(_LONGEST_LINE)
                    if not line:
                        return
                    try:
                        key, kind, sentence = json.loads(line)
                    except (ValueError, TypeError):
                        continue
                    if kind in _KINDS or kind == _SOUND:
                        yield key, (kind, sentence)
        except OSError:
            return
