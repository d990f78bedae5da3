"""Splits: nothing in two of them, every class in each, the same for the same seed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medforge.client.data.splits import TEST_FRACTION, VALIDATION_FRACTION, Parts, Strata, divide, hold_out
from medforge.errors import InvalidInput

seeds = st.integers(min_value=0, max_value=2**32)


@st.composite
def grouped(draw: st.DrawFn) -> Strata:
    """Images of two to four classes in groups of one to six images, at least three groups a class, shuffled."""
    rows = []
    for label in range(draw(st.integers(2, 4))):
        for group, size in enumerate(draw(st.lists(st.integers(1, 6), min_size=3, max_size=12))):
            rows += [(label, f"tile {label}-{group}")] * size
    rows = draw(st.permutations(rows))
    labels = np.array([label for label, _ in rows], dtype=np.int64)
    return Strata(labels, [f"class {label}" for label in range(labels.max() + 1)], [group for _, group in rows], "tile")


def ungrouped(strata: Strata) -> Strata:
    return Strata(strata.labels, strata.classes)


def check_whole_and_disjoint(parts: Parts, count: int) -> None:
    together = np.concatenate([parts.train, parts.validation, parts.test])
    assert sorted(together.tolist()) == list(range(count))


@settings(deadline=None, max_examples=60)
@given(grouped(), seeds)
def test_no_group_is_in_two_splits_and_every_class_is_in_each(strata: Strata, seed: int) -> None:
    parts = divide(strata, seed, "split")
    check_whole_and_disjoint(parts, len(strata.labels))
    assert strata.groups is not None
    members = [{strata.groups[index] for index in part} for part in (parts.train, parts.validation, parts.test)]
    assert len(set.union(*members)) == sum(map(len, members))
    for part in (parts.train, parts.validation, parts.test):
        assert set(strata.labels[part].tolist()) == set(range(len(strata.classes)))
        assert (np.diff(part) > 0).all()


@settings(deadline=None, max_examples=60)
@given(grouped(), seeds)
def test_without_groups_no_image_is_in_two_splits(strata: Strata, seed: int) -> None:
    parts = divide(ungrouped(strata), seed, "split")
    check_whole_and_disjoint(parts, len(strata.labels))
    for label in range(len(strata.classes)):
        count = int((strata.labels == label).sum())
        held = int((strata.labels[parts.test] == label).sum())
        assert held == min(max(round(TEST_FRACTION * count), 1), count - 1)


@settings(deadline=None, max_examples=60)
@given(grouped(), seeds)
def test_the_same_seed_gives_the_same_split(strata: Strata, seed: int) -> None:
    one, two = divide(strata, seed, "split"), divide(strata, seed, "split")
    for left, right in zip((one.train, one.validation, one.test), (two.train, two.validation, two.test), strict=True):
        np.testing.assert_array_equal(left, right)


def test_another_seed_or_name_gives_another_split() -> None:
    strata = Strata(np.arange(200, dtype=np.int64) % 2, ("a", "b"))
    tests = [divide(strata, seed, name).test.tolist() for seed, name in ((0, "split"), (1, "split"), (0, "other"))]
    assert tests[0] != tests[1]
    assert tests[0] != tests[2]


def test_the_fractions_are_the_papers() -> None:
    parts = divide(Strata(np.arange(2000, dtype=np.int64) % 2, ("a", "b")), 0, "split")
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (1190, 210, 600)
    assert (TEST_FRACTION, VALIDATION_FRACTION) == (0.3, 0.15)


def test_a_group_of_two_classes_stays_together_and_counts_for_the_more_frequent() -> None:
    labels = np.array([0, 0, 1, 0, 0, 1, 1, 1], dtype=np.int64)
    groups = ["mixed", "mixed", "mixed", "p", "q", "r", "s", "t"]
    strata = Strata(labels, ("a", "b"), groups, "patient")
    for seed in range(20):
        kept, held = hold_out(strata, np.arange(8), 0.3, seed, "x")
        assert sum(np.isin([0, 1, 2], held)) in (0, 3)
        assert len({groups[index] for index in held} & {"mixed", "p", "q"}) == 1
        assert len(kept) + len(held) == 8


def test_a_class_with_one_group_is_an_error() -> None:
    strata = Strata(np.array([0, 0, 1, 1, 1], dtype=np.int64), ("rare", "b"), ["p", "p", "q", "r", "s"], "patient")
    with pytest.raises(InvalidInput, match="class 'rare' has 1 patient, too few to divide; .* at least three patients"):
        divide(strata, 0, "split")


@st.composite
def several_labels(draw: st.DrawFn) -> Strata:
    """Images with any of three findings in groups of one to four."""
    rows = []
    for group, size in enumerate(draw(st.lists(st.integers(1, 4), min_size=2, max_size=30))):
        rows += [(draw(st.lists(st.integers(0, 1), min_size=3, max_size=3)), f"patient {group}") for _ in range(size)]
    rows = draw(st.permutations(rows))
    labels = np.array([label for label, _ in rows], dtype=np.int64)
    return Strata(labels, ["a", "b", "c"], [group for _, group in rows], "patient")


@settings(deadline=None, max_examples=60)
@given(several_labels(), seeds)
def test_with_several_labels_no_group_is_divided_and_the_rarest_finding_is_always_kept(
    strata: Strata, seed: int
) -> None:
    everything = np.arange(len(strata.labels), dtype=np.int64)
    kept, held = hold_out(strata, everything, 0.3, seed, "x")
    assert sorted([*kept.tolist(), *held.tolist()]) == everything.tolist()
    assert strata.groups is not None
    owners = [{strata.groups[index] for index in part} for part in (kept, held)]
    assert not owners[0] & owners[1]
    having = [{group for group, row in zip(strata.groups, strata.labels, strict=True) if row[f]} for f in range(3)]
    there = [groups for groups in having if groups]
    if there:
        assert min(there, key=len) & owners[0]
    again = hold_out(strata, everything, 0.3, seed, "x")
    np.testing.assert_array_equal(again[1], held)


def test_a_rare_finding_is_shared_out_before_a_common_one() -> None:
    labels = np.zeros((400, 2), dtype=np.int64)
    labels[:200, 0] = 1
    labels[:10, 1] = 1  # rare, and always with the common one
    for seed in range(10):
        parts = divide(Strata(labels, ("common", "rare")), seed, "split")
        assert labels[parts.test].sum(axis=0).tolist() == [57 + 3, 3]
        assert labels[parts.validation].sum(axis=0).tolist() == [20 + 1, 1]


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 4), st.integers(4, 12), st.integers(0, 3), seeds)
def test_patients_with_images_of_every_class_are_divided_too(
    classes: int, patients: int, others: int, seed: int
) -> None:
    """Each patient has an image of every class, and a few have images of the first class alone."""
    rows = [(label, f"P{n}") for n in range(patients) for label in range(classes)]
    rows += [(0, f"Q{n}") for n in range(others)]
    groups = [group for _, group in rows]
    labels = np.array([label for label, _ in rows], dtype=np.int64)
    parts = divide(Strata(labels, [str(label) for label in range(classes)], groups, "patient"), seed, "split")
    members = [{groups[index] for index in part} for part in (parts.train, parts.validation, parts.test)]
    assert len(set.union(*members)) == sum(map(len, members)) == patients + others
    for part in (parts.train, parts.validation, parts.test):
        assert set(labels[part].tolist()) == set(range(classes))


def test_a_class_of_a_single_patient_cannot_be_divided() -> None:
    labels = np.array([0, 0, 0, 1, 1], dtype=np.int64)
    with pytest.raises(InvalidInput, match="class 'b' has 1 patient, too few to divide"):
        divide(Strata(labels, ["a", "b"], ["P1", "P2", "P3", "P3", "P3"], "patient"), 0, "split")
