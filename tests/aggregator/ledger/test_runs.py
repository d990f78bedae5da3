"""Runs say numbers in their order, and a commit of an older format keeps its bytes."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medforge.aggregator.ledger.commit import Commit
from medforge.aggregator.ledger.runs import Runs, numbers_in, runs_of
from medforge.errors import CorruptFile
from medforge.files import canonical_json, sha256_bytes
from tests.aggregator.ledger.test_ledger import commit


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


def read(plain: dict[str, Any]) -> Commit:
    content = canonical_json(plain)
    return Commit.parse(content, sha256_bytes(content))


def test_a_commit_says_its_members_by_runs_and_is_read_back() -> None:
    one = commit(1003, "a" * 64, members=(*range(1, 500), 501, 500, *range(503, 1004)))
    assert json.loads(one.content)["members"] == [[1, 499], [501, 501], [500, 500], [503, 1003]]
    assert Commit.parse(one.content, one.digest) == one
    assert one.model_dump(mode="json")["members"] == list(one.members), "whoever reads the log reads all"


def test_a_commit_of_the_format_before_keeps_its_bytes() -> None:
    old = commit(3, "a" * 64).model_copy(update={"format": 2})
    assert json.loads(old.content)["members"] == [1, 2, 3]
    assert Commit.parse(old.content, old.digest) == old


@pytest.mark.parametrize(
    "members",
    [
        [[1, 2], [3, 4]],
        [1, 2, 3, 4],
        [[4, 1]],
        [[1, 4, 5]],
        [[1.0, 4.0]],
        [[1, 4], 5],
        [[True, 4]],
        [["1", "4"]],
        [[1, 10**12]],
        [[5, -(10**12)], [1, 10**12]],
    ],
    ids=json.dumps,
)
def test_members_that_are_spelled_otherwise_are_refused(members: list[Any]) -> None:
    plain = json.loads(commit(4, "a" * 64).content)
    assert read(plain).members == (1, 2, 3, 4)
    with pytest.raises(CorruptFile):
        read(plain | {"members": members})
