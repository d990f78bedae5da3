"""Attacks that need no plan: what an honest centre would send, with one thing wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from benchmarks.poisoning.material import Material
from medforge.distilled import DistilledDataset
from medforge.plugin import Factors, Plugin
from medforge.seeds import generator

Sent = tuple[Plugin, DistilledDataset] | None
"""A plugin and a distilled dataset; None where the material at hand makes none."""


def honest(material: Material) -> Sent:
    """Send what an honest centre sends."""
    return material.honest.plugin, material.honest.distilled


def exchanged_labels(material: Material) -> Sent:
    """Return every distilled image the next class's label."""
    return material.honest.plugin, exchanged(material.honest.distilled)


def exchanged_everywhere(material: Material) -> Sent:
    """Exchange the labels of the distilled images, and send a plugin that was trained on exchanged labels too."""
    return material.exchanged, exchanged(material.honest.distilled)


def some_exchanged(material: Material) -> Sent:
    """Exchange the labels of every third distilled image of each class."""
    distilled = material.honest.distilled
    places = torch.empty_like(distilled.labels)
    for label in range(len(distilled.prompts)):
        of_class = distilled.labels == label
        places[of_class] = torch.arange(int(of_class.sum()))
    third = places % 3 == 0
    labels = torch.where(third, exchanged(distilled).labels, distilled.labels)
    return material.honest.plugin, replace(distilled, labels=labels)


def scaled(material: Material, factor: float) -> Sent:
    """Send a plugin whose weight change is so many times the honest one."""
    plugin = material.honest.plugin
    factors = {site: replace(pair, up=factor * pair.up) for site, pair in plugin.factors.items()}
    return replace(plugin, factors=factors), material.honest.distilled


def random_plugin(material: Material) -> Sent:
    """Send random factors of the honest ones' norms."""
    random = generator(material.seed, "poisoning", material.task)

    def like(tensor: Tensor) -> Tensor:
        drawn = torch.randn(tensor.shape, generator=random)
        scaled: Tensor = drawn * tensor.norm() / drawn.norm()
        return scaled

    plugin = material.honest.plugin
    factors = {site: Factors(like(pair.down), like(pair.up)) for site, pair in sorted(plugin.factors.items())}
    return replace(plugin, factors=factors), material.honest.distilled


def of_another_task(material: Material) -> Sent:
    """Send the plugin of another task."""
    other = material.other(2)
    return (other.honest.plugin, material.honest.distilled) if other else None


def noise(material: Material) -> Sent:
    """Send uniform noise as distilled images."""
    return material.honest.plugin, noise_images(material)


def learned_noise(material: Material) -> Sent:
    """Send noise, and a plugin that was trained on it."""
    return material.trained_on(noise_images(material)), noise_images(material)


def imitation(material: Material) -> Sent:
    """Send another task's distilled images under this task's prompts, and a plugin that was trained on them."""
    classes = len(material.honest.distilled.prompts)
    other = material.other(classes)
    if other is None:
        return None
    theirs = other.honest.distilled
    kept = theirs.labels < classes
    dataset = replace(material.honest.distilled, images=theirs.images[kept], labels=theirs.labels[kept])
    return material.trained_on(dataset), dataset


PLAIN: dict[str, Callable[[Material], Sent]] = {
    "none (honest)": honest,
    "labels exchanged in S": exchanged_labels,
    "labels exchanged in S and in training": exchanged_everywhere,
    "every third label of S exchanged": some_exchanged,
    "plugin × 10": partial(scaled, factor=10),
    "plugin × 100": partial(scaled, factor=100),
    "random plugin": random_plugin,
    "plugin of another task": of_another_task,
    "noise as S": noise,
    "noise as S, plugin trained on it": learned_noise,
    "another task's S, plugin trained on it": imitation,
}


def exchanged(distilled: DistilledDataset) -> DistilledDataset:
    """Return the dataset with every label exchanged for the next class's."""
    return replace(distilled, labels=(distilled.labels + 1) % len(distilled.prompts))


def noise_images(material: Material) -> DistilledDataset:
    """Return uniform noise in the place of the distilled images."""
    distilled, base = material.honest.distilled, material.bench.base
    random = generator(material.seed, "poisoning", "noise", material.task)
    pixels = (256 * torch.rand(distilled.images.shape, generator=random)).to(torch.uint8)
    return replace(distilled, images=base.normalise(pixels).cpu().to(torch.float16))
