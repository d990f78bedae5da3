"""What an arrival must show before it is merged, and a merge before it is kept: a continuous integration for models.

Statistics on distilled images only: nothing else is known of an arrival. A plugin and a dataset that agree with each
other, with the base module and with everything that arrived before pass, whatever they were made from.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import factorial, prod
from typing import Literal, NamedTuple

import torch
from scipy.special import bdtr, bdtrc
from torch import Tensor
from torch.nn import functional as F

from medforge.aggregator.coefficients.objective import ScoredImages, task_scores
from medforge.aggregator.coefficients.task_score import TaskScore
from medforge.aggregator.forge.policy import Admission
from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.method import FoldResult, Head
from medforge.aggregator.merge.probability_cache import ProbabilityCache
from medforge.base_module import BaseModule
from medforge.determinism import one_thread
from medforge.errors import InvalidBranch
from medforge.forge_item import ForgeItem
from medforge.seeds import generator

_SHUFFLES = 999
_MOST_IMAGES = 1000
_REMEDY = "check labels and prompts and push a new version, or ask the forge's maintainer to accept this one"


class BranchHeld(InvalidBranch):
    """Report a branch that is sound but behaves suspiciously: it is kept out until the maintainer decides."""

    code = "branch-held"
    exit_code = 4


class Objection(NamedTuple):
    """Hold what speaks against an arrival: which check says so, and its sentence."""

    check: Literal["chance", "zero-shot", "noise", "contradiction"]
    reason: str


class Examination:
    """Examine arrivals and merges on one base module; class probabilities and embeddings come from the cache."""

    def __init__(self, base: BaseModule, probabilities: ProbabilityCache, admission: Admission) -> None:
        self._base = base
        self._probabilities = probabilities
        self._admission = admission

    @one_thread()
    def arrival(self, arrived: Sequence[ArrivedBranch]) -> None:
        """Examine the last of ``arrived`` before it is folded; raises BranchHeld (see `examine_arrival`)."""
        _hold_if(examine_arrival(arrived, self._base, self._probabilities, self._admission))

    @one_thread()
    def merge(
        self, arrived: Sequence[ArrivedBranch], before: Head | None, scores: Mapping[str, TaskScore], folded: FoldResult
    ) -> None:
        """Examine what folding the last of ``arrived`` did to earlier tasks; raises BranchHeld (see `examine_merge`).

        ``before`` is the main branch of the others, ``scores`` what it scored by task. Where the arriving branch shares
        its task with others, its images are among those that the new score is a mean of, so both main branches are
        asked anew, for the others' images alone.
        """
        if before is None or not self._admission.behaviour:
            return
        earlier, task = arrived[:-1], arrived[-1].task
        after = dict(folded.metrics)
        compared = {one.task: scores[one.task] for one in earlier if one.task in scores}
        shared = [one for one in earlier if one.task == task]
        if shared:
            compared |= score_item(before.item(), shared, self._base)
            after |= score_item(folded.item, shared, self._base)
        _hold_if(examine_merge(compared, after, self._admission))


def examine_arrival(
    arrived: Sequence[ArrivedBranch], base: BaseModule, probabilities: ProbabilityCache, admission: Admission
) -> str | None:
    """Say why the last of ``arrived`` should be held, None where nothing speaks against it (see `objections`)."""
    if not admission.behaviour:
        return None
    first = next(objections(arrived, base, probabilities, admission), None)
    return first.reason if first else None


def examine_merge(before: Mapping[str, TaskScore], after: Mapping[str, TaskScore], admission: Admission) -> str | None:
    """Say which task of ``before`` lost most, where its accuracy on distilled images fell by more than the margin."""
    if not admission.behaviour or not before:
        return None
    worst = max(sorted(before), key=lambda task: before[task].acc - after[task].acc)
    # a margin that is met exactly is admitted, whatever the last bit of the difference says
    if before[worst].acc - after[worst].acc <= admission.margin + 1e-9:
        return None
    return (
        f"merging it lowers the accuracy on the distilled images of task {worst!r} from {before[worst].acc:.3f} to "
        f"{after[worst].acc:.3f}, more than the margin of {admission.margin:g}; {_REMEDY}"
    )


def beats_chance(hits: int, images: int, classes: int, significance: float) -> bool:
    """Say whether so many right answers are more than guessing gives (binomial, one-sided, classes of one size).

    Few images cannot show that: where even a faultless plugin would not, it must be faultless.
    """
    return bool(hits == images or bdtrc(hits - 1, images, 1 / classes) <= significance) if hits else False


def can_beat_chance(images: int, classes: int, significance: float) -> bool:
    """Say whether there are enough images for a faultless plugin to be better than guessing."""
    return bool(classes**-images <= significance)


def below_chance(hits: int, images: int, classes: int, significance: float) -> bool:
    """Say whether so few right answers are less than guessing gives (binomial, one-sided, classes of one size)."""
    return bool(bdtr(hits, images, 1 / classes) <= significance)


def separation(features: Tensor, labels: Tensor, seed: int) -> float:
    """Return the share of label shuffles under which the classes' means lie at least as far apart; in (0, 1].

    A permutation test of the between-class scatter Σ_c n_c‖m_c‖² of ``features`` [n, d] (Anderson 2001, PERMANOVA, on
    Euclidean distances): labels that say nothing about the features give a uniform value. At most 1000 images, drawn by
    ``seed``, are looked at.
    """
    random = generator(seed, "separation")
    chosen = torch.randperm(len(labels), generator=random)[:_MOST_IMAGES]
    rows, kept = features[chosen].double(), labels[chosen]
    rows = rows - rows.mean(dim=0)
    observed = _scatter(rows, kept)
    shuffles = (_scatter(rows, kept[torch.randperm(len(kept), generator=random)]) for _ in range(_SHUFFLES))
    # an equal partition counts as at least as far apart, whatever the order of its sums
    as_far = sum(scatter >= observed * (1 - 1e-9) for scatter in shuffles)
    return (1 + as_far) / (1 + _SHUFFLES)


def score_item(item: ForgeItem, on: Sequence[ArrivedBranch], base: BaseModule) -> dict[str, TaskScore]:
    """Score a merged model on the distilled images of arrived branches, by task."""
    return task_scores(_scored(item, on, base))


def objections(
    arrived: Sequence[ArrivedBranch], base: BaseModule, probabilities: ProbabilityCache, admission: Admission
) -> Iterator[Objection]:
    """Find what speaks against the last of ``arrived``, the cheapest check first.

    chance: its plugin does not beat chance on its own distilled images. zero-shot: the base module's answers on them
    are worse than chance. noise: in the base module's embeddings the classes lie no further apart than shuffled labels
    make them. contradiction: its plugin, or that of an earlier branch with the same prompts, is worse than chance on
    the other's images, or neither beats chance there (honest branches of one task did, at least one way, in all of 33
    pairs).
    """
    arriving, level = arrived[-1], admission.significance
    labels, prompts = arriving.labels(), arriving.prompts
    count, classes = len(labels), len(prompts)
    own = _hits(probabilities.probabilities(arriving, arriving), labels)
    if not beats_chance(own, count, classes, level):
        yield Objection(
            "chance",
            f"the plugin classifies {own} of its own {count} distilled images, which does not beat chance "
            f"(1 in {classes}, significance {level:g}); {_REMEDY}",
        )
    embeddings = probabilities.embeddings(arriving)
    zero_shot = _hits(base.logits(embeddings.to(base.device), prompts).cpu(), labels)
    if below_chance(zero_shot, count, classes, level):
        yield Objection(
            "zero-shot",
            f"the base module classifies {zero_shot} of the {count} distilled images, which is worse than chance "
            f"(1 in {classes}, significance {level:g}), as if labels were exchanged; {_REMEDY}",
        )
    if _can_show(labels, admission.noise):
        share = separation(F.normalize(embeddings, dim=1), labels, seed=0)
        if share > admission.noise:
            yield Objection(
                "noise",
                f"to the base module the distilled classes look like noise: {share:.0%} of random labelings tell them "
                f"apart as well, where {admission.noise:.0%} are admitted; {_REMEDY}",
            )
    for one in arrived[:-1]:
        if one.prompts != prompts:
            continue
        theirs = one.labels()
        on_new = _hits(probabilities.probabilities(one, arriving), labels)
        on_old = _hits(probabilities.probabilities(arriving, one), theirs)
        both = ((on_new, count), (on_old, len(theirs)))
        worse = any(below_chance(hits, images, classes, level) for hits, images in both)
        strangers = all(
            can_beat_chance(images, classes, level) and not beats_chance(hits, images, classes, level)
            for hits, images in both
        )
        if worse or strangers:
            yield Objection(
                "contradiction",
                f"it contradicts arrival {one.number} ({one.contributor}), which has the same prompts: that plugin "
                f"classifies {on_new} of these {count} distilled images, this one {on_old} of those {len(theirs)}; "
                f"{_REMEDY}",
            )


def _hits(outputs: Tensor, labels: Tensor) -> int:
    return int((outputs.argmax(dim=1) == labels).sum())


def _scatter(rows: Tensor, labels: Tensor) -> float:
    classes = int(labels.max()) + 1
    sums = torch.zeros(classes, rows.shape[1], dtype=rows.dtype).index_add_(0, labels, rows)
    counts = torch.bincount(labels, minlength=classes).clamp_min(1)
    return float((sums.square().sum(dim=1) / counts).sum())


def _can_show(labels: Tensor, level: float) -> bool:
    """Say whether so few images have enough different labelings for one to stand out at this level."""
    sizes = torch.bincount(labels[:_MOST_IMAGES]).tolist()
    return prod(map(factorial, sizes)) * factorial(len(sizes)) <= level * factorial(sum(sizes))


def _scored(item: ForgeItem, on: Sequence[ArrivedBranch], base: BaseModule) -> Iterator[ScoredImages]:
    for one in on:
        outputs = item.logits(base, one.images(), one.prompts).cpu()
        yield ScoredImages(one.task, outputs.double().log_softmax(dim=1), one.labels())


def _hold_if(reason: str | None) -> None:
    if reason is not None:
        raise BranchHeld(reason)
