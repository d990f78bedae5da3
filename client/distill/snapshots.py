"""How distilled images form: a few of each class, now and then, as pictures that stay with the centre."""

from __future__ import annotations

from pathlib import Path

import torch

from medforge.base_module import BaseModule
from medforge.distilled import DistilledDataset
from medforge.files import write_atomically
from medforge.look.pictures import grid

DIRECTORY = "steps"
MOMENTS = 6
SHOWN_A_CLASS = 4


def snapshot_steps(steps: int) -> frozenset[int]:
    """Return the steps after which a picture is kept: the start, the end, and some between, evenly spaced."""
    return frozenset(round(place * steps / (MOMENTS - 1)) for place in range(MOMENTS))


def save_snapshot(directory: Path, step: int, dataset: DistilledDataset, base: BaseModule) -> None:
    """Write the first images of each class as `steps/STEP.png`, a row a class in the order of the prompts."""
    places = [(dataset.labels == label).nonzero().flatten()[:SHOWN_A_CLASS] for label in range(len(dataset.prompts))]
    pixels = dataset.pixels(base.mean, base.std)[torch.cat(places)].cpu().numpy()
    write_atomically(directory / DIRECTORY / f"{step:06d}.png", grid(pixels, len(places[0])))


def snapshots(directory: Path) -> tuple[tuple[int, bytes], ...]:
    """Return the pictures that were kept, each with its step, in their order."""
    return tuple((int(path.stem), path.read_bytes()) for path in sorted((directory / DIRECTORY).glob("*.png")))
