"""The main branch of a forge that is served somewhere, as its log tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medforge.aggregator.ledger.commit import Commit
from medforge.aggregator.ledger.records import Arrival, State
from medforge.proto import forge_pb2 as pb
from medforge.proto.remote import RemoteForge

if TYPE_CHECKING:
    from medforge.forge_item import ForgeItem


class RemoteReader:
    """Read the log of a forge that is served somewhere."""

    def __init__(self, forge: RemoteForge) -> None:
        self._forge = forge
        self._commits: list[Commit] = []
        self._arrivals: dict[int, Arrival] = {}
        for entry in forge.log_entries():
            if entry.WhichOneof("entry") == "commit":
                self._take_commit(entry.commit)
            else:
                one = entry.arrival
                about = (one.number, one.branch, one.contributor, one.task, one.size, one.accepted_at)
                self._arrivals[one.number] = Arrival(*about, _state(one), one.reason)

    def _take_commit(self, record: pb.CommitRecord) -> None:
        commit = Commit.parse(record.content, record.digest)
        self._commits.append(commit)
        # what is not in the main branch any more comes after all commits, and takes this one's place
        about = (commit.arrival, commit.branch, commit.contributor, commit.task, 0, record.accepted_at)
        self._arrivals[commit.arrival] = Arrival(*about, State.FOLDED)

    def commits(self) -> list[Commit]:
        """List the commits, oldest first."""
        return self._commits

    def arrivals(self) -> list[Arrival]:
        """List the arrivals, in order; the size of one in the main branch is not told, so it is 0."""
        return [arrival for _, arrival in sorted(self._arrivals.items())]

    def item(self, commit: Commit) -> ForgeItem:
        """Fetch a commit's forge item."""
        from medforge.proto.checkout import download_item

        return download_item(self._forge, commit.digest, commit.item)


def _state(arrival: pb.Arrival) -> State:
    return State(pb.BranchState.Name(arrival.state).removeprefix("BRANCH_STATE_").lower())
