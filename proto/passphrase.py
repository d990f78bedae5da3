"""The passphrase of encrypted private keys: from the environment, a file, or whoever types it."""

from __future__ import annotations

import os
import sys
from getpass import getpass
from pathlib import Path

from medforge.errors import InvalidInput
from medforge.files import read_file

VARIABLE = "MEDFORGE_KEY_PASSPHRASE"
SHORTEST = 12
_FILE = "file:"
_HOW = f"set {VARIABLE} (it may be file:PATH), or run it where the passphrase can be typed"
_typed: list[bytes] = []


def given() -> bytes | None:
    """Return the passphrase of the environment, or the one that was typed before; None where there is none.

    Raises InvalidInput for an empty one, and for a file that does not hold one line.
    """
    text = os.environ.get(VARIABLE)
    if text is None:
        return _typed[-1] if _typed else None
    if text.startswith(_FILE):
        path = Path(text.removeprefix(_FILE))
        lines = read_file(path, "the passphrase").splitlines()
        if len(lines) != 1 or not lines[0]:
            raise InvalidInput(f"{path} does not hold one line with a passphrase; write it there")
        return lines[0]
    if not text:
        raise InvalidInput(f"{VARIABLE} is empty; set it to the passphrase, or unset it")
    return os.fsencode(text)


def passphrase_for(path: Path) -> bytes:
    """Return the passphrase of an encrypted key, asked for once where nothing gives it.

    Raises InvalidInput where nobody can be asked.
    """
    found = given()
    if found is None:
        found = _ask(f"passphrase of {path}: ", f"{path} is encrypted, and its passphrase is not given")
        _typed.append(found)
    return found


def new_passphrase() -> bytes:
    """Return the passphrase that keys are to have, typed twice where nothing gives it.

    Raises InvalidInput for one that is too short, or where nobody can be asked.
    """
    found = given()
    if found is None:
        found = _ask("new passphrase: ", "no passphrase is given")
        if _ask("the same once more: ", "no passphrase is given") != found:
            raise InvalidInput("the two are not the same; type the passphrase again")
        _typed.append(found)
    if len(found.decode("utf-8", "replace")) < SHORTEST:
        raise InvalidInput(f"the passphrase has less than {SHORTEST} characters; choose a longer one, of several words")
    return found


def _ask(prompt: str, missing: str) -> bytes:
    if not sys.stdin.isatty():
        raise InvalidInput(f"{missing}; {_HOW}")
    try:
        return os.fsencode(getpass(prompt))
    except (EOFError, KeyboardInterrupt) as error:
        raise InvalidInput(f"{missing}; {_HOW}") from error
