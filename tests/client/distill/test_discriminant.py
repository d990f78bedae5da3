import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from medforge.base import BaseModule
from medforge.class_statistics import ClassStatistics
from medforge.client.checkpoint import Checkpoint
from medforge.client.distill.discriminant import DiscriminantMatching, Moments
from medforge.client.distill.dm import DistributionMatching
from medforge.client.distill.dsa import augment, draw
from medforge.client.distill.extractor import random_deltas
from medforge.client.distill.real import RealImages
from medforge.client.distill.run import Distillation, distill
from medforge.client.distill.score import Candidate, better, discriminant_accuracy
from medforge.client.recipe import DistillRecipe
from medforge.client.recipes import RECIPES
from medforge.distilled import DistilledDataset
from medforge.mahalanobis import inverse_root, squared_distances
from medforge.seeds import generator
from medforge.task_spread import DISTILLED_SHRINKAGE
from tests.client.tasks import DISTILL, PROMPTS, make_task
from tests.making import make_plugin

RECIPE = DISTILL.model_copy(
    update={
        "pixel_optimiser": "adam",
        "pixel_lr": 0.05,
        "control_variate": True,
        "whitening": True,
        "discriminant_every": 2,
        "own_plugin_every": 4,
        "recognition_weight": 0.5,
        "covariance_weight": 0.7,
        "odds_weight": 3.0,
    }
)
REAL_LABELS = torch.arange(30) % 3
LEARNED_LABELS = torch.arange(3).repeat_interleave(4)


def rows(count: int, width: int = 5, seed: int = 0) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def matching(real: Tensor, recipe: DistillRecipe = RECIPE) -> DiscriminantMatching:
    return DiscriminantMatching(real, REAL_LABELS, 3, recipe)


def root_of(embeddings: Tensor, labels: Tensor) -> Tensor:
    return inverse_root(Moments.of(embeddings, labels, 3).covariance, DISTILLED_SHRINKAGE)


def test_moments_are_those_of_the_class_statistics() -> None:
    shuffled = torch.randperm(30, generator=torch.Generator().manual_seed(1))
    embeddings, labels = rows(30), REAL_LABELS[shuffled]
    moments, statistics = Moments.of(embeddings, labels, 3), ClassStatistics.of(embeddings, labels, 3)
    torch.testing.assert_close(moments.means, statistics.means, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(moments.covariance.float(), statistics.covariance)


def test_log_odds_are_half_the_squared_mahalanobis_distances() -> None:
    moments, images = Moments.of(rows(30), REAL_LABELS, 3), rows(7, seed=2)
    root = inverse_root(moments.covariance, DISTILLED_SHRINKAGE)
    expected = (-squared_distances(images, moments.means, root) / 2).log_softmax(dim=1)
    torch.testing.assert_close(moments.log_odds(images).log_softmax(dim=1), expected)


def test_the_three_distances_equal_their_transcriptions() -> None:
    real, learned = rows(30), 1.5 * rows(12, seed=3) + 0.3
    root, match = root_of(real, REAL_LABELS), matching(real)
    theirs, ours = Moments.of(real, REAL_LABELS, 3), Moments.of(learned, LEARNED_LABELS, 3)
    means = sum(float(squared_distances(ours.means[[c]], theirs.means[[c]], root)) for c in range(3))
    assert float(match.of_means(theirs.means, ours.means)) == pytest.approx(means)

    white = [Moments.of(z @ root, y, 3).covariance for z, y in ((real, REAL_LABELS), (learned, LEARNED_LABELS))]
    covariances = sum(
        (a - b) ** 2 for a, b in zip(white[0].flatten().tolist(), white[1].flatten().tolist(), strict=True)
    )
    assert float(match.of_covariance(ours)) == pytest.approx(covariances)

    divergence = 0.0
    p, q = (moments.log_odds(real).softmax(dim=1).tolist() for moments in (theirs, ours))
    for wanted, found in zip(p, q, strict=True):
        divergence += sum(a * math.log(a / b) for a, b in zip(wanted, found, strict=True)) / 30
    assert float(match.of_odds(ours)) == pytest.approx(divergence)
    total = float(match.distance(learned, LEARNED_LABELS))
    assert total == pytest.approx(means + 0.7 * covariances + 3.0 * divergence)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), shift=st.floats(-5, 5), size=st.floats(0.1, 10))
def test_distances_do_not_depend_on_the_embeddings_coordinates(seed: int, shift: float, size: float) -> None:
    """Turned, moved and scaled together, real and learned embeddings are as far apart as before."""
    real, learned = rows(30, seed=seed), rows(12, seed=seed + 1)
    turn = torch.linalg.qr(rows(5, seed=seed + 2)).Q
    before = float(matching(real).distance(learned, LEARNED_LABELS))
    after = float(matching(size * real @ turn + shift).distance(size * learned @ turn + shift, LEARNED_LABELS))
    assert after == pytest.approx(before, rel=1e-6)


def test_the_real_images_are_at_distance_zero_and_the_gradient_leads_there() -> None:
    real = rows(30)
    assert float(matching(real).distance(real, REAL_LABELS)) == pytest.approx(0, abs=1e-9)
    learned = nn.Parameter(rows(12, seed=3))
    optimiser = torch.optim.Adam([learned], lr=0.05)
    for _ in range(400):
        optimiser.zero_grad()
        loss = matching(real).distance(learned, LEARNED_LABELS)
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < 1e-3


def test_one_image_a_class_has_no_covariance_and_the_plain_distance() -> None:
    real = rows(3)
    match = DiscriminantMatching(real, torch.arange(3), 3, RECIPE)
    learned = rows(3, seed=1).requires_grad_()
    distance = match.distance(learned, torch.arange(3))
    distance.backward()
    assert distance.isfinite()
    assert learned.grad is not None
    assert learned.grad.isfinite().all()
    assert float(match.of_means(real, learned.detach())) == pytest.approx(
        float((learned - real).detach().square().sum())
    )


@pytest.mark.parametrize("number", range(4))
def test_a_step_equals_the_direct_transcription(tiny_base: BaseModule, number: int) -> None:
    """Of four steps two match the discriminant and two a batch's means, the last with the own plugin."""
    task, plugin = make_task(), make_plugin(tiny_base)
    start = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    pixels, learned = nn.Parameter(start.clone()), start.clone().requires_grad_()
    method = DistributionMatching(tiny_base, task, RECIPE, 11, plugin)
    loss = method.step(pixels, torch.optim.SGD([pixels], lr=1.0), number)

    own = plugin.deltas(tiny_base) if number == 3 else {}
    labels, everything = torch.tensor([0, 0, 0, 1, 1, 1]), tiny_base.normalise(task.train.images[:])
    known = tiny_base.embed(everything, own).detach()
    match = DiscriminantMatching(known, task.train.labels, 2, RECIPE)
    if number % 2 == 0:
        expected = match.distance(tiny_base.embed(learned), labels)
    else:
        chance = generator(11, "distill", "step", number)
        chosen = RealImages(tiny_base, task).choose(RECIPE.real_batch, chance)
        drawn_deltas = random_deltas(tiny_base, RECIPE.extractor_rank, RECIPE.extractor_scale, chance)
        deltas = {site: delta + own[site] if own else delta for site, delta in drawn_deltas.items()}
        operations = [draw(chance, RECIPE.strategy, RECIPE.ranges) for _ in task.prompts]
        real_means, means, embeddings = [], [], []
        for c, (indices, operation) in enumerate(zip(chosen, operations, strict=True)):
            real = tiny_base.embed(augment(everything[indices], operation), deltas).mean(dim=0)
            real_means.append(real - known[indices].mean(dim=0) + known[task.train.labels == c].mean(dim=0))
            embeddings.append(tiny_base.embed(augment(learned[3 * c : 3 * c + 3], operation), deltas))
            means.append(embeddings[-1].mean(dim=0))
        root = inverse_root(Moments.of(known.double(), task.train.labels, 2).covariance, DISTILLED_SHRINKAGE)
        differences = torch.stack(means).double() - torch.stack(real_means).detach().double()
        expected = (differences @ root).square().sum()
        if own:
            logits = tiny_base.logits(torch.cat(embeddings), PROMPTS)
            expected = expected + 0.5 * F.cross_entropy(logits, labels)
    expected.backward()
    assert learned.grad is not None
    assert loss == pytest.approx(float(expected.detach()), rel=1e-3)
    torch.testing.assert_close(start - pixels.detach(), learned.grad, atol=1e-4, rtol=1e-2)


def test_a_killed_run_with_adam_goes_on_to_the_same_bytes(tiny_base: BaseModule, tmp_path: Path) -> None:
    recipe = RECIPE.model_copy(update={"steps": 6, "score_steps": 2, "pixel_warmup": 2})
    plugin = make_plugin(tiny_base)
    undisturbed = distill(tiny_base, make_task(), recipe, seed=3, plugin=plugin)
    killed = Distillation(tiny_base, make_task(), recipe, 3, plugin)
    for _ in range(3):
        killed.advance()
    killed.score()
    killed.advance()
    Checkpoint(tmp_path / "checkpoint.safetensors", killed.identity()).save(*killed.state())
    continued = distill(tiny_base, make_task(), recipe, 3, tmp_path, plugin=plugin)
    assert continued.dataset.digest == undisturbed.dataset.digest
    assert continued.candidates == undisturbed.candidates
    assert all(candidate.discriminant is not None for candidate in continued.candidates)


def test_matched_images_give_the_real_images_discriminant(tiny_base: BaseModule) -> None:
    """Closer to that of all real images than the recipe without the matching brings them."""
    task, divergences = make_task(), {}
    known = tiny_base.embed_all(tiny_base.normalise(task.train.images[:]))
    match = DiscriminantMatching(known, task.train.labels, 2, RECIPE)
    changes = {"own_plugin_every": 0, "recognition_weight": 0.0, "steps": 30, "pixel_lr": 0.05}
    for every in (0, 2):
        recipe = RECIPE.model_copy(update={**changes, "discriminant_every": every, "whitening": every > 0})
        images = distill(tiny_base, task, recipe, seed=0).dataset
        learned = tiny_base.embed_all(images.images.to(tiny_base.dtype))
        divergences[every] = float(match.distance(learned, images.labels))
    assert divergences[2] < 0.5 * divergences[0]


def test_the_discriminants_accuracy_is_of_the_nearest_class_mean(tiny_base: BaseModule) -> None:
    task = make_task()
    images = tiny_base.normalise(task.train.images[:]).half()
    real = DistilledDataset(images, task.train.labels, PROMPTS)
    known = tiny_base.embed_all(images)
    moments = Moments.of(known.double(), task.train.labels, 2)
    unseen = tiny_base.embed_all(tiny_base.normalise(task.validation.images[:]))
    root = inverse_root(moments.covariance, DISTILLED_SHRINKAGE)
    nearest = squared_distances(unseen, moments.means, root).argmin(dim=1)
    expected = float((nearest == task.validation.labels).double().mean())
    assert discriminant_accuracy(real, tiny_base, task) == expected > 0.9
    swapped = DistilledDataset(images, 1 - task.train.labels, PROMPTS)
    assert discriminant_accuracy(swapped, tiny_base, task) == pytest.approx(1 - expected)


def test_better_adds_the_discriminants_accuracy_where_there_is_one() -> None:
    old = Candidate(1, 0.6, 1.0, 0.5)
    assert better(Candidate(2, 0.5, 2.0, 0.7), old)
    assert not better(Candidate(2, 0.7, 0.5, 0.3), old)
    assert better(Candidate(2, 0.5, 0.9, 0.6), old)


def test_the_pixel_rate_rises_over_the_warm_up() -> None:
    recipe = RECIPE.model_copy(update={"pixel_warmup": 3, "pixel_lr": 4.0, "steps": 6})
    assert [recipe.pixel_rate(step) for step in range(5)] == [1.0, 2.0, 3.0, 4.0, 4.0]


def test_the_papers_recipe_matches_means_alone_by_plain_sgd() -> None:
    paper = RECIPES["paper"].distill
    assert (paper.pixel_optimiser, paper.pixel_warmup, paper.whitening) == ("sgd", 0, False)
    assert (paper.discriminant_every, paper.own_plugin_every, paper.recognition_weight) == (0, 0, 0.0)
    assert not paper.knows_all_images
