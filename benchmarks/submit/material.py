"""Branches of a size, each of random bytes of its own, as a site sends them: with class statistics or without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from medforge.base_module import BaseModule
from medforge.class_statistics import ClassStatistics
from medforge.manifest import MANIFEST_FILE
from medforge.site_facts import SiteFacts
from tests.making import branch_around, make_plugin

CLASSES = 2
_RANK = 4
_ROWS = 10


def write_branches(
    base: BaseModule, place: Path, count: int, size: int, statistics: bool, first: int = 0
) -> Iterator[Path]:
    """Write branches of about `size` bytes, each of a contributor and a task of its own, and yield their folders."""
    ipc = images_a_class(base, size)
    for number in range(first, first + count):
        plugin = make_plugin(base, number, rank=_RANK, alpha=4.0, size=0.05)
        branch = branch_around(base, plugin, number, f"task {number}", f"centre {number}", ipc)
        if statistics:
            rows = 0.1 * torch.randn(_ROWS, base.embed_dim, generator=torch.Generator().manual_seed(number))
            summed = ClassStatistics.of(rows, torch.arange(_ROWS) % CLASSES, CLASSES)
            counts = (_ROWS // CLASSES,) * CLASSES
            branch = branch.with_facts(SiteFacts(class_counts=counts, statistics=summed), base)
        folder = place / f"branch {number}"
        branch.save(folder)
        yield folder


def images_a_class(base: BaseModule, size: int) -> int:
    """Return how many distilled images a class fill about `size` bytes."""
    return max(1, size // (CLASSES * 3 * base.image_size**2 * 2))


def size_of(folder: Path) -> int:
    """Return the bytes of a branch's files, without its manifest."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST_FILE)
