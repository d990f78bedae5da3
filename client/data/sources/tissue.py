"""`tissue:ORGAN`: demo tasks whose images are drawn on the spot; no patient, no file, no licence."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from medforge.client.data.assemble import LabelledFiles, make_task
from medforge.client.data.drawn.dataset import OPTIONS, DrawnImages, consecutive, drawing, read_sizes
from medforge.client.data.drawn.organs import ORGANS, draw_class
from medforge.client.data.drawn.painter import SIDE, paint, resized
from medforge.client.data.drawn.painter_stain import draw_stain
from medforge.client.data.registration import data_source
from medforge.client.data.request import NamedSource, Request
from medforge.client.data.task import Task
from medforge.errors import InvalidInput
from medforge.seeds import generator

DOUBT = 0.15


def _look(named: NamedSource) -> None:
    read_sizes(named, len(ORGANS[named.place].classes))
    drawing(named)


@data_source(
    name="tissue",
    about="tissue drawn on the spot, for demonstrations: breast, lung or colon",
    options=OPTIONS,
    words=tuple(ORGANS),
    look=_look,
    reads="Nothing: the images are drawn from the seed. `train`, `validation` and `test` set how many a split has, "
    "and every `draw` from 1 on has images of its own.",
    refuses="a name that is none of these, and too few images to learn from.",
)
def open_tissue(request: Request) -> Task:
    """Open the drawn task of an organ: `tissue:breast`, `tissue:lung` or `tissue:colon`.

    Options `train`, `validation` and `test` set the number of images of a split; with `draw=1`, `draw=2` … there are
    other images. Classes take turns, so every split is balanced. Raises InvalidInput for an unknown organ, too few
    images or a draw that is no number.
    """
    if request.place not in ORGANS:
        raise InvalidInput(f"tissue: there is no organ '{request.place}'; choose one of {', '.join(ORGANS)}")
    prompts = tuple(one.prompt for one in ORGANS[request.place].classes)
    sizes = read_sizes(request, len(prompts))
    count = sum(sizes.values())
    labels = np.arange(count) % len(prompts)

    def paint_strip(strip: int, positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        return _paint(request, strip, torch.from_numpy(labels[positions]))

    key = " ".join([f"tissue 2 {request.place} {request.seed} {count}", *drawing(request)])
    drawn = DrawnImages(request.place, count, key, paint_strip)
    data = LabelledFiles(drawn, labels)
    return make_task(request, f"tissue-{request.place}", prompts, data, consecutive(sizes), "procedural", flip=True)


def _paint(request: Request, strip: int, labels: torch.Tensor) -> NDArray[np.uint8]:
    """Paint one image per label; it depends on organ, seed, draw and position only.

    At sizes other than multiples of 64 pixels it is painted larger and shrunk.
    """
    organ = ORGANS[request.place]
    draw = generator(request.seed, "tissue", request.place, *drawing(request), strip)
    scenes = draw_class(organ, labels, DOUBT, draw)
    stain = draw_stain(len(labels), draw, organ.spread, organ.haematoxylin, organ.eosin)
    zoom = max(1, math.ceil(request.image_size / SIDE))
    pixels: NDArray[np.uint8] = resized(paint(scenes, stain, draw, zoom), request.image_size).numpy()
    return pixels
