"""Scores of the main branch as curves: step 0 is the base alone, every later step an arrival's merge round."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from medforge.simulation.result import Score, mean_score
from medforge.simulation.rundir import RunDirectory
from medforge.simulation.settings import SimulationSettings
from medforge.tracking.opening import name_run
from medforge.tracking.tracking import Tracking


def name_runs(settings: SimulationSettings, run: RunDirectory, targets: Sequence[str]) -> None:
    """Call the centres' runs by that of the whole, in their workspaces, before they begin; nothing without targets."""
    if targets:
        whole = name_run(run.path)
        for centre in settings.centres:
            name_run(run.workspace(centre.name), within=whole)


def log_scores(tracking: Tracking, tasks: Mapping[str, Score], step: int) -> None:
    """Add each task's test scores, and their means, to the curves."""
    mean = mean_score(list(tasks.values()))
    named = {f"tasks/{name}": score for name, score in tasks.items()}
    if mean is not None:
        named["mean"] = mean
    values = {f"{name}/acc": score.acc for name, score in named.items()}
    values |= {f"{name}/auc": score.auc for name, score in named.items() if not math.isnan(score.auc)}
    tracking.log(values, step)
