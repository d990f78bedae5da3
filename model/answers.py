"""A model's answers as a table of CSV, as JSON, and as a summary that people read."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TextIO

from medforge.model.answering import Answering
from medforge.prediction import Prediction, RankedClass

NONE = "none of these"
COLUMNS = (
    "image",
    "answer",
    "task",
    "class",
    "prompt",
    "p_task",
    "p_class",
    "p",
    "distance",
    "percentile",
    "none_of_these",
    "answered_by",
)
_BEHIND = ("task", "class", "p_task", "p_class", "p")
# a spreadsheet takes a cell that begins so for a formula, and class names come from other houses
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def answer(prediction: Prediction) -> str:
    """Return the answer in one word: the class's key, or none of these."""
    return NONE if prediction.none_of_these else prediction.key


def as_json(image: str, prediction: Prediction, model: Answering) -> dict[str, Any]:
    """Return one image's answer for a script."""
    return {
        "image": image,
        "answer": answer(prediction),
        "none_of_these": prediction.none_of_these if prediction.calibrated else None,
        "distance": prediction.distance,
        "percentile": prediction.percentile,
        "ranking": [
            {
                "task": one.task,
                "class": one.key,
                "prompt": one.prompt,
                "p_task": one.task_probability,
                "p_class": one.class_probability,
                "p": one.probability,
            }
            for one in prediction.ranking
        ],
        "answered_by": [{"branch": branch, "contributor": model.who(branch)} for branch in prediction.answered_by],
    }


class CsvAnswers:
    """Write answers as CSV, a row an image; classes behind the first have columns of their own, as in ``class_2``.

    A text that a spreadsheet would take for a formula gets an apostrophe in front. ``none_of_these`` is empty where the
    task is uncalibrated.
    """

    def __init__(self, out: TextIO, model: Answering, top: int) -> None:
        self._rows = csv.writer(out, lineterminator="\n")
        self._model = model
        self._top = top
        behind = [f"{name}_{place}" for place in range(2, top + 1) for name in _BEHIND]
        self._rows.writerow([*COLUMNS, *behind])

    def write(self, image: str, prediction: Prediction) -> None:
        """Write one image's row."""
        first = prediction.ranking[0]
        said = str(prediction.none_of_these).lower() if prediction.calibrated else ""
        who = "; ".join(dict.fromkeys(map(self._model.who, prediction.answered_by)))
        row = [image, answer(prediction), first.task, first.key, first.prompt, *_chances(first)]
        row += [_number(prediction.distance), _number(prediction.percentile), said, who]
        for one in prediction.ranking[1:]:
            row += [one.task, one.key, *_chances(one)]
        row += [""] * (len(COLUMNS) + len(_BEHIND) * (self._top - 1) - len(row))
        self._rows.writerow([f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in row])


class JsonAnswers:
    """Write answers as one JSON document, an image after another as they come."""

    def __init__(self, out: TextIO, model: Answering) -> None:
        self._out = out
        self._model = model
        self._first = True
        self._out.write(f'{{"model": {json.dumps(model.about(), ensure_ascii=False)}, "predictions": [')

    def write(self, image: str, prediction: Prediction) -> None:
        """Write one image's object."""
        text = json.dumps(as_json(image, prediction, self._model), ensure_ascii=False)
        self._out.write(f"{'' if self._first else ','}\n{text}")
        self._first = False

    def close(self, skipped: Sequence[str]) -> None:
        """End the document with the images that could not be read."""
        self._out.write(f'\n], "skipped": {json.dumps(list(skipped), ensure_ascii=False)}}}\n')


@dataclass
class Summary:
    """Count answers by task and class, and add up how sure they were."""

    counts: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    sums: dict[tuple[str, str], float] = field(default_factory=lambda: defaultdict(float))
    uncalibrated: set[str] = field(default_factory=set)

    def add(self, prediction: Prediction) -> None:
        """Count one answer."""
        place = ("", NONE) if prediction.none_of_these else (prediction.task, prediction.key)
        self.counts[place] += 1
        self.sums[place] += prediction.probability
        if not prediction.calibrated:
            self.uncalibrated.add(prediction.task)

    def rows(self) -> Iterator[tuple[str, str, int, float]]:
        """Yield task, class, images and their mean probability; the most frequent first, none of these last."""
        for place in sorted(self.counts, key=lambda one: (one[1] == NONE and not one[0], -self.counts[one], one)):
            yield (*place, self.counts[place], self.sums[place] / self.counts[place])


def _chances(one: RankedClass) -> list[str]:
    return [f"{one.task_probability:.6f}", f"{one.class_probability:.6f}", f"{one.probability:.6f}"]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
