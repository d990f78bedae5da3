"""What came out of accuracy and attacks against ε, in plain words computed from its numbers."""

from __future__ import annotations

from medforge.simulation.benchmark.presentation.numbers_in_words import measured
from medforge.simulation.benchmark.presentation.privacy.charts import in_order
from medforge.simulation.benchmark.presentation.privacy.sheets import spell_epsilon
from medforge.simulation.benchmark.results.privacy import PrivacyResult, Released, Under


def privacy_verdict(result: PrivacyResult) -> str:
    """Compare, task by task, what the least ε costs and buys with what is sent without noise."""
    return " ".join(_task(task, in_order(result.of(task)), result.shadows) for task in result.tasks)


def privacy_finding(point: Under) -> str:
    """Say how exposed the most exposed image is under one ε."""
    ratios = ", ".join(f"{one.exposed:.1f} against {one.highest:.1f}" for one in point.seeds.values())
    above = ", ".join(str(one.above) for one in point.seeds.values())
    return (
        f"{point.task}, ε {spell_epsilon(point.epsilon)}: log-likelihood ratio of the most exposed training image "
        f"against the highest of the others, seed by seed: {ratios}; training images above that: {above}."
    )


def _task(task: str, points: list[Under], shadows: int) -> str:
    plain, least = points[-1], points[0]
    said = ""
    if plain.epsilon is None:
        by_loss, by_shadows = measured(plain.mean(Released.loss)), measured(plain.mean(_lira))
        said = (
            f"On {task} the plugin without noise has an accuracy of {measured(plain.mean(_plugin))}; its loss tells "
            f"members with an AUC of {by_loss}, {shadows} shadows with {by_shadows}."
        )
    if least.epsilon is None:
        return said
    return (
        f"{said} Under ε {spell_epsilon(least.epsilon)} the plugin has {measured(least.mean(_plugin))}, and the "
        f"shadows {measured(least.mean(_lira))}; a discriminant of the statistics that are sent has "
        f"{measured(least.mean(lambda one: one.statistics))}."
    ).strip()


def _plugin(one: Released) -> float:
    return one.plugin


def _lira(one: Released) -> float | None:
    return one.auc("plugin", by_shadows=True)
