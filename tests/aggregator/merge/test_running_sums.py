"""Running sums are exact: to the bit those of the members, whoever came and left, and whatever became of the cache."""

import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.running_sums import RunningSums, Sums, on_integers
from medforge.errors import CorruptFile, InvalidBranch


class Named(ArrivedBranch):
    """A branch of which nothing but the digest is asked."""

    def __init__(self, number: int) -> None:
        object.__setattr__(self, "number", number)
        object.__setattr__(self, "digest", f"{number:064x}")


BRANCHES = [Named(number) for number in range(8)]
sets = st.lists(st.sets(st.integers(0, 7), min_size=1), min_size=1, max_size=6)


def terms(one: ArrivedBranch) -> Sums:
    random = torch.Generator().manual_seed(one.number)
    values = torch.randint(-(1 << 52), 1 << 52, (3, 2), generator=random)
    # a class that only some branches have
    return {"all": values, **({f"class {one.number % 3}": values[0]} if one.number % 2 else {})}


def plain(members: Sequence[ArrivedBranch]) -> dict[str, list[int]]:
    """The sums in Python's own whole numbers."""
    total: dict[str, list[int]] = {}
    for one in members:
        for name, values in terms(one).items():
            numbers = values.flatten().tolist()
            total[name] = [a + b for a, b in zip(total.get(name, [0] * len(numbers)), numbers, strict=True)]
    return total


def found(sums: Sums) -> dict[str, list[int]]:
    return {name: values.flatten().tolist() for name, values in sums.items()}


@given(sets, st.sampled_from(["kept", "reopened", "deleted", "damaged", "in memory"]))
@settings(max_examples=60, deadline=None)
def test_sums_are_those_of_the_members_whatever_came_before(rounds: list[set[int]], between: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = None if between == "in memory" else Path(name)
        sums = RunningSums(directory)
        for numbers in rounds:
            members = [BRANCHES[number] for number in sorted(numbers)]
            assert found(sums.over(["task"], members, terms)) == plain(members)
            if between in ("kept", "in memory"):
                continue
            sums = RunningSums(directory)
            for path in Path(name).rglob("*.safetensors"):
                if between == "deleted":
                    path.unlink()
                elif between == "damaged":
                    data = bytearray(path.read_bytes())
                    data[-1] ^= 1
                    path.write_bytes(data)


def test_one_arrival_and_one_withdrawal_cost_one_branch_each() -> None:
    asked: list[int] = []

    def counted(one: ArrivedBranch) -> Sums:
        asked.append(one.number)
        return terms(one)

    sums = RunningSums(None)
    sums.over(["task"], BRANCHES[:6], counted)
    asked.clear()
    sums.over(["task"], BRANCHES[:7], counted)
    assert asked == [6]
    sums.over(["task"], [*BRANCHES[:2], *BRANCHES[3:7]], counted)
    assert asked == [6, 2]


def test_a_branch_that_left_and_cannot_be_read_is_left_out_all_the_same() -> None:
    sums = RunningSums(None)
    sums.over(["task"], BRANCHES, terms)

    def without_the_first(one: ArrivedBranch) -> Sums:
        if one.number == 0:
            raise CorruptFile("it was erased")
        return terms(one)

    assert found(sums.over(["task"], BRANCHES[1:], without_the_first)) == plain(BRANCHES[1:])


def test_groups_are_apart_and_threads_agree(tmp_path: Path) -> None:
    sums = RunningSums(tmp_path)
    wanted = [BRANCHES[first : first + 3] for first in range(6)] * 4

    def ask(place: int) -> bool:
        members = wanted[place]
        return found(sums.over([f"task {place % 3}"], members, terms)) == plain(members)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, range(len(wanted))))


def test_a_failed_sum_changes_nothing() -> None:
    sums = RunningSums(None)
    sums.over(["task"], BRANCHES[:3], terms)

    def too_large(one: ArrivedBranch) -> Sums:
        if one.number == 3:
            raise InvalidBranch("too large")
        return terms(one)

    with pytest.raises(InvalidBranch):
        sums.over(["task"], BRANCHES[:4], too_large)
    assert found(sums.over(["task"], BRANCHES[:3], too_large)) == plain(BRANCHES[:3])


def test_what_does_not_fit_is_refused() -> None:
    assert on_integers(torch.tensor([0.25, -1.5]), 4.0, "they are").tolist() == [1, -6]
    for value in (float("nan"), float("inf"), 1e300, 2.0**51):
        with pytest.raises(InvalidBranch, match="they are too large to be summed up exactly; train and commit"):
            on_integers(torch.tensor([value], dtype=torch.float64), 4.0, "they are")

    def large(one: ArrivedBranch) -> Sums:
        return {"all": torch.tensor([(1 << 61) + 1])}

    with pytest.raises(InvalidBranch, match="sum up to more than can be held; withdraw the largest"):
        RunningSums(None).over(["task"], BRANCHES[:2], large)
