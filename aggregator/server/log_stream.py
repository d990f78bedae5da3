"""The log as a forge tells it: commits, what is said beside them, and the arrivals that are not in the main branch."""

from __future__ import annotations

from collections.abc import Iterator

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.ledger.log_page import LogTable
from medforge.aggregator.ledger.records import Arrival, State
from medforge.aggregator.server.review_desk import ReviewDesk
from medforge.privacy_facts import PrivacyFacts
from medforge.proto import forge_pb2 as pb
from medforge.proto.codec import commit_to_message
from medforge.proto.epoch import epoch_of_commit

LARGEST_NUMBER = (1 << 63) - 1  # that a database compares with
STATES = {state: pb.BranchState.Value(f"BRANCH_STATE_{state.name}") for state in State}
_NAMES_AT_ONCE = 1000


class LogStream:
    """Tell one forge's log."""

    def __init__(self, forge: Forge, reviews: ReviewDesk) -> None:
        self._forge = forge
        self._reviews = reviews
        self._table = LogTable(forge.ledger)

    def entries(self, request: pb.LogRequest) -> Iterator[pb.LogEntry]:
        """Yield what is asked for: names, commits, and the arrivals that are not in the main branch."""
        ledger, who = self._forge.ledger, request.contributor
        names = ledger.display_names()
        if request.names:
            yield from _named(names)
        for record in self.commits(request.after, who):
            yield pb.LogEntry(commit=record)
        claims = ledger.privacy_claims()
        for arrival in ledger.outside():
            if who in ("", arrival.contributor):
                yield pb.LogEntry(arrival=_message(arrival, names, claims))

    def commits(self, after: int, contributor: str = "") -> Iterator[pb.CommitRecord]:
        """Yield the commits after a number; with a contributor, those that `LogRequest` says."""
        ledger, epochs = self._forge.ledger, self._forge.epochs
        standing, after = self._reviews.standings(), min(after, LARGEST_NUMBER)
        told = self._table.of(contributor, after, self._reviews.place()) if contributor else self._table.after(after)
        names: dict[str, str] | None = None
        for one in told:
            if names is None:
                names, claims = ledger.display_names(), ledger.privacy_claims()
            record = commit_to_message(one.number, one.content, one.accepted_at, names.get(one.contributor))
            record.standing = standing(one.number, one.digest)
            record.epoch = epoch_of_commit(epochs, one.number)
            if claimed := claims.get(one.branch):
                record.privacy = claimed.to_bytes()
            yield record


def _named(names: dict[str, str]) -> Iterator[pb.LogEntry]:
    """Yield names, some at a time, and none once where there are none: who asked is told that all were said."""
    said = [pb.DisplayName(contributor=contributor, display_name=name) for contributor, name in names.items()]
    for start in range(0, len(said) or 1, _NAMES_AT_ONCE):
        yield pb.LogEntry(names=pb.DisplayNames(names=said[start : start + _NAMES_AT_ONCE]))


def _message(arrival: Arrival, names: dict[str, str], claims: dict[str, PrivacyFacts]) -> pb.Arrival:
    return pb.Arrival(
        number=arrival.number,
        branch=arrival.branch,
        contributor=arrival.contributor,
        task=arrival.task,
        size=arrival.size,
        accepted_at=arrival.accepted_at,
        state=STATES[arrival.state],
        reason=arrival.reason,
        display_name=names.get(arrival.contributor, ""),
        privacy=claims[arrival.branch].to_bytes() if arrival.branch in claims else b"",
    )
