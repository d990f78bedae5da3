"""Score a model, a plugin or a forge item on one split of a task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Literal

import torch
from torch import Tensor, nn

from medforge.base import BaseModule, batches
from medforge.client.data.task import Split, Task
from medforge.errors import BaseMismatch
from medforge.forge_item import ForgeItem, Mixture
from medforge.metrics import Metrics, score
from medforge.multi_label import log_odds, mix_pairs
from medforge.plugin import Plugin
from medforge.progress import Progress

SplitName = Literal["train", "validation", "test"]

# Images in one forward pass; changes memory and time, not the numbers.
_BATCH = 64


def score_model(model: nn.Module, base: BaseModule, task: Task, split: SplitName) -> Metrics:
    """Score a PEFT model made by `medforge.adapt.adapt`, without dropout; its training mode is put back afterwards."""
    training = model.training
    model.eval()
    try:
        return _score(base, task, split, lambda images: base.logits(model(images), task.texts))
    finally:
        model.train(training)


def score_plugin(
    plugin: Plugin, base: BaseModule, task: Task, split: SplitName, progress: Progress | None = None
) -> Metrics:
    """Score the base with one plugin. Raises BaseMismatch for a plugin trained on another base."""
    if plugin.base_fingerprint != base.fingerprint:
        raise BaseMismatch("the plugin was trained on another base module; give the one it was trained on with --base")
    deltas = plugin.deltas(base)
    return _score(base, task, split, lambda images: base.logits(base.embed(images, deltas), task.texts), progress)


def score_base(base: BaseModule, task: Task, split: SplitName) -> Metrics:
    """Score the bare base with the task's prompts (zero-shot)."""
    return _score(base, task, split, lambda images: base.logits(base.embed(images), task.texts))


def score_item(
    item: ForgeItem, base: BaseModule, task: Task, split: SplitName, progress: Progress | None = None
) -> Metrics:
    """Score a merged model. Raises BaseMismatch for an item merged on another base."""
    item.check(base)
    if task.multi_label and isinstance(item, Mixture) and item.level == "output" and item.gate is None:
        return _score(base, task, split, lambda images: _mixed_pairs(item, base, images, task.texts), progress)
    return _score(base, task, split, lambda images: item.logits(base, images, task.texts), progress)


def score_split(
    logits: Callable[[Tensor], Tensor],
    base: BaseModule,
    split: Split,
    by_group: bool,
    progress: Progress | None = None,
) -> Metrics:
    """Score `logits`, a function of normalised images, on a split; by group (slide) where `by_group`.

    It returns class logits [n, C], or log-odds [n, L] for labels [n, L].
    """
    outputs = []
    with torch.no_grad(), nullcontext() if progress is None else progress as bar:
        for part in batches(len(split), _BATCH):
            outputs.append(logits(base.normalise(split.images[part])).float().cpu())
            if bar is not None:
                bar.advance(len(outputs[-1]))
    return score(torch.cat(outputs), split.labels, split.groups if by_group else None)


def _score(
    base: BaseModule,
    task: Task,
    split: SplitName,
    logits: Callable[[Tensor], Tensor],
    progress: Progress | None = None,
) -> Metrics:
    chosen = task.splits[split]
    scored = (lambda images: log_odds(logits(images))) if task.multi_label else logits
    return score_split(scored, base, chosen, task.scoring_groups(chosen) is not None, progress)


def _mixed_pairs(mixture: Mixture, base: BaseModule, images: Tensor, prompts: Sequence[str]) -> Tensor:
    members = [base.logits(base.embed_all(images, m.plugin.deltas(base)), prompts) for m in mixture.members]
    return mix_pairs(torch.stack(members), mixture.coefficients)
