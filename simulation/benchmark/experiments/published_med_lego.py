"""The numbers of the Med-LEGO paper (2025), for standing beside ours: one merge of seven MedMNIST sets, accuracy."""

from __future__ import annotations

from pathlib import PurePath

from medforge.client.data.published.medmnist_prompts import published_set
from medforge.simulation.benchmark.results.rows import PaperScore

_SETS = ("bloodmnist", "breastmnist", "dermamnist", "organamnist", "pathmnist", "pneumoniamnist", "retinamnist")
_ACCURACY = {
    "med-lego": (0.814, 0.872, 0.739, 0.567, 0.606, 0.849, 0.593),
    "single-task": (0.988, 0.885, 0.859, 0.968, 0.953, 0.874, 0.620),
    "factor-average": (0.315, 0.782, 0.602, 0.353, 0.218, 0.633, 0.510),
    "ties": (0.215, 0.731, 0.129, 0.737, 0.669, 0.782, 0.147),
    "pem": (0.385, 0.814, 0.685, 0.327, 0.296, 0.785, 0.530),
    "magmax": (0.137, 0.731, 0.052, 0.117, 0.101, 0.764, 0.420),
    "task-arithmetic": (0.078, 0.718, 0.201, 0.967, 0.342, 0.402, 0.405),
}


def data_set(source: str) -> str | None:
    """Name the set among the paper's that a source (`medmnist:FILE[,option=value]*`) is; None for any other."""
    kind, _, rest = source.partition(":")
    name = published_set(PurePath(rest.partition(",")[0]).name.removesuffix(".npz"))
    return name if kind == "medmnist" and name in _SETS else None


def cross_domain(key: str) -> dict[str, PaperScore]:
    """Return a method's accuracy on each of the seven sets; empty for a method that the paper has not."""
    return {name: PaperScore(acc=value) for name, value in zip(_SETS, _ACCURACY.get(key, ()), strict=False)}
