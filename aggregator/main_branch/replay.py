"""Rebuild the main branch from ledger and blobs, and prove every commit's forge item byte-identical."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.stored_branches import StoredBranches
from medforge.aggregator.ledger.commit import Commit
from medforge.aggregator.merge.choosing import completed
from medforge.aggregator.merge.folding import fold_round, refold
from medforge.aggregator.merge.method import FoldResult
from medforge.aggregator.merge.probability_cache import ProbabilityCache
from medforge.base_module import BaseModule
from medforge.errors import BaseMismatch, CorruptFile
from medforge.files import sha256_bytes

Outcome = Literal["identical", "different", "erased", "empty"]


@dataclass(frozen=True)
class ReplayResult:
    """Say what rebuilding a commit gave; `detail` names what differs, or who was erased."""

    number: int
    commit: Commit
    outcome: Outcome
    detail: str = ""


def replay(forge: Forge, base: BaseModule) -> Iterator[ReplayResult]:
    """Fold everything again, commit by commit, from the branches alone; no stored forge item and no cache is used.

    A commit that was made with a branch that has since been erased cannot be rebuilt, and says so. Raises BaseMismatch
    for another base module, CorruptFile where the chain of commits is broken, InvalidInput where the merge method
    is not installed.
    """
    completed(forge.settings.method)
    if base.fingerprint != forge.settings.base:
        raise BaseMismatch(
            f"the forge {forge.directory} stands on base module {forge.settings.base[:12]} "
            f"({forge.settings.base_spec}), not on {base.fingerprint[:12]}; give the forge's base"
        )
    probabilities = ProbabilityCache(base, None)
    branches = StoredBranches(forge, None)
    erased = {arrival.number for arrival in forge.ledger.arrivals() if arrival.erased}
    parent: Commit | None = None
    before: FoldResult | None = None
    for number, commit in forge.ledger.commits():
        if commit.parent != (parent.digest if parent else None):
            raise CorruptFile(
                f"commit {commit.digest[:12]} does not follow the one before; restore the ledger from a backup"
            )
        gone = sorted(erased & set(commit.members))
        if gone:
            before = None
            yield ReplayResult(number, commit, "erased", f"arrival {gone[0]} was erased at its contributor's wish")
        elif not commit.members:
            before = None
            yield ReplayResult(number, commit, "empty" if commit.item is None else "different")
        else:
            before = _rebuild(branches, base, commit, parent, before, probabilities)
            detail = _difference(commit, before)
            yield ReplayResult(number, commit, "different" if detail else "identical", detail)
        parent = commit


def _rebuild(
    branches: StoredBranches,
    base: BaseModule,
    commit: Commit,
    parent: Commit | None,
    before: FoldResult | None,
    probabilities: ProbabilityCache,
) -> FoldResult:
    arrived = branches.arrived(commit.members)
    branches.begin_fold(arrived)
    goes_on = parent is not None and commit.kind == "fold" and commit.members[:-1] == parent.members
    if goes_on and before is not None:
        return fold_round(base, completed(commit.method), arrived, before.head, probabilities)
    return refold(base, completed(commit.method), arrived, probabilities)


def _difference(commit: Commit, folded: FoldResult) -> str:
    files = {path: sha256_bytes(data) for path, data in folded.item.files().items()}
    if folded.coefficients != commit.coefficients:
        return "its coefficients differ"
    wrong = sorted(path for path in files | commit.item_files if files.get(path) != commit.item_files.get(path))
    if wrong:
        return f"{', '.join(wrong)} differ"
    return "" if folded.item.digest == commit.item else "its forge item has another digest"
