import pytest
import torch
import torch.nn.functional as F
from torch import nn

from medforge.base import BaseModule
from medforge.client.distill.lgm import LinearGradientMatching, linear_gradient
from medforge.seeds import generator
from tests.client.tasks import DISTILL, make_task


def test_the_gradient_is_autograds() -> None:
    chance = torch.Generator().manual_seed(0)
    features, weights = torch.randn(9, 5, generator=chance), torch.randn(3, 5, generator=chance).requires_grad_()
    labels = torch.arange(9) % 3
    (expected,) = torch.autograd.grad(F.cross_entropy(features @ weights.T, labels), weights)
    torch.testing.assert_close(linear_gradient(features, labels, weights.detach()), expected)


def test_a_step_equals_the_direct_transcription(tiny_base: BaseModule) -> None:
    task = make_task()
    start = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    pixels, learned = nn.Parameter(start.clone()), start.clone().requires_grad_()
    method = LinearGradientMatching(tiny_base, task, DISTILL, seed=11)
    loss = method.step(pixels, torch.optim.SGD([pixels], lr=100.0), number=4)

    drawn = torch.randn(2, tiny_base.embed_dim, generator=generator(11, "distill", "step", 4))
    weights = (drawn / tiny_base.embed_dim**0.5).requires_grad_()
    gradients = []
    for images, labels in (
        (tiny_base.normalise(task.train.images[:]), task.train.labels),
        (learned, torch.tensor([0, 0, 0, 1, 1, 1])),
    ):
        cross_entropy = F.cross_entropy(tiny_base.embed(images) @ weights.T, labels)
        gradients.append(torch.autograd.grad(cross_entropy, weights, create_graph=True)[0])
    theirs, ours = gradients
    expected = 1 - (theirs.detach() * ours).sum() / (theirs.detach().norm() * ours.norm())
    expected.backward()
    assert learned.grad is not None
    assert loss == pytest.approx(float(expected.detach()), rel=1e-4, abs=1e-6)
    torch.testing.assert_close((start - pixels.detach()) / 100, learned.grad, atol=1e-6, rtol=1e-2)


def test_steps_bring_the_gradients_together(tiny_base: BaseModule) -> None:
    method = LinearGradientMatching(tiny_base, make_task(), DISTILL, seed=0)
    pixels = nn.Parameter(torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(1)))
    optimiser = torch.optim.Adam([pixels], lr=0.02)
    losses = [method.step(pixels, optimiser, number) for number in range(40)]
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])
