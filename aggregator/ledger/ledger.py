"""The durable order of things: who arrived when, what was folded, what became of the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from medforge.aggregator.ledger import display_names as naming
from medforge.aggregator.ledger import privacy_claims as claims
from medforge.aggregator.ledger.arriving import arrive, shown_as, standings
from medforge.aggregator.ledger.commit import Commit
from medforge.aggregator.ledger.database import Database
from medforge.aggregator.ledger.invitations import EarlierKit, newest_invitation
from medforge.aggregator.ledger.journal import FORGE, INVITED, MAINTAINER, REVOKED, enter, now
from medforge.aggregator.ledger.order import (
    NEXT,
    LedgerConflict,
    check_follows,
    newest,
    runs_in_states,
    spell,
    unfolded,
)
from medforge.aggregator.ledger.portions import portions
from medforge.aggregator.ledger.records import Arrival, Arriving, Contributor, JournalEntry, Standing, State
from medforge.aggregator.ledger.rows import ArrivalRow, CommitRow, ContributorRow, EntryRow
from medforge.aggregator.ledger.withdrawals import check_unused
from medforge.privacy_facts import PrivacyFacts
from medforge.runs import Runs

_PAGE = 200


class Ledger(Database):
    """Keep arrivals, commits, contributors and the journal in any database that SQLAlchemy knows.

    Every change is one transaction, is entered in the journal by the same transaction, and is durable when the call
    returns. Methods raise SQLAlchemyError where the database itself fails.
    """

    # arrivals

    def add_arrival(
        self,
        branch: str,
        contributor: str,
        task: str,
        size: int,
        signature: bytes = b"",
        display_name: str | None = None,
        privacy: PrivacyFacts | None = None,
    ) -> Arrival:
        """Give a branch the next arrival number and return the arrival; one that has arrived before keeps its own."""
        return self.add_arrivals([Arriving(branch, contributor, task, size, signature, display_name, privacy)])[0]

    def add_arrivals(self, arriving: Sequence[Arriving]) -> list[Arrival]:
        """Give branches the next arrival numbers in their order, all or none, as `add_arrival` does for each."""
        with self.writing() as session:
            return arrive(session, arriving)

    def arrival(self, number: int) -> Arrival | None:
        """Look an arrival up by its number."""
        with self.reading() as session:
            row = session.get(ArrivalRow, number)
            return row.plain() if row else None

    def arrival_of(self, branch: str) -> Arrival | None:
        """Look an arrival up by its branch digest."""
        with self.reading() as session:
            row = session.scalar(select(ArrivalRow).where(ArrivalRow.branch == branch))
            return row.plain() if row else None

    def arrivals(self, *states: State) -> list[Arrival]:
        """List the arrivals in these states (all where none is given), in order."""
        query = select(ArrivalRow).order_by(ArrivalRow.number)
        if states:
            query = query.where(ArrivalRow.state.in_([state.value for state in states]))
        with self.reading() as session:
            return [row.plain() for row in session.scalars(query)]

    def arrivals_by_number(self, numbers: Collection[int]) -> dict[int, Arrival]:
        """Look many arrivals up at once; a number that has not arrived is left out."""
        found: dict[int, Arrival] = {}
        with self.reading() as session:
            for part in portions(numbers):
                query = select(ArrivalRow).where(ArrivalRow.number.in_(part)).order_by(ArrivalRow.number)
                found |= {row.number: row.plain() for row in session.scalars(query)}
        return found

    def numbers(self, *states: State) -> Runs:
        """List the numbers alone of the arrivals in these states, in order: a fold asks for them at every arrival."""
        with self.reading() as session:
            return Runs.joined((first, last) for first, last in session.execute(runs_in_states(states)))

    def erased(self) -> set[int]:
        """Return the numbers of the arrivals whose files are gone."""
        with self.reading() as session:
            return set(session.scalars(select(ArrivalRow.number).where(ArrivalRow.erased)))

    def admitted(self) -> set[int]:
        """Return the numbers of the arrivals that the maintainer accepted whatever their examination said."""
        with self.reading() as session:
            return set(session.scalars(select(ArrivalRow.number).where(ArrivalRow.admitted)))

    def to_erase(self) -> list[Arrival]:
        """List, in order, the withdrawn arrivals whose files are still to be deleted."""
        due = (ArrivalRow.state == State.WITHDRAWN.value) & ArrivalRow.erase & ArrivalRow.erased.is_(False)
        with self.reading() as session:
            return [row.plain() for row in session.scalars(select(ArrivalRow).where(due).order_by(ArrivalRow.number))]

    def arrivals_of(self, contributor: str, *states: State) -> list[Arrival]:
        """List a contributor's arrivals in these states (all where none is given), in order."""
        query = select(ArrivalRow).where(ArrivalRow.contributor == contributor).order_by(ArrivalRow.number)
        if states:
            query = query.where(ArrivalRow.state.in_([state.value for state in states]))
        with self.reading() as session:
            return [row.plain() for row in session.scalars(query)]

    def versions(self, contributor: str, task: str) -> list[Arrival]:
        """List what a contributor has sent for a task, in order."""
        return [arrival for arrival in self.arrivals_of(contributor) if arrival.task == task]

    def unfolded(self, limit: int | None = None) -> list[Arrival]:
        """List, in order, the arrivals that wait to be folded; the first is the next."""
        with self.reading() as session:
            return [row.plain() for row in session.scalars(unfolded().limit(limit))]

    def outside(self) -> list[Arrival]:
        """List, in order, the arrivals that are not in the main branch."""
        return self.arrivals(*(state for state in State if state is not State.FOLDED))

    def change(
        self,
        number: int,
        state: State,
        reason: str = "",
        actor: str = FORGE,
        *,
        erase: bool = False,
        nonce: str | None = None,
    ) -> Arrival:
        """Move an arrival to another state, and say who did it and why; moving it where it is changes nothing.

        Taking a folded one out, or putting one back, is followed by a commit once the main branch settles. `erase`
        also asks for its files to be deleted. `nonce` is what a signed withdrawal is told from others by (hex, "" from
        0.1.0), None for what was not signed. Raises LedgerConflict for an unknown number, a move that makes no sense,
        or a withdrawal that was used before.
        """
        with self.writing() as session:
            return _move(session, number, state, reason, actor, erase, nonce)

    def change_together(self, moves: Iterable[tuple[int, State, str]]) -> None:
        """Move arrivals (number, state, reason) one after another, all or, whatever happens, none; else as `change`."""
        with self.writing() as session:
            for number, state, reason in moves:
                _move(session, number, state, reason, FORGE)

    def hold(self, number: int, reason: str) -> Arrival:
        """Keep an unfolded arrival out of the main branch; raises LedgerConflict if it is unknown or already folded."""
        entry = self.arrival(number)
        if entry is not None and entry.state is State.FOLDED:
            raise LedgerConflict(f"arrival {number} is folded, so it cannot become held; reject it to take it out")
        return self.change(number, State.HELD, reason)

    def holds(self) -> dict[int, Arrival]:
        """Return the held arrivals by number."""
        return {arrival.number: arrival for arrival in self.arrivals(State.HELD)}

    def release(self, number: int) -> Arrival:
        """Let a held arrival be examined and folded again."""
        return self.change(number, State.RECEIVED)

    def mark_erased(self, number: int) -> None:
        """Note that an arrival's files are gone."""
        with self.writing() as session:
            row = session.get_one(ArrivalRow, number)
            if not row.erased:
                row.erased = True
                enter(session, FORGE, "erased", {"arrival": number, "branch": row.branch})

    def standings(self, contributors: Collection[str]) -> dict[str, Standing]:
        """Say of contributors, by name, what counts where a branch of theirs comes."""
        with self.reading() as session:
            return standings(session, contributors)

    def counts(self) -> tuple[int, int]:
        """Count the arrivals and the commits."""
        with self.reading() as session:
            arrivals = session.scalar(select(func.count()).select_from(ArrivalRow)) or 0
            return arrivals, session.scalar(select(func.count()).select_from(CommitRow)) or 0

    def count_states(self) -> Counter[State]:
        """Count the arrivals in each state."""
        query = select(ArrivalRow.state, func.count()).group_by(ArrivalRow.state)
        with self.reading() as session:
            return Counter({State(state): int(count) for state, count in session.execute(query)})

    # commits

    def add_commit(self, commit: Commit) -> int:
        """Append a commit and return its number in the chain, from 1; appending the head again changes nothing.

        Raises LedgerConflict unless its parent is the head and its members follow from the head's: a fold brings the
        next waiting arrival, a removal takes out a member that is no longer folded (and with it others that are not,
        where the rest could not be merged with them), a restoration puts back one that is again. So no arrival is
        folded twice and none is overtaken, whatever crashed or raced before.
        """
        with self.writing() as session:
            head = session.scalar(newest())
            if head is not None and head.digest == commit.digest:
                return int(head.number)
            if commit.parent != (head.digest if head else None):
                raise LedgerConflict(
                    f"commit {commit.digest[:12]} does not follow the head; fold its arrival on the head again"
                )
            row = session.get(ArrivalRow, commit.arrival)
            members = tuple(head.plain().members) if head else ()
            if row is None or row.branch != commit.branch:
                raise LedgerConflict(
                    f"commit {commit.digest[:12]} names arrival {commit.arrival}, which is another branch; "
                    "run `medforge fsck`"
                )
            check_follows(session, commit, members, row)
            if commit.kind == "fold":
                row.state, row.reason = State.FOLDED.value, ""
                for replaced in set(members) - set(commit.members):
                    old = session.get_one(ArrivalRow, replaced)
                    old.state, old.reason = State.SUPERSEDED.value, f"arrival {commit.arrival} took its place"
            number = int(head.number) + 1 if head else 1
            session.add(CommitRow(number=number, digest=commit.digest, arrival=commit.arrival, content=commit.content))
            about = {"arrival": commit.arrival, "branch": commit.branch, "commit": commit.digest, "number": number}
            enter(session, FORGE, f"committed {commit.kind}", about)
            return number

    def commits(self, after: int = 0, limit: int | None = None) -> list[tuple[int, Commit]]:
        """List the commits whose number exceeds `after` (at most `limit`), oldest first, with their numbers."""
        query = select(CommitRow).where(CommitRow.number > after).order_by(CommitRow.number).limit(limit)
        with self.reading() as session:
            rows = session.scalars(query)
            return [(row.number, row.plain()) for row in rows]

    def chain(self, after: int = 0) -> Iterator[tuple[int, Commit]]:
        """Walk over `commits`, some at a time: ten thousand at once take a hundred megabytes."""
        while page := self.commits(after, _PAGE):
            yield from page
            after = page[-1][0]

    def commit(self, digest: str) -> Commit | None:
        """Look a commit up by its digest."""
        with self.reading() as session:
            row = session.scalar(select(CommitRow).where(CommitRow.digest == digest))
            return row.plain() if row else None

    def has_commit(self, digest: str) -> bool:
        """Say whether a commit has this digest, without reading it."""
        with self.reading() as session:
            return session.scalar(select(CommitRow.number).where(CommitRow.digest == digest)) is not None

    def commit_of(self, arrival: int) -> tuple[int, Commit] | None:
        """Look up the newest commit, with its number, that is about an arrival."""
        query = select(CommitRow).where(CommitRow.arrival == arrival).order_by(CommitRow.number.desc()).limit(1)
        with self.reading() as session:
            row = session.scalar(query)
            return (row.number, row.plain()) if row else None

    def head(self) -> Commit | None:
        """Return the newest commit, or None before the first."""
        with self.reading() as session:
            row = session.scalar(newest())
            return row.plain() if row else None

    # contributors

    def invite(
        self,
        contributor: Contributor,
        display_name: str | None = None,
        expires: str | None = None,
        overlap: timedelta = timedelta(0),
    ) -> None:
        """Register somebody, or replace their key, certificate (good until `expires`) and how people write them.

        The certificate and key that are replaced stay good for the `overlap`, at most until that certificate ends; not
        those of somebody who was revoked, and none that were replaced before.
        """
        with self.writing() as session:
            earlier = _overlapping(session, contributor.name, overlap)
            session.merge(ContributorRow(**vars(contributor)))
            about = {
                "contributor": contributor.name,
                "certificate": contributor.certificate,
                "key": contributor.key.hex(),
            }
            ends = {} if expires is None else {"expires": expires}
            kept = {} if earlier is None else {"earlier": earlier.model_dump(mode="json")}
            enter(session, MAINTAINER, INVITED, about | shown_as(display_name) | ends | kept)

    def revoke(self, name: str, reason: str = "") -> Contributor | None:
        """Take an invitation back; return who it was, or None for a name that nobody invited."""
        with self.writing() as session:
            row = session.get(ContributorRow, name)
            if row is None:
                return None
            if row.revoked_at is None:
                row.revoked_at = now()
                enter(session, MAINTAINER, REVOKED, {"contributor": name, "reason": reason})
            return row.plain()

    def contributor(self, name: str) -> Contributor | None:
        """Look up who was invited under a name, also one who was revoked."""
        with self.reading() as session:
            row = session.get(ContributorRow, name)
            return row.plain() if row else None

    def contributors(self) -> list[Contributor]:
        """List everybody who was invited, by name."""
        with self.reading() as session:
            return [row.plain() for row in session.scalars(select(ContributorRow).order_by(ContributorRow.name))]

    def display_names(self) -> dict[str, str]:
        """Return how contributors are written for people, where that is not the identifier."""
        with self.reading() as session:
            return naming.display_names(session)

    def privacy_claims(self) -> dict[str, PrivacyFacts]:
        """Return the differential privacy that branches claim, by their digests; of those that claim any."""
        with self.reading() as session:
            return claims.privacy_claims(session)

    def invited_as(self) -> dict[str, str]:
        """Return the name for people of everybody who was invited: the display name, or the identifier itself."""
        invited = self.contributors()
        # names are looked up in the whole journal
        names = self.display_names() if invited else {}
        return {one.name: names.get(one.name, one.name) for one in invited}

    # journal

    def journal(self, after: int = 0, limit: int | None = None, kinds: Collection[str] = ()) -> list[JournalEntry]:
        """List what happened, oldest first: entries whose number exceeds `after`, at most `limit`, of these `kinds`."""
        query = select(EntryRow).where(EntryRow.number > after).order_by(EntryRow.number).limit(limit)
        if kinds:
            query = query.where(EntryRow.what.in_(kinds))
        with self.reading() as session:
            return [row.plain() for row in session.scalars(query)]

    def journal_length(self) -> int:
        """Count the entries of the journal."""
        with self.reading() as session:
            return int(session.scalar(select(func.count()).select_from(EntryRow)) or 0)

    def enter(self, actor: str, what: str, about: dict[str, Any]) -> None:
        """Enter something in the journal that changes nothing else."""
        with self.writing() as session:
            enter(session, actor, what, about)


def _overlapping(session: Session, name: str, overlap: timedelta) -> EarlierKit | None:
    row = session.get(ContributorRow, name)
    if row is None or row.revoked_at is not None:
        return None
    moment = datetime.now(UTC)
    newest = newest_invitation(session, name)
    end = newest.expires if newest is not None and newest.certificate == row.certificate else None
    until = moment + overlap if end is None else min(moment + overlap, end)
    return EarlierKit(certificate=row.certificate, key=row.key.hex(), until=until) if until > moment else None


def _move(
    session: Session,
    number: int,
    state: State,
    reason: str,
    actor: str,
    erase: bool = False,
    nonce: str | None = None,
) -> Arrival:
    row = session.get(ArrivalRow, number)
    if row is None:
        raise LedgerConflict(f"arrival {number} is not in the ledger; give a number from `medforge log`")
    was = State(row.state)
    if was is state and (row.erase or not erase):
        return row.plain()
    if was is not state and state not in NEXT[was]:
        raise LedgerConflict(f"arrival {number} is {was.value}, so it cannot become {state.value}; see `medforge log`")
    if row.erase and state is not was:
        raise LedgerConflict(f"arrival {number} was erased when it was withdrawn; it must be pushed anew")
    if nonce is not None:
        check_unused(session, row, erase, nonce)
    row.state, row.reason, row.erase = state.value, reason, row.erase or erase
    row.admitted = state is State.RECEIVED and actor == MAINTAINER
    about = {"arrival": number, "branch": row.branch, "was": was.value, "reason": reason}
    said = ({"erase": True} if erase else {}) | ({} if nonce is None else {"nonce": nonce})
    enter(session, actor, spell(state, row.admitted), about | said)
    return row.plain()
