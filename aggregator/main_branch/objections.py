"""What speaks against an arrival: four checks on its distilled images, of which each may be wrong once in twenty times.

Each asks for evidence and not for accuracy: a plugin of few images, or of nearly one class, is often wrong and seldom
worse than chance in how it ranks images. What a check costs does not grow with the number of earlier branches.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Literal, NamedTuple

import torch
from scipy.special import bdtr
from scipy.stats import norm
from torch import Tensor
from torch.nn import functional as F

from medforge.aggregator.forge.policy import Admission
from medforge.aggregator.main_branch.agreement import agreement, pooled
from medforge.aggregator.main_branch.contradiction.hearing import REMEDY, Contradiction, contradiction, hear
from medforge.aggregator.main_branch.contradiction.weighing import NOTHING_KNOWN, Standing
from medforge.aggregator.main_branch.separation import can_separate, means_apart, separation, whitened
from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.probability_cache import ProbabilityCache
from medforge.base_module import BaseModule
from medforge.task_spread import STATISTICS_SHRINKAGE, TaskSpread

_TINY = 1e-30
_MOST_IMAGES = 10_000
_OWN_AND_CHANGED = (2.0, 1.0)


class Objection(NamedTuple):
    """Hold what speaks against an arrival: which check says so, its sentence, and whom it contradicts."""

    check: Literal["chance", "zero-shot", "noise", "contradiction"]
    reason: str
    contradiction: Contradiction | None = None


def objections(
    arrived: Sequence[ArrivedBranch],
    base: BaseModule,
    probabilities: ProbabilityCache,
    admission: Admission,
    waiting: Sequence[ArrivedBranch] = (),
    standing: Standing = NOTHING_KNOWN,
) -> Iterator[Objection]:
    """Find what speaks against the last of ``arrived``, the cheapest check first.

    chance: its plugin, and what the plugin changed, rank its own distilled images no better than guessing. Where others
    of its question can say: contradiction: to the base module its images are no more like those of the same class of
    the middle one than a stranger's are, or the two plugins are worse than guessing on each other's (see `compare`);
    what follows from it is weighed with those ``waiting`` since an earlier one (see `weigh`). Where none can say:
    zero-shot: the base module's answers on its images are worse than guessing; and noise: in what the base module sees,
    the classes lie no further apart than shuffled labels make them, and no class statistics show that they do.
    """
    arriving = arrived[-1]
    yield from _of_its_plugin(arriving, base, probabilities, admission)
    hearing = hear(arriving, arrived[:-1], waiting, probabilities, admission)
    if hearing.telling:
        found = contradiction(hearing, admission, standing)
        if found is not None:
            yield Objection("contradiction", found.reason, found)
    else:
        yield from _of_its_labels(arriving, base, probabilities, admission)
        yield from _of_its_images(arriving, base, probabilities, admission)


def below_chance(hits: int, images: int, classes: int, significance: float) -> bool:
    """Say whether so few right answers are less than guessing gives (binomial, one-sided, classes of one size)."""
    return bool(bdtr(hits, images, 1 / classes) <= significance)


def _of_its_plugin(
    arriving: ArrivedBranch, base: BaseModule, probabilities: ProbabilityCache, admission: Admission
) -> Iterator[Objection]:
    asks = partial(probabilities.probabilities, arriving, arriving), partial(probabilities.embeddings, arriving)
    said, _ = base.side_by_side(operator.call, asks)
    some = evenly(len(said))
    labels, own = arriving.labels()[some], said[some].double()
    # what the base module knows without it is no merit of the plugin: a random one ranks by it as well
    changed = own.clamp_min(_TINY).log() - _zero_shot(arriving, base, probabilities)[some].log_softmax(dim=1)
    changed = changed - changed.mean(dim=1, keepdim=True)
    hits, found = _hits(own, labels), pooled([agreement(own, labels), agreement(changed, labels)], _OWN_AND_CHANGED)
    # so few images that ranks show nothing must all be told right
    if hits < len(labels) and norm.sf(found) > admission.significance:
        yield Objection(
            "chance",
            f"the plugin classifies {hits} of its own {len(labels)} distilled images, and how it ranks them does not "
            f"beat chance (z {found:.1f}, with what it changes in the base module's answers, significance "
            f"{admission.significance:g}); {REMEDY}",
        )


def _of_its_labels(
    arriving: ArrivedBranch, base: BaseModule, probabilities: ProbabilityCache, admission: Admission
) -> Iterator[Objection]:
    labels, classes = arriving.labels(), len(arriving.prompts)
    outputs = _zero_shot(arriving, base, probabilities)
    # right answers and not ranks: of classes that a base module does not know it calls all images by one, which is as
    # good as guessing, while it may rank them the wrong way round (real chest films: AUC .37)
    hits = _hits(outputs, labels)
    if below_chance(hits, len(labels), classes, admission.significance):
        yield Objection(
            "zero-shot",
            f"the base module classifies {hits} of the {len(labels)} distilled images, which is worse than chance "
            f"(1 in {classes}, significance {admission.significance:g}), as if labels were exchanged; {REMEDY}",
        )


def _of_its_images(
    arriving: ArrivedBranch, base: BaseModule, probabilities: ProbabilityCache, admission: Admission
) -> Iterator[Objection]:
    labels, images = arriving.labels(), probabilities.embeddings(arriving)
    if not can_separate(labels, admission.noise) or _as_its_statistics_say(arriving, images, admission):
        return
    unit = F.normalize(images, dim=1)
    # images that match their classes' spread too hide them in one of the spaces, those of means alone in another
    spaces = unit, whitened(unit, 1.0), whitened(_zero_shot(arriving, base, probabilities), 0.01)
    share = separation(spaces, labels, seed=0)
    if share > admission.noise:
        yield Objection(
            "noise",
            f"to the base module the distilled classes look like noise: {share:.0%} of random labelings tell them "
            f"apart as well, where {admission.noise:.0%} are admitted; {REMEDY}",
        )


def _as_its_statistics_say(arriving: ArrivedBranch, images: Tensor, admission: Admission) -> bool:
    """Say whether class statistics tell the training images apart, and these images (embeddings [n, d]) by them."""
    statistics = arriving.statistics()
    if statistics is None:
        return False
    spread = TaskSpread.of(statistics, STATISTICS_SHRINKAGE)
    scores = means_apart(statistics), agreement(-spread.squared(images), arriving.labels())
    return bool(norm.sf(min(scores)) <= admission.noise)


def _zero_shot(arriving: ArrivedBranch, base: BaseModule, probabilities: ProbabilityCache) -> Tensor:
    """Return the base module's logits [n, C] on a branch's own images, float64 on the CPU."""
    return base.logits(probabilities.embeddings(arriving).to(base.device), arriving.prompts).cpu().double()


def evenly(count: int) -> Tensor:
    """Return places of at most so many images as show all that ranks can: 500 classes of 200 would take 4 GiB."""
    if count <= _MOST_IMAGES:
        return torch.arange(count)
    return torch.linspace(0, count - 1, _MOST_IMAGES, dtype=torch.float64).long()


def _hits(outputs: Tensor, labels: Tensor) -> int:
    return int((outputs.argmax(dim=1) == labels).sum())
