"""The t-SNE plane of one task, read from the points of a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medforge.simulation.benchmark.results.result import PlanePoint
from medforge.simulation.charts import Cloud


@dataclass(frozen=True)
class Plane:
    """Hold the points of one task, a cloud a class."""

    task: str
    clouds: tuple[Cloud, ...]

    def kinship(self) -> dict[str, float | None]:
        """Say for each class which share of its distilled images has a real image of that class as its nearest.

        Nearest in the plane among the real images of the whole task; None for a class without distilled images, and
        for every class where there is no real image.
        """
        real = np.concatenate([cloud.real for cloud in self.clouds])
        owner = np.repeat(np.arange(len(self.clouds)), [len(cloud.real) for cloud in self.clouds])
        shares: dict[str, float | None] = {}
        for place, cloud in enumerate(self.clouds):
            if len(real) and len(cloud.distilled):
                nearest = np.linalg.norm(cloud.distilled[:, None] - real[None], axis=2).argmin(axis=1)
                shares[cloud.label] = float((owner[nearest] == place).mean())
            else:
                shares[cloud.label] = None
        return shares

    @property
    def share(self) -> float | None:
        """The share over all distilled images of the task, None where it has none."""
        known = [
            (len(c.distilled), s) for c, s in zip(self.clouds, self.kinship().values(), strict=True) if s is not None
        ]
        return sum(n * s for n, s in known) / sum(n for n, _ in known) if known else None


def planes(points: Sequence[PlanePoint]) -> tuple[Plane, ...]:
    """Sort points into planes and clouds, both in the order in which they first occur."""
    tasks: dict[str, dict[str, list[PlanePoint]]] = {}
    for point in points:
        tasks.setdefault(point.task, {}).setdefault(point.prompt, []).append(point)
    return tuple(
        Plane(task, tuple(Cloud(prompt, places(here, False), places(here, True)) for prompt, here in classes.items()))
        for task, classes in tasks.items()
    )


def places(points: Sequence[PlanePoint], distilled: bool) -> NDArray[np.float64]:
    """Return the positions [n, 2] of the real or of the distilled images."""
    return np.array([(p.x, p.y) for p in points if p.distilled is distilled], dtype=np.float64).reshape(-1, 2)
