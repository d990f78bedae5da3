"""Make small random artefacts with real shapes."""

from dataclasses import replace
from typing import Any

import torch

from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.distilled import DistilledDataset
from medforge.plugin import Factors, Plugin, PluginKind, PluginSettings


def make_plugin(
    base: BaseModule, seed: int = 0, rank: int = 2, alpha: float = 4.0, size: float = 0.3, kind: PluginKind = "lora"
) -> Plugin:
    random = torch.Generator().manual_seed(seed)
    factors = {}
    for site in base.sites:
        rows, columns = base.site_shape(site)
        down = size * torch.randn(rank, columns, generator=random)
        up = size * torch.randn(rows, rank, generator=random)
        # drawn for every kind, so that a lora and a dora of one seed share their factors
        longer = 1 + size * torch.rand(rows, generator=random)
        magnitude = longer * base.weight(site).float().norm(dim=1) if kind == "dora" else None
        diagonal = torch.linspace(-0.7, 1.3, rank) if kind == "svd-lora" else None
        factors[site] = Factors(down, up, magnitude, diagonal)
    return Plugin(PluginSettings(kind=kind, rank=rank, alpha=alpha), base.fingerprint, factors)


def make_ragged(base: BaseModule) -> Plugin:
    """An SVD-LoRA of rank 3 that has rank 1 at one site, 2 at another."""
    ranks = {base.sites[0]: 1, base.sites[-1]: 2}
    whole = make_plugin(base, rank=3, alpha=6.0, kind="svd-lora")
    factors = {
        site: replace(f, down=f.down[:rank], up=f.up[:, :rank], diagonal=f.diagonal[:rank])
        for site, f in whole.factors.items()
        if f.diagonal is not None
        for rank in [ranks.get(site, 3)]
    }
    return replace(whole, settings=whole.settings.model_copy(update={"ranks": ranks}), factors=factors)


def make_distilled(
    base: BaseModule, seed: int = 0, ipc: int = 2, prompts: tuple[str, ...] = ("benign tissue", "malignant tissue")
) -> DistilledDataset:
    random = torch.Generator().manual_seed(seed)
    size, count = base.image_size, ipc * len(prompts)
    images = torch.randn(count, 3, size, size, generator=random).to(torch.float16)
    return DistilledDataset(images, torch.arange(len(prompts)).repeat_interleave(ipc), prompts)


def make_branch(
    base: BaseModule, seed: int = 0, task: str = "task", contributor: str = "centre", ipc: int = 2, **plugin: Any
) -> Branch:
    return branch_around(base, make_plugin(base, seed, **plugin), seed, task, contributor, ipc)


def branch_around(
    base: BaseModule, plugin: Plugin, seed: int = 0, task: str = "task", contributor: str = "centre", ipc: int = 2
) -> Branch:
    return Branch.build(
        plugin,
        make_distilled(base, seed, ipc, prompts=(f"benign {task}", f"malignant {task}")),
        contributor=contributor,
        task=task,
        base=base,
        training_images=10,
        recipe="test",
        seed=seed,
        validation={"acc": 0.5},
    )
