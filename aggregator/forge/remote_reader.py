"""The main branch of a forge that is served somewhere, as its log tells it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from pydantic import ValidationError

from medforge.aggregator.forge.identity import ForgeIdentity
from medforge.aggregator.forge.review_view import ReviewView
from medforge.aggregator.ledger.commit import Commit
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

if TYPE_CHECKING:
    from medforge.forge_item import ForgeItem


class RemoteReader:
    """Read the log of a forge that is served somewhere."""

    def __init__(self, forge: RemoteForge) -> None:
        self._forge = forge
        self._commits: list[Commit] = []
        self._arrivals: dict[int, Arrival] = {}
        self._names: dict[str, str] = {}
        self._claims: dict[str, PrivacyFacts] = {}
        for entry in forge.log_entries():
            if entry.WhichOneof("entry") == "commit":
                self._take_commit(entry.commit)
            else:
                one = entry.arrival
                about = (one.number, one.branch, one.contributor, one.task, one.size, one.accepted_at)
                self._arrivals[one.number] = Arrival(*about, _state(one), one.reason)
                self._name(one.contributor, one.display_name)
                self._claim(one.branch, one.privacy)

    def _take_commit(self, record: pb.CommitRecord) -> None:
        commit = Commit.parse(record.content, record.digest)
        self._commits.append(commit)
        self._name(commit.contributor, record.display_name)
        self._claim(commit.branch, record.privacy)
        # what is not in the main branch any more comes after all commits, and takes this one's place
        about = (commit.arrival, commit.branch, commit.contributor, commit.task, 0, record.accepted_at)
        self._arrivals[commit.arrival] = Arrival(*about, State.FOLDED)

    def _name(self, contributor: str, display_name: str) -> None:
        # a forge of 0.1.0 says nothing
        if display_name:
            self._names[contributor] = display_name

    def _claim(self, branch: str, privacy: bytes) -> None:
        if not privacy:
            return
        try:
            self._claims[branch] = PrivacyFacts.model_validate_json(privacy)
        except ValidationError as error:
            raise CorruptFile(
                f"the forge at {self._forge.at} sent a claim of differential privacy that cannot be read; tell whoever "
                "runs it"
            ) from error

    def identity(self) -> ForgeIdentity:
        """Say which forge this is, on which base module, and which tasks it has declared."""
        told = self._described
        tasks = tuple(signed.task for signed in self._forge.tasks(told).values())
        return ForgeIdentity(told.forge, _base_facts(told, self._forge.at), tasks)

    def commits(self) -> list[Commit]:
        """List the commits, oldest first."""
        return self._commits

    def arrivals(self) -> list[Arrival]:
        """List the arrivals, in order; the size of one in the main branch is not told, so it is 0."""
        return [arrival for _, arrival in sorted(self._arrivals.items())]

    def display_names(self) -> dict[str, str]:
        """Return how contributors are written for people, where that is not the identifier."""
        return self._names

    def privacy_claims(self) -> dict[str, PrivacyFacts]:
        """Return the differential privacy that branches claim, by their digests; of those that claim any."""
        return self._claims

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
