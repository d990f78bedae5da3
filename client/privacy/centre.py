"""A centre's differential privacy: one plan for all that its branch says of the training images."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from peft import PeftModel
from torch import Tensor

from medforge.base import BaseModule, batches
from medforge.class_statistics import ClassStatistics
from medforge.client.data.task import Task
from medforge.client.privacy.noised_means import Embedded, noised_means, noised_statistics
from medforge.client.privacy.plan import (
    PLAN_FILE,
    STATISTICS,
    TARGETS,
    TRAINING,
    PrivacyPlan,
    counts_epsilon,
    kept_plan,
    make_plan,
)
from medforge.client.privacy.private_steps import PrivateSteps
from medforge.client.privacy.reference import Reference
from medforge.client.privacy.secret import NoiseSecret
from medforge.client.privacy.units import Units, class_shares, unit_of
from medforge.client.privacy_settings import PrivacySettings
from medforge.client.recipe import Recipe, TrainRecipe
from medforge.errors import InvalidInput
from medforge.files import canonical_json, sha256_bytes, write_atomically

STATISTICS_FILE = "statistics.safetensors"
_BATCH = 256


class PrivateCentre:
    """Give each part of a branch its noised view of the training images, and say what all of them spend.

    With `directory` the plan and the class statistics are kept, so that they are drawn once; they have their noise in
    them. What else is drawn is kept in the checkpoints of training and distillation. Where work has `begun` there, it
    must go on by the plan that it began with.
    """

    def __init__(
        self, base: BaseModule, task: Task, recipe: Recipe, directory: Path | None = None, begun: bool = False
    ) -> None:
        self._base, self._task, self._recipe, self._directory = base, task, recipe, directory
        self._settings = recipe.privacy or PrivacySettings()
        self._units = Units.of(task, self._settings.unit_images)
        self._begun = begun

    @cached_property
    def plan(self) -> PrivacyPlan:
        """The plan, made once.

        Raises InvalidInput where ε cannot be kept, and where work began by a plan for other images or none; CorruptFile
        for a plan that cannot be read.
        """
        made_for = self._made_for()
        kept = kept_plan(self._directory) if self._directory else None
        if kept is not None and kept.made_for == made_for:
            return kept
        if self._begun:
            raise InvalidInput(
                f"the work in {self._directory} was begun with other images, or its {PLAN_FILE} is gone, so what it "
                "spends cannot be told any more; begin another workspace"
            )
        plan = make_plan(self._settings, unit_of(self._task), self._counts(), self._recipe.train)
        plan = plan.model_copy(update={"made_for": made_for})
        if self._directory:
            # statistics of another plan have another noise
            (self._directory / STATISTICS_FILE).unlink(missing_ok=True)
            write_atomically(self._directory / PLAN_FILE, canonical_json(plan.model_dump(mode="json")))
        return plan

    def _made_for(self) -> str:
        split = self._task.train
        images = [list(split.images.names), split.labels.tolist(), split.groups]
        return sha256_bytes(canonical_json([self._base.fingerprint, self._recipe.model_dump(mode="json"), images]))

    def steps(self, model: PeftModel, recipe: TrainRecipe) -> PrivateSteps:
        """Return the training's noised gradients."""
        plan = self.plan
        mechanism = plan.mechanism(TRAINING)
        return PrivateSteps(
            model, self._base, self._task, recipe, mechanism, plan.batch, self._settings.clip, self._units
        )

    def targets(self, extractors: Sequence[dict[str, Tensor]]) -> Tensor:
        """Return noised class means under each of the plan's extractors, float64 [extractors, C, d]; drawn anew."""
        assert len(extractors) == self._settings.targets
        noise, reference, secret = self.plan.mechanism(TARGETS).noise, Reference(self._base), NoiseSecret()
        means = [
            noised_means(self._embedded(deltas), self._noised, reference.ball(deltas), noise, secret, "targets", number)
            for number, deltas in enumerate(extractors)
        ]
        return torch.stack(means)

    def statistics(self) -> ClassStatistics:
        """Return noised class statistics, drawn once. Raises CorruptFile where those that are kept cannot be read."""
        kept = self._directory and self._directory / STATISTICS_FILE
        if kept and kept.exists():
            return ClassStatistics.from_bytes(kept.read_bytes(), str(kept))
        noise, ball = self.plan.mechanism(STATISTICS).noise, Reference(self._base).ball()
        drawn = noised_statistics(self._embedded(None), self._noised, ball, noise, NoiseSecret())
        if kept:
            write_atomically(kept, drawn.to_bytes())
        return drawn

    @property
    def _noised(self) -> Tensor:
        return torch.tensor(self.plan.counts)

    def _embedded(self, deltas: dict[str, Tensor] | None) -> Embedded:
        units = self._units.spread_out()
        images, split = torch.cat(units), self._task.train
        parts = [images[part] for part in batches(len(images), _BATCH)]
        rows = [self._base.embed_all(self._base.normalise(split.images[part]), deltas).cpu() for part in parts]
        return Embedded(torch.cat(rows), split.labels[images], units)

    def _counts(self) -> tuple[int, ...]:
        """Count units, each by the shares of its images in the classes, with Laplace's noise for the counts' ε.

        A unit's shares add up to 1, so that is what all counts together can change by. Every class counts one unit at
        least: that a task has images of each is known.
        """
        units = self._units.spread_out()
        if self._task.multi_label:
            exact = torch.tensor([float(len(units))], dtype=torch.float64)
        else:
            labels = self._task.train.labels[torch.cat(units)]
            exact = class_shares(labels, len(self._task.prompts), units).sum(dim=0)
        noise = NoiseSecret().laplace(exact.shape, "counts") / counts_epsilon(self._settings)
        return tuple((exact + noise).round().clamp_min(1).long().tolist())
