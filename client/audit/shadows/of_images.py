"""Shadows of distilled images: learned as the centre's were, each from half of its images, beside a shadow's plugin."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from medforge.client.audit.distances import directions, nearest
from medforge.client.audit.shadows.budget import GoOn
from medforge.client.audit.shadows.training import ShadowTraining
from medforge.client.distill.run import Distillation
from medforge.distilled import DistilledDataset
from medforge.errors import CorruptFile
from medforge.files import canonical_json, sha256_bytes
from medforge.layouts import layouts, turned_rows
from medforge.plugin import Plugin
from medforge.progress import Progress


class ShadowImages:
    """Distil the halves of a shadow training's images; what is kept beside its plugins is not distilled again."""

    def __init__(self, training: ShadowTraining) -> None:
        self._training, self._recipe = training, training.recipe.distill

    def kept(self, number: int) -> DistilledDataset | None:
        """Read a shadow's images; None where they are not kept, or cannot be read."""
        file = self._file(number)
        try:
            return DistilledDataset.load(file) if file is not None and file.exists() else None
        except CorruptFile:  # they can be had again
            return None

    def distil(self, number: int, plugin: Plugin, bar: Progress, go_on: GoOn) -> DistilledDataset | None:
        """Learn a shadow's images and keep them; return None where it may not go on."""
        training, recipe = self._training, self._recipe
        task, chance, private = training.divided(number), training.chance(number), training.private(number)
        run = Distillation(training.base, task, recipe, chance, plugin, private)
        while run.done < recipe.steps:
            run.advance()
            # of a single candidate nothing is chosen
            if recipe.candidates > 1 and run.at_candidate():
                run.score()
            if not go_on(run.done / recipe.steps):
                return None
        found = run.dataset() if recipe.candidates == 1 else run.result().dataset
        if (file := self._file(number)) is not None:
            found.save(file)
        bar.advance()
        return found

    def nearness(self, distilled: DistilledDataset) -> Tensor:
        """Return how near distilled images come to each image, by layout and by features, float64 [n, 2]."""
        base, seen = self._training.base, self._training.gallery
        learned = turned_rows(layouts(distilled.pixels(base.mean, base.std))).flatten(0, 1)
        features = directions(base.embed_all(distilled.images).cpu(), self._centre)
        by_layout = nearest(seen.layouts, learned).distance
        by_features = nearest(directions(seen.embeddings, self._centre), features).distance
        return -torch.stack([by_layout, by_features], dim=1).double()

    @cached_property
    def _centre(self) -> Tensor:
        # of all images, so that it is the same for every half
        return self._training.gallery.embeddings.mean(dim=0)

    def _file(self, number: int) -> Path | None:
        at = self._training.at(number)
        recipe = sha256_bytes(canonical_json(self._recipe.model_dump(mode="json")))[:16]
        return at and at / f"distilled-{recipe}.safetensors"
