import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medforge.base import BaseModule
from medforge.client.distill import dc
from medforge.client.distill.dc import GradientMatching, gradient_distance
from medforge.client.distill.dsa import augment, draw, draw_each
from medforge.client.distill.extractor import random_factors
from medforge.client.distill.real import RealImages
from medforge.seeds import generator
from tests.client.tasks import DISTILL, make_task

RECIPE = DISTILL.model_copy(update={"method": "dc-dsa", "pixel_lr": 0.1, "outer": 1})


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def plain_distance(real: list[Tensor], synthetic: list[Tensor]) -> float:
    """DC's distance with loops over parameters, rows and elements."""
    total = 0.0
    for theirs, ours in zip(real, synthetic, strict=True):
        if theirs.ndim == 1:
            continue
        for row, other in zip(theirs.tolist(), ours.tolist(), strict=True):
            dot = sum(a * b for a, b in zip(row, other, strict=True))
            lengths = math.sqrt(sum(a * a for a in row)) * math.sqrt(sum(b * b for b in other))
            total += 1 - dot / lengths
    return total


def test_distance_is_one_minus_cosine_summed_over_output_rows() -> None:
    real = [noise(4, 5, seed=1), noise(7, seed=2), noise(2, 3, seed=3)]
    synthetic = [noise(4, 5, seed=4), noise(7, seed=5), noise(2, 3, seed=6)]
    distance = gradient_distance(real, synthetic)
    assert float(distance) == pytest.approx(plain_distance(real, synthetic), rel=1e-5)


def test_distance_does_not_see_lengths_and_single_dimensions() -> None:
    real = [noise(4, 5, seed=1), noise(7, seed=2)]
    assert float(gradient_distance(real, [3 * real[0], noise(7, seed=3)])) == pytest.approx(0, abs=1e-5)
    assert float(gradient_distance(real, [-real[0], real[1]])) == pytest.approx(8, rel=1e-5)
    assert float(gradient_distance([real[1]], [real[1]])) == 0


def test_a_step_equals_the_direct_transcription(tiny_base: BaseModule) -> None:
    task = make_task()
    start = noise(6, 3, 32, 32)
    pixels = nn.Parameter(start.clone())
    loss = GradientMatching(tiny_base, task, RECIPE, seed=11).step(pixels, torch.optim.SGD([pixels], lr=1.0), number=4)

    chance = generator(11, "distill", "step", 4)
    network = random_factors(tiny_base, RECIPE.extractor_rank, RECIPE.extractor_scale, chance)
    real = RealImages(tiny_base, task).draw(RECIPE.real_batch, chance)
    draws = [draw(chance, RECIPE.strategy, RECIPE.ranges) for _ in task.prompts]

    def distance(learned: Tensor) -> float:
        total = 0.0
        for label, drawn in enumerate(draws):
            sides = []
            for images in (real[label], learned[label * RECIPE.ipc : (label + 1) * RECIPE.ipc]):
                factors = [factor.clone().requires_grad_() for pair in network.values() for factor in pair]
                deltas = {site: factors[2 * i + 1] @ factors[2 * i] for i, site in enumerate(network)}
                losses = [
                    -F.log_softmax(tiny_base.logits(tiny_base.embed(augment(x[None], drawn), deltas), task.prompts), 1)[
                        0, label
                    ]
                    for x in images
                ]
                sides.append(list(torch.autograd.grad(sum(losses) / len(losses), factors)))
            total += plain_distance(*sides)
        return total

    assert loss == pytest.approx(distance(start), rel=1e-3)
    # The pixels' gradient, along its own direction, by central differences of the transcription.
    gradient = start - pixels.detach()
    direction = gradient / gradient.norm()
    width = 1e-2
    slope = (distance(start + width * direction) - distance(start - width * direction)) / (2 * width)
    assert float(gradient.norm()) == pytest.approx(slope, rel=0.02)


def test_the_network_learns_from_the_learned_images_between_turns(tiny_base: BaseModule) -> None:
    """Inner steps change what the second turn matches, and lower the loss of the network on the learned images."""
    updates = []
    for inner in (0, 3):
        pixels = nn.Parameter(noise(6, 3, 32, 32))
        method = GradientMatching(tiny_base, make_task(), RECIPE.model_copy(update={"outer": 2, "inner": inner}), 0)
        method.step(pixels, torch.optim.SGD([pixels], lr=0.1), 0)
        updates.append(pixels.detach())
    assert not torch.equal(*updates)

    method = GradientMatching(tiny_base, make_task(), RECIPE.model_copy(update={"strategy": "flip"}), 0)
    network = random_factors(tiny_base, 4, 0.05, generator(0, "network"))
    images, labels = noise(6, 3, 32, 32), torch.tensor([0, 0, 0, 1, 1, 1])

    def loss() -> float:
        deltas = {site: pair.up @ pair.down for site, pair in network.items()}
        logits = tiny_base.logits(tiny_base.embed(images, deltas), make_task().prompts)
        return float(F.cross_entropy(logits, labels).detach())

    before = loss()
    for pair in network.values():
        pair.down.requires_grad_()
        pair.up.requires_grad_()
    method._train(network, images, 20, generator(0, "inner"))
    assert loss() < before


def test_an_inner_turn_is_an_epoch_with_an_augmentation_for_each_image(
    tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the public code trains the network: all learned images in batches, one operation a batch, its numbers each."""
    monkeypatch.setattr(dc, "_NETWORK_BATCH", 4)
    task, images, labels = make_task(), noise(6, 3, 32, 32), torch.tensor([0, 0, 0, 1, 1, 1])
    networks = [random_factors(tiny_base, 4, 0.05, generator(0, "network")) for _ in range(2)]
    for network in networks:
        for pair in network.values():
            pair.down.requires_grad_()
            pair.up.requires_grad_()
    GradientMatching(tiny_base, task, RECIPE, 0)._train(networks[0], images, 2, generator(0, "inner"))

    chance = generator(0, "inner")
    factors = [factor for pair in networks[1].values() for factor in pair]
    for _ in range(2):
        order = torch.randperm(6, generator=chance)
        for chosen in (order[:4], order[4:]):
            drawn = draw_each(chance, RECIPE.strategy, RECIPE.ranges, len(chosen))
            batch = torch.cat([augment(images[[i]], one) for i, one in zip(chosen.tolist(), drawn, strict=True)])
            deltas = {site: pair.up @ pair.down for site, pair in networks[1].items()}
            loss = F.cross_entropy(tiny_base.logits(tiny_base.embed(batch, deltas), task.prompts), labels[chosen])
            with torch.no_grad():
                for factor, gradient in zip(factors, torch.autograd.grad(loss, factors), strict=True):
                    factor -= RECIPE.network_lr * gradient
    for site, pair in networks[0].items():
        torch.testing.assert_close(pair.up, networks[1][site].up, atol=1e-6, rtol=1e-4)
        torch.testing.assert_close(pair.down, networks[1][site].down, atol=1e-6, rtol=1e-4)


def test_steps_bring_the_gradients_together(tiny_base: BaseModule) -> None:
    method = GradientMatching(tiny_base, make_task(), RECIPE, seed=0)
    pixels = nn.Parameter(noise(6, 3, 32, 32))
    optimiser = torch.optim.SGD([pixels], lr=0.1, momentum=0.5)
    losses = [method.step(pixels, optimiser, number) for number in range(60)]
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])
