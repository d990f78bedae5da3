"""What the report shows of the images: samples and base embeddings, real beside distilled."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.manifold import TSNE

from medforge.base import BaseModule, batches
from medforge.client.data.task import Task
from medforge.distilled import DistilledDataset
from medforge.seeds import derive
from medforge.simulation.charts import Cloud
from medforge.simulation.curves import Course
from medforge.simulation.mistakes import Mistake

REAL_A_CLASS = 80
SHOWN_A_CLASS = 8
BATCH = 64


@dataclass(frozen=True)
class ClassMaterial:
    """Hold one class: its prompt, a few real and distilled images (uint8 [k, 3, S, S]) and its place in the plane."""

    prompt: str
    real: NDArray[np.uint8]
    distilled: NDArray[np.uint8]
    cloud: Cloud


@dataclass(frozen=True)
class TaskMaterial:
    """Hold what the report shows of one centre's images."""

    name: str
    classes: tuple[ClassMaterial, ...]
    forming: tuple[tuple[int, bytes], ...] = ()
    """Pictures (PNG, a row a class) of the distilled images, each after so many steps."""


@dataclass(frozen=True)
class ReportMaterial:
    """Hold what the report shows beside the result: images of the centres that arrived, their courses, and mistakes."""

    centres: tuple[TaskMaterial, ...] = ()
    courses: tuple[Course, ...] = ()
    mistakes: Mapping[str, tuple[Mistake, ...]] = field(default_factory=dict)
    """By task."""


def evenly(indices: torch.Tensor, count: int) -> torch.Tensor:
    """Pick at most `count` of the indices, evenly spaced."""
    if len(indices) <= count:
        return indices
    return indices[torch.linspace(0, len(indices) - 1, count).round().long()]


def embed(base: BaseModule, images: torch.Tensor) -> torch.Tensor:
    """Embed base-space images [n, 3, S, S] with the base alone; unit-norm float32 [n, d] on the CPU."""
    return torch.nn.functional.normalize(base.embed_all(images).cpu(), dim=1)


def plane(real: torch.Tensor, distilled: torch.Tensor, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Lay real and distilled embeddings [n, d], [m, d] out together by t-SNE (van der Maaten and Hinton 2008)."""
    both = torch.cat([real, distilled]).numpy()
    # scikit-learn wants the perplexity below the number of points.
    perplexity = float(min(30, max(2, (len(both) - 1) // 3)))
    places = TSNE(
        perplexity=perplexity, init="pca", random_state=derive(seed, "simulation", "t-SNE") % 2**32
    ).fit_transform(both)
    return places[: len(real)], places[len(real) :]


def gather(base: BaseModule, name: str, task: Task, distilled: DistilledDataset, seed: int) -> TaskMaterial:
    """Collect samples and the t-SNE plane of one task: test images beside the distilled ones, class by class."""
    work = lay_out(base, name, task, distilled, seed)
    while True:
        try:
            next(work)
        except StopIteration as end:
            found: TaskMaterial = end.value
            return found


def lay_out(
    base: BaseModule, name: str, task: Task, distilled: DistilledDataset, seed: int
) -> Generator[None, None, TaskMaterial]:
    """Do what `gather` does in small steps."""
    labels = task.test.labels
    chosen = [evenly((labels == c).nonzero().flatten(), REAL_A_CLASS) for c in range(len(task.prompts))]
    pixels = task.test.images[torch.cat(chosen)]
    rows_of_parts = []
    for part in batches(len(pixels), BATCH):
        rows_of_parts.append(embed(base, base.normalise(pixels[part])))
        yield
    real_rows = torch.cat(rows_of_parts)
    real_plane, distilled_plane = plane(real_rows, embed(base, distilled.images.float()), seed)
    shown = distilled.pixels(base.mean, base.std)
    classes: list[ClassMaterial] = []
    start = 0
    for c, prompt in enumerate(task.prompts):
        rows = torch.arange(start, start + len(chosen[c]))
        start += len(chosen[c])
        ours = (distilled.labels == c).nonzero().flatten()
        classes.append(
            ClassMaterial(
                prompt=prompt,
                real=as_array(pixels, evenly(rows, SHOWN_A_CLASS)),
                distilled=as_array(shown, evenly(ours, SHOWN_A_CLASS)),
                cloud=Cloud(prompt, real_plane[rows.numpy()], distilled_plane[ours.numpy()]),
            )
        )
    return TaskMaterial(name=name, classes=tuple(classes))


def as_array(pixels: torch.Tensor, rows: torch.Tensor | Sequence[int]) -> NDArray[np.uint8]:
    """Take rows of a uint8 image tensor as a NumPy array."""
    array: NDArray[np.uint8] = pixels[rows].cpu().numpy()
    return array
