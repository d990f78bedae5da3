"""The steps that fitting a plugin is made of, whether on real images or on a distilled dataset."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from medforge.adapt import orthogonality
from medforge.base import BaseModule
from medforge.client.recipe import TrainRecipe
from medforge.errors import MedForgeError
from medforge.multi_label import classification_loss
from medforge.seeds import derive


def make_optimiser(parameters: Sequence[nn.Parameter], recipe: TrainRecipe) -> torch.optim.Optimizer:
    """Build the recipe's optimiser over a plugin's parameters."""
    if recipe.optimiser == "adamw":
        return torch.optim.AdamW(parameters, lr=recipe.lr, weight_decay=recipe.weight_decay)
    return torch.optim.SGD(parameters, lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay)


def learning_rate(recipe: TrainRecipe, step: int, total: int) -> float:
    """Return the learning rate of step 0 … total−1.

    It rises linearly over the warm-up, then stays, or ("cosine") falls towards 0 (Loshchilov and Hutter, 2017).
    """
    rising = math.ceil(recipe.warmup * total)
    if step < rising:
        return recipe.lr * (step + 1) / (rising + 1)
    if recipe.schedule == "constant":
        return recipe.lr
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * (step - rising) / (total - rising)))


def fit_step(
    model: nn.Module,
    base: BaseModule,
    optimiser: torch.optim.Optimizer,
    images: Tensor,
    labels: Tensor,
    prompts: Sequence[str],
    recipe: TrainRecipe,
    lr: float,
) -> float:
    """Take one step on the cross-entropy of the similarity logits; return the cross-entropy before the step.

    An SVD-LoRA's orthogonality penalty is added by the recipe's weight, and is no part of what is returned. `images`
    [n, 3, S, S] are normalised, `labels` int64 [n], or [n, L] of 0 and 1. Raises MedForgeError when the loss is no
    longer finite.
    """
    for group in optimiser.param_groups:
        group["lr"] = lr
    loss = classification_loss(base.logits(model(images), prompts), labels)
    penalty = recipe.orthogonality if recipe.plugin.kind == "svd-lora" else 0.0
    total = loss + penalty * orthogonality(model) if penalty else loss
    if not torch.isfinite(total):
        raise MedForgeError(
            "training diverged (the loss is not finite); lower the rate, e.g. --recipe-set train.lr=1e-3"
        )
    optimiser.zero_grad(set_to_none=True)
    total.backward()
    if recipe.clip is not None:
        nn.utils.clip_grad_norm_([p for group in optimiser.param_groups for p in group["params"]], recipe.clip)
    optimiser.step()
    return float(loss.detach())


@contextmanager
def seeded(seed: int, *names: str | int) -> Iterator[None]:
    """Run with torch's global generators (dropout uses them) seeded for the named place; restore them afterwards."""
    devices = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(derive(seed, *names))
        yield


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the plugin's parameters by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
