"""What two branches of one question say of each other, over the classes that both have."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from heapq import nsmallest
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from medforge.aggregator.main_branch.agreement import agreement, pooled
from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.probability_cache import ProbabilityCache
from medforge.files import sha256_bytes
from medforge.mahalanobis import inverse_root, squared_distances
from medforge.prompt_form import normal_form

MOST_IMAGES = 1000
_SHRINKAGE = 1.0
_TINY = 1e-30


class Places(NamedTuple):
    """Hold where the classes that two branches share are in the prompts of each, in one order."""

    one: tuple[int, ...]
    other: tuple[int, ...]

    @property
    def swapped(self) -> Places:
        """The same, seen from the other."""
        return Places(self.other, self.one)


class Comparison(NamedTuple):
    """Hold how far two branches agree, in standard deviations above chance, and how far branches like these could.

    ``on_arriving`` and ``on_witness`` are what each plugin says of the other's images, ``likeness_on_arriving`` and
    ``likeness_on_witness`` what the base module says: to which class of the other's images theirs are nearest.
    """

    on_arriving: float
    likeness_on_arriving: float
    on_witness: float
    likeness_on_witness: float
    attainable: float

    @property
    def likeness(self) -> float:
        """What the base module says, both ways, as one standard score: no plugin has a part in it."""
        return pooled([self.likeness_on_arriving, self.likeness_on_witness])

    @property
    def plugins(self) -> float:
        """What the plugins say, both ways, as one standard score."""
        return pooled([self.on_arriving, self.on_witness])


@lru_cache(maxsize=1024)
def shared_classes(one: tuple[str, ...], other: tuple[str, ...]) -> Places:
    """Return where the prompts that two branches share are in each; prompts are compared in normal form."""
    by_form = {form: place for place, form in enumerate(map(normal_form, one))}
    forms = enumerate(map(normal_form, other))
    pairs = [(by_form[form], place) for place, form in forms if form in by_form]
    return Places(tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs))


def of_its_question(arriving: ArrivedBranch, others: Sequence[ArrivedBranch]) -> list[ArrivedBranch]:
    """Return which of the others share two classes or more with the arriving branch."""
    return [one for one in others if len(shared_classes(one.prompts, arriving.prompts).one) > 1]


def drawn(arriving: ArrivedBranch, others: Sequence[ArrivedBranch], most: int) -> list[ArrivedBranch]:
    """Draw at most so many branches by the digests of both sides.

    They are the same whatever the order of arrival, and no branch can be made that is drawn for every arrival.
    """
    return nsmallest(most, others, key=lambda one: sha256_bytes(f"{arriving.digest} {one.digest}".encode()))


def compare(witness: ArrivedBranch, arriving: ArrivedBranch, probabilities: ProbabilityCache) -> Comparison:
    """Compare two branches that share two classes or more, both ways, by their plugins and by the base module.

    A plugin is asked about all classes of the other, and heard about those that both have. At most 1000 images of each
    are looked at.
    """
    places = shared_classes(witness.prompts, arriving.prompts)
    forth = _speak(witness, arriving, places, probabilities)
    back = _speak(arriving, witness, places.swapped, probabilities)
    return Comparison(*forth[:2], *back[:2], attainable=pooled([forth[2], back[2]]))


def likeness(known: Tensor, labels: Tensor, embeddings: Tensor) -> Tensor:
    """Return minus the squared distances [n, C] of unit embeddings [n, d] to the class means of ``known`` [m, d].

    They are measured by the spread within the known classes, of which every one in 0 … max(labels) has an image.
    """
    means = torch.stack([known[labels == label].mean(dim=0) for label in range(int(labels.max()) + 1)])
    residuals = known - means[labels]
    root = inverse_root(residuals.T @ residuals / len(known), _SHRINKAGE)
    return -squared_distances(embeddings, means, root)


def _speak(
    of: ArrivedBranch, on: ArrivedBranch, places: Places, probabilities: ProbabilityCache
) -> tuple[float, float, float]:
    """Return how far one's plugin and the likeness to its images agree with the other's labels, and how far they could.

    ``places`` are the shared classes, ``one`` of the speaker's.
    """
    known, known_labels = _of_classes(of.labels(), places.one)
    chosen, labels = _of_classes(on.labels(), places.other)
    said = probabilities.probabilities(of, on)[chosen][:, list(places.other)].double()
    unit = [F.normalize(probabilities.embeddings(one).double(), dim=1) for one in (of, on)]
    near = likeness(unit[0][known], known_labels, unit[1][chosen])
    best = F.one_hot(labels, len(places.other)).double()
    # among the shared classes alone: what is left for the others says nothing here
    return (
        agreement(said / said.sum(dim=1, keepdim=True).clamp_min(_TINY), labels),
        agreement(near, labels),
        agreement(best, labels),
    )


def _of_classes(labels: Tensor, places: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return which images are of these classes, and their labels counted anew in this order."""
    renamed = torch.full((max(int(labels.max()), *places) + 1,), -1)
    renamed[list(places)] = torch.arange(len(places))
    chosen = torch.nonzero(renamed[labels] >= 0).flatten()
    if len(chosen) > MOST_IMAGES:
        # evenly, since a dataset lists its classes one after another
        chosen = chosen[torch.linspace(0, len(chosen) - 1, MOST_IMAGES).long()]
    return chosen, renamed[labels[chosen]]
