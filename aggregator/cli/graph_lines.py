"""The main branch as a graph: a line a commit, and beside it what never came in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from medforge.aggregator.cli.show_lines import changes, spell_branch
from medforge.cli.lines import flow

if TYPE_CHECKING:
    from medforge.aggregator.forge.rounds import Round
    from medforge.aggregator.ledger.records import Arrival

_SHORT = 8
_INDENT = 13


def graph_lines(
    rounds: Sequence[Round],
    never_in: Sequence[Arrival],
    arrivals: Mapping[int, Arrival],
    names: Mapping[str, str],
    marks: Mapping[str, str],
    width: int,
) -> Iterator[str]:
    """Return the graph, oldest first: `*` a commit (+ who came, - who left, what is said of it), `o` what is not in it.

    What never was a member, ``never_in``, stands where it arrived; ``arrivals`` are those that the rounds are about.
    """
    waiting, arrivals = list(never_in), {**arrivals, **{one.number: one for one in never_in}}
    for one in rounds:
        if one.commit.kind == "fold":
            while waiting and waiting[0].number < one.commit.arrival:
                yield from _beside(waiting.pop(0), arrivals, names, width, "| ")
        parts = (
            *changes(one, arrivals, names),
            _score(one),
            marks.get(one.commit.digest, ""),
        )
        yield from _node(f"*  {one.commit.digest[:_SHORT]}", "|", parts, width)
    for left in waiting:
        yield from _beside(left, arrivals, names, width, "  ")


def _beside(
    one: Arrival, arrivals: Mapping[int, Arrival], names: Mapping[str, str], width: int, edge: str
) -> Iterator[str]:
    state = "waits for its turn" if one.state == "received" else one.state.value
    why = f"{state}: {one.reason}" if one.reason else state
    yield from _node(f"{edge}o {one.branch[:_SHORT]}", edge, (spell_branch(one.number, arrivals, names), why), width)


def _node(head: str, edge: str, parts: Iterable[str], width: int) -> Iterator[str]:
    for line in flow(parts, max(width, _INDENT + 20) - _INDENT, 0):
        yield f"{head:{_INDENT}}{line}"
        head = edge


def _score(one: Round) -> str:
    own = one.commit.metrics.get(one.commit.task)
    return "" if own is None or one.commit.kind != "fold" else f"{own.acc:.3f}"
