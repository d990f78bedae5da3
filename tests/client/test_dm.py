import pytest
import torch
from torch import Tensor, nn

from medforge.base import BaseModule
from medforge.client.distill.dm import DistributionMatching, matching_loss
from medforge.client.distill.dsa import augment, draw
from medforge.client.distill.extractor import random_deltas
from medforge.client.distill.real import RealImages, class_means
from medforge.seeds import generator
from tests.client.tasks import DISTILL, make_task


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_loss_is_the_sum_of_squared_distances_of_class_means() -> None:
    real, learned = noise(7, 5, seed=1), noise(6, 5, seed=2)
    expected = 0.0
    for real_part, learned_part in ((real[:3], learned[:2]), (real[3:], learned[2:])):
        for i in range(5):
            distance = sum(real_part[:, i].tolist()) / len(real_part) - sum(learned_part[:, i].tolist()) / len(
                learned_part
            )
            expected += distance**2
    loss = matching_loss(class_means(real, [3, 4]), class_means(learned, [2, 4]))
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_a_step_equals_the_direct_transcription(tiny_base: BaseModule) -> None:
    task = make_task()
    method = DistributionMatching(tiny_base, task, DISTILL, seed=11)
    start = noise(6, 3, 32, 32)
    pixels = nn.Parameter(start.clone())
    loss = method.step(pixels, torch.optim.SGD([pixels], lr=DISTILL.pixel_lr), number=4)

    chance = generator(11, "distill", "step", 4)
    real = RealImages(tiny_base, task).draw(DISTILL.real_batch, chance)
    deltas = random_deltas(tiny_base, DISTILL.extractor_rank, DISTILL.extractor_scale, chance)
    operations = [draw(chance, DISTILL.strategy, DISTILL.ranges) for _ in task.prompts]
    learned = start.clone().requires_grad_()
    expected = torch.zeros(())
    for c, operation in enumerate(operations):
        real_features = [tiny_base.embed(augment(x[None], operation), deltas)[0] for x in real[c]]
        own = learned[c * DISTILL.ipc : (c + 1) * DISTILL.ipc]
        own_features = [tiny_base.embed(augment(x[None], operation), deltas)[0] for x in own]
        difference = sum(real_features) / len(real_features) - sum(own_features) / len(own_features)
        expected = expected + (difference**2).sum()
    expected.backward()
    assert learned.grad is not None
    assert loss == pytest.approx(float(expected.detach()), rel=1e-4)
    torch.testing.assert_close(pixels.detach(), start - DISTILL.pixel_lr * learned.grad, atol=1e-4, rtol=1e-3)


def test_steps_bring_the_class_means_together(tiny_base: BaseModule) -> None:
    method = DistributionMatching(tiny_base, make_task(), DISTILL, seed=0)
    pixels = nn.Parameter(noise(6, 3, 32, 32))
    optimiser = torch.optim.SGD([pixels], lr=DISTILL.pixel_lr, momentum=0.5)
    losses = [method.step(pixels, optimiser, number) for number in range(40)]
    assert sum(losses[-10:]) < 0.5 * sum(losses[:10])


def test_frozen_weights_get_no_gradient(tiny_base: BaseModule) -> None:
    pixels = nn.Parameter(noise(6, 3, 32, 32))
    DistributionMatching(tiny_base, make_task(), DISTILL, 0).step(pixels, torch.optim.SGD([pixels], lr=1.0), 0)
    assert pixels.grad is not None
    assert all(parameter.grad is None for parameter in tiny_base.parameters())


def test_random_plugins_have_the_asked_size_and_are_fresh(tiny_base: BaseModule) -> None:
    first = random_deltas(tiny_base, 8, 0.2, generator(0, "step", 1))
    again = random_deltas(tiny_base, 8, 0.2, generator(0, "step", 1))
    second = random_deltas(tiny_base, 8, 0.2, generator(0, "step", 2))
    assert first.keys() == set(tiny_base.sites)
    for site, delta in first.items():
        assert float(delta.norm() / tiny_base.weight(site).norm()) == pytest.approx(0.2, rel=0.35)
        assert torch.equal(delta, again[site])
        assert not torch.equal(delta, second[site])


def test_a_random_plugin_perturbs_features_and_does_not_destroy_them(tiny_base: BaseModule) -> None:
    images = noise(16, 3, 32, 32)
    plain = tiny_base.embed(images)
    perturbed = tiny_base.embed(images, random_deltas(tiny_base, 8, 0.2, generator(0, "extractor")))
    similarity = torch.cosine_similarity(plain, perturbed, dim=1)
    assert 0.5 < float(similarity.mean()) < 0.999
    unchanged = tiny_base.embed(images, random_deltas(tiny_base, 8, 0.0, generator(0, "extractor")))
    torch.testing.assert_close(unchanged, plain)


def test_real_batches_are_of_their_class_without_repetition(tiny_base: BaseModule) -> None:
    task = make_task(train=10)
    images = tiny_base.normalise(task.train.images[:])
    batches = RealImages(tiny_base, task).draw(4, generator(0, "draw"))
    for label, batch in enumerate(batches):
        places = [int((images == image).flatten(1).all(dim=1).nonzero()) for image in batch]
        assert len(set(places)) == 4
        assert all(int(task.train.labels[place]) == label for place in places)
    assert [len(batch) for batch in RealImages(tiny_base, task).draw(100, generator(0, "draw"))] == [5, 5]
