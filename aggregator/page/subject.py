"""What the pages about one task, one contributor, one branch and one commit show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from medforge.aggregator.ledger.records import Arrival, State
from medforge.aggregator.page.addresses import contributor_page, task_page
from medforge.aggregator.page.forge_view import ForgeView
from medforge.aggregator.page.objection import objection
from medforge.aggregator.page.overview import Values
from medforge.aggregator.page.records import Round
from medforge.runs import runs_of

_MOST_ROWS = 500
_MOST_CHANGES = 20
_MOST_MEMBERS = 50


def task(view: ForgeView, key: str) -> Values | None:
    """Return what a task asks, who answers it, and how it scored."""
    name = next((one for one in view.history.tasks if task_page(one) == f"task/{key}.html"), None)
    if name is None:
        return None
    shares = view.shares(name)
    sent = view.branches(task=name)
    series = view.history.scores.get(name)
    return {
        "name": name,
        "task": view.task(name),
        "declaration": view.history.declarations.get(name),
        "chart": view.chart(name),
        "score": view.score(name),
        "series": [] if series is None else list(zip(series.commits, series.accuracies, strict=True))[-_MOST_ROWS:],
        "answering": [(one, shares[one.branch]) for one in sent if one.branch in shares][:_MOST_ROWS],
        "routed": _is_routed(view, name),
        **_newest("others", [one for one in sent if one.branch not in shares]),
    }


def contributor(view: ForgeView, key: str) -> Values | None:
    """Return a contributor's branches."""
    found = (one for one in view.history.everybody if contributor_page(one) == f"contributor/{key}.html")
    identifier = next(found, None)
    if identifier is None:
        return None
    return {
        "identifier": identifier,
        "invited": view.history.contributors.get(identifier),
        "kit_ends": view.history.kit_ends.get(identifier),
        **_newest("sent", view.branches(contributor=identifier)),
    }


def branch(view: ForgeView, key: str) -> Values | None:
    """Return what a branch is, what happened to it, what it changed, and why it is held."""
    arrival = view.history.arrivals.get(int(key))
    if arrival is None:
        return None
    came = view.history.round_of(arrival.number)
    manifest = view.manifest(arrival)
    return {
        "arrival": arrival,
        "manifest": manifest,
        "classes": [] if manifest is None else manifest.prompts,
        "plugin": None if manifest is None else manifest.plugin,
        "started": None if manifest is None or manifest.start is None else _made(view, manifest.start),
        "events": view.history.of_arrival.get(arrival.number, []),
        "came": came,
        "changes": [] if came is None else _changes(view, came, arrival.task),
        "objection": objection(arrival.reason) if arrival.state is State.HELD else None,
        "harmful": _harmful(view, arrival) if arrival.state is State.HELD else None,
        "share": view.shares(arrival.task).get(arrival.branch) if arrival.state is State.FOLDED else None,
        "routed": _is_routed(view, arrival.task),
    }


def commit(view: ForgeView, key: str) -> Values | None:
    """Return the facts of a commit: its tasks with scores, its members, how it was made."""
    number = int(key)
    found = view.commit(number) if number <= len(view.history.rounds) else None
    if found is None:
        return None
    return {
        "number": number,
        "commit": found,
        "round": view.history.rounds[number - 1],
        "at": view.history.made_at.get(number),
        "before": {name: series.at(number - 1) for name, series in view.history.scores.items()},
        # in a large forge a table of all members on the page of every commit would be most of the site
        "members": view.by_number(found.members) if len(found.members) <= _MOST_MEMBERS else [],
        "member_runs": runs_of(sorted(found.members)),
        "is_head": number == len(view.history.rounds),
        "seen": _seen(view, found.digest),
        "decided": view.decisions(found.digest),
    }


def _changes(view: ForgeView, came: Round, own: str) -> list[dict[str, Any]]:
    """Return what the tasks scored before and after a commit, where that differs: its own first, then the largest."""
    found = []
    for name, series in view.history.scores.items():
        before, after = series.at(came.number - 1), series.at(came.number)
        if before != after:
            moved = abs((after or 0) - (before or 0))
            found.append((name != own, -moved, {"task": name, "before": before, "after": after}))
    return [one for _, _, one in sorted(found, key=lambda row: row[:2])][:_MOST_CHANGES]


def _seen(view: ForgeView, commit: str) -> list[dict[str, Any]]:
    """Return what each reviewer counted of a commit, task by task."""
    given = [one.signed.review for one in view.reviews.said_of(commit)[0]]
    return [
        {"reviewer": review.reviewer, "task": name, "counts": counts, "noise": review.epsilon}
        for review in given[-_MOST_ROWS:]
        for name, counts in sorted(review.tasks.items())
    ]


def _harmful(view: ForgeView, arrival: Arrival) -> Round | None:
    """Return the commit whose reviews had a branch held; None where something else did."""
    found = [kept.decision for kept in view.reviews.decisions if arrival.number in kept.decision.held]
    number = view.history.number_of(found[-1].commit) if found and found[-1].reason == arrival.reason else None
    return view.history.rounds[number - 1] if number else None


def _newest(name: str, arrivals: Sequence[Arrival]) -> dict[str, Any]:
    """Return the newest of many branches for a table, and how many older ones are left out."""
    return {name: list(reversed(arrivals[-_MOST_ROWS:])), f"older_{name}": max(0, len(arrivals) - _MOST_ROWS)}


def _made(view: ForgeView, item: str) -> Round | None:
    """Return the commit that made a forge item."""
    return next((one for one in view.history.rounds if one.item == item), None)


def _is_routed(view: ForgeView, name: str) -> bool:
    head = view.history.head
    return head is not None and any(path.startswith(f"tasks/{name}/") for path in head.item_files)
