"""Withdrawals and revocations outside the forge's directory and its backups: a restore must not undo them.

A file that only grows, one signed line for each entry of the journal that matters, so that it is written again from the
journal wherever a line is missing.
"""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.exc import SQLAlchemyError

from medforge.aggregator.ledger.epoch_table import epoch_entries
from medforge.aggregator.ledger.invitations import certificates_of
from medforge.aggregator.ledger.journal import REVOKED, entry_digest
from medforge.aggregator.ledger.lasting import Lasting, lasting
from medforge.aggregator.ledger.ledger import Ledger
from medforge.aggregator.logs import in_words
from medforge.errors import CorruptFile, MedForgeError
from medforge.files import (
    canonical_json,
    make_private,
    open_private,
    parse_json,
    read_file,
    sha256_bytes,
    sync_directory,
)
from medforge.proto.signing import TOMBSTONE, public_bytes, sign, verify
from medforge.proto.statements import tombstone_statement

_log = logging.getLogger(__name__)
PLACE_FACT = "tombstones"


class TombstoneFacts(BaseModel):
    """Say what stood in the journal of a forge (a UUID), as an entry of a number, after the one of digest `previous`.

    `epoch` is the digest of the epoch in which it was made, "" for the first. `certificates` (SHA-256, hex) are all
    that somebody who was revoked ever had.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    forge: str
    epoch: str
    number: int = Field(ge=1)
    previous: str
    at: str
    actor: str
    what: str
    about: str
    certificates: tuple[str, ...] = ()

    @property
    def entry(self) -> str:
        """The digest of the journal's entry."""
        return entry_digest(self.previous, self.number, self.at, self.actor, self.what, self.about)

    @property
    def digest(self) -> str:
        """The digest that is signed."""
        return sha256_bytes(canonical_json(self.model_dump(mode="json")))

    def said(self) -> dict[str, Any]:
        """Return what the entry is about; empty where it cannot be read."""
        try:
            found = parse_json(self.about)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


class Tombstone(BaseModel):
    """Hold such facts with the forge's signature, by the Ed25519 key whose public half is `key`; both in hex."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    facts: TombstoneFacts
    key: str = Field(pattern=r"^[0-9a-f]{64}$")
    signature: str = Field(pattern=r"^[0-9a-f]{128}$")

    @classmethod
    def issue(cls, key: Ed25519PrivateKey, facts: TombstoneFacts) -> Tombstone:
        """Sign with the forge's key."""
        signature = sign(key, TOMBSTONE, tombstone_statement(facts.forge, facts.digest))
        return cls(facts=facts, key=public_bytes(key).hex(), signature=signature.hex())

    def verify(self) -> None:
        """Raise NotAllowed unless the owner of `key` signed exactly this."""
        statement = tombstone_statement(self.facts.forge, self.facts.digest)
        verify(bytes.fromhex(self.key), TOMBSTONE, statement, bytes.fromhex(self.signature))


class Tombstones:
    """Keep the file of one forge: beside its directory, or where `serve --tombstones` said; made when it is needed."""

    def __init__(self, directory: Path, forge: str, ledger: Ledger) -> None:
        told = ledger.fact(PLACE_FACT)
        self.path = Path(told) if told else beside(directory)
        self._forge = forge
        self._ledger = ledger
        self._lock = threading.Lock()
        self._seen: set[str] | None = None
        self._after = 0
        self.behind = False

    def keep(self, key: Ed25519PrivateKey) -> bool:
        """Append what the journal has and the file has not, durably; return False, and log it, where that cannot be.

        What two processes append at once stands there twice, which changes nothing.
        """
        with self._lock:
            try:
                self._append(key)
            except (OSError, MedForgeError, SQLAlchemyError) as error:
                said = "tombstones cannot be written to %s (%s); until they can, a restore undoes what was withdrawn"
                _log.error(said, self.path, in_words(error))
                self.behind = True
                return False
            self.behind = False
            return True

    def check_not_ahead(self) -> None:
        """Raise CorruptFile where the file has an entry of this epoch that the ledger has not: it is an older copy."""
        begun = epoch_entries(self._ledger)
        epoch = begun[-1][1].digest if begun else ""
        ours = [one.facts for one in self.read() if one.facts.epoch == epoch]
        newest = max(ours, key=lambda facts: facts.number, default=None)
        if newest is None:
            return
        known = self._ledger.journal(newest.number - 1, 1)
        if not known or known[0].digest != newest.entry:
            raise CorruptFile(
                f"the ledger {self._ledger.name} is an older copy: it lacks what was withdrawn or revoked on "
                f"{newest.at[:10]}, which {self.path} has; bring the forge back with `medforge backup` of this "
                f"directory and `medforge restore`, which keeps that out"
            )

    def read(self) -> list[Tombstone]:
        """Return what the file has, nothing where there is none; raises as `read_tombstones`."""
        return read_tombstones(self.path, self._forge) if self.path.exists() else []

    def _append(self, key: Ed25519PrivateKey) -> None:
        if self._seen is None:
            self._seen = {one.facts.entry for one in self.read()}
        found, newest = lasting(self._ledger, self._after)
        begun = epoch_entries(self._ledger) if found else []
        due = []
        for one in found:
            if one.entry.digest not in self._seen:
                epoch = next((epoch.digest for number, epoch in reversed(begun) if number < one.entry.number), "")
                due.append(Tombstone.issue(key, self._facts(one, epoch)))
        if due:
            _append_durably(self.path, b"".join(canonical_json(one.model_dump(mode="json")) + b"\n" for one in due))
            self._seen.update(one.facts.entry for one in due)
        self._after = newest

    def _facts(self, lasts: Lasting, epoch: str) -> TombstoneFacts:
        entry = lasts.entry
        facts = TombstoneFacts(
            forge=self._forge,
            epoch=epoch,
            number=entry.number,
            previous=lasts.previous,
            at=entry.at,
            actor=entry.actor,
            what=entry.what,
            about=entry.about,
        )
        if entry.what != REVOKED:
            return facts
        known = certificates_of(self._ledger, str(facts.said().get("contributor", "")), entry.number)
        return facts.model_copy(update={"certificates": known})


def beside(directory: Path) -> Path:
    """Return where the tombstones of a forge's directory lie unless something else is said."""
    whole = directory.resolve()
    return whole.with_name(f"{whole.name}.tombstones")


def read_tombstones(path: Path, forge: str) -> list[Tombstone]:
    """Read a file of tombstones, oldest first, each once; a last line that was cut off as it was written is left out.

    Raises InvalidInput where the file cannot be read, CorruptFile for a line that is no tombstone of the forge (a
    UUID). The signatures are not verified.
    """
    *lines, _ = read_file(path, "the tombstones").split(b"\n")
    found: dict[str, Tombstone] = {}
    for number, line in enumerate(lines, start=1):
        try:
            one = Tombstone.model_validate_json(line)
        except ValidationError as error:
            raise CorruptFile(
                f"line {number} of {path} is no tombstone; restore the file from a copy, or take the line out if you "
                f"know what it was"
            ) from error
        if one.facts.forge != forge:
            raise CorruptFile(f"{path} is about forge {one.facts.forge}, not {forge}; give this forge's own file")
        found.setdefault(one.facts.entry, one)
    return list(found.values())


def _append_durably(path: Path, lines: bytes) -> None:
    make_private(path.parent)
    descriptor = open_private(path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
    try:
        size = os.fstat(descriptor).st_size
        # a line that a crash cut off must not be glued to the next
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            os.ftruncate(descriptor, os.pread(descriptor, size, 0).rfind(b"\n") + 1)
        if os.write(descriptor, lines) != len(lines):
            raise OSError(None, "it was written in part")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_directory(path.parent)
