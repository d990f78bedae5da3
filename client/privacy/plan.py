"""How a centre's ε is shared among what its branch says of the training images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from medforge.client.privacy.accounting import Mechanism, scaled_to, spent
from medforge.client.privacy_settings import PrivacySettings
from medforge.client.recipe import TrainRecipe
from medforge.errors import CorruptFile
from medforge.privacy_facts import PrivacyFacts, PrivateUnit

PLAN_FILE = "plan.json"
TRAINING, TARGETS, STATISTICS = "training", "targets", "statistics"
STATISTICS_SUMS = 2
"""Class sums, then the spread about them."""
_SAID = {
    TRAINING: "steps of the plugin's training",
    TARGETS: "class means that images are distilled from",
    STATISTICS: "class statistics",
}


class PrivacyPlan(BaseModel):
    """Hold every noised number that a branch will be made of, before the first image is trained on.

    ``made_for`` digests the images and the recipe that it was made for; it stays at the site, as the whole plan does.

    ``counts`` are the units of each class, noised, at least one each; of a task with several findings an image, of all
    together. Everything else follows from them, so that no number of images but these is ever told or used. ``steps``
    and ``batch`` are the training's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    made_for: str = ""
    settings: PrivacySettings
    unit: PrivateUnit
    counts: tuple[int, ...] = Field(min_length=1)
    epochs: int = Field(ge=1)
    steps_per_epoch: int = Field(ge=1)
    batch: int = Field(ge=1)
    mechanisms: tuple[Mechanism, ...]

    def mechanism(self, name: str) -> Mechanism:
        """Return the sums of one part: training, targets or statistics."""
        return next(one for one in self.mechanisms if one.name == name)

    @property
    def units(self) -> int:
        """How many units there are, by the noised counts."""
        return sum(self.counts)

    @property
    def counts_epsilon(self) -> float:
        """What the counts spent, with a δ of 0."""
        return counts_epsilon(self.settings)

    @property
    def epsilon(self) -> float:
        """The ε that all of it spends together: the counts', and what the noised sums spend after them."""
        return self.counts_epsilon + spent(self.mechanisms, self.settings.delta)

    @property
    def facts(self) -> PrivacyFacts:
        """What the manifest says: what was asked for, which is no less than what is spent."""
        return PrivacyFacts(epsilon=self.settings.epsilon, delta=self.settings.delta, unit=self.unit)

    def lines(self) -> list[str]:
        """Return the plan as people read it, a line a part."""
        head = f"differential privacy, {self.facts}: {self.units} units by a noised count, spent as"
        counts = f"{'how many units each class has':44}  ε {self.counts_epsilon:6.3f} alone"
        rest = (
            f"{_SAID[one.name]:44}  ε {spent([one], self.settings.delta):6.3f} alone: {one.steps} sums over "
            f"{one.rate:.0%} of the units, noise {one.noise:.3g} times what one can add"
            for one in self.mechanisms
        )
        total = f"{'together, by Rényi DP':44}  ε {self.epsilon:6.3f}"
        return [head, *(f"  {line}" for line in (counts, *rest, total))]


def kept_plan(directory: Path) -> PrivacyPlan | None:
    """Read the plan that is kept in a directory; None where there is none. Raises CorruptFile."""
    path = directory / PLAN_FILE
    if not path.exists():
        return None
    try:
        return PrivacyPlan.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise CorruptFile(f"{path} is no privacy plan; begin another workspace") from error


def counts_epsilon(settings: PrivacySettings) -> float:
    """Return the share of ε that the counts of units take."""
    return settings.counts_share * settings.epsilon


def make_plan(
    settings: PrivacySettings, unit: PrivateUnit, counts: tuple[int, ...], recipe: TrainRecipe
) -> PrivacyPlan:
    """Choose how much noise each part gets: alone it would spend its share of ε, together they spend ε.

    Nothing but the noised counts is known of the images. The counts have a pure ε, and whatever they come out as, the
    rest spends at most (ε − theirs, δ): so both add up. Raises InvalidInput where ε cannot be kept.
    """
    units = sum(counts)
    batch = min(recipe.batch, units)
    steps = -(-units // batch)
    epochs = recipe.epochs_for(steps)
    left = settings.epsilon - counts_epsilon(settings)
    alone = tuple(_alone(settings, left, batch / units, steps * epochs))
    return PrivacyPlan(
        settings=settings,
        unit=unit,
        counts=counts,
        epochs=epochs,
        steps_per_epoch=steps,
        batch=batch,
        mechanisms=scaled_to(alone, left, settings.delta),
    )


def _alone(settings: PrivacySettings, left: float, rate: float, steps: int) -> Iterator[Mechanism]:
    parts = (
        (Mechanism(name=TRAINING, noise=1, rate=rate, steps=steps), settings.training_share),
        (Mechanism(name=TARGETS, noise=1, rate=1, steps=settings.targets), settings.targets_share),
        (Mechanism(name=STATISTICS, noise=1, rate=1, steps=STATISTICS_SUMS), settings.statistics_share),
    )
    for mechanism, share in parts:
        yield scaled_to([mechanism], share / (1 - settings.counts_share) * left, settings.delta)[0]
