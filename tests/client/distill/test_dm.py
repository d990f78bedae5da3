import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from medforge.base import BaseModule
from medforge.client.distill.dm import DistributionMatching, matching_loss
from medforge.client.distill.dsa import augment, draw
from medforge.client.distill.extractor import random_deltas
from medforge.client.distill.real import ControlVariate, RealImages, class_means
from medforge.client.distill.run import distill
from medforge.client.recipes import TINY, change_recipe
from medforge.client.train import train
from medforge.errors import InvalidInput
from medforge.seeds import generator
from tests.client.tasks import DISTILL, TRAIN, make_task
from tests.making import make_plugin


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


@pytest.mark.parametrize("control_variate", [False, True])
@pytest.mark.parametrize("every", [0, 2, 5])
def test_a_step_equals_the_direct_transcription(tiny_base: BaseModule, control_variate: bool, every: int) -> None:
    task, plugin = make_task(), make_plugin(tiny_base)
    recipe = DISTILL.model_copy(update={"control_variate": control_variate, "own_plugin_every": every})
    method = DistributionMatching(tiny_base, task, recipe, 11, plugin)
    start = noise(6, 3, 32, 32)
    pixels = nn.Parameter(start.clone())
    loss = method.step(pixels, torch.optim.SGD([pixels], lr=DISTILL.pixel_lr), number=4)

    chance = generator(11, "distill", "step", 4)
    real = RealImages(tiny_base, task).draw(DISTILL.real_batch, chance)
    deltas = random_deltas(tiny_base, DISTILL.extractor_rank, DISTILL.extractor_scale, chance)
    # the fifth step, number 4, is the first that carries the plugin when every fifth does; the second of two is not
    own_plugin = plugin.deltas(tiny_base) if every == 5 else None
    if own_plugin:
        deltas = {site: delta + own_plugin[site] for site, delta in deltas.items()}
    operations = [draw(chance, DISTILL.strategy, DISTILL.ranges) for _ in task.prompts]
    learned = start.clone().requires_grad_()
    expected, unit = torch.zeros(()), 1.0
    if own_plugin:
        spreads = []
        for deltas_of in (None, own_plugin):
            rows = [tiny_base.embed(tiny_base.normalise(task.train.images[i : i + 1]), deltas_of)[0] for i in range(24)]
            means = [sum(r for r, y in zip(rows, task.train.labels, strict=True) if y == c) / 12 for c in range(2)]
            distances = [float((r - means[y]).square().sum()) for r, y in zip(rows, task.train.labels, strict=True)]
            spreads.append(sum(distances) / 24)
        unit = spreads[0] / spreads[1]
    for c, operation in enumerate(operations):
        real_features = [tiny_base.embed(augment(x[None], operation), deltas)[0] for x in real[c]]
        if control_variate:
            images = tiny_base.normalise(task.train.images[task.train.labels == c])
            known = sum(tiny_base.embed(x[None], own_plugin)[0] for x in images) / len(images)
            real_features = [
                feature - tiny_base.embed(x[None], own_plugin)[0] + known
                for feature, x in zip(real_features, real[c], strict=True)
            ]
        own = learned[c * DISTILL.ipc : (c + 1) * DISTILL.ipc]
        own_features = [tiny_base.embed(augment(x[None], operation), deltas)[0] for x in own]
        difference = sum(real_features) / len(real_features) - sum(own_features) / len(own_features)
        expected = expected + unit * (difference**2).sum()
    expected.backward()
    assert learned.grad is not None
    assert loss == pytest.approx(float(expected.detach()), rel=1e-4)
    torch.testing.assert_close(pixels.detach(), start - DISTILL.pixel_lr * learned.grad, atol=1e-4, rtol=1e-3)


def test_a_recipe_that_wants_the_own_plugin_says_so(tiny_base: BaseModule) -> None:
    with pytest.raises(InvalidInput, match=r"train it first.*own_plugin_every=0"):
        DistributionMatching(tiny_base, make_task(), DISTILL.model_copy(update={"own_plugin_every": 3}), seed=0)
    with pytest.raises(
        InvalidInput, match="^gradient matching distils without .* choose it with --distillation dc-dsa"
    ):
        change_recipe(TINY, ["distill.method=dc-dsa"])


def test_with_the_own_plugin_learned_images_are_what_it_takes_them_for(tiny_base: BaseModule) -> None:
    task = make_task()
    plugin = train(tiny_base, task, TRAIN, seed=0).plugin
    losses = {}
    for every in (0, 2):
        recipe = DISTILL.model_copy(update={"own_plugin_every": every, "pixel_lr": 5.0, "steps": 40})
        images = distill(tiny_base, task, recipe, seed=0, plugin=plugin).dataset
        logits = tiny_base.logits(tiny_base.embed_all(images.images, plugin.deltas(tiny_base)), images.prompts)
        losses[every] = float(cross_entropy(logits, images.labels))
    assert losses[2] < losses[0]


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


def test_the_control_variate_is_exact_for_the_bare_base(tiny_base: BaseModule) -> None:
    """Without augmentation and plugin, any batch gives the mean over all images of the class."""
    task = make_task(train=20)
    real = RealImages(tiny_base, task)
    every = tiny_base.embed(tiny_base.normalise(task.train.images[:]))
    expected = torch.stack([every[task.train.labels == c].mean(dim=0) for c in (0, 1)])
    for size in (1, 3, 10):
        chosen = real.choose(size, generator(0, "draw", size))
        estimate = class_means(tiny_base.embed(torch.cat(real.images(chosen))), [size, size])
        if size < 10:
            assert not torch.allclose(estimate, expected, atol=1e-3)
        corrected = estimate + ControlVariate(tiny_base, task).correction(chosen)
        torch.testing.assert_close(corrected, expected, atol=1e-5, rtol=1e-4)


def test_the_control_variate_changes_variance_and_not_expectation(tiny_base: BaseModule) -> None:
    task = make_task(train=40)
    real, control = RealImages(tiny_base, task), ControlVariate(tiny_base, task)
    chance = generator(0, "extractor")
    deltas = random_deltas(tiny_base, 8, 0.05, chance)
    drawn = draw(chance, "color", DISTILL.ranges)
    embeddings = tiny_base.embed(augment(tiny_base.normalise(task.train.images[:]), drawn), deltas)
    expected = torch.stack([embeddings[task.train.labels == c].mean(dim=0) for c in (0, 1)])
    plain, corrected = [], []
    for _ in range(500):
        chosen = real.choose(4, chance)
        plain.append(class_means(embeddings[torch.cat(chosen)], [4, 4]))
        corrected.append(plain[-1] + control.correction(chosen))
    spread = {name: torch.stack(e).std(dim=0) for name, e in (("plain", plain), ("corrected", corrected))}
    error = (torch.stack(corrected).mean(dim=0) - expected).abs()
    assert (error < 5 * spread["corrected"] / 500**0.5).all()
    assert float(spread["corrected"].square().sum()) < 0.8 * float(spread["plain"].square().sum())
