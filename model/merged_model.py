"""A merged model that is ready to answer: its card, its forge item, and the base module that it stands on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from medforge.base_module import BaseModule
from medforge.encoder import Encoder, Tower
from medforge.image_geometry import ImageGeometry
from medforge.item import ForgeItem
from medforge.memory import memory_to_keep
from medforge.model.answering import Answering
from medforge.model_card import CardTask, ModelCard
from medforge.predicting import predict
from medforge.prediction import Prediction


@dataclass(frozen=True, eq=False)
class MergedModel(Answering):
    """Hold a merged model; open one with `medforge.load`.

    ``memory`` is how many megabytes the merged weights of experts may take, a quarter of what is free by default;
    ``tower`` runs the image tower, PyTorch by default.
    """

    card: ModelCard
    item: ForgeItem
    base: BaseModule
    memory: int | None = None
    tower: Tower | None = None

    @cached_property
    def encoder(self) -> Encoder:
        """What embeds images, and keeps the experts that were asked last."""
        return Encoder(self.base, memory_to_keep(self.base.device, self.memory), self.tower)

    @property
    def tasks(self) -> tuple[CardTask, ...]:
        """The tasks that it answers, each with its classes."""
        return self.card.tasks

    @property
    def geometry(self) -> ImageGeometry:
        """How an image becomes the square that the base module takes."""
        return self.base.preprocessing

    def who(self, branch: str) -> str:
        """Return who sent a branch, as people write the name, else the branch's first letters."""
        return self.card.who(branch)

    def about(self) -> dict[str, str | None]:
        """Return the digests of its forge item and commit, where they are known, and which base module it is."""
        commit = self.card.commit.digest if self.card.commit else None
        return {"item": self.card.item, "commit": commit, "base": self.card.base.spec}

    def _answer(self, pixels: NDArray[np.uint8], top: int, task: str | None, threshold: float) -> list[Prediction]:
        images = self.base.normalise(torch.from_numpy(pixels))
        members = [one.branch for one in self.card.members]
        return predict(
            self.item,
            self.base,
            images,
            self.tasks,
            members,
            top=top,
            only=task,
            furthest=threshold,
            encoder=self.encoder,
        )
