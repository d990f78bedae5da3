from itertools import permutations

from medforge.simulation.benchmark.jobs.merges import beginnings, by_first
from medforge.simulation.benchmark.jobs.orders import merge_orders


def test_all_orders_where_they_are_few() -> None:
    assert merge_orders("abc", 6, seed=0) == tuple(permutations("abc"))
    assert len(merge_orders("abcde", 120, seed=0)) == 120


def test_beyond_that_different_ones_are_drawn_from_the_seed() -> None:
    drawn = merge_orders("abcdef", 50, seed=3)
    assert len(set(drawn)) == 50
    assert drawn[0] == tuple("abcdef")
    assert all(sorted(order) == sorted("abcdef") for order in drawn)
    assert drawn == merge_orders("abcdef", 50, seed=3) != merge_orders("abcdef", 50, seed=4)
    # every centre comes first about as often: 50 draws of a chance of 1/6
    assert all(2 <= sum(order[0] == name for order in drawn) <= 18 for name in "abcdef")


def test_what_begins_alike_is_folded_once() -> None:
    starts = beginnings(merge_orders("abcd", 24, seed=0))
    assert len(starts) == 4 + 12 + 24 + 24
    assert all(start[:-1] in starts for start in starts if len(start) > 1)
    groups = list(by_first(starts))
    assert [len(group) for group in groups] == [16] * 4
    assert all(len({order[0] for order in group}) == 1 for group in groups)
