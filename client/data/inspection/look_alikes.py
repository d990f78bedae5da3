"""Images that look like versions of one picture, where nobody says which images are of one patient or tile."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from medforge.client.data.inspection.alignment import Pairs, Scores, likeness
from medforge.client.data.inspection.sketch import Sketches
from medforge.seeds import numpy_generator

APART = 8.0
"""By how many deviations a likeness must stand out from that of unrelated images of the same kind."""

LEAST = 0.35
"""A likeness below this is none, however little alike the others are."""

_SMALLEST_BOUND = 50
_SAMPLE = 600
_NARROWEST = 0.025
_FEWEST = 12
"""Images of a class from which its own usual likeness is known."""

Numbers = NDArray[np.int64]


class Link(NamedTuple):
    """Hold pairs of images [m, 2] that look alike, and how much."""

    pairs: Pairs
    scores: Scores


def look_alikes(sketches: Sketches, kinds: Numbers, pairs: Pairs, workers: ThreadPoolExecutor) -> Link:
    """Return those of `pairs` that look alike, and how much.

    `kinds` int64 [n] are classes: what is usual among the images of one class, which may all be chest films, is not a
    likeness. Pairs are compared as `alignment.likeness` says, and one is linked where its likeness stands out from that
    of random pairs. A group that grows beyond a twentieth of all images is judged again by what is usual within it, so
    that a kind of image that nobody named a class does not become one group; what is then still larger is grown from
    the strongest link on, no further than that bound.
    """
    link = _linked(sketches, kinds, pairs, workers)
    return _bounded(sketches, link, max(_SMALLEST_BOUND, len(sketches) // 20), workers)


def groups_of(count: int, pairs: Pairs, same: Sequence[str]) -> Numbers:
    """Return the number of each image's group [n]; a group is what pairs join, or what is `same`."""
    numbers = np.unique(np.array(same, dtype=np.str_), return_inverse=True)[1].astype(np.int64)
    return _components(count, np.concatenate([pairs, chained(numbers)]))


def _linked(sketches: Sketches, kinds: Numbers, pairs: Pairs, workers: ThreadPoolExecutor) -> Link:
    scores = likeness(sketches.rings, pairs, workers)
    everything = np.arange(len(sketches))
    limits = np.full(len(sketches), _limit(sketches, everything, workers))
    for kind in np.unique(kinds):
        members = np.flatnonzero(kinds == kind)
        if len(members) >= _FEWEST:
            limits[members] = np.maximum(limits[members], _limit(sketches, members, workers))
    kept = scores >= limits[pairs].max(axis=1)
    return Link(pairs[kept], scores[kept])


def _limit(sketches: Sketches, members: Numbers, workers: ThreadPoolExecutor) -> float:
    """Return the likeness from which on two of these images stand out from random pairs of them.

    Fisher's z of a correlation is about normal; its deviation is taken from the lower half, because related pairs, of
    which a small set has many, are in the upper one.
    """
    drawn = numpy_generator(0, "look-alikes", len(members)).integers(0, len(members), (_SAMPLE, 2))
    drawn = members[drawn[drawn[:, 0] != drawn[:, 1]]]
    if not len(drawn):
        return LEAST
    usual = np.arctanh(np.clip(likeness(sketches.rings, drawn, workers), 0, 0.9999))
    middle, low = np.quantile(usual, [0.5, 0.1587])
    return max(LEAST, float(np.tanh(middle + APART * max(middle - low, _NARROWEST))))


def _bounded(sketches: Sketches, link: Link, bound: int, workers: ThreadPoolExecutor) -> Link:
    groups = _components(len(sketches), link.pairs)
    kept = np.ones(len(link.pairs), np.bool_)
    for group in np.flatnonzero(np.bincount(groups, minlength=1) > bound):
        inside = np.flatnonzero(groups[link.pairs[:, 0]] == group)
        limit = _limit(sketches, np.flatnonzero(groups == group), workers)
        kept[inside] = link.scores[inside] >= limit
        strong = inside[kept[inside]]
        kept[strong] = _grown(link.pairs[strong], link.scores[strong], bound)
    return Link(link.pairs[kept], link.scores[kept])


def _grown(pairs: Pairs, scores: Scores, bound: int) -> NDArray[np.bool_]:
    """Say which links to keep so that no group has more than `bound` images, the strongest first (Kruskal's way)."""
    leader: dict[int, int] = {}
    size: dict[int, int] = {}

    def find(member: int) -> int:
        while leader.setdefault(member, member) != member:
            leader[member] = leader[leader[member]]
            member = leader[member]
        return member

    kept = np.zeros(len(pairs), np.bool_)
    for place in np.lexsort((np.arange(len(pairs)), -scores)).tolist():
        one, other = (find(int(member)) for member in pairs[place])
        together = size.get(one, 1) + (size.get(other, 1) if one != other else 0)
        if together <= bound:
            leader[other], size[one], kept[place] = one, together, True
    return kept


def _components(count: int, pairs: Pairs) -> Numbers:
    graph = coo_array((np.ones(len(pairs), np.bool_), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    groups: Numbers = connected_components(graph, directed=False)[1].astype(np.int64)
    return groups


def chained(numbers: Numbers) -> Pairs:
    """Return pairs that link all images with the same number, one to the next."""
    order = np.argsort(numbers, kind="stable")
    alike = numbers[order][1:] == numbers[order][:-1]
    return np.stack([order[:-1][alike], order[1:][alike]], axis=1)
