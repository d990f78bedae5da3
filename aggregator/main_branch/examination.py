"""What an arrival must show before it is merged, and a merge before it is kept: a continuous integration for models.

Statistics on distilled images only: nothing else is known of an arrival. A plugin and a dataset that agree with each
other, with the base module and with what arrived before pass, whatever they were made from. What it costs does not grow
with the number of earlier branches of a task.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from scipy.special import bdtrc

from medforge.aggregator.coefficients.objective import ScoredImages, task_scores
from medforge.aggregator.coefficients.task_score import TaskScore
from medforge.aggregator.forge.policy import Admission
from medforge.aggregator.main_branch.agreement import ranked_well
from medforge.aggregator.main_branch.contradiction.hearing import REMEDY, Contradiction
from medforge.aggregator.main_branch.contradiction.loss import Loss
from medforge.aggregator.main_branch.contradiction.weighing import NOTHING_KNOWN, Standing
from medforge.aggregator.main_branch.foreign import foreign
from medforge.aggregator.main_branch.objections import objections
from medforge.aggregator.main_branch.straying import strayed
from medforge.aggregator.main_branch.witness import drawn
from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.method import FoldResult, Head
from medforge.aggregator.merge.probability_cache import ProbabilityCache
from medforge.base_module import BaseModule
from medforge.determinism import one_thread
from medforge.errors import InvalidBranch
from medforge.forge_item import ForgeItem, Routed
from medforge.routed import asking


class BranchHeld(InvalidBranch):
    """Report a branch that is sound but behaves suspiciously: it is kept out until the maintainer decides."""

    code = "branch-held"
    exit_code = 4


class Examination:
    """Examine arrivals and merges on one base module; class probabilities and embeddings come from the cache."""

    def __init__(self, base: BaseModule, probabilities: ProbabilityCache, admission: Admission) -> None:
        self._base = base
        self._probabilities = probabilities
        self._admission = admission

    @one_thread()
    def arrival(
        self,
        arrived: Sequence[ArrivedBranch],
        waiting: Sequence[ArrivedBranch] = (),
        standing: Standing = NOTHING_KNOWN,
    ) -> Contradiction | None:
        """Examine the last of ``arrived`` before it is folded, and return whom it contradicts (see `objections`).

        Raises BranchHeld for what speaks against it alone.
        """
        if not self._admission.behaviour:
            return None
        found = next(objections(arrived, self._base, self._probabilities, self._admission, waiting, standing), None)
        if found is not None and found.contradiction is None:
            raise BranchHeld(found.reason)
        return found.contradiction if found else None

    @one_thread()
    def belonging(self, arrived: Sequence[ArrivedBranch], before: Head | None) -> None:
        """Raise BranchHeld where the last of ``arrived`` has another task's images (see `foreign`).

        Asked where the main branch ``before`` it routes, and others have its task.
        """
        arriving = arrived[-1]
        others = [one for one in arrived[:-1] if one.task == arriving.task and one.contributor != arriving.contributor]
        witnesses = drawn(arriving, others, self._admission.witnesses)
        if before is None or not witnesses or not self._admission.behaviour:
            return
        item = before.item()
        if not isinstance(item, Routed):
            return
        found = foreign(arriving, witnesses, item, self._probabilities, self._admission.significance)
        if found is not None:
            raise BranchHeld(f"{found}, and not where others of task {arriving.task!r} have theirs; {REMEDY}")

    @one_thread()
    def merge(
        self, arrived: Sequence[ArrivedBranch], before: Head | None, scores: Mapping[str, TaskScore], folded: FoldResult
    ) -> Loss | None:
        """Say what folding the last of ``arrived`` cost an earlier task, if it is too much (see `examine_merge`).

        ``before`` is the main branch of the others, ``scores`` what it scored by task. Where the arriving branch shares
        its task with others, its images are among those that the new score is a mean of, so both main branches are
        asked anew, on the images of a few of the others (see `drawn`).
        """
        if before is None or not self._admission.behaviour:
            return None
        earlier, arriving = arrived[:-1], arrived[-1]
        after = dict(folded.metrics)
        compared = {one.task: scores[one.task] for one in earlier if one.task in scores}
        shared = drawn(arriving, [one for one in earlier if one.task == arriving.task], self._admission.witnesses)
        lost: dict[str, SharedLoss] = {}
        if shared:
            old, new = (self._said(item, shared) for item in (before.item(), folded.item))
            compared |= task_scores(old)
            after |= task_scores(new)
            lost[arriving.task] = SharedLoss(sum(len(one.labels) for one in old), _ranked(old) - _ranked(new))
        return examine_merge(
            compared, after, self._admission, lost, lambda task: self._keeps(task, earlier, before.item(), folded.item)
        )

    def _keeps(self, task: str, earlier: Sequence[ArrivedBranch], before: ForgeItem, after: ForgeItem) -> bool:
        """Say whether class statistics of all of a task's branches show that it keeps its images."""
        informed = all(one.has_statistics for one in earlier if one.task == task)
        if not (informed and isinstance(before, Routed) and isinstance(after, Routed)):
            return False
        return strayed(task, before, after) <= self._admission.margin

    def _said(self, item: ForgeItem, on: Sequence[ArrivedBranch]) -> list[ScoredImages]:
        """Ask as `scored` does; where the images lie, a router is told from the cache."""
        base, cache = self._base, self._probabilities
        if not isinstance(item, Routed):
            return list(scored(item, on, base))

        def said(one: ArrivedBranch) -> ScoredImages:
            answer = item.answer(base, cache.embeddings(one), one.prompts, asking(base, one.images()))
            return ScoredImages(one.task, answer.double().log_softmax(dim=1), one.labels())

        return base.side_by_side(said, on)


class SharedLoss(NamedTuple):
    """Hold how many images of a shared task were asked, and how much less well they are ranked (see `ranked_well`)."""

    images: int
    ranks: float


def examine_merge(
    before: Mapping[str, TaskScore],
    after: Mapping[str, TaskScore],
    admission: Admission,
    shared: Mapping[str, SharedLoss] | None = None,
    keeps: Callable[[str], bool] | None = None,
) -> Loss | None:
    """Return the task of ``before`` that lost most, where its accuracy on distilled images fell beyond the margin.

    ``shared`` says more of a task which the arriving branch shares with others. Merging two honest branches of few
    images costs each some of its own (3 of 20 chest films): such a task must have lost more than chance makes of the
    margin (see `costs_more`). And a centre of nearly one class, or without one, moves what the merged model prefers,
    until others move it back; so its images must be ranked less well too, by more than the margin. Of another task it
    takes images at the most, and of those a dozen distilled ones say little; ``keeps`` says of which task it is known
    otherwise that it keeps its own.
    """
    if not admission.behaviour:
        return None
    few = shared or {}
    # a search on a sample of the branches scores the tasks of those alone
    both = sorted(before.keys() & after.keys())
    # rounded, so that equal losses are equal whatever the last bit of a difference says
    lost = {task: round(before[task].acc - after[task].acc, 9) for task in both}
    worse = [
        task
        for task, loss in lost.items()
        if loss > admission.margin + 1e-9
        and (_beyond_chance(loss, few[task], admission) if task in few else not (keeps and keeps(task)))
    ]
    if not worse:
        return None
    worst = max(worse, key=lambda task: lost[task])
    return Loss(worst, before[worst].acc, after[worst].acc, admission.margin)


def _beyond_chance(loss: float, shared: SharedLoss, admission: Admission) -> bool:
    significant = costs_more(loss, shared.images, admission.margin, admission.significance)
    return significant and shared.ranks > admission.margin


def costs_more(loss: float, images: int, margin: float, significance: float) -> bool:
    """Say whether a loss of accuracy on so many images shows that more than the margin is lost (binomial, one-sided).

    A loss is right answers before minus right answers after, over the images.
    """
    return bool(bdtrc(round(loss * images) - 1, images, margin) <= significance) if loss > 0 else False


def scored(item: ForgeItem, on: Sequence[ArrivedBranch], base: BaseModule) -> Iterator[ScoredImages]:
    """Ask a merged model about the distilled images of arrived branches, one branch after another."""
    for one in on:
        outputs = item.logits(base, one.images(), one.prompts).cpu()
        yield ScoredImages(one.task, outputs.double().log_softmax(dim=1), one.labels())


def score_item(item: ForgeItem, on: Sequence[ArrivedBranch], base: BaseModule) -> dict[str, TaskScore]:
    """Score a merged model on the distilled images of arrived branches, by task."""
    return task_scores(scored(item, on, base))


def _ranked(answers: Sequence[ScoredImages]) -> float:
    return fmean(ranked_well(one.log_probabilities, one.labels) for one in answers)
