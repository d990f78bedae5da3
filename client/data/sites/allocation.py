"""Which site gets which image: shares of each class, then whole groups handed out until the shares are met."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medforge.client.data.sites.site import Division
from medforge.client.data.splits import Index, Strata, group_owners
from medforge.errors import InvalidInput
from medforge.seeds import numpy_generator

LEAST: dict[str, int] = {"train": 8, "validation": 1, "test": 1}
"""Fewest images that a site has, in each split, of every class that it has."""

FEWEST_CLASSES = 2
ROUNDS, TOLERANCE = 2000, 1e-3

Shares = NDArray[np.float64]
"""What part of each class's images goes to each site: [sites, classes], every column adding up to 1."""


def shares_of(division: Division, counts: Index, classes: tuple[str, ...], seed: int) -> Shares:
    """Return the shares of a division of training images, of which there are `counts` [C] a class.

    A site whose share of a class is below `LEAST` images lacks that class, unless it would be left with one class.
    Raises InvalidInput where there are too few classes or images for so many sites.
    """
    if division.way == "missing-class":
        shares = _one_missing(division.sites, classes)
    elif division.way == "dirichlet":
        assert division.alpha is not None
        random = numpy_generator(seed, "sites", division.sites, "dirichlet")
        shares = _without_crumbs(dirichlet(division.sites, division.alpha, counts, random), counts)
    else:
        shares = np.full((division.sites, len(classes)), 1 / division.sites)
    for label, having in enumerate((shares > 0).sum(axis=0)):
        if having * LEAST["train"] > counts[label]:
            raise InvalidInput(
                f"class '{classes[label]}' has {counts[label]} training images, too few for {having} sites to have"
                f" {LEAST['train']} each; divide over fewer sites"
            )
    return shares


def dirichlet(sites: int, alpha: float, counts: Index, random: np.random.Generator) -> Shares:
    """Return shares under which each site's class frequencies are a draw of its own from a Dirichlet distribution.

    The draws are those of Hsu et al. 2019, q ~ Dir(α·p) with p the frequencies of all images, scaled so that α is the
    mean concentration of a class, whatever their number. Since every image goes to one site and the sites are of about
    the same size, the draws are scaled to these margins in turn (Sinkhorn and Knopp 1967): the nearest such table.
    """
    prior = counts / counts.sum()
    # a draw can underflow to 0, which no scaling gets away from
    table = random.dirichlet(alpha * len(counts) * prior, size=sites) + 1e-9
    for _ in range(ROUNDS):
        table *= (1 / sites) / table.sum(axis=1, keepdims=True)
        table *= prior / table.sum(axis=0)
        if np.abs(table.sum(axis=1) * sites - 1).max() < TOLERANCE:
            break
    shares: Shares = table / table.sum(axis=0)
    return shares


def _one_missing(sites: int, classes: tuple[str, ...]) -> Shares:
    """Share each class equally among the sites that have it; site i lacks class i modulo C."""
    if len(classes) <= FEWEST_CLASSES:
        raise InvalidInput(
            f"missing-class needs at least {FEWEST_CLASSES + 1} classes, since a site keeps {FEWEST_CLASSES}; these are"
            f" {' and '.join(classes)}, so choose another way to divide"
        )
    has = np.ones((sites, len(classes)))
    has[np.arange(sites), np.arange(sites) % len(classes)] = 0
    shares: Shares = has / has.sum(axis=0)
    return shares


def _without_crumbs(shares: Shares, counts: Index) -> Shares:
    """Take away what would be too few images of a class, and give it to the other sites that have the class."""
    images = shares * counts
    keeps = images >= LEAST["train"]
    for site, most in enumerate(np.argsort(-images, axis=1, kind="stable")):
        if keeps[site].sum() < FEWEST_CLASSES:
            keeps[site, most[:FEWEST_CLASSES]] = True
    nobody = ~keeps.any(axis=0)
    keeps[images.argmax(axis=0)[nobody], nobody] = True
    # a site that keeps a class it had drawn almost nothing of still gets its least
    kept: Shares = np.where(keeps, np.maximum(images, LEAST["train"]), 0)
    shared: Shares = kept / kept.sum(axis=0)
    return shared


def allocate(strata: Strata, shares: Shares, part: str, seed: int) -> Index:
    """Return each image's site [n], from 0 on; a group is never divided.

    The groups of a class come in an order drawn from the seed; first every site that has the class gets its `LEAST`
    images of this part, then each group goes where most of the share is still missing. Raises InvalidInput where
    there are too few groups. Where labels are [n, L], the last column of the shares is that of groups without any
    finding, and no site is promised any: a rare finding is at some sites only.
    """
    least = LEAST[part] if strata.labels.ndim == 1 else 0
    random = numpy_generator(seed, "sites", len(shares), part)
    count = len(strata.labels)
    groups = np.arange(count) if strata.groups is None else np.asarray(strata.groups, dtype=np.str_)
    members, inverse = np.unique(groups, return_inverse=True)
    owners = group_owners(strata, np.arange(count), inverse, len(members))
    sizes = np.bincount(inverse, minlength=len(members))
    site = np.zeros(len(members), dtype=np.int64)
    for label, name in enumerate(strata.classes):
        own = random.permutation(np.flatnonzero(owners == label))
        having = shares[:, label] > 0
        site[own], have = _hand_out(sizes[own], shares[:, label], least)
        if (have[having] < least).any():
            raise InvalidInput(
                f"class '{name}' has {len(own)} {strata.unit}{'' if len(own) == 1 else 's'} in the {part} split, too"
                f" few for {int(having.sum())} sites to have {least} images each; divide over fewer sites"
            )
    return site[inverse]


def _hand_out(sizes: Index, shares: NDArray[np.float64], least: int) -> tuple[Index, Index]:
    """Return the site of each group, and how many images each site has then."""
    wanted = shares * sizes.sum()
    have = np.zeros(len(shares), dtype=np.int64)
    takers = shares > 0
    sites = np.zeros(len(sizes), dtype=np.int64)
    for place, size in enumerate(sizes):
        lacking = np.where(takers, least - have, 0)
        lacks = lacking if lacking.max() > 0 else np.where(takers, wanted - have, -np.inf)
        sites[place] = lacks.argmax()
        have[sites[place]] += size
    return sites, have
