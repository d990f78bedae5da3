"""Accuracy and AUC, by patch and by slide."""

from collections.abc import Sequence

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor
from torch.nn import functional as F

from medforge.errors import InvalidInput


class Metrics(BaseModel):
    """Hold accuracy, AUC, cross-entropy, and balanced accuracy: the mean of the sensitivities of the classes there.

    Balanced accuracy is None where there are several labels an image.

    The AUC is macro one-vs-rest beyond two classes and the mean over findings where there are several labels an image;
    NaN where only one class is there.
    """

    model_config = ConfigDict(frozen=True)

    acc: float
    auc: float
    loss: float
    balanced: float | None = None


def score(logits: Tensor, labels: Tensor, groups: Sequence[str] | None = None) -> Metrics:
    """Score class logits [n, C] against labels [n], or log-odds [n, L] of L findings against labels [n, L] of 0 and 1.

    With several labels an image, accuracy is the mean over images and findings at probability ½, AUC the mean over the
    findings of which there are images with and without, and loss the mean binary cross-entropy.

    With ``groups`` (one slide name an image) the mean of a slide's outputs is scored, once a slide (Spanhol et al.
    2015 score patients so; the paper's BreakHis numbers are by slide).

    Raises InvalidInput where there is nothing to score, or where images of one slide carry different labels.
    """
    if len(labels) == 0:
        raise InvalidInput("there is no image to score; check the split")
    logits, labels = logits.detach().double().cpu(), labels.cpu()
    if groups is not None:
        logits, labels = by_slide(logits, labels, groups)
    if labels.ndim == 2:
        return _score_findings(logits, labels)
    loss = F.cross_entropy(logits, labels)
    right = (logits.argmax(dim=1) == labels).double()
    balanced = torch.stack([right[labels == label].mean() for label in labels.unique()]).mean()
    return Metrics(acc=float(right.mean()), auc=_auc(logits, labels), loss=float(loss), balanced=float(balanced))


def _score_findings(log_odds: Tensor, labels: Tensor) -> Metrics:
    columns = zip(labels.T, log_odds.T, strict=True)
    areas = [_area(truth, odds) for truth, odds in columns if len(truth.unique()) == 2]
    return Metrics(
        acc=float(((log_odds > 0) == (labels == 1)).double().mean()),
        auc=float(sum(areas) / len(areas)) if areas else float("nan"),
        loss=float(F.binary_cross_entropy_with_logits(log_odds, labels.double())),
    )


def by_slide(logits: Tensor, labels: Tensor, groups: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Return the mean output of each slide's images [s, C], and its label; raises InvalidInput where labels differ."""
    names = sorted(set(groups))
    index = torch.tensor([names.index(group) for group in groups])
    count = torch.bincount(index).unsqueeze(1)
    means = torch.zeros(len(names), logits.shape[1], dtype=logits.dtype).index_add_(0, index, logits) / count
    slide_labels = torch.zeros(len(names), *labels.shape[1:], dtype=labels.dtype)
    slide_labels[index] = labels
    if not torch.equal(slide_labels[index], labels):
        raise InvalidInput("images of one slide carry different labels; check the slide names")
    return means, slide_labels


def _auc(logits: Tensor, labels: Tensor) -> float:
    present = [c for c in range(logits.shape[1]) if bool((labels == c).any())]
    if len(present) < 2:
        return float("nan")
    # two classes give the same area from either side, so the mean over both is the binary AUC
    areas = [_area(labels == c, _ranks(odds_of_class(logits, c))) for c in present]
    return float(sum(areas) / len(areas))


def _area(truth: Tensor, scores: Tensor) -> float:
    """Return the area under the ROC curve of scores [n] that should be higher where ``truth`` [n] holds; both occur."""
    # with pandas behind it, it takes longer to import than a small base module takes to load
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(truth.numpy(), scores.numpy()))


def _ranks(values: Tensor) -> Tensor:
    """Return each value's rank [n], equal for equal values; a class without a chance has odds of −∞."""
    ranks: Tensor = values.unique(return_inverse=True)[1]
    return ranks


def odds_of_class(logits: Tensor, label: int) -> Tensor:
    """Return log P(label) − log P(every other class) [n]; a probability rounds to 1 where this is beyond 36."""
    others = torch.cat([logits[:, :label], logits[:, label + 1 :]], dim=1)
    return logits[:, label] - others.logsumexp(dim=1)
