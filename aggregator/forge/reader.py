"""The main branch as a reader sees it, from a forge directory or from an address."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.ledger.commit import Commit
from medforge.aggregator.ledger.records import Arrival, State
from medforge.errors import CorruptFile, InvalidInput
from medforge.forge_item import ForgeItem
from medforge.proto import forge_pb2 as pb
from medforge.proto.checkout import download_item
from medforge.proto.connection import Connection
from medforge.proto.remote import RemoteForge


class ForgeReader(Protocol):
    """Read a forge's main branch."""

    def commits(self) -> list[Commit]:
        """List the commits, oldest first."""

    def arrivals(self) -> list[Arrival]:
        """List the arrivals, in order; of one in the main branch an address does not tell the size, which is 0."""

    def item(self, commit: Commit) -> ForgeItem:
        """Read a commit's forge item."""


@contextmanager
def open_reader(
    directory: Path | None, connection: Connection | None, ledger_url: str | None = None
) -> Iterator[ForgeReader]:
    """Open a forge for reading, by its directory or over a connection; raise InvalidInput unless one is given."""
    if directory is not None and connection is None:
        forge = Forge.open(directory, ledger_url)
        try:
            yield _Local(forge)
        finally:
            forge.close()
    elif connection is not None and directory is None:
        with RemoteForge(connection) as remote:
            yield _Remote(remote)
    else:
        raise InvalidInput("say which forge: give either its directory with --forge or its address with --at")


def check_chain(commits: Sequence[Commit]) -> None:
    """Check that each commit names the one before as its parent (the first none); raise CorruptFile otherwise."""
    parent = None
    for commit in commits:
        if commit.parent != parent:
            raise CorruptFile(
                f"commit {commit.digest[:12]} does not follow {parent[:12] if parent else 'an empty main branch'}; "
                f"the ledger has been altered, restore it from a backup"
            )
        parent = commit.digest


def _state(arrival: pb.Arrival) -> State:
    return State(pb.BranchState.Name(arrival.state).removeprefix("BRANCH_STATE_").lower())


class _Local:
    def __init__(self, forge: Forge) -> None:
        self._forge = forge

    def commits(self) -> list[Commit]:
        return [commit for _, commit in self._forge.ledger.commits()]

    def arrivals(self) -> list[Arrival]:
        return self._forge.ledger.arrivals()

    def item(self, commit: Commit) -> ForgeItem:
        return self._forge.load_item(commit)


class _Remote:
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
        return self._commits

    def arrivals(self) -> list[Arrival]:
        return [arrival for _, arrival in sorted(self._arrivals.items())]

    def item(self, commit: Commit) -> ForgeItem:
        return download_item(self._forge, commit.digest, commit.item)
