"""An assessment as rows: what terminal, CSV, LaTeX and pages print."""

from __future__ import annotations

from collections.abc import Iterator

from medforge.assessment.calibration import BINS
from medforge.assessment.digits import spell, spell_estimate
from medforge.assessment.estimate import Estimate
from medforge.assessment.result import Assessment
from medforge.look.chart import written
from medforge.look.csv_text import csv_text

CLASS_HEAD = ("images", "sensitivity", "specificity", "AUC")


def whole_rows(assessment: Assessment) -> tuple[tuple[str, str], ...]:
    """Return what is measured over all classes, each with its name."""
    several, units = assessment.several, assessment.units
    rows = [("accuracy" if not several else "accuracy over images and findings", spell_estimate(assessment.accuracy))]
    if not several:
        rows.append(("balanced accuracy", spell_estimate(assessment.balanced_accuracy)))
    return (
        *rows,
        (f"AUC, mean over {'findings' if several else 'classes'}", spell(assessment.auc, units)),
        (f"Brier score, 0 to {1 if several else 2}", spell(assessment.brier, units)),
        (f"calibration error, {BINS} bins", spell(assessment.calibration.error, units)),
    )


def class_rows(assessment: Assessment) -> tuple[tuple[str, ...], ...]:
    """Return each class's (or finding's) name, number of images (or slides), sensitivity, specificity and area."""
    return tuple(
        (
            one.name,
            str(one.counts.found + one.counts.missed),
            spell_estimate(one.sensitivity),
            spell_estimate(one.specificity),
            spell_estimate(one.auc),
        )
        for one in assessment.classes
    )


def interval_note(assessment: Assessment) -> str:
    """Say in a sentence what the intervals stand on."""
    how = "95 % intervals: Wilson for shares, DeLong for AUC"
    if assessment.groups is None:
        return f"{how}; each {assessment.unit} counts as independent"
    return f"{how}; the {assessment.units} images come from {assessment.groups} groups, which the intervals allow for"


def numbers_csv(assessment: Assessment) -> str:
    """Write every number, one a row with every digit: measure, class, value, its limits and how many images."""
    return csv_text(("measure", "class", "value", "low", "high", "units"), written(_numbers(assessment)))


def _numbers(assessment: Assessment) -> Iterator[tuple[object, ...]]:
    for name, estimate in (("accuracy", assessment.accuracy), ("balanced_accuracy", assessment.balanced_accuracy)):
        yield from _line(name, "", estimate)
    for name in ("auc", "brier", "loss"):
        yield name, "", getattr(assessment, name), None, None, assessment.units
    yield "calibration_error", "", assessment.calibration.error, None, None, assessment.units
    for one in assessment.classes:
        for name in ("sensitivity", "specificity", "auc"):
            yield from _line(name, one.name, getattr(one, name))
        for name, count in one.counts:
            yield name, one.name, count, None, None, assessment.units
        if one.recalibration is not None:
            for name, value in one.recalibration:
                yield f"calibration_{name}", one.name, value, None, None, assessment.units


def _line(name: str, of: str, estimate: Estimate | None) -> Iterator[tuple[object, ...]]:
    if estimate is not None:
        yield name, of, estimate.value, estimate.low, estimate.high, estimate.units
