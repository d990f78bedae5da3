"""What answers images, whichever engine runs it: a merged model in PyTorch, or its ONNX graph."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from medforge.client.data.pixels.reading import Reading
from medforge.client.data.pixels.window import parse_window
from medforge.errors import InvalidInput
from medforge.image_geometry import ImageGeometry
from medforge.model.checks import check_threshold, check_top
from medforge.model.images import Image, pixels_of
from medforge.prediction import Prediction
from medforge.ranking import NamedClasses, no_such_task
from medforge.task_spread import FURTHEST

BATCH = 64
"""Images that are in memory together while many are asked about."""


class Answering(ABC):
    """Answer images, any number of them in bounded memory."""

    @property
    @abstractmethod
    def tasks(self) -> Sequence[NamedClasses]:
        """The tasks that it answers, each with its classes."""

    @property
    @abstractmethod
    def geometry(self) -> ImageGeometry:
        """How an image becomes the square that it takes."""

    @abstractmethod
    def who(self, branch: str) -> str:
        """Return who sent a branch, as people write the name, else the branch's first letters."""

    @abstractmethod
    def about(self) -> dict[str, str | None]:
        """Return the digests of its forge item and commit, where they are known, and which base module it is."""

    @abstractmethod
    def _answer(self, pixels: NDArray[np.uint8], top: int, task: str | None, threshold: float) -> Iterable[Prediction]:
        """Answer one batch of images, uint8 [n, 3, S, S]."""

    def predict(
        self,
        images: Image | Iterable[Image],
        *,
        top: int = 1,
        task: str | None = None,
        threshold: float = FURTHEST,
        window: str | None = None,
    ) -> list[Prediction]:
        """Say of each image which class it is likeliest to be, and of which task.

        An image is a path, a PIL image, or an array or tensor of uint8 [H, W], [H, W, 3] or [3, H, W]; several come in
        a list, an iterator, or a batch [n, H, W, 3] or [n, 3, H, W]. What has more than 8 bits, or other numbers, needs
        a ``window``: "CENTRE,WIDTH", "full" or "auto". ``top`` is how many classes each answer ranks, ``task`` asks one
        task alone, and an image further off than ``threshold`` of the sites' validation images is none of these (at
        most .99; 1: never).

        Raises InvalidInput for what is no image and for a task that the model does not have, CorruptFile for a file
        that cannot be read.
        """
        reading = Reading(None if window is None else parse_window(window))
        return list(self.stream(pixels_of(images, self.geometry, reading), top=top, task=task, threshold=threshold))

    def stream(
        self,
        pixels: Iterable[NDArray[np.uint8]],
        *,
        top: int = 1,
        task: str | None = None,
        threshold: float = FURTHEST,
    ) -> Iterator[Prediction]:
        """Answer images as they come, each uint8 [3, S, S]; raises InvalidInput as `predict` does."""
        check_threshold(threshold)
        check_top(top)
        names = [one.name for one in self.tasks]
        if task is not None and names and task not in names:
            raise InvalidInput(no_such_task(task, names))
        left = iter(pixels)
        while batch := list(islice(left, BATCH)):
            yield from self._answer(np.stack(batch), top, task, threshold)
