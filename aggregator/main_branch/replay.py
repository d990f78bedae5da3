"""Rebuild the main branch from ledger and blobs, and prove every commit's forge item.

To the byte on the kind of processor that made it, within a tolerance on another.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.stored_branches import StoredBranches
from medforge.aggregator.ledger.commit import Commit
from medforge.aggregator.main_branch.comparison import (
    difference,
    far_coefficients,
    far_files,
    far_scores,
    other_circumstances,
)
from medforge.aggregator.main_branch.examination import score_item
from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.catalogue import listing_of
from medforge.aggregator.merge.choosing import completed
from medforge.aggregator.merge.folding import fold_round, refold
from medforge.aggregator.merge.method import FoldResult
from medforge.aggregator.merge.probability_cache import ProbabilityCache
from medforge.aggregator.merge.sampling import sampled
from medforge.base_module import BaseModule
from medforge.errors import BaseMismatch, CorruptFile
from medforge.proto.errors import NotFound

Outcome = Literal["identical", "within tolerance", "unproven", "different", "erased", "empty"]


@dataclass(frozen=True)
class ReplayResult:
    """Say what rebuilding a commit gave; `detail` names what differs, who was erased, or why a tolerance was due.

    ``within tolerance``: the commit was made on another kind of processor or with other libraries, where equality to
    the byte cannot be asked for. ``unproven``: there the search of its coefficients ended elsewhere, as a search may
    that follows a last bit; the stored forge item, where it is kept, scores what the commit says, which is all that can
    be seen.
    """

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
    erased = forge.ledger.erased()
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
            yield ReplayResult(number, commit, "erased", f"arrival {gone[0]} was erased when it was withdrawn")
        elif not commit.members:
            before = None
            yield ReplayResult(number, commit, "empty" if commit.item is None else "different")
        else:
            before = _rebuild(branches, base, commit, parent, before, probabilities)
            yield _compared(forge, base, branches, number, commit, before)
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


def _compared(
    forge: Forge, base: BaseModule, branches: StoredBranches, number: int, commit: Commit, folded: FoldResult
) -> ReplayResult:
    detail = difference(commit, folded)
    if not detail:
        return ReplayResult(number, commit, "identical")
    why = other_circumstances(commit)
    if not why:
        return ReplayResult(number, commit, "different", detail)
    far = far_coefficients(commit, folded)
    try:
        item = forge.load_item(commit)
    except NotFound:
        item, why = None, f"{why}; its forge item is not kept, so its coefficients alone were compared"
    if far and _searched(commit):
        wrong = far_scores(commit, score_item(item, _looked_at(commit, branches), base)) if item else ""
        if wrong:
            return ReplayResult(number, commit, "different", f"{wrong} ({why})")
        return ReplayResult(number, commit, "unproven", f"{why}, on which its search depends: {far}")
    if item and not far:
        far = far_files(item.files(), folded.item.files())
    if far:
        return ReplayResult(number, commit, "different", f"{far} ({why})")
    return ReplayResult(number, commit, "within tolerance", why)


def _looked_at(commit: Commit, branches: StoredBranches) -> tuple[ArrivedBranch, ...]:
    return sampled(branches.arrived(commit.members), commit.method.sample)


def _searched(commit: Commit) -> bool:
    """Say whether a commit's coefficients were searched by running the network."""
    listing = listing_of(commit.method.method)
    return listing.distilled and (commit.method.level, commit.method.coefficients) != ("output", "gated")
