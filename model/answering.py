"""What answers images, whichever engine runs it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from medforge.prediction import Prediction


class Answering(Protocol):
    """Answer images; a merged model in PyTorch, or its ONNX graph."""

    @property
    def size(self) -> int:
        """The side of the images that it takes, in pixels."""

    def who(self, branch: str) -> str:
        """Return who sent a branch, as people write the name, else the branch's first letters."""

    def about(self) -> dict[str, str | None]:
        """Return the digests of its forge item and commit, where they are known, and which base module it is."""

    def stream(
        self,
        pixels: Iterable[NDArray[np.uint8]],
        *,
        top: int = 1,
        task: str | None = None,
        threshold: float = ...,
    ) -> Iterator[Prediction]:
        """Answer images as they come, each uint8 [3, S, S]."""
