"""What speaks against an arrival: four checks on its distilled images, of which each may be wrong once in twenty times.

Each asks for evidence and not for accuracy: a plugin of few images, or of nearly one class, is often wrong and seldom
worse than chance in how it ranks images. What a check costs does not grow with the number of earlier branches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import Literal, NamedTuple

from scipy.special import bdtr
from scipy.stats import norm
from torch import Tensor
from torch.nn import functional as F

from medforge.aggregator.forge.policy import Admission
from medforge.aggregator.main_branch.agreement import agreement
from medforge.aggregator.main_branch.separation import can_separate, separation
from medforge.aggregator.main_branch.witness import compare, witnesses
from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.probability_cache import ProbabilityCache
from medforge.base_module import BaseModule

REMEDY = "check labels and prompts and push a new version, or ask the forge's maintainer to accept this one"


class Objection(NamedTuple):
    """Hold what speaks against an arrival: which check says so, and its sentence."""

    check: Literal["chance", "zero-shot", "noise", "contradiction"]
    reason: str


def objections(
    arrived: Sequence[ArrivedBranch], base: BaseModule, probabilities: ProbabilityCache, admission: Admission
) -> Iterator[Objection]:
    """Find what speaks against the last of ``arrived``, the cheapest check first.

    chance: its plugin ranks its own distilled images no better than guessing. zero-shot: no earlier branch can say, and
    the base module's answers on them are worse than guessing. noise: in the base module's embeddings the classes lie no
    further apart than shuffled labels make them. contradiction: the middle one of its witnesses, which are earlier
    branches with classes of its own, agrees with it no more than a stranger does (see `compare`).
    """
    arriving = arrived[-1]
    asked = witnesses(arriving, arrived[:-1], admission.witnesses)
    yield from _of_its_plugin(arriving, probabilities, admission)
    if not asked:
        yield from _of_its_labels(arriving, base, probabilities, admission)
    yield from _of_its_images(arriving, probabilities, admission)
    yield from _of_witnesses(arriving, asked, probabilities, admission)


def below_chance(hits: int, images: int, classes: int, significance: float) -> bool:
    """Say whether so few right answers are less than guessing gives (binomial, one-sided, classes of one size)."""
    return bool(bdtr(hits, images, 1 / classes) <= significance)


def _of_its_plugin(
    arriving: ArrivedBranch, probabilities: ProbabilityCache, admission: Admission
) -> Iterator[Objection]:
    labels, own = arriving.labels(), probabilities.probabilities(arriving, arriving)
    hits, found = _hits(own, labels), agreement(own, labels)
    # so few images that ranks show nothing must all be told right
    if hits < len(labels) and norm.sf(found) > admission.significance:
        yield Objection(
            "chance",
            f"the plugin classifies {hits} of its own {len(labels)} distilled images, and how it ranks them does not "
            f"beat chance (z {found:.1f}, significance {admission.significance:g}); {REMEDY}",
        )


def _of_its_labels(
    arriving: ArrivedBranch, base: BaseModule, probabilities: ProbabilityCache, admission: Admission
) -> Iterator[Objection]:
    labels, classes = arriving.labels(), len(arriving.prompts)
    outputs = base.logits(probabilities.embeddings(arriving).to(base.device), arriving.prompts).cpu()
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
    arriving: ArrivedBranch, probabilities: ProbabilityCache, admission: Admission
) -> Iterator[Objection]:
    labels = arriving.labels()
    if not can_separate(labels, admission.noise):
        return
    embeddings = F.normalize(probabilities.embeddings(arriving), dim=1)
    # images that match their classes' spread too hide them in one of the two spaces, those of means alone in the other
    share = min(separation(embeddings, labels, seed=0, whiten=whiten) for whiten in (True, False))
    if share > admission.noise:
        yield Objection(
            "noise",
            f"to the base module the distilled classes look like noise: {share:.0%} of random labelings tell them "
            f"apart as well, where {admission.noise:.0%} are admitted; {REMEDY}",
        )


def _of_witnesses(
    arriving: ArrivedBranch, asked: Sequence[ArrivedBranch], probabilities: ProbabilityCache, admission: Admission
) -> Iterator[Objection]:
    heard = [(compare(one, arriving, probabilities), one) for one in asked]
    # of so few images that even the like-minded would hardly differ from strangers, nothing is concluded
    telling = [pair for pair in heard if pair[0].attainable >= 2 * admission.agreement]
    if not telling:
        return
    middle = median(said.agreement for said, _ in telling)
    if middle >= admission.agreement:
        return
    worst, witness = min(telling, key=lambda pair: (pair[0].agreement, pair[1].number))
    others = "" if len(telling) == 1 else f" (the least of {len(telling)}, whose middle is {middle:.1f})"
    yield Objection(
        "contradiction",
        f"it contradicts arrival {witness.number} ({witness.contributor}), which has classes of its own: both plugins "
        f"and the base module agree on each other's images by z {worst.agreement:.1f}{others}, where "
        f"{admission.agreement:g} is due; one of the two is wrong, or they have different images of one name; {REMEDY}",
    )


def _hits(outputs: Tensor, labels: Tensor) -> int:
    return int((outputs.argmax(dim=1) == labels).sum())
