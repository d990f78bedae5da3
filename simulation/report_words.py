"""What a run's report says in words: what came out, with which settings, and how to run it again."""

from __future__ import annotations

import shlex
from pathlib import Path

from medforge.assessment.digits import of_mean, spell
from medforge.simulation.result import SimulationResult, TaskResult

CLOSE = 0.05
SHOWN = 6
"""Centres of a long arrival order that are named."""


def verdict(result: SimulationResult) -> str:
    """Say in a few sentences what came out."""
    arrived = sum(centre.arrived for centre in result.centres)
    if not arrived:
        return "No centre arrived in the main branch, so there is none."
    held = sum(centre.held is not None for centre in result.centres)
    opening = f"{arrived} of {len(result.centres)} centres arrived{f', {held} held back' if held else ''}."
    own, main = result.mean.individual, result.mean.merged
    if own is None or main is None:
        return opening
    gap = main.acc - own.acc
    if gap > -0.005:
        relation = "one main branch does their tasks as well as their own plugins do"
    elif gap >= -CLOSE:
        relation = f"one main branch stays within {-gap * 100:.1f} points of their own plugins"
    else:
        relation = f"one main branch falls {-gap * 100:.1f} points behind their own plugins"
    shared = "".join(filter(None, map(shared_verdict, result.shared)))
    few = of_mean([task.units for task in result.tasks])
    means = f"mean accuracy {spell(main.acc, few)} against {spell(own.acc, few)}"
    return f"{opening} On unseen test images {relation}: {means}.{shared}"


def shared_verdict(task: TaskResult) -> str | None:
    """Say how the main branch does on all test images of a task beside its best centre alone."""
    if task.merged is None or not task.alone:
        return None
    best = max(task.alone, key=lambda name: task.alone[name].acc)
    return (
        f" On the test images of all centres of {task.name} it has {spell(task.merged.acc, task.units)}, the"
        f" best of their plugins ({best}) {spell(task.alone[best].acc, task.units)}."
    )


def reviews_said(result: SimulationResult) -> list[str]:
    """Say what reviews led to: which commit is stable, how it does, and what each decision was; nothing without any."""
    found = result.reviews
    if found is None:
        return []
    units = {task.name: task.units for task in result.tasks}
    scores = ", ".join(f"{name} {spell(score.acc, units[name])}" for name, score in found.tasks.items())
    newest = "which is the head" if found.stable == result.head else f"the head is {(result.head or '')[:8]}"
    where = f"; accuracy on the test images there: {scores}" if scores else ""
    said = [f"{found.reviews} reviews. Stable is commit {found.stable[:8]}, {newest}{where}."]
    words = {"live": "went live", "harmful": "was found harmful"}
    return said + [f"Commit {one.commit[:8]} {words[one.standing]}: {one.reason}." for one in found.decisions]


def settings_of(result: SimulationResult) -> list[tuple[str, str]]:
    """List the settings as label and value."""
    return [
        ("merge method", result.method),
        ("level", result.level or "–"),
        ("coefficients", result.coefficients),
        *([("inside a task", result.expert)] if result.method == "routed" else []),
        *((name, f"{value:g}") for name, value in result.parameters.items()),
        ("base module", result.base),
        ("recipe", " ".join((result.recipe, *result.changes))),
        ("plugin", result.plugin),
        ("seed", str(result.seed)),
        ("policy", " ".join(result.policy) or "as a forge has it"),
        *(
            [("centres", f"{result.crowd}, {result.reused} of them with what an earlier run learned")]
            * bool(result.crowd)
        ),
        ("arrival order", _order(result)),
        ("arrival times", result.arrivals or "as soon as ready, in order"),
        ("device and dtype", f"{result.device}, {result.dtype}"),
        ("aggregator restarts", str(result.restarts)),
        ("wall time", _to_the_second(result.seconds)),
    ]


def digests_of(result: SimulationResult) -> list[tuple[str, str]]:
    """List every digest that pins the run down."""
    rows = [("base module", result.base_fingerprint)]
    rows += [(f"branch of {c.name}", c.branch) for c in result.centres if c.branch]
    rows += [(f"forge item after arrival {r.arrival}", r.item) for r in result.rounds]
    rows += [(f"commit {r.arrival}", r.commit) for r in result.rounds]
    return rows


def _order(result: SimulationResult) -> str:
    if not result.crowded:
        return " → ".join(result.order)
    return f"{' → '.join(result.order[:SHOWN])} → … → {result.order[-1]}"


def _to_the_second(seconds: float) -> str:
    """Write seconds as 3 min 05 s."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def clock(seconds: float) -> str:
    """Write seconds as 3:05."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def commands_of(result: SimulationResult, out: Path) -> list[tuple[str, str]]:
    """List the commands that rebuild the run and look into it."""
    forge = shlex.quote(str(out / "forge"))
    return [
        ("run it again", result.command),
        ("read the main branch's history", f"medforge log --forge {forge}"),
        ("take the merged model", f"medforge checkout --forge {forge} --out main-branch"),
    ]
