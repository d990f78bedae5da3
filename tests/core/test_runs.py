"""Runs say numbers in their order."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medforge.runs import Runs, numbers_in, runs_of


@given(st.lists(st.integers(-5, 30)))
def test_runs_say_the_numbers_in_their_order(numbers: list[int]) -> None:
    runs = runs_of(numbers)
    assert numbers_in(runs) == tuple(numbers)
    assert all(first <= last for first, last in runs)
    assert all(one[1] + 1 != other[0] for one, other in pairwise(runs)), "they are as few as can be"


@given(st.lists(st.integers(-5, 30)), st.lists(st.integers(-5, 30)))
def test_runs_are_a_sequence_of_their_numbers(numbers: list[int], others: list[int]) -> None:
    runs = Runs(numbers)
    assert (list(runs), len(runs), runs[1:]) == (numbers, len(numbers), tuple(numbers[1:]))
    assert (runs == numbers, runs == others, runs == Runs(others)) == (True, numbers == others, numbers == others)
    assert [number in runs for number in range(-6, 32)] == [number in numbers for number in range(-6, 32)]
    assert runs.distinct() == (len(set(numbers)) == len(numbers))
    assert list(runs.without(Runs(others))) == [number for number in numbers if number not in others]


@given(st.lists(st.integers(-5, 30)))
def test_numbers_are_read_from_their_runs_or_one_by_one(numbers: list[int]) -> None:
    assert Runs.read(runs_of(numbers)) == Runs.read(numbers) == numbers


@pytest.mark.parametrize("said", [[1, [2, 3]], [[1, 2], 3], [True], ["1"], "1", [1.0], [[2, 1]], [None]])
def test_what_says_no_numbers_is_refused(said: list[object]) -> None:
    with pytest.raises(ValueError, match="number|run"):
        Runs.read(said)
