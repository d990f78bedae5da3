"""Scores on the test splits: a centre's own plugin, the base module alone, and every main branch.

Everything expensive is done by `prepare_*`, generators that stop after each batch of images: the run loop advances them
while a core is idle, and once they are exhausted the scores are a matter of adding cached numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from medforge.base import BaseModule, batches
from medforge.client.data.task import Task
from medforge.forge_item import ForgeItem, Mixture
from medforge.gate import PrototypeGate
from medforge.metrics import score
from medforge.mixing import mix
from medforge.plugin import Plugin
from medforge.simulation.result import Score

BATCH = 32


@dataclass
class Rows:
    """Hold a tensor with one row for each test image, and the mask [n] of the rows computed so far."""

    values: Tensor
    known: Tensor

    @classmethod
    def empty(cls, count: int, width: int) -> Rows:
        """Start with no row computed."""
        return cls(torch.zeros(count, width), torch.zeros(count, dtype=torch.bool))


@dataclass
class Evaluator:
    """Score plugins and forge items on the test splits of named tasks.

    Each plugin sees each test image at most once, whatever the number of rounds; under a gate it sees only the images
    that the gate gives it. `forwards` counts images that went through the visual tower.
    """

    base: BaseModule
    tasks: Mapping[str, Task]
    forwards: int = 0
    _rows: dict[tuple[str, str], Rows] = field(default_factory=dict)

    def prepare_base(self, name: str) -> Iterator[None]:
        """Embed a task's test images with the base alone, a batch at a time."""
        rows = self._of(name, "base", self.base.embed_dim)
        return self._fill(name, rows, None, self.base.embed)

    def prepare_plugin(self, name: str, plugin: Plugin, wanted: Tensor | None = None) -> Iterator[None]:
        """Compute one plugin's class logits on a task's test images (of the mask `wanted` [n]), a batch at a time."""
        prompts = self.tasks[name].prompts
        deltas = plugin.deltas(self.base)
        rows = self._of(name, plugin.digest, len(prompts))
        return self._fill(name, rows, wanted, lambda x: self.base.logits(self.base.embed(x, deltas), prompts))

    def prepare_item(self, name: str, item: ForgeItem) -> Iterator[None]:
        """Compute whatever scoring `item` on this task still needs, a batch at a time."""
        if isinstance(item, Mixture) and item.gate is not None:
            yield from self.prepare_base(name)
            choice = self._choice(name, item.gate)
            for index, member in enumerate(item.members):
                yield from self.prepare_plugin(name, member.plugin, choice == index)
        elif isinstance(item, Mixture) and item.level == "output":
            for member in item.members:
                yield from self.prepare_plugin(name, member.plugin)
        else:
            prompts = self.tasks[name].prompts
            rows = self._of(name, item.digest, len(prompts))
            yield from self._fill(name, rows, None, lambda x: item.logits(self.base, x, prompts))

    def score_base(self, name: str) -> Score:
        """Score the base module alone on a task."""
        _exhaust(self.prepare_base(name))
        return self._score(name, self.base.logits(self._embeddings(name), self.tasks[name].prompts))

    def score_plugin(self, name: str, plugin: Plugin) -> Score:
        """Score one plugin on a task."""
        _exhaust(self.prepare_plugin(name, plugin))
        return self._score(name, self._rows[name, plugin.digest].values)

    def score_item(self, name: str, item: ForgeItem) -> Score:
        """Score a forge item on a task."""
        _exhaust(self.prepare_item(name, item))
        return self._score(name, self._item_logits(name, item))

    def chosen(self, name: str, gate: PrototypeGate) -> Tensor:
        """Count for each member the images [K] of a task's test split that the gate gives to it."""
        _exhaust(self.prepare_base(name))
        return torch.bincount(self._choice(name, gate), minlength=gate.members)

    def _item_logits(self, name: str, item: ForgeItem) -> Tensor:
        if isinstance(item, Mixture) and item.gate is not None:
            outputs = torch.stack([self._rows[name, member.plugin.digest].values for member in item.members])
            choice = self._choice(name, item.gate)
            return outputs[choice, torch.arange(len(choice))]
        if isinstance(item, Mixture) and item.level == "output":
            outputs = torch.stack([self._rows[name, member.plugin.digest].values for member in item.members])
            return mix(outputs.softmax(dim=-1), item.coefficients)
        return self._rows[name, item.digest].values

    def _embeddings(self, name: str) -> Tensor:
        return self._rows[name, "base"].values.to(self.base.device)

    def _choice(self, name: str, gate: PrototypeGate) -> Tensor:
        return gate.choose(self._embeddings(name)).cpu()

    def _of(self, name: str, key: str, width: int) -> Rows:
        return self._rows.setdefault((name, key), Rows.empty(len(self.tasks[name].test), width))

    def _fill(
        self, name: str, rows: Rows, wanted: Tensor | None, network: Callable[[Tensor], Tensor]
    ) -> Iterator[None]:
        missing = ~rows.known if wanted is None else wanted & ~rows.known
        places = missing.nonzero().flatten()
        for part in (places[cut] for cut in batches(len(places), BATCH)):
            images = self.base.normalise(self.tasks[name].test.images[part])
            with torch.no_grad():
                rows.values[part] = network(images).float().cpu()
            rows.known[part] = True
            self.forwards += len(part)
            yield

    def _score(self, name: str, logits: Tensor) -> Score:
        task = self.tasks[name]
        metrics = score(logits, task.test.labels, task.scoring_groups(task.test))
        return Score(acc=metrics.acc, auc=metrics.auc)


def _exhaust(work: Iterator[None]) -> None:
    for _ in work:
        pass
