"""What the pages about the forge as a whole show: overview, contributors, what is held, timeline, journal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from medforge.aggregator.ledger.records import State
from medforge.aggregator.page.forge_view import SMALL_CHART, ForgeView
from medforge.aggregator.page.objection import objection
from medforge.aggregator.page.parts import part_of

TIMELINE_LENGTH = 50
JOURNAL_LENGTH = 100
_NEWEST = 12
# who called without the right to is for the maintainer alone
_HIDDEN = ("refused", "refused again")

Values = Mapping[str, Any]


def overview(view: ForgeView) -> Values:
    """Return what the first page shows."""
    history = view.history
    states = Counter(one.state for one in history.arrivals.values())
    members = history.rounds[-1].members if history.rounds else 0
    rows = [
        {
            "name": name,
            "task": view.task(name),
            "score": view.score(name),
            "chart": view.chart(name, SMALL_CHART),
            "branches": sum(one.state is State.FOLDED for one in view.branches(task=name)),
        }
        for name in history.tasks
    ]
    return {
        "members": members,
        "mean": view.mean_score(),
        "stable": view.stable,
        "waiting": states[State.RECEIVED],
        "held": states[State.HELD],
        "tasks": rows,
        "newest": history.timeline[: -_NEWEST - 1 : -1],
    }


def contributors(view: ForgeView) -> Values:
    """Return who takes part, with how many branches."""
    sent: dict[str, Counter[State]] = {}
    for one in view.history.arrivals.values():
        sent.setdefault(one.contributor, Counter())[one.state] += 1
    rows = [
        {
            "identifier": name,
            "invited": view.history.contributors.get(name),
            "kit_ends": view.history.kit_ends.get(name),
            "inside": sent.get(name, Counter())[State.FOLDED],
            "sent": sum(sent.get(name, Counter()).values()),
        }
        for name in view.history.everybody
    ]
    return {"rows": rows}


def held(view: ForgeView) -> Values:
    """Return what waits for the maintainer, and why."""
    rows = [{"arrival": one, "objection": objection(one.reason)} for one in view.history.held]
    return {"rows": rows}


def timeline(view: ForgeView, number: str) -> Values | None:
    """Return a part of what came, left, was replaced and was held; None where there is no such part."""
    part = part_of(view.history.timeline, int(number), TIMELINE_LENGTH)
    return None if part is None else {"part": part}


def journal(view: ForgeView, number: str) -> Values | None:
    """Return a part of the journal; None where there is no such part."""
    part = part_of(view.history.events, int(number), JOURNAL_LENGTH)
    if part is None:
        return None
    return {"part": part, "entries": [one for one in part.entries if one.what not in _HIDDEN]}
