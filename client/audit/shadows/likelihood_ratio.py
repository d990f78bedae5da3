"""The likelihood-ratio attack (LiRA): Carlini et al., "Membership Inference Attacks From First Principles", 2022."""

from __future__ import annotations

import torch
from torch import Tensor

FEWEST = 2
"""Shadows with an image, and shadows without it, below which no variance can be estimated."""

OWN_VARIANCE = 32
"""From so many of either kind on every image has variances of its own, else they are pooled (section VI-A)."""

_LEAST_VARIANCE = 1e-12


def logit_scaled(logits: Tensor, labels: Tensor) -> Tensor:
    """Return log(p / (1 − p)) of the right class's probability, float64 [n]; of logits [n, C] and labels int64 [n].

    Section IV-C of the paper: so scaled, confidences are about normal. By the logits, as 1 − p would be rounded to 0.
    """
    exact = logits.double()
    right = exact.gather(1, labels.unsqueeze(1)).squeeze(1)
    others = exact.scatter(1, labels.unsqueeze(1), -torch.inf)
    return right - others.logsumexp(dim=1)


def log_ratios(target: Tensor, shadows: Tensor, inside: Tensor) -> Tensor:
    """Return log p(target | trained on it) − log p(target | not trained on it) for every image, float64 [n].

    `target` [n, q] is what the model under attack shows of each image in q queries, `shadows` [k, n, q] what each
    shadow does, and `inside` bool [k, n] whether it was trained on the image: algorithm 1 (online), with a spherical
    normal distribution over queries (section VI-B). The mean of m shadows is itself uncertain, by 1/m of the variance,
    which is added to it. Every image must be inside and outside of `FEWEST` shadows.
    """
    exact, seen = shadows.double(), target.double()
    with_it = _log_density(seen, exact, inside)
    return with_it - _log_density(seen, exact, ~inside)


def means(shadows: Tensor, inside: Tensor) -> Tensor:
    """Return each image's mean over the shadows that `inside` [k, n] names, float64 [n, q]."""
    weights = inside.double().unsqueeze(2)
    return (weights * shadows.double()).sum(dim=0) / weights.sum(dim=0)


def _log_density(seen: Tensor, shadows: Tensor, chosen: Tensor) -> Tensor:
    centre, counts = means(shadows, chosen), chosen.sum(dim=0).double().unsqueeze(1)
    squares = (chosen.double().unsqueeze(2) * (shadows - centre).square()).sum(dim=0)
    if int(counts.min()) < OWN_VARIANCE:
        variance = (squares.sum(dim=0) / (counts - 1).sum()).expand_as(squares)
    else:
        variance = squares / (counts - 1)
    variance = (variance * (1 + 1 / counts)).clamp_min(_LEAST_VARIANCE)
    return -0.5 * (variance.log() + (seen - centre).square() / variance).sum(dim=1)
