"""Make branches that mean something on a very small base module: learned images, and plugins trained on them."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from medforge.adapt import adapt, extract
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.distilled import DistilledDataset
from medforge.plugin import Plugin, PluginSettings
from medforge.seeds import derive, generator

SETTINGS = PluginSettings(rank=2, alpha=4, dropout=0)


@cache
def patterns(
    base: BaseModule, task: str, ipc: int = 8, seed: int = 0, classes: int = 2, known: bool = False
) -> DistilledDataset:
    """Images of a coarse pattern for each class, each with noise of its own.

    With ``known`` they are changed until the base module sees in them what the prompts say.
    """
    prompts = tuple(f"{word} {task}" for word in ("benign", "malignant", "doubtful")[:classes])
    coarse = torch.rand(classes, 3, 4, 4, generator=generator(0, "patterns", task))
    labels = torch.arange(classes).repeat_interleave(ipc)
    pixels = F.interpolate(coarse, size=base.image_size, mode="nearest")[labels]
    pixels = pixels + 0.1 * torch.randn(pixels.shape, generator=generator(seed, "noise", task))
    if known:
        pixels = _towards(base, pixels, labels, prompts)
    return DistilledDataset(_normalised(base, pixels), labels, prompts)


def trained_on(base: BaseModule, *datasets: DistilledDataset, seed: int = 0, steps: int = 30) -> Plugin:
    """A plugin that tells the classes of these images."""
    model = adapt(base, SETTINGS, derive(seed, "plugin"))
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.02)
    for _ in range(steps):
        loss = torch.stack([_loss(base, model(one.images.float()), one) for one in datasets]).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return extract(model, base, SETTINGS)


def branch_of(
    base: BaseModule, plugin: Plugin, dataset: DistilledDataset, task: str, contributor: str = "centre"
) -> Branch:
    return Branch.build(
        plugin,
        dataset,
        contributor=contributor,
        task=task,
        base=base,
        training_images=10,
        recipe="test",
        seed=0,
        validation={},
    )


@cache
def honest(base: BaseModule, task: str, contributor: str = "centre", seed: int = 0, known: bool = False) -> Branch:
    dataset = patterns(base, task, seed=seed, known=known)
    return branch_of(base, trained_on(base, dataset, seed=seed), dataset, task, contributor)


def exchanged(dataset: DistilledDataset) -> DistilledDataset:
    return replace(dataset, labels=(dataset.labels + 1) % len(dataset.prompts))


def noise(base: BaseModule, like: DistilledDataset, seed: int = 0) -> DistilledDataset:
    pixels = torch.rand(like.images.shape, generator=generator(seed, "only noise"))
    return replace(like, images=_normalised(base, pixels))


def scaled(plugin: Plugin, factor: float) -> Plugin:
    return replace(
        plugin, factors={site: replace(pair, up=factor * pair.up) for site, pair in sorted(plugin.factors.items())}
    )


def _loss(base: BaseModule, embeddings: Tensor, dataset: DistilledDataset) -> Tensor:
    return F.cross_entropy(base.logits(embeddings, dataset.prompts), dataset.labels)


def _normalised(base: BaseModule, pixels: Tensor) -> Tensor:
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in (base.mean, base.std))
    return ((pixels.clamp(0, 1) - mean) / std).to(torch.float16)


def _towards(base: BaseModule, pixels: Tensor, labels: Tensor, prompts: Sequence[str]) -> Tensor:
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in (base.mean, base.std))
    pixels = pixels.clone().requires_grad_(True)
    optimiser = torch.optim.Adam([pixels], lr=0.03)
    for _ in range(40):
        loss = F.cross_entropy(base.logits(base.embed((pixels.clamp(0, 1) - mean) / std), prompts), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return pixels.detach()
