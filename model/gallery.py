"""A page of answers beside their images, the least certain first."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from datetime import date

import numpy as np
from numpy.typing import NDArray

from medforge.look.page import templates
from medforge.look.pictures import data_uri, grid
from medforge.model.answering import Answering
from medforge.model.answers import Summary, answer
from medforge.prediction import Prediction

SHOWN = 300
"""The most images that a page shows: those of which the model was least certain."""


@dataclass(order=True)
class _Shown:
    # the heap's first is what goes first when there is no room: the most certain
    certainty: float
    number: int
    image: str = field(compare=False)
    pixels: NDArray[np.uint8] = field(compare=False)
    prediction: Prediction = field(compare=False)


class Gallery:
    """Keep the images that the model was least certain of, and write the page."""

    def __init__(self, model: Answering) -> None:
        self._model = model
        self._kept: list[_Shown] = []
        self._count = 0

    def add(self, image: str, pixels: NDArray[np.uint8], prediction: Prediction) -> None:
        """Count an image, and keep it where it is among the least certain; pixels are uint8 [3, S, S]."""
        # what is none of these comes before all others
        certainty = -1.0 if prediction.none_of_these else prediction.probability
        one = _Shown(-certainty, -self._count, image, pixels, prediction)
        self._count += 1
        keep = heapq.heappush if len(self._kept) < SHOWN else heapq.heappushpop
        keep(self._kept, one)

    def page(self, summary: Summary) -> str:
        """Return the page, HTML with the images inside."""
        shown = sorted(self._kept, reverse=True)
        return (
            templates("medforge.model")
            .get_template("gallery.html.j2")
            .render(
                about=self._model.about(),
                rows=list(summary.rows()),
                uncalibrated=sorted(summary.uncalibrated),
                total=self._count,
                shown=[self._entry(one) for one in shown],
                today=date.today().isoformat(),
            )
        )

    def _entry(self, one: _Shown) -> dict[str, object]:
        first = one.prediction.ranking[0]
        return {
            "image": one.image,
            "picture": data_uri(grid(one.pixels[np.newaxis], 1), "image/png"),
            "answer": answer(one.prediction),
            "first": first,
            "others": one.prediction.ranking[1:],
            "percentile": one.prediction.percentile,
            "who": list(dict.fromkeys(map(self._model.who, one.prediction.answered_by))),
        }
