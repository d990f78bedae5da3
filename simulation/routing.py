"""What a merge round made of its arrivals: what each weighs, where images go, and which belong to no task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from medforge.forge_item import ForgeItem, Mixture, Routed
from medforge.simulation.evaluation import Evaluator
from medforge.simulation.task_scores import Question

Shares = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Routing:
    """Hold what each centre weighs, where test images go, and which share of them is said to be of no task.

    Under a router `shares` say for each task (outer key) which share of its images goes to each task; under a gate for
    each centre which share of its images goes to each centre's plugin. `none_of_these` is by task, and empty where the
    sites sent no distances by which that could be said.
    """

    coefficients: dict[str, float]
    shares: Shares = field(default_factory=dict)
    none_of_these: dict[str, float] = field(default_factory=dict)


def routing_of(
    item: ForgeItem,
    coefficients: Mapping[str, float],
    contributors: Mapping[str, str],
    questions: Sequence[Question],
    evaluator: Evaluator,
) -> Routing:
    """Find out where a forge item sends the test images.

    `coefficients` are the commit's, by branch, where the item does not say the shares itself; `contributors` name who
    sent each branch. Under a gate a coefficient is
    the share of all test images that goes to a centre's plugin.
    """
    weights = {contributors[branch]: value for branch, value in (item.shares or coefficients).items()}
    if isinstance(item, Routed):
        return Routing(weights, _by_task(item, questions, evaluator), _strangers(item, questions, evaluator))
    if not isinstance(item, Mixture) or item.gate is None:
        return Routing(weights)
    members = [contributors[member.branch] for member in item.members]
    counts = {name: evaluator.chosen(name, item.gate).tolist() for name in evaluator.tasks}
    total = sum(map(sum, counts.values()))
    shares = {member: sum(row[k] for row in counts.values()) / total for k, member in enumerate(members)}
    return Routing(shares, {name: _divided(members, row) for name, row in counts.items()})


def _by_task(item: Routed, questions: Sequence[Question], evaluator: Evaluator) -> Shares:
    names = [task.card.name for task in item.tasks]
    found = {}
    for question in questions:
        counts = torch.stack([evaluator.routed(name, item) for name in question.centres]).sum(dim=0)
        found[question.name] = _divided(names, counts.tolist())
    return found


def _strangers(item: Routed, questions: Sequence[Question], evaluator: Evaluator) -> dict[str, float]:
    if any(task.card.distances is None for task in item.tasks):
        return {}
    found = {}
    for question in questions:
        beyond = [evaluator.none_of_these(name, item) for name in question.centres]
        found[question.name] = sum(int(one.sum()) for one in beyond) / sum(map(len, beyond))
    return found


def _divided(names: Sequence[str], counts: Sequence[int]) -> dict[str, float]:
    return dict(zip(names, (count / sum(counts) for count in counts), strict=True))
