"""The names that the maintainer gave commits: what the journal says of it, so that no table has to change."""

from __future__ import annotations

from pydantic import ValidationError
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from medforge.aggregator.ledger.database import Database
from medforge.aggregator.ledger.journal import MAINTAINER, TAGGED, enter
from medforge.aggregator.ledger.order import LedgerConflict
from medforge.aggregator.ledger.rows import CommitRow, EntryRow
from medforge.errors import CorruptFile
from medforge.proto.signed_tag import SignedTag


class TagTable:
    """Keep tags in a ledger's journal; none is moved or taken out. Their signatures are kept, not verified."""

    def __init__(self, ledger: Database) -> None:
        self._ledger = ledger
        self._seen = 0
        self._read: list[SignedTag] = []
        self._unreadable: dict[str, CorruptFile] = {}

    def tags(self) -> list[SignedTag]:
        """Return all tags, oldest first; what was read before is not read again, and what is no tag left out."""
        with self._ledger.reading() as session:
            self._read_on(session)
        return list(self._read)

    def unreadable(self) -> dict[str, CorruptFile]:
        """Return the entries of the journal, such as "entry 7", that should be tags and are none, with the reason."""
        self.tags()
        return dict(self._unreadable)

    def add(self, tag: SignedTag) -> None:
        """Enter a tag, durably; raises LedgerConflict for a name in use, or a commit that is not in the ledger."""
        with self._ledger.writing() as session:
            self._read_on(session)
            known = next((one for one in self._read if one.name == tag.name), None)
            if known is not None:
                raise LedgerConflict(
                    f"tag {tag.name!r} names commit {known.commit[:8]} since {known.tagged_at[:10]}, and no tag is "
                    "ever moved; choose another name"
                )
            if session.scalar(select(CommitRow.number).where(CommitRow.digest == tag.commit)) is None:
                raise LedgerConflict(f"commit {tag.commit[:12]} is not in the ledger; see `medforge log`")
            enter(session, MAINTAINER, TAGGED, tag.model_dump(mode="json"))

    def _read_on(self, session: Session) -> None:
        newest = session.scalar(select(func.max(EntryRow.number))) or 0
        new = (EntryRow.number > self._seen) & (EntryRow.number <= newest) & (EntryRow.what == TAGGED)
        entries = session.scalars(select(EntryRow).where(new).order_by(EntryRow.number))
        for entry in entries:
            try:
                self._read.append(SignedTag.model_validate_json(entry.about))
            except ValidationError:
                self._unreadable[f"entry {entry.number}"] = CorruptFile(
                    f"entry {entry.number} of the journal is no tag; run `medforge fsck`, and restore the ledger"
                )
        self._seen = newest
