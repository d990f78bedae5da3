"""The epochs of a forge, and what a restore keeps out: what the journal says of it, so that no table has to change."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy import select

from medforge.aggregator.ledger.database import Database
from medforge.aggregator.ledger.journal import KEPT_OUT, MAINTAINER, RESTORED, enter
from medforge.aggregator.ledger.rows import EntryRow
from medforge.errors import CorruptFile
from medforge.proto.epoch import Epoch

Said = TypeVar("Said", bound=BaseModel)


class KeptOut(BaseModel):
    """Name a branch (its digest) that was withdrawn at a time (RFC 3339), after the backup that was restored.

    The ledger does not know it, and does not take it again. `erase` says whether its files were to be deleted too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    branch: str
    since: str
    erase: bool


def epochs(ledger: Database) -> tuple[Epoch, ...]:
    """Return the epochs after the first, oldest first, as the journal has them; raises CorruptFile for what is none."""
    return tuple(epoch for _, epoch in epoch_entries(ledger))


def epoch_entries(ledger: Database) -> list[tuple[int, Epoch]]:
    """Return the epochs after the first with the numbers of their journal entries; raises as `epochs`."""
    return [(entry.number, _parse(entry, Epoch)) for entry in _entries(ledger, RESTORED)]


def begin_epoch(ledger: Database, epoch: Epoch) -> None:
    """Enter that an epoch begins, durably."""
    with ledger.writing() as session:
        enter(session, MAINTAINER, RESTORED, epoch.model_dump(mode="json"))


def kept_out(ledger: Database) -> dict[str, KeptOut]:
    """Return the branches that a restore keeps out, by digest; raises CorruptFile for an entry that names none."""
    found = (_parse(entry, KeptOut) for entry in _entries(ledger, KEPT_OUT))
    return {one.branch: one for one in found}


def keep_out(ledger: Database, branch: KeptOut) -> None:
    """Enter that a branch is kept out, durably."""
    with ledger.writing() as session:
        enter(session, MAINTAINER, KEPT_OUT, branch.model_dump(mode="json"))


def _entries(ledger: Database, what: str) -> list[EntryRow]:
    with ledger.reading() as session:
        return list(session.scalars(select(EntryRow).where(EntryRow.what == what).order_by(EntryRow.number)))


def _parse(entry: EntryRow, kind: type[Said]) -> Said:
    try:
        return kind.model_validate_json(entry.about)
    except ValidationError as error:
        raise CorruptFile(
            f"entry {entry.number} of the journal does not say what was restored; run `medforge fsck`, and restore the "
            "ledger"
        ) from error
