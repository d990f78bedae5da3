"""What an audit must know of a centre's own images, gathered in one pass over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from medforge.base import BaseModule, batches
from medforge.client.audit.distances import directions
from medforge.client.data.task import Task
from medforge.client.embeddings import Embeddings
from medforge.layouts import layouts
from medforge.plugin import Plugin
from medforge.progress import Progress

_BATCH = 64


@dataclass(frozen=True, eq=False)
class Gallery:
    """Hold what the attacks need of all images that a branch was made with: training images first, then validation.

    `layouts` [n, 768] and the base's `embeddings` [n, d] are float32, `base_loss` and `plugin_loss` [n] the
    cross-entropies without and with the plugin, `labels` and `groups` int64 [n]. Images of one patient or tile share a
    group; where none are known every image is its own. The test split is never looked at.
    """

    members: int
    layouts: Tensor
    embeddings: Tensor
    base_loss: Tensor
    plugin_loss: Tensor
    labels: Tensor
    groups: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def others(self) -> int:
        """Count the validation images."""
        return len(self) - self.members

    @cached_property
    def centre(self) -> Tensor:
        """Return the mean embedding of the training images [d]."""
        return self.embeddings[: self.members].mean(dim=0)

    @cached_property
    def features(self) -> Tensor:
        """Return the embeddings' directions from their centre, unit rows [n, d]."""
        return directions(self.embeddings, self.centre)


def survey(base: BaseModule, task: Task, plugin: Plugin, seen: Embeddings, bar: Progress) -> Gallery:
    """Look at every training and validation image once; `seen` is what the base makes of them, `bar` counts images."""
    deltas = plugin.deltas(base)
    rows: list[tuple[Tensor, ...]] = []
    for split, embedded in ((task.train, seen.train), (task.validation, seen.validation)):
        for part in batches(len(split), _BATCH):
            pixels, labels = split.images[part], split.labels[part].to(base.device)
            plain, changed = embedded[part].to(base.device), base.embed_all(base.normalise(pixels), deltas)
            losses = (
                F.cross_entropy(base.logits(one, task.prompts), labels, reduction="none") for one in (plain, changed)
            )
            rows.append((layouts(pixels), plain.cpu(), *(loss.cpu() for loss in losses)))
            bar.advance(len(pixels))
    small, embeddings, base_loss, plugin_loss = (torch.cat(column) for column in zip(*rows, strict=True))
    return Gallery(
        members=len(task.train),
        layouts=small,
        embeddings=embeddings,
        base_loss=base_loss,
        plugin_loss=plugin_loss,
        labels=torch.cat([task.train.labels, task.validation.labels]),
        groups=numbered(task.train.groups, task.validation.groups, len(embeddings)),
    )


def pictures(task: Task, positions: Sequence[int]) -> Tensor:
    """Return the images at these positions of a gallery as uint8 [k, 3, S, S]."""
    first = len(task.train)
    found = [task.train.images[[at]] if at < first else task.validation.images[[at - first]] for at in positions]
    return torch.cat(found)


def numbered(train: Sequence[str] | None, validation: Sequence[str] | None, count: int) -> Tensor:
    """Return numbers of the groups of training, then validation images, int64 [count]; each its own where unknown."""
    names = [*(train or ()), *(validation or ())]
    # with one group in all nothing would be left to compare an image with
    if len(names) != count or len(set(names)) < 2:
        return torch.arange(count)
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return torch.tensor([numbers[name] for name in names])
