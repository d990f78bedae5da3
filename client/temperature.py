"""How sure a plugin may be: the temperature that its logits are divided by, fitted on validation images."""

from __future__ import annotations

import torch
from torch import Tensor

from medforge.determinism import number_on_grid, one_thread

COLDEST, HOTTEST = 0.05, 20.0
_HALVINGS = 60


def fit_temperature(log_probabilities: Tensor, labels: Tensor) -> float:
    """Return the T for which softmax(logits / T) of n images has the least cross-entropy, within 0.05 … 20.

    `log_probabilities` are float64 [n, C], which differ from the logits by a constant an image; `labels` int64 [n].
    The targets are (n + 1)/(n + C) for the right class and 1/(n + C) for each other one, Laplace's rule of succession:
    without it a plugin that errs on none of a few images would be certain for ever. The cross-entropy is convex in
    1/T, so its slope is followed by halving the interval, the same way on every machine (Guo et al., On Calibration of
    Modern Neural Networks, ICML 2017; smoothing as in Platt, 1999).
    """
    count, classes = log_probabilities.shape
    targets = torch.full_like(log_probabilities, 1 / (count + classes))
    targets[torch.arange(count), labels] = (count + 1) / (count + classes)
    wanted = (targets * log_probabilities).sum()
    low, high = 1 / HOTTEST, 1 / COLDEST
    with one_thread():
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            found = ((middle * log_probabilities).softmax(dim=1) * log_probabilities).sum()
            low, high = (middle, high) if found < wanted else (low, middle)
    return number_on_grid(2 / (low + high))
