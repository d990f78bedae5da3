"""The main branch of a forge that is served somewhere, as its log tells it."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from typing import TYPE_CHECKING

from pydantic import ValidationError

from medforge.aggregator.forge.identity import ForgeIdentity
from medforge.aggregator.forge.review_view import ReviewView
from medforge.aggregator.ledger.commit import Commit
from medforge.aggregator.ledger.log_page import LogPage, page_bounds
from medforge.aggregator.ledger.records import Arrival, State
from medforge.aggregator.ledger.review_records import Decision, KeptDecision, KeptReview, Objection
from medforge.base_facts import BaseFacts
from medforge.errors import CorruptFile
from medforge.files import parse_json
from medforge.privacy_facts import PrivacyFacts
from medforge.proto import forge_pb2 as pb
from medforge.proto.codec import review_from_message
from medforge.proto.remote import RemoteForge
from medforge.proto.tags import Tags
from medforge.proto.verified_log import VerifiedLog

if TYPE_CHECKING:
    from medforge.forge_item import ForgeItem


class RemoteReader:
    """Read the log of a forge that is served somewhere."""

    def __init__(self, forge: RemoteForge) -> None:
        self._forge = forge
        self._log = VerifiedLog(forge)
        self._outside = {one.number: _outside(one) for one in self._log.outside}

    def close(self) -> None:
        """Let go of what the log is kept in."""
        self._log.close()

    def said(self) -> list[str]:
        """Return what a user is to be told: that the forge was restored, and lacks commits that were seen."""
        return self._log.said

    def identity(self) -> ForgeIdentity:
        """Say which forge this is, on which base module, and which tasks it has declared."""
        told = self._described
        tasks = tuple(signed.task for signed in self._forge.tasks(told).values())
        return ForgeIdentity(told.forge, _base_facts(told, self._forge.at), tasks)

    def commits(self) -> list[Commit]:
        """List the commits, oldest first."""
        return [_parsed(record) for record in self._log.records()]

    def page(self, limit: int | None = None, before: int | None = None) -> LogPage:
        """Read the newest `limit` commits (None: all) with a number below `before`."""
        length = len(self._log)
        if not length:
            return LogPage()
        first, last = page_bounds(length, limit, before)
        read = [_parsed(record) for record in self._log.records(max(first - 1, 1), last)]
        head = read[-1] if last == length else _parsed(*self._log.records(length))
        earlier, commits = (read[0], read[1:]) if first > 1 else (None, read)
        return LogPage(first, tuple(commits), length, earlier, head)

    def number_of(self, digest: str) -> int | None:
        """Return the number of a commit, None for none of this main branch."""
        return self._log.number_of(digest)

    def called(self, name: str) -> list[Commit]:
        """List the commits, oldest first, that a name may mean, as `CommitLog` has it."""
        return [_parsed(record) for record in self._log.called(name)]

    def were_in(self, arrivals: Collection[int], before: int) -> set[int]:
        """Return which of these arrivals a commit with a number below `before` is about."""
        return {arrival for arrival, numbers in self._log.numbers_about(arrivals).items() if numbers[0] < before}

    def newest_arrival(self, before: int) -> int:
        """Return the greatest number of an arrival that a commit with a number below `before` is about; 0 for none."""
        return self._log.newest_arrival(before)

    def outside(self, head: Commit | None) -> list[Arrival]:
        """List, in order, the arrivals that are not in the main branch."""
        return [arrival for _, arrival in sorted(self._outside.items())]

    def arrivals_by_number(self, numbers: Collection[int]) -> dict[int, Arrival]:
        """Look arrivals up; one that has not arrived is left out."""
        wanted = [number for number in numbers if number not in self._outside]
        newest = [places[-1] for places in self._log.numbers_about(wanted).values()]
        found = {one.number: one for place in newest for one in map(_folded, self._log.records(place, place))}
        return found | {number: self._outside[number] for number in numbers if number in self._outside}

    def arrivals(self) -> list[Arrival]:
        """List the arrivals, in order; the size of one in the main branch is not told, so it is 0."""
        folded = {one.number: one for one in map(_folded, self._log.records())}
        return [arrival for _, arrival in sorted((folded | self._outside).items())]

    def display_names(self) -> dict[str, str]:
        """Return how contributors are written for people, where that is not the identifier."""
        return self._log.display_names()

    def privacy_claims(self) -> dict[str, PrivacyFacts]:
        """Return the differential privacy that branches claim, by their digests; of those that claim any."""
        folded = [record for record in self._log.records() if record.privacy]
        claims = {_parsed(record).branch: self._claim(record.privacy) for record in folded}
        return claims | {one.branch: self._claim(one.privacy) for one in self._log.outside if one.privacy}

    def _claim(self, privacy: bytes) -> PrivacyFacts:
        try:
            return PrivacyFacts.model_validate_json(privacy)
        except ValidationError as error:
            raise CorruptFile(
                f"the forge at {self._forge.at} sent a claim of differential privacy that cannot be read; tell whoever "
                "runs it"
            ) from error

    def tags(self) -> Tags:
        """Return the commits' tags by name, oldest first, each verified with the forge's key."""
        return self._forge.tags(self._described)

    def reviews(self) -> ReviewView:
        """Return how the commits stand by reviews; raises CorruptFile for an answer that cannot be read."""
        told = self._described
        # a forge of an earlier version does not say, and one that nobody reviews has nothing to say
        if not told.reviewed:
            return ReviewView()
        reviews: list[KeptReview] = []
        decisions: list[KeptDecision] = []
        for entry in self._forge.reviews():
            if entry.WhichOneof("entry") == "review":
                reviews.append(KeptReview(entry.number, entry.at, review_from_message(entry.review, told.forge)))
            elif entry.WhichOneof("entry") == "decision":
                decisions.append(KeptDecision(entry.number, entry.at, _decision(entry.decision, self._forge.at)))
        return ReviewView(told.stable, tuple(reviews), tuple(decisions))

    @cached_property
    def _described(self) -> pb.DescribeReply:
        return self._forge.describe()

    def item(self, commit: Commit) -> ForgeItem:
        """Fetch a commit's forge item."""
        from medforge.proto.checkout import download_item

        return download_item(self._forge, commit.digest, commit.item)

    def item_file(self, digest: str) -> bytes:
        """Fetch one file of a forge item by its digest, which `Commit.item_files` names."""
        return self._forge.blob(digest)


def _parsed(record: pb.CommitRecord) -> Commit:
    return Commit.parse(record.content, record.digest)


def _folded(record: pb.CommitRecord) -> Arrival:
    """Return the arrival that a commit is about as one in the main branch; of others the log tells beside the commits.

    The size is not told, so it is 0.
    """
    one = _parsed(record)
    about = (one.arrival, one.branch, one.contributor, one.task, 0, record.accepted_at)
    return Arrival(*about, State.FOLDED)


def _outside(one: pb.Arrival) -> Arrival:
    about = (one.number, one.branch, one.contributor, one.task, one.size, one.accepted_at)
    return Arrival(*about, _state(one), one.reason)


def _state(arrival: pb.Arrival) -> State:
    return State(pb.BranchState.Name(arrival.state).removeprefix("BRANCH_STATE_").lower())


def _decision(message: pb.Decision, at: str) -> Decision:
    try:
        return Decision(
            commit=message.commit,
            standing="harmful" if message.standing == pb.STANDING_HARMFUL else "live",
            reason=message.reason,
            arrival=message.arrival or None,
            objections=tuple(Objection.model_validate(one) for one in parse_json(message.evidence)),
        )
    except (ValueError, TypeError) as error:
        raise CorruptFile(f"{at} sent a decision that this version cannot read; update it") from error


def _base_facts(told: pb.DescribeReply, at: str) -> BaseFacts:
    try:
        # a forge of an earlier version says no more than these two
        known = parse_json(told.base_facts) if told.base_facts else {"spec": told.base_spec, "fingerprint": told.base}
        facts = BaseFacts.model_validate(known)
    except ValueError as error:
        raise CorruptFile(
            f"{at} describes its base module in a way that this version cannot read; update it"
        ) from error
    if facts.fingerprint != told.base:
        raise CorruptFile(f"{at} contradicts itself about its base module; do not trust it")
    return facts
