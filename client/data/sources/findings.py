"""`findings:NAME`: demo tasks on drawn chest films; no patient, no file, no licence."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from medforge.client.data.assemble import LabelledFiles, make_task
from medforge.client.data.drawn.dataset import OPTIONS, DrawnImages, consecutive, drawing, read_sizes
from medforge.client.data.drawn.painter import SIDE, resized
from medforge.client.data.drawn.painter_chest import paint_films
from medforge.client.data.published.chest_words import FINDINGS, NORMAL, film_with, pair
from medforge.client.data.registration import data_source
from medforge.client.data.request import NamedSource, Request
from medforge.client.data.splits import Index
from medforge.client.data.task import Task
from medforge.errors import InvalidInput
from medforge.seeds import generator, numpy_generator

SHARE = 0.4
"""Share of a split's films that show a finding, each finding on its own."""

FAINTEST = 0.6
"""How plainly the faintest mark is drawn; the plainest is 1."""

LEAST = 4


@dataclass(frozen=True)
class Films:
    """Describe one drawn task: the marks that its films may show, any number of them where it is multi-label."""

    marks: tuple[str, ...]
    multi_label: bool = False


FILMS: dict[str, Films] = {
    "chest": Films(("Cardiomegaly", "Effusion", "Infiltration", "Mass"), multi_label=True),
    "pneumonia": Films(("Pneumonia",)),
    "tuberculosis": Films(("Tuberculosis",)),
}


def _look(named: NamedSource) -> None:
    read_sizes(named, LEAST)
    drawing(named)


@data_source(
    name="findings",
    about="chest films drawn on the spot, for demonstrations: chest (4 findings, several an image), pneumonia or"
    " tuberculosis",
    options=OPTIONS,
    words=tuple(FILMS),
    look=_look,
    reads="Nothing: the images are drawn from the seed. `train`, `validation` and `test` set how many a split has, "
    "and every `draw` from 1 on has images of its own.",
    refuses="a name that is none of these, and too few images to learn from.",
)
def open_findings(request: Request) -> Task:
    """Open a drawn task: `findings:chest` (4 findings, several a film), `findings:pneumonia`, `findings:tuberculosis`.

    The two-class tasks alternate normal films and films with the finding. Options `train`, `validation` and `test` set
    the number of films of a split; with `draw=1`, `draw=2` … there are other films. Raises InvalidInput for an unknown
    task, too few films or a draw that is no number.
    """
    if request.place not in FILMS:
        raise InvalidInput(f"findings: there is no task '{request.place}'; choose one of {', '.join(FILMS)}")
    films = FILMS[request.place]
    sizes = read_sizes(request, LEAST)
    count = sum(sizes.values())
    shown = _independent(request, films, sizes) if films.multi_label else (np.arange(count) % 2).reshape(-1, 1)

    def paint_strip(strip: int, positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        return _paint(request, films, strip, torch.from_numpy(shown[positions]))

    # which films show a finding depends on where the splits begin
    key = " ".join([f"findings 1 {request.place} {request.seed} {list(sizes.values())}", *drawing(request)])
    drawn = DrawnImages(request.place, count, key, paint_strip)
    words = [FINDINGS.get(mark, mark.lower()) for mark in films.marks]
    data = LabelledFiles(drawn, shown if films.multi_label else shown[:, 0])
    pairs = [pair(word) for word in words] if films.multi_label else []
    prompts = [present for present, _ in pairs] or [NORMAL, film_with(words[0])]
    negatives = [absent for _, absent in pairs]
    name = f"findings-{request.place}"
    return make_task(request, name, prompts, data, consecutive(sizes), "procedural", negatives=negatives)


def _independent(request: Request, films: Films, sizes: dict[str, int]) -> Index:
    """Draw labels [n, L]: in each split the same number of films shows each finding, chosen for each on its own."""
    parts = []
    for part, size in sizes.items():
        chance = numpy_generator(request.seed, "findings", request.place, *drawing(request), part)
        present_in = np.arange(size) < round(SHARE * size)
        parts.append(np.stack([chance.permutation(present_in) for _ in films.marks], axis=1))
    return np.concatenate(parts).astype(np.int64)


def _paint(request: Request, films: Films, strip: int, shown: torch.Tensor) -> NDArray[np.uint8]:
    """Paint one film per row of labels [k, marks]."""
    draw = generator(request.seed, "findings", request.place, *drawing(request), strip)
    plain = FAINTEST + (1 - FAINTEST) * torch.rand(shown.shape, generator=draw)
    marks = dict(zip(films.marks, (shown * plain).T, strict=True))
    zoom = max(1, math.ceil(request.image_size / SIDE))
    pixels: NDArray[np.uint8] = resized(paint_films(marks, len(shown), SIDE * zoom, draw), request.image_size).numpy()
    return pixels
