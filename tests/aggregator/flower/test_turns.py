import pytest
from hypothesis import given
from hypothesis import strategies as st

from medforge.aggregator.flower.turns import Turns


def test_what_came_early_waits_for_those_before_it() -> None:
    turns: Turns[str] = Turns(longest=60)
    turns.put("third", 2, now=0)
    turns.put("second", 1, now=1)
    assert list(turns.ready(now=2, alone=False)) == []
    assert len(turns) == 2
    turns.put("first", 0, now=3)
    assert list(turns.ready(now=3, alone=False)) == ["first", "second", "third"]


@pytest.mark.parametrize(("now", "alone"), [(60, False), (1, True)], ids=["waited long enough", "nobody is left"])
def test_nothing_waits_for_who_does_not_come(now: float, alone: bool) -> None:
    turns: Turns[str] = Turns(longest=60)
    turns.put("third", 2, now=0)
    assert list(turns.ready(now, alone)) == ["third"]
    turns.put("first, late", 0, now=now)
    assert list(turns.ready(now, alone=False)) == ["first, late"]


def test_what_has_no_turn_is_handed_out_at_once() -> None:
    turns: Turns[str] = Turns(longest=60)
    for reply, turn in (("one", None), ("two", 1), ("two again", 1)):
        turns.put(reply, turn, now=0)
    assert list(turns.ready(now=0, alone=False)) == ["one", "two again"]


@given(st.permutations(range(6)), st.integers(0, 5))
def test_any_order_of_coming_gives_the_order_of_turns(came: list[int], looks: int) -> None:
    turns: Turns[int] = Turns(longest=60)
    out = []
    for number, turn in enumerate(came):
        turns.put(turn, turn, now=number)
        if number >= looks:
            out += turns.ready(now=number, alone=False)
    assert [*out, *turns.ready(now=6, alone=False)] == list(range(6))


@given(st.lists(st.one_of(st.none(), st.integers(0, 4)), max_size=8))
def test_everything_comes_out_once(given_turns: list[int | None]) -> None:
    turns: Turns[int] = Turns(longest=60)
    for number, turn in enumerate(given_turns):
        turns.put(number, turn, now=0)
    assert sorted(turns.ready(now=0, alone=True)) == list(range(len(given_turns)))
    assert len(turns) == 0
