"""Who gets which image: every one once, no group divided, as skewed as asked."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medforge.client.data.sites.allocation import LEAST, allocate, dirichlet, shares_of
from medforge.client.data.sites.site import Division
from medforge.client.data.splits import Strata
from medforge.errors import InvalidInput

CLASSES = ("a", "b", "c")
seeds = st.integers(min_value=0, max_value=2**32)
divisions = st.one_of(
    st.builds(Division, st.integers(2, 5), st.sampled_from(["iid", "look", "missing-class"])),
    st.builds(Division, st.integers(2, 5), st.just("dirichlet"), st.sampled_from([0.05, 0.3, 1.0, 10.0])),
)


@st.composite
def images(draw: st.DrawFn) -> Strata:
    """Three classes of 45 to 75 groups of one to five images, shuffled."""
    random = np.random.default_rng(draw(seeds))
    rows = []
    for label in range(3):
        sizes = random.integers(1, 6, size=random.integers(45, 76))
        rows += [(label, f"tile {label}-{group}") for group, size in enumerate(sizes) for _ in range(size)]
    rows = [rows[place] for place in random.permutation(len(rows))]
    labels = np.array([label for label, _ in rows], dtype=np.int64)
    return Strata(labels, CLASSES, [group for _, group in rows], "tile")


@settings(deadline=None, max_examples=60)
@given(images(), divisions, seeds)
def test_every_image_has_one_site_and_no_group_two(strata: Strata, division: Division, seed: int) -> None:
    counts = np.bincount(strata.labels, minlength=3)
    shares = shares_of(division, counts, CLASSES, seed)
    sites = allocate(strata, shares, "train", seed)
    assert sites.shape == strata.labels.shape
    assert set(sites.tolist()) == set(range(division.sites))
    assert strata.groups is not None
    assert len(set(zip(strata.groups, sites.tolist(), strict=True))) == len(set(strata.groups))
    np.testing.assert_array_equal(allocate(strata, shares, "train", seed), sites)
    for site in range(division.sites):
        had = np.bincount(strata.labels[sites == site], minlength=3)
        assert ((had >= LEAST["train"]) == (shares[site] > 0)).all()
        assert (had > 0).sum() >= 2


@settings(deadline=None, max_examples=60)
@given(images(), st.integers(2, 5), seeds)
def test_equal_shares_are_equal_but_for_one_group(strata: Strata, sites: int, seed: int) -> None:
    shares = shares_of(Division(sites), np.bincount(strata.labels), CLASSES, seed)
    site = allocate(strata, shares, "train", seed)
    for label in range(3):
        had = np.bincount(site[strata.labels == label], minlength=sites)
        assert had.max() - had.min() <= 5


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 6), st.sampled_from([0.05, 0.3, 1.0, 100.0]), seeds)
def test_dirichlet_shares_use_every_image_and_make_sites_of_one_size(sites: int, alpha: float, seed: int) -> None:
    counts = np.array([50, 80, 120, 250])
    shares = dirichlet(sites, alpha, counts, np.random.default_rng(seed))
    np.testing.assert_allclose(shares.sum(axis=0), 1)
    assert (shares >= 0).all()
    np.testing.assert_allclose((shares * counts).sum(axis=1), counts.sum() / sites, rtol=0.02)


def skew(alpha: float) -> float:
    """Return the mean distance in total variation of a site's class frequencies from all images', over 40 draws."""
    counts = np.array([100, 100, 200])
    distances = []
    for seed in range(40):
        table = shares_of(Division(4, "dirichlet", alpha), counts, CLASSES, seed) * counts
        distances.append(
            np.abs(table / table.sum(axis=1, keepdims=True) - counts / counts.sum()).sum(axis=1).mean() / 2
        )
    return float(np.mean(distances))


def test_the_skew_grows_as_alpha_falls() -> None:
    skews = [skew(alpha) for alpha in (1000.0, 30.0, 3.0, 1.0, 0.3, 0.05)]
    assert skews == sorted(skews)
    assert skews[0] < 0.03
    assert skews[-1] > 0.35


def test_each_site_lacks_one_class_in_turn() -> None:
    shares = shares_of(Division(4, "missing-class"), np.array([90, 90, 90]), CLASSES, 0)
    expected = [[0, 1 / 3, 1 / 3], [1 / 2, 0, 1 / 3], [1 / 2, 1 / 3, 0], [0, 1 / 3, 1 / 3]]
    np.testing.assert_allclose(shares, expected)


def test_a_finding_of_few_patients_is_at_some_sites_only() -> None:
    labels = np.zeros((40, 2), dtype=np.int64)
    labels[:20, 0] = 1
    labels[:1, 1] = 1
    strata = Strata(labels, ("common", "rare", "none of them"), [str(place) for place in range(40)], "patient")
    sites = allocate(strata, np.full((4, 3), 0.25), "train", 0)
    assert np.bincount(sites).tolist() == [11, 10, 10, 9]
    assert sum(bool(labels[sites == site, 1].any()) for site in range(4)) == 1


@pytest.mark.parametrize(
    ("division", "counts", "classes", "sentence"),
    [
        (Division(2, "missing-class"), [50, 50], ("a", "b"), "missing-class needs at least 3 classes, since a site"),
        (Division(4), [50, 31], ("a", "b"), "class 'b' has 31 training images, too few for 4 sites to have 8 each"),
        (Division(9, "dirichlet", 0.1), [50, 40], ("a", "b"), "too few for 9 sites to have 8 each"),
    ],
)
def test_too_few_images_or_classes_are_refused(
    division: Division, counts: list[int], classes: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        shares_of(division, np.array(counts), classes, 0)


def test_too_few_groups_are_refused() -> None:
    groups = ["p"] * 20 + ["q"] * 20 + [str(place) for place in range(40)]
    strata = Strata(np.repeat([0, 1], 40), ("few", "many"), groups, "patient")
    with pytest.raises(
        InvalidInput, match="class 'few' has 2 patients in the test split, too few for 3 sites to have 1"
    ):
        allocate(strata, np.full((3, 2), 1 / 3), "test", 0)
