"""Score a model, a plugin or a forge item on one split of a task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from medforge.base import BaseModule, batches
from medforge.client.data.split_names import SplitName
from medforge.client.data.task import Split, Task
from medforge.encoder import Encoder
from medforge.errors import BaseMismatch
from medforge.forge_item import ForgeItem, Mixture, Routed
from medforge.memory import memory_to_keep
from medforge.metrics import Metrics, score
from medforge.multi_label import log_odds, mix_pairs
from medforge.plugin import Plugin
from medforge.progress import Progress

# Images in one forward pass; changes memory and time, not the numbers.
_BATCH = 64

Answer = Callable[[Tensor], Tensor]
"""From normalised images to class logits [n, C], or to log-odds [n, L] of findings."""


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
    return _score(base, task, split, plugin_logits(plugin, base, task.texts), progress)


def score_base(base: BaseModule, task: Task, split: SplitName) -> Metrics:
    """Score the bare base with the task's prompts (zero-shot)."""
    return _score(base, task, split, lambda images: base.logits(base.embed(images), task.texts))


def score_item(
    item: ForgeItem, base: BaseModule, task: Task, split: SplitName, progress: Progress | None = None
) -> Metrics:
    """Score a merged model. Raises BaseMismatch for an item merged on another base."""
    return _score(base, task, split, item_logits(item, base, task.texts, task.multi_label), progress)


def plugin_logits(plugin: Plugin, base: BaseModule, prompts: Sequence[str]) -> Answer:
    """Return what the base with one plugin answers to prompts. Raises BaseMismatch as `score_plugin` does."""
    if plugin.base_fingerprint != base.fingerprint:
        raise BaseMismatch("the plugin was trained on another base module; give the one it was trained on with --base")
    deltas = plugin.deltas(base)
    return lambda images: base.logits(base.embed(images, deltas), prompts)


def item_logits(item: ForgeItem, base: BaseModule, prompts: Sequence[str], multi_label: bool = False) -> Answer:
    """Return what a merged model answers to prompts. Raises BaseMismatch as `score_item` does."""
    item.check(base)
    if multi_label and isinstance(item, Mixture) and item.level == "output" and item.gate is None:
        return lambda images: _mixed_pairs(item, base, images, prompts)
    if isinstance(item, Routed):
        encoder = Encoder(base, memory_to_keep(base.device))
        return lambda images: item.logits(base, images, prompts, encoder)
    return lambda images: item.logits(base, images, prompts)


def score_split(
    logits: Answer, base: BaseModule, split: Split, by_group: bool, progress: Progress | None = None
) -> Metrics:
    """Score what is answered on a split; by group (slide) where `by_group`."""
    return score(answers_on(logits, base, split, progress), split.labels, split.groups if by_group else None)


def answers_on(answer: Answer, base: BaseModule, split: Split, progress: Progress | None = None) -> Tensor:
    """Return what is answered to all images of a split, float32 on the CPU, a batch at a time."""
    outputs = []
    with torch.no_grad(), nullcontext() if progress is None else progress as bar:
        for part in batches(len(split), _BATCH):
            outputs.append(answer(base.normalise(split.images[part])).float().cpu())
            if bar is not None:
                bar.advance(len(outputs[-1]))
    return torch.cat(outputs)


def of_findings(logits: Answer) -> Answer:
    """Turn similarity logits [n, 2L] of a multi-label task into log-odds [n, L]."""
    return lambda images: log_odds(logits(images))


def _score(base: BaseModule, task: Task, split: SplitName, logits: Answer, progress: Progress | None = None) -> Metrics:
    chosen = task.splits[split]
    scored = of_findings(logits) if task.multi_label else logits
    return score_split(scored, base, chosen, task.scoring_groups(chosen) is not None, progress)


def _mixed_pairs(mixture: Mixture, base: BaseModule, images: Tensor, prompts: Sequence[str]) -> Tensor:
    members = [base.logits(base.embed_all(images, m.plugin.deltas(base)), prompts) for m in mixture.members]
    return mix_pairs(torch.stack(members), mixture.coefficients)
