"""The main branch as a reader sees it, from a forge directory or from an address."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.identity import ForgeIdentity
from medforge.aggregator.forge.review_view import ReviewView
from medforge.aggregator.forge.tagging import verified_tags
from medforge.aggregator.ledger.commit import Commit
from medforge.aggregator.ledger.log_page import CommitLog, LogPage, LogTable
from medforge.aggregator.ledger.records import Arrival, State
from medforge.aggregator.ledger.review_table import ReviewTable
from medforge.aggregator.ledger.task_table import TaskTable
from medforge.declared_task import DeclaredTask
from medforge.errors import InvalidInput
from medforge.privacy_facts import PrivacyFacts
from medforge.proto.connection import Connection
from medforge.proto.tags import Tags

if TYPE_CHECKING:
    from medforge.forge_item import ForgeItem


class ForgeReader(CommitLog, Protocol):
    """Read a forge's main branch."""

    def identity(self) -> ForgeIdentity:
        """Say which forge this is, on which base module, and which tasks it has declared."""

    def said(self) -> list[str]:
        """Return what a user is to be told before anything else."""

    def commits(self) -> list[Commit]:
        """List the commits, oldest first."""

    def outside(self, head: Commit | None) -> list[Arrival]:
        """List, in order, the arrivals that are not in the main branch, also those that came in after a head."""

    def arrivals_by_number(self, numbers: Collection[int]) -> dict[int, Arrival]:
        """Look arrivals up; one that has not arrived is left out."""

    def arrivals(self) -> list[Arrival]:
        """List the arrivals, in order; of one in the main branch an address does not tell the size, which is 0."""

    def display_names(self) -> dict[str, str]:
        """Return how contributors are written for people, where that is not the identifier."""

    def privacy_claims(self) -> dict[str, PrivacyFacts]:
        """Return the differential privacy that branches claim, by their digests; of those that claim any."""

    def tags(self) -> Tags:
        """Return the commits' tags by name, oldest first, each verified with the forge's key."""

    def reviews(self) -> ReviewView:
        """Return how the commits stand by reviews."""

    def item(self, commit: Commit) -> ForgeItem:
        """Read a commit's forge item."""

    def item_file(self, digest: str) -> bytes:
        """Read one file of a forge item by its digest, which `Commit.item_files` names."""


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
        # here, so that whoever reads a directory waits for no gRPC
        from medforge.aggregator.forge.remote_reader import RemoteReader
        from medforge.proto.remote import RemoteForge

        with RemoteForge(connection) as remote, closing(RemoteReader(remote)) as reader:
            yield reader
    else:
        raise InvalidInput("no forge is named, or two; give either its directory with --forge or its address with --at")


class _Local:
    def __init__(self, forge: Forge) -> None:
        self._forge = forge
        self._log = LogTable(forge.ledger)

    def identity(self) -> ForgeIdentity:
        settings = self._forge.settings
        declared = {name: one.task for name, one in TaskTable(self._forge.ledger).declarations().items()}
        return ForgeIdentity(settings.forge, settings.facts, (*declared.values(), *self._undeclared(set(declared))))

    def _undeclared(self, declared: set[str]) -> Iterator[DeclaredTask]:
        """Yield the tasks of a forge of 0.1.0, which declared none, as the first branch of each has them."""
        for arrival in self._forge.ledger.arrivals():
            if arrival.task not in declared and arrival.state is State.FOLDED and not arrival.erased:
                declared.add(arrival.task)
                yield DeclaredTask.of(self._forge.manifest(arrival.number))

    def said(self) -> list[str]:
        return []

    def commits(self) -> list[Commit]:
        return [commit for _, commit in self._forge.ledger.commits()]

    def page(self, limit: int | None = None, before: int | None = None) -> LogPage:
        return self._log.page(limit, before)

    def number_of(self, digest: str) -> int | None:
        return self._log.number_of(digest)

    def called(self, name: str) -> list[Commit]:
        return self._log.called(name)

    def were_in(self, arrivals: Collection[int], before: int) -> set[int]:
        return self._log.were_in(arrivals, before)

    def newest_arrival(self, before: int) -> int:
        return self._log.newest_arrival(before)

    def outside(self, head: Commit | None) -> list[Arrival]:
        return self._log.outside(head)

    def arrivals_by_number(self, numbers: Collection[int]) -> dict[int, Arrival]:
        return self._forge.ledger.arrivals_by_number(numbers)

    def arrivals(self) -> list[Arrival]:
        return self._forge.ledger.arrivals()

    def display_names(self) -> dict[str, str]:
        return self._forge.ledger.display_names()

    def privacy_claims(self) -> dict[str, PrivacyFacts]:
        return self._forge.ledger.privacy_claims()

    def tags(self) -> Tags:
        return verified_tags(self._forge)

    def reviews(self) -> ReviewView:
        return ReviewView.of(ReviewTable(self._forge.ledger))

    def item(self, commit: Commit) -> ForgeItem:
        return self._forge.load_item(commit)

    def item_file(self, digest: str) -> bytes:
        return self._forge.blobs.read(digest)
