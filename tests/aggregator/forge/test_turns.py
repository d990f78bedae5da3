"""Whoever calls often waits for whoever calls seldom, and never the other way round."""

import threading
import time

import pytest

from medforge.aggregator.forge.turns import Turns


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

    def call(self, who: str) -> None:
        def use() -> None:
            with self.turns.turn(who):
                self.order.append(who)
                self.clock.now += self.seconds[who]

        before = sum(map(len, self.turns._waiting.values()))
        self._threads.append(threading.Thread(target=use, daemon=True))
        self._threads[-1].start()
        while sum(map(len, self.turns._waiting.values())) == before:
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
