"""The router's maths, against densities from SciPy and by what must hold for any statistics."""

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from medforge.class_statistics import ClassStatistics
from medforge.manifest import LEVELS
from medforge.router import Router
from medforge.task_spread import FURTHEST, TaskSpread, quantiles, shrunk

WIDTH = 5


def spread(seed: int, classes: int = 3, images: int = 40) -> TaskSpread:
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(classes).repeat_interleave(images)
    embeddings = 2 * torch.randn(classes, WIDTH, generator=random)[labels]
    embeddings = embeddings + torch.randn(len(labels), WIDTH, generator=random)
    return TaskSpread.of(ClassStatistics.of(embeddings, labels, classes), 0.1)


def images(count: int = 20) -> torch.Tensor:
    return 2 * torch.randn(count, WIDTH, generator=torch.Generator().manual_seed(99))


def test_probabilities_are_those_of_normal_distributions_with_one_covariance() -> None:
    tasks = (spread(0, 3), spread(1, 2), spread(2, 4))
    covariance = sum(task.covariance.numpy() for task in tasks) / 3
    points = images()
    of_task = [
        logsumexp(
            [multivariate_normal(mean, covariance).logpdf(points.numpy()) for mean in task.means.numpy()],
            axis=0,
            b=1 / len(task.means),
        )
        for task in tasks
    ]
    expected = np.stack(of_task, axis=1) - logsumexp(np.stack(of_task, axis=1), axis=1, keepdims=True)
    np.testing.assert_allclose(Router(tasks).task_log_probabilities(points).numpy(), expected, atol=1e-9)


def test_class_probabilities_are_those_of_the_tasks_own_covariance() -> None:
    task, points = spread(0), images()
    densities = [multivariate_normal(m, task.covariance.numpy()).logpdf(points.numpy()) for m in task.means.numpy()]
    expected = np.stack(densities, axis=1) - logsumexp(densities, axis=0)[:, None]
    np.testing.assert_allclose(task.class_log_probabilities(points).numpy(), expected, atol=1e-9)


def test_a_task_weighs_the_same_however_many_classes_it_has() -> None:
    task = spread(0, 2)
    doubled = TaskSpread(task.means.repeat(3, 1), task.weights.repeat(3), task.covariance)
    found = Router((task, doubled)).task_log_probabilities(images()).exp()
    torch.testing.assert_close(found, torch.full_like(found, 0.5))


def test_a_class_without_images_is_never_answered_and_counts_for_nothing() -> None:
    task, other = spread(0, 3), spread(1, 2)
    without = TaskSpread(task.means, torch.tensor([40, 0, 40]), task.covariance)
    kept = TaskSpread(task.means[[0, 2]], torch.tensor([40, 40]), task.covariance)
    points = images()
    assert bool((without.class_log_probabilities(points).exp()[:, 1] == 0).all())
    both = [Router((one, other)).task_log_probabilities(points) for one in (without, kept)]
    torch.testing.assert_close(*both)
    torch.testing.assert_close(without.nearest(points), kept.nearest(points))


def test_percentiles_say_which_share_of_the_sites_images_lies_nearer() -> None:
    task = spread(0)
    own = task.nearest(images(2000))
    calibrated = TaskSpread(task.means, task.weights, task.covariance, quantiles(own))
    found = calibrated.percentiles(own)
    assert found is not None
    for level in LEVELS:
        assert float((found <= level + 1e-9).double().mean()) == pytest.approx(
            level if level < LEVELS[-1] else 1, abs=2e-3
        )
    assert float(calibrated.beyond(own).double().mean()) == pytest.approx(1 - FURTHEST, abs=1e-3)
    assert float(calibrated.percentiles(torch.tensor([1e9]))) == LEVELS[-1]  # type: ignore[arg-type]


def test_without_quantiles_nothing_is_said_to_be_far() -> None:
    task = spread(0)
    assert task.percentiles(torch.tensor([1e9])) is None
    assert not task.beyond(torch.tensor([1e9])).any()


def test_a_covariance_of_nothing_measures_plain_distances() -> None:
    task = TaskSpread(torch.zeros(1, 3), torch.ones(1, dtype=torch.int64), shrunk(torch.zeros(3, 3), 0.3))
    torch.testing.assert_close(task.nearest(torch.tensor([[3.0, 4.0, 0.0]])), torch.tensor([5.0], dtype=torch.float64))


def test_a_product_gives_the_distances_nearly_and_differences_to_the_last_bit() -> None:
    tasks = tuple(spread(seed, 2 + seed % 4) for seed in range(30))
    router, points = Router(tasks), torch.cat([images(), *(task.means[:1] for task in tasks)])
    evidence = [
        torch.logsumexp(-task.squared(points, router.root) / 2, dim=1) - (task.weights > 0).sum().double().log()
        for task in tasks
    ]
    exact = router.task_log_probabilities(points)
    assert torch.equal(exact, torch.stack(evidence, dim=1).log_softmax(dim=1))
    torch.testing.assert_close(router.task_log_probabilities(points, exactly=False), exact, atol=1e-9, rtol=1e-9)
