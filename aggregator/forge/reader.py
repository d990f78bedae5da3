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
from medforge.files import SHORTEST_PREFIX, sha256_bytes
from medforge.forge_item import ForgeItem
from medforge.proto import forge_pb2 as pb
from medforge.proto.checkout import download_item
from medforge.proto.connection import Connection
from medforge.proto.errors import NotFound
from medforge.proto.remote import RemoteForge


class ForgeReader(Protocol):
    """Read a forge's main branch."""

    def commits(self) -> list[Commit]:
        """List the commits, oldest first."""

    def outside(self) -> list[Arrival]:
        """List the arrivals that are not in the main branch, in order."""

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


def choose_commit(commits: Sequence[Commit], prefix: str | None) -> Commit:
    """Choose a commit by its digest or the first letters of it, or the newest; raise NotFound or InvalidInput."""
    if not commits:
        raise NotFound("this forge's main branch has no commit yet; push a branch and wait until it is folded")
    if prefix is None:
        return commits[-1]
    if len(prefix) < SHORTEST_PREFIX:
        raise InvalidInput(
            f"{prefix!r} is too short for a commit; give at least {SHORTEST_PREFIX} letters of its digest"
        )
    found = [commit for commit in commits if commit.digest.startswith(prefix)]
    if len(found) != 1:
        count = "no commit" if not found else f"{len(found)} commits"
        raise NotFound(f"{count} on the main branch begins with {prefix}; `medforge log` lists them")
    return found[0]


def _state(arrival: pb.Arrival) -> State:
    return State(pb.BranchState.Name(arrival.state).removeprefix("BRANCH_STATE_").lower())


class _Local:
    def __init__(self, forge: Forge) -> None:
        self._forge = forge

    def commits(self) -> list[Commit]:
        return [commit for _, commit in self._forge.ledger.commits()]

    def outside(self) -> list[Arrival]:
        return self._forge.ledger.outside()

    def item(self, commit: Commit) -> ForgeItem:
        return self._forge.load_item(commit)


class _Remote:
    def __init__(self, forge: RemoteForge) -> None:
        self._forge = forge
        self._log = forge.log()

    def commits(self) -> list[Commit]:
        return [Commit.parse(content, sha256_bytes(content)) for _, content in self._log[0]]

    def outside(self) -> list[Arrival]:
        return [
            Arrival(
                one.number, one.branch, one.contributor, one.task, one.size, one.accepted_at, _state(one), one.reason
            )
            for one in self._log[1]
        ]

    def item(self, commit: Commit) -> ForgeItem:
        return download_item(self._forge, commit.digest, commit.item)
