"""Calibration and ranks against scikit-learn and SciPy."""

import math

import numpy as np
import pytest
import torch
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from medforge.seeds import generator
from medforge.simulation.benchmark.heads.calibration import over_tasks, reliability


def test_two_classes_are_binned_as_scikit_learn_bins_them() -> None:
    chance = generator(0, "test", "calibration")
    positive = torch.rand(500, generator=chance, dtype=torch.float64) * 0.5 + 0.5
    labels = torch.bernoulli(positive * 0.8, generator=chance).long()
    found = reliability(torch.stack([1 - positive, positive], dim=1).log(), labels)
    often, sure = calibration_curve(labels.numpy(), positive.numpy(), n_bins=10)
    filled = [one for one in found.bins if one.count]
    np.testing.assert_allclose([one.accuracy for one in filled], often)
    np.testing.assert_allclose([one.confidence for one in filled], sure)
    counts = np.array([one.count for one in filled])
    assert found.error == pytest.approx(float((counts * abs(often - sure)).sum() / 500))
    assert found.loss == pytest.approx(log_loss(labels.numpy(), positive.numpy()))


def test_every_task_counts_the_same_and_bins_hold_all_images() -> None:
    sure, unsure = torch.tensor([[0.95, 0.05]]).log(), torch.tensor([[0.55, 0.25, 0.2]]).log()
    found = over_tasks([sure.repeat(30, 1), unsure.repeat(10, 1)], [torch.zeros(30).long(), torch.ones(10).long()])
    assert found.error == pytest.approx((0.05 + 0.55) / 2)
    assert found.loss == pytest.approx(-(math.log(0.95) + math.log(0.25)) / 2, rel=1e-6)
    assert [one.count for one in found.bins if one.count] == [10, 30]
    assert [one.accuracy for one in found.bins if one.count] == [0.0, 1.0]
