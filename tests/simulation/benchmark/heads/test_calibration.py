"""Calibration and ranks against scikit-learn and SciPy."""

import numpy as np
import pytest
import torch
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from medforge.seeds import generator
from medforge.simulation.benchmark.heads.calibration import fitted_temperature, reliability


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


@pytest.mark.parametrize("scale", [0.3, 1.0, 6.0])
def test_the_temperature_is_what_the_logits_were_scaled_by(scale: float) -> None:
    chance = generator(1, "test", "calibration")
    logits = torch.randn(4000, 5, generator=chance, dtype=torch.float64)
    labels = torch.multinomial(logits.softmax(dim=1), 1, generator=chance).flatten()
    found = fitted_temperature(logits * scale, labels)
    assert found == pytest.approx(scale, rel=0.08)
    losses = [
        float(torch.nn.functional.cross_entropy(logits * scale / t, labels))
        for t in (found, 0.98 * found, 1.02 * found)
    ]
    assert min(losses) == losses[0]


def test_a_temperature_stays_within_bounds_where_the_model_is_always_right() -> None:
    logits = torch.eye(3)[torch.arange(30) % 3]
    assert fitted_temperature(logits, torch.arange(30) % 3) == pytest.approx(0.05, rel=1e-3)
