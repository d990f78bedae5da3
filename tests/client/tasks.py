"""Small tasks that a plugin can really learn: dark against bright noise."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from medforge.client.data.pixels.store import PixelStore
from medforge.client.data.task import Split, Task
from medforge.client.recipe import DistillRecipe, Recipe, TrainRecipe
from medforge.plugin import PluginSettings

PROMPTS = ("dark tissue", "bright tissue")

TRAIN = TrainRecipe(
    plugin=PluginSettings(rank=4, alpha=8, dropout=0.1), epochs=4, batch=8, optimiser="adamw", lr=0.01, augment="flip"
)
DISTILL = DistillRecipe(
    ipc=3, steps=30, real_batch=8, pixel_lr=20, checkpoint_every=5, candidates=2, score=TRAIN, score_steps=10
)
RECIPE = Recipe(name="test", train=TRAIN, distill=DISTILL)


def make_pixels(labels: Tensor, size: int, seed: int) -> Tensor:
    """Draw uint8 images: class 0 around grey 90, class 1 around grey 165."""
    noise = torch.randn(len(labels), 3, size, size, generator=torch.Generator().manual_seed(seed))
    centre = torch.where(labels == 0, 90.0, 165.0).view(-1, 1, 1, 1)
    return (centre + 40 * noise).clamp(0, 255).to(torch.uint8)


def make_split(count: int, seed: int, size: int = 32) -> Split:
    labels = torch.arange(count) % 2
    return Split(PixelStore.of_tensor(make_pixels(labels, size, seed)), labels)


class Forbidden(PixelStore):
    """A store whose images must not be looked at."""

    def __getitem__(self, indices: object) -> Tensor:
        raise AssertionError("the test split was looked at")


def make_task(train: int = 24, flip: bool = True, size: int = 32) -> Task:
    """Make a task whose test split fails when it is read."""
    unseen = make_split(4, 3, size)
    test = Split(Forbidden(unseen.images.bank), unseen.labels)
    return Task("shades", PROMPTS, make_split(train, 1, size), make_split(12, 2, size), test, "procedural", flip=flip)


def write_folder(root: Path, train: int = 24, test: int = 8) -> Path:
    """Write the same kind of task as an image folder and return its path."""
    for split, count, seed in (("train", train, 1), ("test", test, 2)):
        labels = torch.arange(count) % 2
        for index, pixels in enumerate(make_pixels(labels, 32, seed)):
            path = root / split / PROMPTS[int(labels[index])].replace(" ", "_") / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.moveaxis(pixels.numpy(), 0, -1)).save(path)
    return root


FINDINGS = ("red tissue", "blue tissue")


def make_findings_split(count: int, seed: int, size: int = 32) -> Split:
    """Draw images that are red, blue, both or neither."""
    labels = torch.stack([torch.arange(count) % 2, torch.arange(count) // 2 % 2], dim=1)
    noise = torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(seed))
    light = 100 + 40 * noise
    light[:, [0, 2]] += 70 * labels[:, :, None, None]
    return Split(PixelStore.of_tensor(light.clamp(0, 255).to(torch.uint8)), labels)


def make_findings_task(train: int = 32) -> Task:
    """Make a multi-label task of two findings; its test split can be read."""
    parts = [make_findings_split(count, seed) for count, seed in ((train, 1), (12, 2), (16, 3))]
    return Task("tints", FINDINGS, *parts, split="procedural", negatives=tuple(f"no {one}" for one in FINDINGS))
