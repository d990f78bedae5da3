"""FisherMix: the directions it draws in, and that what it learns of samples is right about images."""

import numpy as np
import torch
from scipy.linalg import eigh

from medforge.simulation.benchmark.heads.fisher_mix import fisher_directions, fisher_mix
from medforge.simulation.benchmark.heads.gaussian import lda
from medforge.simulation.benchmark.heads.moments import ClassMoments, gaussians
from medforge.simulation.benchmark.heads.with_text import with_text
from tests.simulation.benchmark.heads.test_gaussian import drawn


def test_the_directions_solve_fishers_problem() -> None:
    rows, labels = drawn((60, 60, 60), apart=1.0)
    classes = gaussians([ClassMoments.of(rows, labels, 3)])
    directions = fisher_directions(classes, 0.0)
    found = directions.numpy()
    between = (classes.total - classes.within).numpy()
    _, theirs = eigh(between, classes.within.numpy())
    for place in range(found.shape[1]):
        cosine = np.dot(found[:, place], theirs[:, -1 - place])
        cosine /= np.linalg.norm(found[:, place]) * np.linalg.norm(theirs[:, -1 - place])
        assert abs(cosine) > 0.999
    torch.testing.assert_close(
        directions.T @ classes.within @ directions, torch.eye(found.shape[1]).double(), atol=1e-5, rtol=1e-5
    )


def test_what_it_learns_of_draws_is_nearly_as_good_as_lda_on_images() -> None:
    rows, labels = drawn((150, 150, 150), apart=1.0)
    classes = gaussians([ClassMoments.of(rows, labels, 3)])
    head = fisher_mix(classes, 0.05, seed=0, samples=2000)
    right = (head(rows).argmax(dim=1) == labels).double().mean()
    assert right > (lda(classes, 0.05)(rows).argmax(dim=1) == labels).double().mean() - 0.08
    torch.testing.assert_close(head(rows), fisher_mix(classes, 0.05, seed=0, samples=2000)(rows))


def test_of_two_classes_it_has_two_scores() -> None:
    rows, labels = drawn((80, 40), apart=2.0)
    moments = ClassMoments.of(rows, labels, 2)
    scores = fisher_mix(gaussians([moments]), 0.05, seed=0)(rows)
    assert (scores.argmax(dim=1) == labels).double().mean() > 0.9
    placed = fisher_mix(gaussians([moments.placed([0, 2], 3)]), 0.05, seed=0)(rows)
    assert (placed[:, 1] == -torch.inf).all()


def test_a_text_weighs_from_nothing_to_everything() -> None:
    rows, labels = drawn((30, 30))
    visual = lda(gaussians([ClassMoments.of(rows, labels, 2)]), 0.1)
    text = lambda x: x[:, :2]  # noqa: E731
    torch.testing.assert_close(with_text(visual, text, 0.0)(rows), visual(rows).log_softmax(dim=1))
    torch.testing.assert_close(with_text(visual, text, 1.0)(rows), rows[:, :2].log_softmax(dim=1))
