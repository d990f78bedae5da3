"""Until when kits are good: what the journal says of it, so that no table has to change."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from pydantic import AwareDatetime, BaseModel, Field, ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from medforge.aggregator.ledger.authority_table import numbered_successions
from medforge.aggregator.ledger.database import Database
from medforge.aggregator.ledger.journal import INVITED
from medforge.aggregator.ledger.records import Contributor
from medforge.aggregator.ledger.rows import ContributorRow, EntryRow
from medforge.errors import InvalidInput
from medforge.files import canonical_json


class EarlierKit(BaseModel):
    """Say which certificate (SHA-256, hex) and signing key (hex) stay good beside a newer kit, and until when."""

    certificate: str
    key: str = Field(pattern=r"^[0-9a-f]{64}$")
    until: AwareDatetime

    @property
    def public(self) -> bytes:
        """The public key, 32 bytes."""
        return bytes.fromhex(self.key)


class Invitation(BaseModel):
    """Say who was invited, under which certificate and signing key, when that ends, and which kit stays good beside it.

    `key` is empty and `expires` None where the entry is older than these were kept. `authority_until` is how long the
    CA that issued the certificate is trusted, where another follows it; a kit ends with it at the latest.
    """

    contributor: str
    certificate: str = ""
    key: str = ""
    expires: AwareDatetime | None = None
    earlier: EarlierKit | None = None
    authority_until: AwareDatetime | None = Field(default=None, exclude=True)

    def earlier_at(self, moment: datetime, contributor: Contributor) -> EarlierKit | None:
        """Return the kit that is good at a moment beside the contributor's own, if this is how they were invited."""
        if self.earlier is None or contributor.revoked_at is not None or self.certificate != contributor.certificate:
            return None
        return self.earlier if moment < self.earlier.until else None

    def issued_by(self, until: datetime) -> Invitation:
        """Return the same of a kit by a CA that is trusted until a time."""
        ends = min(self.expires or until, until)
        earlier = self.earlier and self.earlier.model_copy(update={"until": min(self.earlier.until, until)})
        return self.model_copy(update={"expires": ends, "earlier": earlier, "authority_until": until})


def invitations(ledger: Database) -> dict[str, Invitation]:
    """Return the newest invitation of everybody who was invited, by identifier; an entry that is none is left out."""
    with ledger.reading() as session:
        return {one.contributor: one for one in _read(session)}


def newest_invitation(session: Session, name: str) -> Invitation | None:
    """Return the newest invitation of one contributor."""
    found = [one for one in _read(session, name) if one.contributor == name]
    return found[-1] if found else None


def earlier_kit(ledger: Database, contributor: Contributor, moment: datetime) -> EarlierKit | None:
    """Return the kit that is good at a moment beside a contributor's own.

    Only the newest invitation counts, so that a further one, or one after a revocation, ends all kits before the last.
    """
    with ledger.reading() as session:
        newest = newest_invitation(session, contributor.name)
    return None if newest is None else newest.earlier_at(moment, contributor)


def check_fresh_key(ledger: Database, contributor: str, key: bytes) -> None:
    """Raise InvalidInput for a signing key (32 bytes) of a kit that was replaced or revoked: it may be in wrong hands.

    The key of the kit that a contributor has now may come again.
    """
    with ledger.reading() as session:
        row = session.get(ContributorRow, contributor)
        if row is not None and row.key == key and row.revoked_at is None:
            return
        if any(one.key == key.hex() for one in _read(session)) or (row is not None and row.key == key):
            raise InvalidInput(
                "the keys of this request had a kit that was replaced or revoked; have a request with new keys made "
                "(`medforge request`)"
            )


def certificates_of(ledger: Database, name: str, before: int) -> tuple[str, ...]:
    """Return the certificates (SHA-256, hex) that a contributor had before an entry of the journal, each once."""
    with ledger.reading() as session:
        found = {one.certificate: None for one in _read(session, name, before) if one.contributor == name}
    return tuple(certificate for certificate in found if certificate)


def _read(session: Session, name: str | None = None, before: int | None = None) -> Iterator[Invitation]:
    query = select(EntryRow.number, EntryRow.about).where(EntryRow.what == INVITED).order_by(EntryRow.number)
    if before is not None:
        query = query.where(EntryRow.number < before)
    if name is not None:
        written = canonical_json({"contributor": name}).decode()[1:-1]
        query = query.where(EntryRow.about.contains(written, autoescape=True))
    rotations = numbered_successions(session)
    for number, about in session.execute(query):
        try:
            one = Invitation.model_validate_json(about)
        except ValidationError:
            # `fsck` says that the journal is damaged; whoever it was about has an unknown end
            continue
        followed = (link.until for entry, link in rotations if entry > number)
        yield one.issued_by(until) if (until := next(followed, None)) is not None else one
