"""Shadow plugins: trained as the centre's own was, each on a random half of its images, and kept for the next audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from medforge.base import BaseModule, batches
from medforge.client.audit.gallery import Gallery
from medforge.client.audit.shadows.budget import GoOn
from medforge.client.audit.shadows.halves import inside
from medforge.client.audit.shadows.likelihood_ratio import logit_scaled
from medforge.client.data.pixels.store import PixelStore
from medforge.client.data.task import Split, Task
from medforge.client.privacy.centre import PrivateCentre
from medforge.client.recipe import Recipe
from medforge.client.train import Training
from medforge.errors import CorruptFile
from medforge.files import canonical_json, sha256_bytes, write_atomically
from medforge.plugin import Plugin
from medforge.progress import Progress
from medforge.seeds import derive, generator
from medforge.tensors import dump_tensors, parse_tensors

_BATCH = 64
_PLUGIN = "plugin"
_SHOWN = "confidences.safetensors"


class Shadow(NamedTuple):
    """Hold a shadow's plugin, and the scaled confidences [n, q] that it has in all images."""

    plugin: Plugin
    confidences: Tensor


@dataclass(frozen=True, eq=False)
class ShadowTraining:
    """Train shadow 0, 1, … of a task; what is kept in `directory` is not trained again.

    `gallery` is of the same images. `start` is what the centre's own plugin began from, if not from a fresh one. Where
    the recipe asks for differential privacy each shadow has noise of its own.
    """

    base: BaseModule
    task: Task
    gallery: Gallery
    recipe: Recipe
    seed: int
    directory: Path | None = None
    start: Plugin | None = None

    @cached_property
    def images(self) -> PixelStore:
        """Return training, then validation images: the order of the gallery."""
        return self.task.train.images.joined(self.task.validation.images)

    @cached_property
    def place(self) -> Path | None:
        """Return where shadows of these images by this recipe are kept."""
        return None if self.directory is None else self.directory / self._identity[:16]

    def inside(self, number: int) -> Tensor:
        """Return which images a shadow is trained on, bool [n]."""
        return inside(self.gallery.labels, self.gallery.groups, number, self.seed)

    def halves(self, numbers: Sequence[int]) -> Tensor:
        """Return which images each of several shadows is trained on, bool [k, n]."""
        rows = [self.inside(number) for number in numbers]
        return torch.stack(rows) if rows else torch.zeros(0, len(self.gallery), dtype=torch.bool)

    def positions(self, number: int) -> tuple[Tensor, Tensor]:
        """Return where a shadow's training and validation images stand among all.

        It is trained on half of them. Of the others it has as many as the centre has to choose the best epoch by; so
        that is chosen, as in the centre's own training, on images that are not trained on.
        """
        half = self.inside(number)
        return torch.nonzero(half).flatten(), self._to_choose_by(~half, number)

    def divided(self, number: int) -> Task:
        """Return the shadow's task."""
        own, others = (self._split(positions) for positions in self.positions(number))
        return replace(self.task, train=own, validation=others, there=("train", "validation"))

    def private(self, number: int) -> PrivateCentre | None:
        """Return what noises all that is made of a shadow's half; None without differential privacy."""
        if self.recipe.privacy is None:
            return None
        at = self.at(number)
        return PrivateCentre(self.base, self.divided(number), self.recipe, at and at / "privacy")

    def chance(self, number: int) -> int:
        """Return a shadow's own seed."""
        return derive(self.seed, "audit", "shadow", number)

    def steps(self, number: int) -> int:
        """Count the steps of a shadow's training."""
        a_round = -(-int(self.inside(number).sum()) // self.recipe.train.batch)
        return a_round * self.recipe.train.epochs_for(a_round)

    def at(self, number: int) -> Path | None:
        """Return the directory in which a shadow is kept."""
        return self.place and self.place / f"{number:04}"

    def kept(self, number: int) -> Shadow | None:
        """Read a shadow; None where it is not kept, or cannot be read."""
        at = self.at(number)
        if at is None or not (at / _SHOWN).exists():
            return None
        try:
            tensors, _ = parse_tensors((at / _SHOWN).read_bytes(), str(at))
            return Shadow(Plugin.load(at / _PLUGIN), tensors["confidences"])
        except (CorruptFile, KeyError):  # it can be had again
            return None

    def train(self, number: int, bar: Progress, go_on: GoOn) -> Shadow | None:
        """Train a shadow and keep it; `bar` counts the steps. Return None where it may not go on."""
        task, chance, private = self.divided(number), self.chance(number), self.private(number)
        training = Training(self.base, task, self.recipe.train, chance, self.start, private)
        while len(training.history) < training.epochs:
            training.run_epoch(bar)
            if not go_on(len(training.history) / training.epochs):
                return None
        plugin = training.result().plugin
        shadow = Shadow(plugin, self.confidences(plugin))
        if (at := self.at(number)) is not None:
            plugin.save(at / _PLUGIN)
            write_atomically(at / _SHOWN, dump_tensors({"confidences": shadow.confidences}))
        return shadow

    def confidences(self, plugin: Plugin) -> Tensor:
        """Return how sure a plugin is of every image's class, scaled, float64 [n, q].

        One query is the image; another its mirror image, where training showed that too.
        """
        deltas, mirrored = plugin.deltas(self.base), self.task.flip and self.recipe.train.augment != "none"
        rows = []
        for part in batches(len(self.gallery), _BATCH):
            images, labels = self.base.normalise(self.images[part]), self.gallery.labels[part]
            queries = (images, images.flip(-1)) if mirrored else (images,)
            rows.append(torch.stack([self._confident(query, labels, deltas) for query in queries], dim=1))
        return torch.cat(rows)

    def _confident(self, images: Tensor, labels: Tensor, deltas: Mapping[str, Tensor]) -> Tensor:
        logits = self.base.logits(self.base.embed_all(images, deltas), self.task.prompts)
        return logit_scaled(logits.cpu(), labels)

    def _split(self, positions: Tensor) -> Split:
        groups = self.gallery.groups[positions].tolist()
        known = self.task.train.groups is not None
        return Split(
            self.images.select(np.asarray(positions)),
            self.gallery.labels[positions],
            tuple(map(str, groups)) if known else None,
        )

    def _to_choose_by(self, others: Tensor, number: int) -> Tensor:
        """Draw as large a share of each class as makes a validation split of the centre's size; one image at least."""
        chance = generator(self.seed, "audit", "validation", number)
        share = min(1.0, self.gallery.others / int(others.sum()))
        found = []
        for label in self.gallery.labels.unique():
            own = torch.nonzero(others & (self.gallery.labels == label)).flatten()
            found.append(own[torch.randperm(len(own), generator=chance)[: max(1, round(share * len(own)))]])
        return torch.cat(found).sort().values

    @cached_property
    def _identity(self) -> str:
        seen = self.gallery
        return sha256_bytes(
            canonical_json(
                {
                    "recipe": self.recipe.train.model_dump(mode="json"),
                    "privacy": self.recipe.privacy and self.recipe.privacy.model_dump(mode="json"),
                    "seed": self.seed,
                    "base": self.base.fingerprint,
                    "dtype": str(self.base.dtype),
                    "prompts": list(self.task.prompts),
                    "flip": self.task.flip,
                    "members": seen.members,
                    "labels": seen.labels.tolist(),
                    "groups": seen.groups.tolist(),
                    "images": sha256_bytes(seen.layouts.numpy().tobytes()),
                    "start": self.start and self.start.digest,
                }
            )
        )
