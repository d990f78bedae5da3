"""`tissue:ORGAN`: demo tasks whose images are drawn on the spot; no patient, no file, no licence."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

from medforge.client.data.painter import SIDE, paint, resized
from medforge.client.data.painter_stain import draw_stain
from medforge.client.data.pixels import PixelBank, PixelStore
from medforge.client.data.request import Request, whole_number
from medforge.client.data.task import Task, make_split
from medforge.client.data.tissue_organs import ORGANS, draw_class
from medforge.errors import InvalidInput
from medforge.seeds import generator

SIZES: dict[str, int] = {"train": 360, "validation": 120, "test": 240}
DOUBT = 0.15
STRIP = 8  # images painted at once


def open_tissue(request: Request) -> Task:
    """Open the drawn task of an organ: `tissue:breast`, `tissue:lung` or `tissue:colon`.

    Options `train`, `validation` and `test` set the number of images of a split. Classes take turns, so every split
    is balanced. Raises InvalidInput for an unknown organ or too few images.
    """
    if request.place not in ORGANS:
        raise InvalidInput(f"tissue: there is no organ '{request.place}'; choose one of {', '.join(ORGANS)}")
    organ = ORGANS[request.place]
    classes = len(organ.classes)
    sizes = [
        whole_number(request.name, part, request.options.get(part, str(size)), classes) for part, size in SIZES.items()
    ]
    drawn = DrawnTissue(request.place, request.image_size, request.seed, sum(sizes))
    store = PixelStore(PixelBank(drawn, request.image_size, request.storage))
    labels = drawn.labels.numpy()
    ends = np.cumsum(sizes)
    train, validation, test = (
        make_split(store, labels, None, np.arange(end - size, end)) for end, size in zip(ends, sizes, strict=True)
    )
    return Task(
        name=f"tissue-{request.place}",
        prompts=tuple(one.prompt for one in organ.classes),
        train=train,
        validation=validation,
        test=test,
        split="procedural",
        flip=True,
    )


class DrawnTissue:
    """An image source that paints its images when they are first asked for, in strips of STRIP.

    An image depends on the organ, the seed and its position only; at sizes other than multiples of 64 pixels it is
    painted larger and shrunk.
    """

    def __init__(self, organ: str, image_size: int, seed: int, count: int) -> None:
        self.organ = organ
        self.image_size = image_size
        self.seed = seed
        self.labels = torch.arange(count) % len(ORGANS[organ].classes)
        self.names = tuple(f"{organ}/{position:05d}" for position in range(count))

    def key(self) -> str:
        """Return what the pixels depend on."""
        return f"tissue 2 {self.organ} {self.seed} {len(self.names)}"

    def fill(
        self, wanted: NDArray[np.int64], room: NDArray[np.uint8], workers: ThreadPoolExecutor
    ) -> NDArray[np.int64]:
        """Paint every strip that holds a wanted image."""
        strips = np.unique(wanted // STRIP)

        def paint_strip(strip: int) -> NDArray[np.int64]:
            positions = np.arange(strip * STRIP, min((strip + 1) * STRIP, len(self.names)))
            room[positions] = self._paint(strip, torch.from_numpy(positions))
            return positions

        return np.concatenate(list(workers.map(paint_strip, strips.tolist())))

    def _paint(self, strip: int, positions: torch.Tensor) -> NDArray[np.uint8]:
        organ = ORGANS[self.organ]
        draw = generator(self.seed, "tissue", self.organ, strip)
        scenes = draw_class(organ, self.labels[positions], DOUBT, draw)
        stain = draw_stain(len(positions), draw, organ.spread, organ.haematoxylin, organ.eosin)
        zoom = max(1, math.ceil(self.image_size / SIDE))
        pixels: NDArray[np.uint8] = resized(paint(scenes, stain, draw, zoom), self.image_size).numpy()
        return pixels
