"""Whoever calls often waits for whoever calls seldom, and never the other way round."""

import threading
import time

import pytest

from medforge.aggregator.forge.turns import Turns, size_class


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Queue:
    """Calls that wait while somebody has the turn; `order` says who had it, one after another."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.clock = Clock()
        self.turns = Turns(self.clock)
        self.seconds = seconds
        self.order: list[str] = []
        self._threads: list[threading.Thread] = []

    def call(self, who: str, size: int = 0) -> None:
        def use() -> None:
            with self.turns.turn(who, size):
                self.order.append(who)
                self.clock.now += self.seconds[who]

        before = self.turns._tickets
        self._threads.append(threading.Thread(target=use, daemon=True))
        self._threads[-1].start()
        while self.turns._tickets == before:
            time.sleep(0.001)

    def end(self) -> list[str]:
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()
        return self.order


def test_one_call_does_not_wait_for_anothers_many() -> None:
    queue = Queue({"greedy": 1.4, "modest": 0.1, "first": 5.0})
    with queue.turns.turn("first"):
        for _ in range(20):
            queue.call("greedy")
        queue.call("modest")
    # one greedy call was there before anybody was charged; the other 19 wait
    assert queue.end()[:2] == ["greedy", "modest"]


def test_who_was_charged_less_is_next_and_calls_of_one_keep_their_order() -> None:
    queue = Queue({"a": 1.0, "b": 0.2, "first": 0.0})
    with queue.turns.turn("first"):
        for who in "aaabbb":
            queue.call(who)
    assert queue.end() == ["a", "b", "b", "b", "a", "a"]


def test_a_charge_is_halved_every_minute_and_forgotten() -> None:
    clock = Clock()
    turns = Turns(clock)
    with turns.turn("a"):
        clock.now += 8
    assert turns.charged("a") == 8
    clock.now += 120
    assert turns.charged("a") == 2
    clock.now += 3600
    with turns.turn("b"):
        clock.now += 1
    assert set(turns._charged) == {"b"}


def test_a_turn_ends_with_an_error_too() -> None:
    turns = Turns()
    with pytest.raises(KeyError), turns.turn("a"):
        raise KeyError
    with turns.turn("b"):
        pass


def test_what_is_large_does_not_hold_up_what_is_small() -> None:
    assert [size_class(size) for size in (0, 4 << 20, (4 << 20) + 1, 16 << 20, 1 << 30, 1 << 50)] == [0, 0, 1, 1, 4, 5]
    queue = Queue({"greedy": 1.0, "modest": 0.1})
    with queue.turns.turn("first", 1 << 30):
        with queue.turns.turn("modest"):
            pass
        queue.call("greedy", 1 << 30)
        queue.call("modest", 1 << 10)
        while queue.order != ["modest"]:
            time.sleep(0.001)
    assert queue.end() == ["modest", "greedy"]


def test_one_caller_has_one_turn_at_a_time_whatever_the_sizes() -> None:
    queue = Queue({"greedy": 1.0, "modest": 0.1})
    with queue.turns.turn("greedy", 1 << 30):
        queue.call("greedy")
        # behind a call that may not begin, and not held up by it
        queue.call("modest")
        while queue.order != ["modest"]:
            time.sleep(0.001)
    assert queue.end() == ["modest", "greedy"]


def test_waiting_callers_are_compared_at_one_time() -> None:
    """A charge dwindles while it is looked at; it must not be found larger than itself."""
    ticking = iter(range(10**6))
    turns = Turns(lambda: float(next(ticking)))
    for _ in range(3):
        with turns.turn("a"):
            pass
