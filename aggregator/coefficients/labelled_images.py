"""Labelled images of a task: what coefficients are searched on."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Hold images [n, 3, S, S] (any float, in the base's normalised space), labels [n] (int64) and class prompts."""

    task: str
    images: Tensor
    labels: Tensor
    prompts: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)
