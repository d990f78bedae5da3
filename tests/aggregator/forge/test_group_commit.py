"""Group commit: groups gather while one is under way, nobody is left out, and errors are their own item's."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from medforge.aggregator.forge.group_commit import GroupCommit


class Counted:
    """Commits numbers; odd ones under ten fail. The first group waits until it is let go."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.begun, self.go = threading.Event(), threading.Event()

    def commit(self, items: Sequence[int]) -> list[int | Exception]:
        self.groups.append(list(items))
        self.begun.set()
        assert self.go.wait(30)
        return [ValueError(f"{item}") if item < 10 and item % 2 else 2 * item for item in items]


def test_those_who_wait_share_a_group_and_those_of_one_key_do_not() -> None:
    counted = Counted()
    group: GroupCommit[int, int] = GroupCommit(counted.commit, 3)
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(group.add, 0, "zero")
        assert counted.begun.wait(30)
        others = []
        # one after another, so that it is known who came first
        for waiting, (item, key) in enumerate([(2, "a"), (4, "a"), (6, "b"), (8, "c"), (10, "d")], start=1):
            others.append(pool.submit(group.add, item, key))
            while len(group._waiting) < waiting:
                threading.Event().wait(0.001)
        counted.go.set()
        assert [one.result(30) for one in (first, *others)] == [0, 4, 8, 12, 16, 20]
    assert counted.groups == [[0], [2, 6, 8], [4, 10]]


def test_an_error_is_the_item_s_own() -> None:
    counted = Counted()
    counted.go.set()
    group: GroupCommit[int, int] = GroupCommit(counted.commit, 4)
    with ThreadPoolExecutor(16) as pool:
        results = [pool.submit(group.add, item, item) for item in range(100)]
        for item, result in enumerate(results):
            if item < 10 and item % 2:
                with pytest.raises(ValueError, match=f"^{item}$"):
                    result.result(30)
            else:
                assert result.result(30) == 2 * item
    assert sorted(item for items in counted.groups for item in items) == list(range(100))


def test_a_group_that_fails_fails_for_all_and_the_next_goes_on() -> None:
    tries: list[int] = []

    def commit(items: Sequence[int]) -> list[int | Exception]:
        tries.extend(items)
        if len(tries) == 1:
            raise OSError("the disk is full")
        return list(items)

    group: GroupCommit[int, int] = GroupCommit(commit, 4)
    with pytest.raises(OSError, match="the disk is full"):
        group.add(1, 1)
    assert group.add(1, 1) == 1


def test_what_fails_a_group_fails_alone() -> None:
    """The others of its group are made durable all the same: nobody depends on what others send."""
    begun, go = threading.Event(), threading.Event()

    def commit(items: Sequence[int]) -> list[int | Exception]:
        begun.set()
        assert go.wait(30)
        if 3 in items:
            raise ValueError(f"3 is refused, of {len(items)}")
        return list(items)

    group: GroupCommit[int, int] = GroupCommit(commit, 8)
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(group.add, 0, 0)
        assert begun.wait(30)
        others = [pool.submit(group.add, item, item) for item in (1, 2, 3, 4)]
        while len(group._waiting) < len(others):
            threading.Event().wait(0.001)
        go.set()
        assert [first.result(30), *(others[place].result(30) for place in (0, 1, 3))] == [0, 1, 2, 4]
        with pytest.raises(ValueError, match="3 is refused, of 1"):
            others[2].result(30)
