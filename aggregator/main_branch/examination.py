"""What an arrival must show before it is merged, and a merge before it is kept: a continuous integration for models.

Statistics on distilled images only: nothing else is known of an arrival. A plugin and a dataset that agree with each
other, with the base module and with what arrived before pass, whatever they were made from. What it costs does not grow
with the number of earlier branches of a task.
"""

from collections.abc import Iterator, Mapping, Sequence

from scipy.special import bdtrc

from medforge.aggregator.coefficients.objective import ScoredImages, task_scores
from medforge.aggregator.coefficients.task_score import TaskScore
from medforge.aggregator.forge.policy import Admission
from medforge.aggregator.main_branch.objections import REMEDY, objections
from medforge.aggregator.main_branch.witness import drawn
from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.method import FoldResult, Head
from medforge.aggregator.merge.probability_cache import ProbabilityCache
from medforge.base_module import BaseModule
from medforge.determinism import one_thread
from medforge.errors import InvalidBranch
from medforge.forge_item import ForgeItem


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
    def arrival(self, arrived: Sequence[ArrivedBranch]) -> None:
        """Examine the last of ``arrived`` before it is folded; raises BranchHeld (see `objections`)."""
        _hold_if(examine_arrival(arrived, self._base, self._probabilities, self._admission))

    @one_thread()
    def merge(
        self, arrived: Sequence[ArrivedBranch], before: Head | None, scores: Mapping[str, TaskScore], folded: FoldResult
    ) -> None:
        """Examine what folding the last of ``arrived`` did to earlier tasks; raises BranchHeld (see `examine_merge`).

        ``before`` is the main branch of the others, ``scores`` what it scored by task. Where the arriving branch shares
        its task with others, its images are among those that the new score is a mean of, so both main branches are
        asked anew, on the images of a few of the others (see `drawn`).
        """
        if before is None or not self._admission.behaviour:
            return
        earlier, arriving = arrived[:-1], arrived[-1]
        after = dict(folded.metrics)
        compared = {one.task: scores[one.task] for one in earlier if one.task in scores}
        shared = drawn(arriving, [one for one in earlier if one.task == arriving.task], self._admission.witnesses)
        if shared:
            compared |= score_item(before.item(), shared, self._base)
            after |= score_item(folded.item, shared, self._base)
        images = sum(one.manifest.ipc * len(one.prompts) for one in shared)
        _hold_if(examine_merge(compared, after, self._admission, {arriving.task: images} if shared else {}))


def examine_arrival(
    arrived: Sequence[ArrivedBranch], base: BaseModule, probabilities: ProbabilityCache, admission: Admission
) -> str | None:
    """Say why the last of ``arrived`` should be held, None where nothing speaks against it (see `objections`)."""
    if not admission.behaviour:
        return None
    first = next(objections(arrived, base, probabilities, admission), None)
    return first.reason if first else None


def examine_merge(
    before: Mapping[str, TaskScore],
    after: Mapping[str, TaskScore],
    admission: Admission,
    shared: Mapping[str, int] | None = None,
) -> str | None:
    """Say which task of ``before`` lost most, where its accuracy on distilled images fell by more than the margin.

    ``shared`` has the images that were asked of a task which the arriving branch shares with others. Merging two honest
    branches of few images costs each some of its own (3 of 20 chest films): such a task must have lost more than
    chance makes of the margin (see `costs_more`).
    """
    if not admission.behaviour:
        return None
    few = shared or {}
    # rounded, so that equal losses are equal whatever the last bit of a difference says
    lost = {task: round(before[task].acc - after[task].acc, 9) for task in sorted(before)}
    worse = [
        task
        for task, loss in lost.items()
        if loss > admission.margin + 1e-9
        and (task not in few or costs_more(loss, few[task], admission.margin, admission.significance))
    ]
    if not worse:
        return None
    worst = max(worse, key=lambda task: lost[task])
    return (
        f"merging it lowers the accuracy on the distilled images of task {worst!r} from {before[worst].acc:.3f} to "
        f"{after[worst].acc:.3f}, more than the margin of {admission.margin:g}; {REMEDY}"
    )


def costs_more(loss: float, images: int, margin: float, significance: float) -> bool:
    """Say whether a loss of accuracy on so many images shows that more than the margin is lost (binomial, one-sided).

    A loss is right answers before minus right answers after, over the images.
    """
    return bool(bdtrc(round(loss * images) - 1, images, margin) <= significance) if loss > 0 else False


def score_item(item: ForgeItem, on: Sequence[ArrivedBranch], base: BaseModule) -> dict[str, TaskScore]:
    """Score a merged model on the distilled images of arrived branches, by task."""
    return task_scores(_scored(item, on, base))


def _scored(item: ForgeItem, on: Sequence[ArrivedBranch], base: BaseModule) -> Iterator[ScoredImages]:
    for one in on:
        outputs = item.logits(base, one.images(), one.prompts).cpu()
        yield ScoredImages(one.task, outputs.double().log_softmax(dim=1), one.labels())


def _hold_if(reason: str | None) -> None:
    if reason is not None:
        raise BranchHeld(reason)
