"""The locks: pins with the SHA-256 of every file that may be installed for them, in pip's own format."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
BASE = "base"
"""The lock of an install without extras; each extra's lock has what comes on top of it."""

_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True)
class Pin:
    """One entry of a lock: `name==version`, with its marker, and the digests of the files that fit it."""

    requirement: Requirement
    hashes: tuple[str, ...]
    text: str

    @property
    def version(self) -> str:
        """Return the one version that the entry names."""
        (specifier,) = self.requirement.specifier
        return specifier.version


def read_pins(text: str) -> list[Pin]:
    """Return the entries of a lock, in its order.

    Raises packaging's InvalidRequirement for a line that is no requirement.
    """
    joined = re.sub(r"\\\n\s*", "", text)
    lines = [line for line in joined.splitlines() if line and not line.startswith("#")]
    return [Pin(Requirement(_HASH.sub("", line).strip()), tuple(_HASH.findall(line)), line) for line in lines]


def lock_file(name: str) -> Path:
    """Return where the lock of the base install or of an extra lies."""
    return HERE / f"{name}.txt"


def lock_names() -> list[str]:
    """Return the base install's name and every extra's, in the order of pyproject.toml."""
    return [BASE, *project()["project"]["optional-dependencies"]]


@cache
def project() -> dict[str, Any]:
    """Return what pyproject.toml says."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())
