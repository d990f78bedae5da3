"""What is kept of a ledger, against what the ledger says, whatever happened to it."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medforge.aggregator.ledger.ledger import Ledger
from medforge.aggregator.ledger.records import State
from medforge.aggregator.page.chart import chart_of
from medforge.aggregator.page.history import History
from medforge.aggregator.page.parts import count_parts, part_of
from medforge.aggregator.page.records import ScoreSeries
from medforge.aggregator.page.site import Site
from medforge.errors import CorruptFile

ACCURACIES = st.lists(st.one_of(st.none(), st.sampled_from((0.0, 0.25, 0.5, 1.0))), min_size=1, max_size=40)


@given(ACCURACIES)
def test_a_series_says_what_was_noted(noted: Sequence[float | None]) -> None:
    series = ScoreSeries()
    for commit, accuracy in enumerate(noted, start=1):
        series.note(commit, accuracy)
    assert [series.at(commit) for commit in range(1, len(noted) + 1)] == list(noted)
    assert series.at(0) is None
    assert series.now == noted[-1]
    assert len(series.commits) <= len(noted)


@given(ACCURACIES)
def test_a_chart_draws_the_steps(noted: Sequence[float | None]) -> None:
    series = ScoreSeries()
    for commit, accuracy in enumerate(noted, start=1):
        series.note(commit, accuracy)
    chart = chart_of(series, len(noted), 4000, 100)
    drawn = _read(chart.path)
    across = 4000 / max(1, len(noted) + 1 - chart.first)
    for commit, accuracy in enumerate(noted, start=1):
        middle = (commit - chart.first + 0.5) * across
        heights = {y for x, end, y in drawn if x <= middle <= end}
        assert heights == (set() if accuracy is None else {100 * (1 - accuracy)})
    assert chart.end == (None if noted[-1] is None else (4000, 100 * (1 - noted[-1])))


def _read(path: str) -> list[tuple[float, float, float]]:
    """Read the level pieces of a path: from x, to x, at y."""
    pieces, x, y = [], 0.0, 0.0
    for word in path.replace("M", " M").replace("H", " H").replace("V", " V").split(" M")[1:]:
        first, *moves = word.split()
        x = float(first)
        y = float(moves.pop(0))
        for move in moves:
            if move[0] == "V":
                y = float(move[1:])
            else:
                pieces.append((x, float(move[1:]), y))
                x = float(move[1:])
    return pieces


def test_a_chart_does_not_grow_with_the_commits() -> None:
    series = ScoreSeries()
    for commit in range(1, 20_001):
        series.note(commit, commit % 7 / 7)
    assert len(chart_of(series, 20_000, 640, 180).path) < 640 * 16


@given(st.integers(0, 200), st.integers(1, 60))
def test_parts_are_the_whole_and_the_old_ones_stay(count: int, length: int) -> None:
    entries = list(range(count))
    parts = [part_of(entries, number, length) for number in range(1, count_parts(entries, length) + 1)]
    assert [one for part in parts if part for one in reversed(part.entries)] == entries
    assert part_of(entries, 0, length) is None
    assert part_of(entries, len(parts) + 1, length) is None
    longer = [*entries, count]
    for number in range(1, count // length + 1):
        before, after = part_of(entries, number, length), part_of(longer, number, length)
        assert before is not None
        assert after is not None
        assert before.entries == after.entries


def test_what_is_kept_is_what_the_ledger_says(site: Site) -> None:
    ledger, history = site.view.forge.ledger, site.view.history
    members: set[int] = set()
    for number, commit in ledger.commits():
        made = history.rounds[number - 1]
        assert set(made.came) == set(commit.members) - members
        assert set(made.left) == members - set(commit.members)
        for task, series in history.scores.items():
            score = commit.metrics.get(task)
            assert series.at(number) == (None if score is None else score.acc)
        members = set(commit.members)
    assert members == {one.number for one in history.arrivals.values() if one.state is State.FOLDED}
    assert [one.number for one in history.events] == [one.number for one in ledger.journal()]


def test_reading_on_is_reading_at_once() -> None:
    ledger = Ledger("sqlite://")
    kept = History(ledger)
    for number in range(1, 8):
        ledger.add_arrival(f"{number:064x}", "centre", f"task {number % 3}", 10)
        if number % 2:
            ledger.hold(number, "looks wrong")
        assert not kept.is_current()
        kept.update()
        assert kept.is_current()
    fresh = History(ledger)
    fresh.update()
    for name in ("events", "timeline", "arrivals", "rounds", "names", "position", "of_arrival"):
        assert getattr(kept, name) == getattr(fresh, name), name
    assert [one.number for one in kept.held] == [7, 5, 3, 1]
    ledger.close()


def test_a_broken_chain_is_not_shown(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = site.view.forge.ledger
    kept = [(number - 1, commit) for number, commit in ledger.commits()][1:]
    monkeypatch.setattr(ledger, "commits", lambda after=0, limit=None: [one for one in kept if one[0] > after][:limit])
    with pytest.raises(CorruptFile, match="does not follow an empty main branch"):
        History(ledger).update()
