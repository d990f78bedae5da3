"""From a model's outputs on labelled images to all that is printed of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from medforge.assessment.area import area_under_curve
from medforge.assessment.balanced import balanced_accuracy
from medforge.assessment.calibration import Calibration, calibration
from medforge.assessment.estimate import Estimate
from medforge.assessment.proportion import Groups, proportion
from medforge.assessment.recalibration import recalibration
from medforge.assessment.result import Assessment, ClassAssessment, Counts
from medforge.assessment.roc import roc_curve
from medforge.errors import InvalidInput
from medforge.metrics import by_slide, odds_of_class, score


def assess(
    outputs: Tensor,
    labels: Tensor,
    names: Sequence[str],
    slides: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
) -> Assessment:
    """Measure class logits [n, C] against labels [n], or log-odds [n, L] of findings against labels [n, L] of 0 and 1.

    `names` are of the classes or findings, not all of which need be among the labels. With `slides` (a name an image)
    the mean of a slide's outputs is measured, once a slide; else with `groups` (a patient's or slide's name an image)
    the intervals allow for images of one group being alike. Raises InvalidInput as `medforge.metrics.score` does.
    """
    metrics = score(outputs, labels, slides)
    if outputs.shape[1] != len(names):
        raise InvalidInput(f"there are {outputs.shape[1]} outputs for {len(names)} names; give each one")
    outputs, labels = outputs.detach().double().cpu(), labels.cpu()
    if slides is not None:
        outputs, labels = by_slide(outputs, labels, slides)
    clusters = _numbered(groups) if slides is None and groups is not None else None
    seen = _findings(outputs, labels, clusters) if labels.ndim == 2 else _classes(outputs, labels, clusters)
    classes = tuple(_against_others(name, seen, place) for place, name in enumerate(names))
    found = [one.sensitivity for one in classes if one.sensitivity is not None]
    return Assessment(
        unit="image" if slides is None else "slide",
        units=len(labels),
        groups=None if clusters is None else int(clusters.max()) + 1,
        several=seen.several,
        accuracy=seen.accuracy(),
        balanced_accuracy=None if seen.several else balanced_accuracy(found, seen.apart),
        auc=None if np.isnan(metrics.auc) else metrics.auc,
        brier=seen.brier(),
        loss=metrics.loss if np.isfinite(metrics.loss) else None,
        calibration=seen.calibration(),
        confusion=None if seen.several else seen.confusion(),
        classes=classes,
    )


@dataclass(frozen=True)
class _Answers:
    """Hold for each image and class (or finding) what is true, answered, stated and its log-odds, each [n, C].

    `groups` [n] are numbers, or None where images are independent.
    """

    truth: NDArray[np.bool_]
    answers: NDArray[np.bool_]
    stated: NDArray[np.float64]
    odds: NDArray[np.float64]
    groups: Groups | None
    several: bool

    @property
    def apart(self) -> bool:
        """Say whether every group has images of one class alone."""
        if self.groups is None:
            return True
        pairs = np.unique(np.stack([self.groups, self.truth.argmax(axis=1)]), axis=1)
        return bool(pairs.shape[1] == len(np.unique(self.groups)))

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether each answer is right [n], or of findings each of them [n · L]."""
        found = (self.answers == self.truth).flatten() if self.several else (self.answers & self.truth).sum(axis=1) > 0
        return np.asarray(found, dtype=np.bool_)

    @property
    def of_answers(self) -> Groups | None:
        """The groups of `right`: the findings of one image are no independent answers, so they are of a group."""
        if not self.several:
            return self.groups
        return np.repeat(np.arange(len(self.truth)) if self.groups is None else self.groups, self.truth.shape[1])

    def accuracy(self) -> Estimate:
        """Return the share of right answers, of so many images."""
        found = proportion(self.right, self.of_answers)
        assert found is not None
        return found.model_copy(update={"units": len(self.truth)})

    def brier(self) -> float:
        """Return the mean squared distance of what is stated from the truth, summed over classes."""
        squares = (self.stated - self.truth) ** 2
        return float(squares.mean() if self.several else squares.sum(axis=1).mean())

    def calibration(self) -> Calibration:
        """Compare what is stated with what is true: of the likeliest class, or of every finding."""
        if self.several:
            return calibration(self.stated.flatten(), self.truth.flatten(), self.of_answers)
        return calibration(self.stated.max(axis=1), self.right, self.groups)

    def confusion(self) -> tuple[tuple[int, ...], ...]:
        """Count answers (columns) by true class (rows)."""
        counts = self.truth.astype(np.int64).T @ self.answers.astype(np.int64)
        return tuple(tuple(row) for row in counts.tolist())


def _classes(logits: Tensor, labels: Tensor, groups: Groups | None) -> _Answers:
    count = logits.shape[1]
    odds = torch.stack([odds_of_class(logits, place) for place in range(count)], dim=1)
    truth, answers = (F.one_hot(one, count).bool().numpy() for one in (labels, logits.argmax(dim=1)))
    return _Answers(truth, answers, logits.softmax(dim=1).numpy(), odds.numpy(), groups, several=False)


def _findings(log_odds: Tensor, labels: Tensor, groups: Groups | None) -> _Answers:
    answers = (log_odds > 0).numpy()
    return _Answers((labels == 1).numpy(), answers, log_odds.sigmoid().numpy(), log_odds.numpy(), groups, several=True)


def _against_others(name: str, seen: _Answers, place: int) -> ClassAssessment:
    named, true, odds, groups = seen.answers[:, place], seen.truth[:, place], seen.odds[:, place], seen.groups
    return ClassAssessment(
        name=name,
        counts=Counts(
            found=int((named & true).sum()),
            missed=int((~named & true).sum()),
            named=int((named & ~true).sum()),
            left=int((~named & ~true).sum()),
        ),
        sensitivity=proportion(named[true], None if groups is None else groups[true]),
        specificity=proportion(~named[~true], None if groups is None else groups[~true]),
        auc=area_under_curve(odds, true, groups),
        recalibration=recalibration(odds, true),
        roc=roc_curve(odds, true),
    )


def _numbered(groups: Sequence[str]) -> Groups | None:
    """Return the number of each image's group; None where every image is of its own."""
    index = np.unique(np.array(groups, dtype=np.str_), return_inverse=True)[1].astype(np.int64)
    return None if int(index.max()) + 1 == len(index) else index
