"""A merged model that is ready to answer: its card, its forge item, and the base module that it stands on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medforge.base_module import BaseModule
from medforge.item import ForgeItem
from medforge.model.checks import check_threshold, check_top
from medforge.model.images import Image, pixels_of
from medforge.model_card import CardTask, ModelCard
from medforge.predicting import predict
from medforge.prediction import Prediction
from medforge.task_spread import FURTHEST

BATCH = 64
"""Images that are in memory together while many are asked about."""


@dataclass(frozen=True, eq=False)
class MergedModel:
    """Hold a merged model; open one with `medforge.load`."""

    card: ModelCard
    item: ForgeItem
    base: BaseModule

    @property
    def tasks(self) -> tuple[CardTask, ...]:
        """The tasks that it answers, each with its classes."""
        return self.card.tasks

    @property
    def size(self) -> int:
        """The side of the images that the base module takes, in pixels."""
        return self.base.image_size

    def who(self, branch: str) -> str:
        """Return who sent a branch, as people write the name, else the branch's first letters."""
        return self.card.who(branch)

    def about(self) -> dict[str, str | None]:
        """Return the digests of its forge item and commit, where they are known, and which base module it is."""
        commit = self.card.commit.digest if self.card.commit else None
        return {"item": self.card.item, "commit": commit, "base": self.card.base.spec}

    def predict(
        self,
        images: Image | Iterable[Image],
        *,
        top: int = 1,
        task: str | None = None,
        threshold: float = FURTHEST,
    ) -> list[Prediction]:
        """Say of each image which class it is likeliest to be, and of which task.

        An image is a path, a PIL image, or an array or tensor of uint8 [H, W], [H, W, 3] or [3, H, W]; several come in
        a list, an iterator, or a batch [n, H, W, 3] or [n, 3, H, W]. ``top`` is how many classes each answer ranks,
        ``task`` asks one task alone, and an image further off than ``threshold`` of the sites' validation images is
        none of these (at most .99; 1: never).

        Raises InvalidInput for what is no image and for a task that the model does not have, CorruptFile for a file
        that cannot be read.
        """
        return list(self.stream(pixels_of(images, self.base.image_size), top=top, task=task, threshold=threshold))

    def stream(
        self,
        pixels: Iterable[NDArray[np.uint8]],
        *,
        top: int = 1,
        task: str | None = None,
        threshold: float = FURTHEST,
    ) -> Iterator[Prediction]:
        """Answer images as they come, in bounded memory; each is uint8 [3, S, S], as the base module takes it."""
        check_threshold(threshold)
        check_top(top)
        batch: list[NDArray[np.uint8]] = []
        for one in pixels:
            batch.append(one)
            if len(batch) == BATCH:
                yield from self._answer(batch, top, task, threshold)
                batch = []
        if batch:
            yield from self._answer(batch, top, task, threshold)

    def _answer(self, batch: list[NDArray[np.uint8]], top: int, task: str | None, threshold: float) -> list[Prediction]:
        images: Tensor = self.base.normalise(torch.from_numpy(np.stack(batch)))
        members = [one.branch for one in self.card.members]
        return predict(self.item, self.base, images, self.tasks, members, top=top, only=task, furthest=threshold)
