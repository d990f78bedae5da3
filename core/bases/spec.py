"""The forms in which a base module is named."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from medforge.errors import InvalidInput

EMBEDDED = ("medforge-tiny",)
CONFIG_FILE = "open_clip_config.json"
FORMS = (
    "medforge-tiny, ARCH/PRETRAINED_TAG, ARCH:CHECKPOINT_PATH, hf-hub:ORGANISATION/MODEL or "
    f"hf-local:DIRECTORY (one with {CONFIG_FILE})"
)
_HUB = "hf-hub"
SNAPSHOTS = ("hf-local", "local-dir")


@dataclass(frozen=True)
class Embedded:
    """Name a base module that is inside MedForge."""

    name: str


@dataclass(frozen=True)
class Published:
    """Name an architecture of open_clip's and the tag of its published weights."""

    architecture: str
    tag: str


@dataclass(frozen=True)
class Checkpoint:
    """Name an architecture, or a file that configures one, and a file of weights."""

    architecture: str
    path: Path


@dataclass(frozen=True)
class Repository:
    """Name a model of the Hugging Face hub."""

    name: str


@dataclass(frozen=True)
class Snapshot:
    """Name a directory that holds configuration, weights and all else that a model needs."""

    path: Path


Spec = Embedded | Published | Checkpoint | Repository | Snapshot


def parse_spec(text: str) -> Spec:
    """Take a spec apart; looks at nothing but the text. Raises InvalidInput for a form that is not known."""
    if text in EMBEDDED:
        return Embedded(text)
    before, colon, after = text.partition(":")
    if colon and before and after:
        if before == _HUB:
            return Repository(after)
        return Snapshot(Path(after)) if before in SNAPSHOTS else Checkpoint(before, Path(after))
    if (Path(text) / CONFIG_FILE).is_file():
        raise InvalidInput(f"base module {text!r} is a directory; write hf-local:{text}")
    architecture, slash, tag = text.partition("/")
    if slash and architecture and tag:
        return Published(architecture, tag)
    raise InvalidInput(f"base module {text!r} is not of a known form; write {FORMS}")


def resolve_base(text: str) -> str:
    """Return a base spec with the paths in it absolute; other forms as they are."""
    before, colon, path = text.partition(":")
    if not colon or before == _HUB:
        return text
    named = str(Path(before).resolve()) if before.endswith(".json") else before
    return f"{named}:{Path(path).resolve()}"
