"""What a backup's file says of itself: first what it is, so that another version can be named, last what is in it."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from medforge import __version__
from medforge.errors import CorruptFile, InvalidInput
from medforge.files import canonical_json, parse_json

FORMAT = 1
HEADING_FILE = "medforge-backup.json"
CONTENTS_FILE = "contents.json"
LEDGER_FILE = "ledger.sqlite"
BLOBS = "blobs/"
LONGEST_RECORD = 1 << 20
Record = TypeVar("Record", bound=BaseModel)


class Heading(BaseModel):
    """Begin a backup: its format, which software made it and when (RFC 3339 in UTC), and of which forge (a UUID)."""

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    software: str = __version__
    made_at: str
    forge: str


class Contents(BaseModel):
    """End a backup: how many arrivals, commits, journal entries and blobs it has, and its other files' digests."""

    model_config = ConfigDict(frozen=True)

    arrivals: int
    commits: int
    journal: int
    blobs: int
    blob_bytes: int
    head: str
    files: dict[str, str]


def to_bytes(record: Heading | Contents) -> bytes:
    """Serialise canonically."""
    return canonical_json(record.model_dump(mode="json"))


def heading_of(data: bytes) -> Heading:
    """Read a heading; raises InvalidInput for a format of another version, CorruptFile for what is none."""
    said = _parse(data)
    if isinstance(said, dict) and said.get("format", FORMAT) != FORMAT:
        raise InvalidInput(
            f"the backup has format {str(said['format'])[:20]}, made by medforge {str(said.get('software'))[:40]}, and "
            f"this is {__version__}, which reads format {FORMAT}; restore it with that version"
        )
    return _read(said, Heading)


def contents_of(data: bytes) -> Contents:
    """Read what a backup has; raises CorruptFile for what says nothing of it."""
    return _read(_parse(data), Contents)


def _parse(data: bytes) -> object:
    try:
        return parse_json(data, LONGEST_RECORD)
    except ValueError:
        return None


def _read(said: object, kind: type[Record]) -> Record:
    try:
        return kind.model_validate(said)
    except ValidationError as error:
        raise CorruptFile("this is no backup of a forge, or a damaged one; give another file") from error
