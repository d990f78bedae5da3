"""Gaussian heads against scikit-learn and SciPy, and what FedCGS has in common with LDA."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import NearestCentroid
from torch import Tensor

from medforge.seeds import generator
from medforge.simulation.benchmark.heads.gaussian import fedcgs, lda, naive_bayes, nearest_mean, qda, shrunk
from medforge.simulation.benchmark.heads.moments import ClassMoments, gaussians

WIDTH = 6


def drawn(counts: tuple[int, ...], seed: int = 0, apart: float = 1.5) -> tuple[Tensor, Tensor]:
    """Draw classes of different means, spreads and sizes, in an order of chance."""
    chance = generator(seed, "test", "heads")
    mix = torch.eye(WIDTH).double() + 0.3 * torch.randn(len(counts), WIDTH, WIDTH, generator=chance).double()
    rows = [
        apart * torch.randn(WIDTH, generator=chance, dtype=torch.float64)
        + torch.randn(count, WIDTH, generator=chance, dtype=torch.float64) @ mix[place]
        for place, count in enumerate(counts)
    ]
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    order = torch.randperm(len(labels), generator=chance)
    return torch.cat(rows)[order], labels[order]


@pytest.mark.parametrize("shrinkage", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("counts", [(40, 70, 30), (25, 60)])
def test_lda_is_scikit_learns(counts: tuple[int, ...], shrinkage: float) -> None:
    rows, labels = drawn(counts)
    ours = lda(gaussians([ClassMoments.of(rows, labels, len(counts))]), shrinkage)(rows).softmax(dim=1)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage).fit(rows.numpy(), labels.numpy())
    np.testing.assert_allclose(ours.numpy(), theirs.predict_proba(rows.numpy()), atol=1e-6)


def test_naive_bayes_is_scikit_learns() -> None:
    rows, labels = drawn((40, 70, 30))
    ours = naive_bayes(gaussians([ClassMoments.of(rows, labels, 3)]), 0.0)(rows).softmax(dim=1)
    theirs = GaussianNB(var_smoothing=0).fit(rows.numpy(), labels.numpy()).predict_proba(rows.numpy())
    np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-9)


def test_nearest_mean_is_scikit_learns() -> None:
    rows, labels = drawn((40, 70, 30))
    ours = nearest_mean(gaussians([ClassMoments.of(rows, labels, 3)]))(rows).argmax(dim=1)
    assert ours.tolist() == NearestCentroid().fit(rows.numpy(), labels.numpy()).predict(rows.numpy()).tolist()


@pytest.mark.parametrize("shrinkage", [0.0, 0.3])
def test_qda_is_the_density_of_each_class(shrinkage: float) -> None:
    rows, labels = drawn((40, 70, 30))
    ours = qda(gaussians([ClassMoments.of(rows, labels, 3)]), shrinkage)(rows).log_softmax(dim=1)
    joint = []
    for label in range(3):
        of_class = rows[labels == label].numpy()
        covariance = np.cov(of_class.T, bias=True)
        covariance = (1 - shrinkage) * covariance + shrinkage * np.trace(covariance) / WIDTH * np.eye(WIDTH)
        density = multivariate_normal(of_class.mean(axis=0), covariance)
        joint.append(density.logpdf(rows.numpy()) + np.log(len(of_class) / len(rows)))
    theirs = torch.from_numpy(np.stack(joint, axis=1)).log_softmax(dim=1)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_of_two_equal_classes_fedcgs_decides_as_lda_does() -> None:
    rows, labels = drawn((50, 50), apart=0.6)
    classes = gaussians([ClassMoments.of(rows, labels, 2)])
    linear, total = (head(classes, 0.0)(rows) for head in (lda, fedcgs))
    margins = [(scores[:, 1] - scores[:, 0]) for scores in (linear, total)]
    ratio = margins[1] / margins[0]
    torch.testing.assert_close(ratio, ratio.mean().expand_as(ratio), rtol=1e-5, atol=1e-6)
    assert 0 < float(ratio.mean()) < 1


def test_of_three_classes_fedcgs_differs_from_lda() -> None:
    rows, labels = drawn((200, 200, 200), apart=0.5)
    classes = gaussians([ClassMoments.of(rows, labels, 3)])
    assert not torch.equal(lda(classes, 0.0)(rows).argmax(dim=1), fedcgs(classes, 0.0)(rows).argmax(dim=1))


def test_the_total_covariance_is_that_of_all_images() -> None:
    rows, labels = drawn((40, 70, 30))
    total = gaussians([ClassMoments.of(rows, labels, 3)]).total
    np.testing.assert_allclose(total.numpy(), np.cov(rows.numpy().T, bias=True), atol=1e-9)


@given(cut=st.integers(1, 99), seed=st.integers(0, 5))
@settings(max_examples=20, deadline=None)
def test_centres_add_up_to_the_pool(cut: int, seed: int) -> None:
    rows, labels = drawn((30, 40, 30), seed)
    whole = ClassMoments.of(rows, labels, 3)
    parts = ClassMoments.of(rows[:cut], labels[:cut], 3) + ClassMoments.of(rows[cut:], labels[cut:], 3)
    assert parts.counts.tolist() == whole.counts.tolist()
    torch.testing.assert_close(parts.sums, whole.sums)
    torch.testing.assert_close(parts.products, whole.products)


def test_every_task_weighs_the_same_whatever_it_has_of_images() -> None:
    (rows, labels), (more, other) = drawn((20, 30), 0), drawn((200, 100), 1)
    both = gaussians([ClassMoments.of(rows, labels, 2), ClassMoments.of(more, other, 2)])
    assert both.priors.tolist() == pytest.approx([0.2, 0.3, 1 / 3, 1 / 6])
    alone = [gaussians([ClassMoments.of(r, y, 2)]).within for r, y in ((rows, labels), (more, other))]
    torch.testing.assert_close(both.within, (alone[0] + alone[1]) / 2)


def test_a_class_without_an_image_is_never_chosen() -> None:
    rows, labels = drawn((40, 60))
    moments = ClassMoments.of(rows, labels, 2).placed([2, 0], 3)
    assert moments.counts.tolist() == [60, 0, 40]
    classes = gaussians([moments])
    for head in (nearest_mean(classes), lda(classes, 0.1), naive_bayes(classes, 0.1), qda(classes, 0.1)):
        probabilities = head(rows).softmax(dim=1)
        assert probabilities.isfinite().all()
        assert not probabilities[:, 1].any()


def test_fewer_images_than_features_still_have_a_head() -> None:
    rows, labels = drawn((3, 2))
    for head in (lda, fedcgs, naive_bayes, qda):
        assert head(gaussians([ClassMoments.of(rows, labels, 2)]), 0.0)(rows).isfinite().all()


def test_full_shrinkage_leaves_the_mean_variance() -> None:
    matrix = torch.diag(torch.tensor([1.0, 2.0, 6.0])).double()
    torch.testing.assert_close(shrunk(matrix, 1.0), 3 * torch.eye(3).double())
