"""What privacy costs and buys: accuracy and what attacks achieve, against ε; pure data, and readings of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from medforge.simulation.benchmark.results.result_model import ExperimentResult
from medforge.simulation.benchmark.results.scores import Measure
from medforge.simulation.result import Model

Part = Literal["plugin", "distilled", "statistics"]
PARTS: tuple[Part, ...] = ("plugin", "distilled", "statistics")


class AttackFound(Model):
    """Hold what one membership attack achieved: AUC with its 95 % interval, true positive rate at 1 % false ones.

    `shadows` is how many shadow models it stands on, None where it needs none; `rare` the rate at .1 %.
    """

    name: str
    target: Part
    auc: float
    low: float
    high: float
    tpr: float
    rare: float | None = None
    shadows: int | None = None


class Released(Model):
    """Hold what one site sends under an ε, seed by seed: test accuracy, and what attacks on it achieve.

    Accuracy is that of the plugin, and of linear discriminants on the frozen base: of the distilled images, of the
    class statistics as they are sent (None where there are none) and, exact, of the training images' own, which is the
    closed form without privacy. `spent` is the ε by the accountant. `exposed` is the log-likelihood ratio of the most
    exposed training image, `highest` that of the most suspected other image, `above` how many training images exceed
    it.
    """

    members: int
    others: int
    spent: float | None
    plugin: float
    distilled: float | None
    statistics: float | None
    exact: float
    attacks: tuple[AttackFound, ...]
    exposed: float
    highest: float
    above: int

    def auc(self, part: Part, by_shadows: bool) -> float | None:
        """Return the AUC of the attack by shadows on a part, or of the best other attack; None where there is none."""
        found = [one.auc for one in self.attacks if one.target == part and (one.shadows is not None) == by_shadows]
        return max(found, default=None)

    def loss(self) -> float:
        """Return the AUC of the attack on the plugin by its loss."""
        return next(one.auc for one in self.attacks if one.name == "loss")

    def tpr(self, part: Part) -> float | None:
        """Return the rate at 1 % false alarms of the attack by shadows."""
        return next((one.tpr for one in self.attacks if one.target == part and one.shadows is not None), None)


class Under(Model):
    """Hold what a task's site sends under one ε (None without noise), seed by seed (as text, for JSON)."""

    task: str
    epsilon: float | None
    seeds: dict[str, Released]

    def mean(self, value: Callable[[Released], float | None]) -> Measure | None:
        """Average a value over the seeds that have it."""
        found = [number for one in self.seeds.values() if (number := value(one)) is not None]
        return Measure.of(found) if found else None


class PrivacyResult(ExperimentResult):
    """Hold every task under every ε, in the order given."""

    kind: Literal["privacy"] = "privacy"
    experiment: str = "privacy"
    shadows: int
    points: tuple[Under, ...]

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks, in their order."""
        return tuple(dict.fromkeys(point.task for point in self.points))

    def of(self, task: str) -> tuple[Under, ...]:
        """Return a task's points, in the order given."""
        return tuple(point for point in self.points if point.task == task)
