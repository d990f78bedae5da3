"""The main branch: the one door through which an arrival becomes part of the merged model."""

from collections.abc import Callable
from functools import lru_cache, partial

from medforge.aggregator.arrived import Arrived
from medforge.aggregator.commit import Commit
from medforge.aggregator.forge import Forge
from medforge.aggregator.ledger import LedgerConflict
from medforge.aggregator.merge.folding import fold_round
from medforge.aggregator.merge.method import Head
from medforge.aggregator.probabilities import ProbabilityCache
from medforge.base_module import BaseModule
from medforge.branch import Branch, Manifest, software_versions
from medforge.errors import BaseMismatch, InvalidBranch
from medforge.forge_item import ForgeItem
from medforge.proto.errors import MissingBlob

_BRANCHES_IN_MEMORY = 4


class MainBranch:
    """Fold arrivals of a forge into commits, strictly in arrival order.

    Deterministic: the same arrivals under the same settings give the same commits in any forge, also after a restart.
    The forge's directory may be deleted but for ledger and blobs; what is cached is computed again.
    """

    def __init__(self, forge: Forge, base: BaseModule) -> None:
        if forge.settings.base != base.fingerprint:
            raise BaseMismatch(
                f"the forge {forge.directory} stands on base module {forge.settings.base[:12]} "
                f"({forge.settings.base_spec}), not on {base.fingerprint[:12]} ({base.spec}); give the forge's base"
            )
        self.forge = forge
        self.base = base
        self.settings = forge.settings.method
        self.probabilities = ProbabilityCache(base, forge.cache)
        self._load: Callable[[int], Branch] = lru_cache(maxsize=_BRANCHES_IN_MEMORY)(forge.load_branch)

    def head(self) -> Commit | None:
        """The newest commit, or None before the first."""
        return self.forge.ledger.head()

    def log(self) -> list[Commit]:
        """All commits, oldest first."""
        return [commit for _, commit in self.forge.ledger.commits()]

    def checkout(self, commit: str | None = None) -> ForgeItem:
        """Read the forge item of a commit (by digest; the head where none is given); raises MissingBlob for none."""
        return self.forge.load_item(self.forge.find_commit(commit))

    def fold(self, arrival: int) -> Commit:
        """Fold one arrival and append its commit; an arrival that is folded already gives the commit it has.

        The forge item's files are stored before the commit, so a crash in between leaves the main branch as it was.
        Raises LedgerConflict where another arrival is next, MissingBlob for a number that has not arrived,
        InvalidBranch for a branch that cannot be merged (the main branch stays as it was).
        """
        known = self.forge.ledger.commit_of(arrival)
        if known is not None:
            return known[1]
        self._check_next(arrival)
        head = self.head()
        arrived = tuple(self._arrived(number) for number in [*(commit.arrival for commit in self.log()), arrival])
        previous = Head(head.coefficients, partial(self.checkout, head.digest)) if head else None
        folded = fold_round(self.base, self.settings, arrived, previous, self.probabilities)
        arriving = arrived[-1]
        commit = Commit(
            parent=head.digest if head else None,
            arrival=arrival,
            contributor=arriving.contributor,
            task=arriving.task,
            branch=arriving.digest,
            method=self.settings,
            coefficients=folded.coefficients,
            metrics=folded.metrics,
            seed=self.settings.seed,
            software=software_versions() | {"nevergrad": _nevergrad_version()},
            base=self.base.fingerprint,
            item=folded.item.digest,
            item_files=self.forge.store_item(folded.item),
        )
        self.forge.ledger.add_commit(commit)
        return commit

    def fold_waiting(self) -> list[Commit]:
        """Fold every arrival that waits, in order; one that cannot be merged is held with the reason, not dropped."""
        commits = []
        for waiting in iter(lambda: self.forge.ledger.unfolded(limit=1), []):
            number = waiting[0].number
            try:
                commits.append(self.fold(number))
            except InvalidBranch as error:
                self.forge.ledger.hold(number, str(error))
        return commits

    def _check_next(self, arrival: int) -> None:
        held = self.forge.ledger.holds().get(arrival)
        if held is not None:
            raise InvalidBranch(f"arrival {arrival} is held: {held.reason}; release it to fold it")
        waiting = self.forge.ledger.unfolded(limit=1)
        if waiting and waiting[0].number < arrival:
            raise LedgerConflict(f"arrival {waiting[0].number} comes before arrival {arrival}; fold that first")

    def _arrived(self, number: int) -> Arrived:
        branch = partial(self._load, number)
        return Arrived(number, self._manifest(number), branch)

    def _manifest(self, number: int) -> Manifest:
        entry = self.forge.ledger.arrival(number)
        if entry is None:
            raise MissingBlob(f"arrival {number} is not in this forge; `medforge log` lists the arrivals")
        return Manifest.parse(self.forge.blobs.read(entry.branch))


def _nevergrad_version() -> str:
    from importlib.metadata import version

    return version("nevergrad")
