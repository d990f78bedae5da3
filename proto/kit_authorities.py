"""What a kit remembers of the authorities that followed the one it came with: `authorities.json`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from pydantic import ValidationError

from medforge.errors import CorruptFile
from medforge.files import canonical_json, parse_json, read_file, write_atomically
from medforge.proto.authority_succession import AuthoritySuccession, follow
from medforge.proto.errors import NotAllowed

AUTHORITIES_FILE = "authorities.json"


def read_links(directory: Path, forge: str, known: Sequence[x509.Certificate]) -> tuple[AuthoritySuccession, ...]:
    """Return the links that lead on from a kit's authorities, each verified; raises CorruptFile for others."""
    path = directory / AUTHORITIES_FILE
    if not path.exists():
        return ()
    try:
        links = [AuthoritySuccession.model_validate(one) for one in parse_json(read_file(path, "the kit"))]
        return follow(links, forge, known)
    except (ValidationError, ValueError, TypeError, NotAllowed) as error:
        raise CorruptFile(
            f"{path} is not what the forge said of its CAs; delete it, and the next call writes it again"
        ) from error


def write_links(directory: Path, links: Sequence[AuthoritySuccession]) -> bool:
    """Write the links; say whether that could be done, as a kit may lie where nothing is written."""
    said = canonical_json([link.model_dump(mode="json") for link in links]) + b"\n"
    try:
        write_atomically(directory / AUTHORITIES_FILE, said)
    except OSError:
        return False
    return True
