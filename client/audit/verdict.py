"""Judge an audit's figures by a site's policy."""

from __future__ import annotations

import math
from collections.abc import Sequence

from medforge.client.audit.near_copies import IDENTICAL
from medforge.client.audit.policy import SitePolicy
from medforge.client.audit.record import AttackResult, Check, Comparisons, Measure, Measurements, Target

CALLED: dict[Target, str] = {
    "distilled": "distilled dataset",
    "plugin": "plugin",
    "statistics": "class statistics",
}
"""What an attack is on, as people call it."""

FEWEST_OTHERS = 100
"""With fewer non-members a false positive rate of 1 % cannot be told from 0."""


def near_copies(measured: Measurements, policy: SitePolicy) -> tuple[int, ...]:
    """Return the positions of the distilled images that are near copies of a real one, by layout or by features."""
    limits: dict[Measure, float] = {"layout": policy.layout_distance, "features": policy.feature_distance}
    close = [
        {at for at, image in enumerate(found.images) if image.distance <= bound(found, limits[measure])}
        for measure, found in measured.comparisons.items()
    ]
    return tuple(sorted(set().union(*close)))


def bound(comparisons: Comparisons, share: float) -> float:
    """Return the distance up to which an image is a near copy: a share of the typical one, and never less than .05.

    Where a data set holds every image several times the typical distance is near 0, and a copy is a copy all the same.
    """
    return max(IDENTICAL, share * comparisons.typical)


def judge(measured: Measurements, policy: SitePolicy) -> tuple[Check, ...]:
    """Judge every figure; the order is that of the report."""
    return (
        _copies(measured, policy),
        *judge_attacks(measured.attacks, policy, measured.others),
        *_shadows(measured, policy),
    )


def judge_attacks(attacks: Sequence[AttackResult], policy: SitePolicy, others: int) -> tuple[Check, ...]:
    """Judge attacks that were tried with this many non-members."""
    limits: dict[Target, tuple[float, float]] = {
        "distilled": (policy.distilled_auc, policy.distilled_tpr),
        "plugin": (policy.plugin_auc, policy.plugin_tpr),
        "statistics": (policy.statistics_auc, policy.statistics_tpr),
    }
    by_shadows = (policy.lira_auc, policy.lira_tpr)
    pairs = [(attack, *(limits[attack.target] if attack.shadows is None else by_shadows)) for attack in attacks]
    return tuple(check for attack, auc, tpr in pairs for check in (_area(attack, auc), _rate(attack, tpr, others)))


def _shadows(measured: Measurements, policy: SitePolicy) -> tuple[Check, ...]:
    found = measured.shadows
    if found is None or found.exposed is not None:
        return ()
    return (
        Check(
            name="shadow models",
            value=found.trained,
            limit=policy.lira_auc,
            passed=None,
            sentence=" ".join(found.said),
        ),
    )


def _copies(measured: Measurements, policy: SitePolicy) -> Check:
    count, total = len(near_copies(measured, policy)), len(measured.comparisons["layout"].images)
    verb = "is a near copy" if count == 1 else "are near copies"
    return Check(
        name="near copies",
        value=count,
        limit=policy.near_copies,
        passed=count <= policy.near_copies,
        sentence=f"{count} of {total} distilled images {verb} of a real one (at most {policy.near_copies} may be)",
    )


def _area(attack: AttackResult, limit: float) -> Check:
    # a few images give any area by chance; an interval that holds .5 shows no attack at all
    passed = attack.auc <= limit or attack.low <= 0.5
    return Check(
        name=f"{_called(attack)}, attacked by {attack.name}: AUC",
        value=attack.auc,
        limit=limit,
        passed=passed,
        sentence=f"an attack on the {_called(attack)} by {attack.name} tells training images from others with an AUC "
        f"of {attack.auc:.3f} (95 % interval {attack.low:.3f} to {attack.high:.3f}; at most {limit:g} is allowed)",
    )


def _rate(attack: AttackResult, limit: float, others: int) -> Check:
    few = others < FEWEST_OTHERS
    note = f"; not judged with {others} non-members, which is fewer than {FEWEST_OTHERS}" if few else ""
    return Check(
        name=f"{_called(attack)}, attacked by {attack.name}: rate at 1 % false alarms",
        value=attack.tpr,
        limit=limit,
        passed=None if few else attack.tpr <= limit,
        sentence=f"an attack on the {_called(attack)} by {attack.name} names {attack.tpr:.1%} of the training images "
        f"at 1 % false alarms (at most {limit:.0%} is allowed{note})",
    )


def _called(attack: AttackResult) -> str:
    return CALLED[attack.target]


def spell_ratio(ratio: float) -> str:
    """Write a likelihood ratio, given by its natural logarithm, as "12 times likelier"; past a million a guess."""
    times = math.exp(min(ratio, 14.0))
    if times > 1e6:
        return "over a million times likelier"
    return f"{times:,.0f} times likelier" if times >= 10 else f"{times:.1f} times as likely"
