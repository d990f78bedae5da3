"""What is printed of a model's answers on labelled images, as JSON has it."""

from __future__ import annotations

from typing import Literal

from medforge.assessment.calibration import Calibration
from medforge.assessment.estimate import Estimate, Record
from medforge.assessment.recalibration import Recalibration
from medforge.assessment.roc import Point


class Counts(Record):
    """Count a class against all others: images of it that are found and missed, others that are named and left."""

    found: int
    missed: int
    named: int
    left: int


class ClassAssessment(Record):
    """Hold what is measured of one class against all others, or of one finding; None where no image can say.

    Sensitivity and specificity are of the likeliest class, or of a finding at probability ½. The area is of the class's
    log-odds, `roc` the corners (1 − specificity, sensitivity) of its curve.
    """

    name: str
    counts: Counts
    sensitivity: Estimate | None
    specificity: Estimate | None
    auc: Estimate | None
    recalibration: Recalibration | None
    roc: tuple[Point, ...]


class Assessment(Record):
    """Hold what is measured of a model's answers on labelled images (or slides: the mean of their images' outputs).

    `groups` is the number of patients or slides that the units come from where that is fewer, and the intervals count
    with it. `auc` is the mean over the classes that have one. `brier` is the mean squared distance of the probabilities
    from the truth, summed over the classes: 0 … 2 (Brier 1950). `loss`, the cross-entropy, is None where a true class
    was given no chance. Rows of the confusion matrix are true classes, columns answers.

    Where an image may have several findings (`several`) they do not exclude one another: there is no confusion matrix
    and no balanced accuracy; accuracy and `brier` (0 … 1) are means over images and findings, and `calibration` is of
    all their probabilities.
    """

    unit: Literal["image", "slide"]
    units: int
    groups: int | None
    several: bool
    accuracy: Estimate
    balanced_accuracy: Estimate | None
    auc: float | None
    brier: float
    loss: float | None
    calibration: Calibration
    confusion: tuple[tuple[int, ...], ...] | None
    classes: tuple[ClassAssessment, ...]
