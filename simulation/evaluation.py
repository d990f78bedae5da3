"""Scores on the test splits: a centre's own plugin, the base module alone, and every main branch.

Everything expensive is done by `prepare_*`, generators that stop after each batch of images: the run loop advances them
while a core is idle, and once they are exhausted the scores are a matter of adding cached numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

import torch
from torch import Tensor

from medforge.base import BaseModule, batches
from medforge.client.data.task import Task
from medforge.errors import InvalidInput
from medforge.forge_item import ForgeItem, FusedPlugin, Mixture, Routed
from medforge.mixing import mix
from medforge.multi_label import mix_pairs
from medforge.plugin import Plugin
from medforge.prototype_gate import PrototypeGate
from medforge.routed_task import Expert
from medforge.simulation.outputs import Outputs
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

    What is kept are embeddings, which belong to no prompts: each plugin sees each test image at most once, whatever
    the number of rounds and of prompt sets; under a gate or a router it sees only the images that it is given.
    `forwards` counts images that went through the visual tower.
    """

    base: BaseModule
    tasks: Mapping[str, Task]
    forwards: int = 0
    _rows: dict[tuple[str, str], Rows] = field(default_factory=dict)

    def prepare_base(self, name: str) -> Iterator[None]:
        """Embed a task's test images with the base alone, a batch at a time."""
        return self._fill(name, "base", dict)

    def prepare_plugin(self, name: str, plugin: Plugin, wanted: Tensor | None = None) -> Iterator[None]:
        """Embed a task's test images (of the mask `wanted` [n]) with one plugin, a batch at a time."""
        return self._fill(name, plugin.digest, lambda: plugin.deltas(self.base), wanted)

    def prepare_item(self, name: str, item: ForgeItem, prompts: Sequence[str] | None = None) -> Iterator[None]:
        """Compute whatever scoring `item` on this task still needs, a batch at a time (see `score_item`)."""
        if isinstance(item, Mixture) and item.gate is not None:
            yield from self.prepare_base(name)
            choice = self._choice(name, item.gate)
            for index, member in enumerate(item.members):
                yield from self.prepare_plugin(name, member.plugin, choice == index)
        elif isinstance(item, Mixture) and item.level == "output":
            for member in item.members:
                yield from self.prepare_plugin(name, member.plugin)
        elif isinstance(item, Routed):
            yield from self.prepare_base(name)
            embeddings = self._rows[name, "base"].values
            route = item.route(embeddings, self._prompts(name, prompts))
            for index, task in enumerate(route.tasks):
                rows = route.share(index)
                for share in task.divided(embeddings[rows]):
                    yield from self._prepare_expert(name, share.expert, rows[share.rows])
        else:
            yield from self._fill(name, _key(item), lambda: item.weight_change(self.base))

    def score_base(self, name: str, prompts: Sequence[str] | None = None) -> Score:
        """Score the base module alone on a task (see `score_item` for `prompts`)."""
        return self.base_outputs(name, prompts).score()

    def score_plugin(self, name: str, plugin: Plugin, prompts: Sequence[str] | None = None) -> Score:
        """Score one plugin on a task (see `score_item` for `prompts`)."""
        return self.plugin_outputs(name, plugin, prompts).score()

    def score_item(self, name: str, item: ForgeItem, prompts: Sequence[str] | None = None) -> Score:
        """Score a forge item on a task.

        The model chooses among `prompts`, which must hold the task's own; without them among the task's own alone.
        Raises InvalidInput for `prompts` with a multi-label task: a finding is told from its own two prompts alone.
        """
        return self.item_outputs(name, item, prompts).score()

    def base_outputs(self, name: str, prompts: Sequence[str] | None = None) -> Outputs:
        """Return what the base module alone answers (see `score_item` for `prompts`)."""
        asked = self._prompts(name, prompts)
        _exhaust(self.prepare_base(name))
        return self._outputs(name, self._logits(name, "base", asked), asked)

    def plugin_outputs(self, name: str, plugin: Plugin, prompts: Sequence[str] | None = None) -> Outputs:
        """Return what one plugin answers (see `score_item` for `prompts`)."""
        asked = self._prompts(name, prompts)
        _exhaust(self.prepare_plugin(name, plugin))
        return self._outputs(name, self._logits(name, plugin.digest, asked), asked)

    def item_outputs(self, name: str, item: ForgeItem, prompts: Sequence[str] | None = None) -> Outputs:
        """Return what a forge item answers (see `score_item` for `prompts`)."""
        asked = self._prompts(name, prompts)
        _exhaust(self.prepare_item(name, item, prompts))
        return self._outputs(name, self._item_logits(name, item, asked), asked)

    def forget(self, item: ForgeItem) -> None:
        """Drop what is kept for networks that this item alone has; centres' own plugins may be asked for again."""
        if isinstance(item, Routed):
            networks = [_key(task.expert) for task in item.tasks if len(task.card.members) > 1]
        else:
            networks = [_key(item)] if not isinstance(item, Mixture) or item.level == "layer" else []
        for name, key in product(self.tasks, networks):
            self._rows.pop((name, key), None)

    def chosen(self, name: str, gate: PrototypeGate) -> Tensor:
        """Count for each member the images [K] of a task's test split that the gate gives to it."""
        _exhaust(self.prepare_base(name))
        return torch.bincount(self._choice(name, gate), minlength=gate.members)

    def routed(self, name: str, item: Routed) -> Tensor:
        """Count for each of a model's tasks the images [T] of a task's test split that the router gives to it."""
        _exhaust(self.prepare_base(name))
        likeliest = item.route(self._rows[name, "base"].values).likeliest
        return torch.bincount(likeliest, minlength=len(item.tasks))

    def none_of_these(self, name: str, item: Routed) -> Tensor:
        """Say which images [n] of a task's test split lie further off than the likeliest task's own ever do."""
        _exhaust(self.prepare_base(name))
        embeddings = self._rows[name, "base"].values
        route = item.route(embeddings)
        found = torch.zeros(len(embeddings), dtype=torch.bool)
        for index, task in enumerate(route.tasks):
            rows = route.share(index)
            found[rows] = task.spread.beyond(task.spread.nearest(embeddings[rows]))
        return found

    def _prepare_expert(self, name: str, expert: Expert, rows: Tensor) -> Iterator[None]:
        wanted = torch.zeros(len(self.tasks[name].test), dtype=torch.bool)
        wanted[rows] = True
        return self._fill(name, _key(expert), lambda: expert.weight_change(self.base), wanted)

    def _ask(self, name: str, expert: Expert, rows: Tensor) -> Tensor:
        _exhaust(self._prepare_expert(name, expert, rows))
        return self._rows[name, _key(expert)].values[rows]

    def _item_logits(self, name: str, item: ForgeItem, prompts: Sequence[str]) -> Tensor:
        if isinstance(item, Routed):
            embeddings = self._rows[name, "base"].values
            return item.answer(self.base, embeddings, prompts, lambda expert, rows: self._ask(name, expert, rows))
        if isinstance(item, Mixture) and (item.gate is not None or item.level == "output"):
            outputs = torch.stack([self._logits(name, member.plugin.digest, prompts) for member in item.members])
            if item.gate is None and self.tasks[name].multi_label:
                return mix_pairs(outputs, item.coefficients)
            if item.gate is None:
                return mix(outputs.softmax(dim=-1), item.coefficients)
            choice = self._choice(name, item.gate)
            return outputs[choice, torch.arange(len(choice))]
        return self._logits(name, _key(item), prompts)

    def _logits(self, name: str, key: str, prompts: Sequence[str]) -> Tensor:
        return self.base.logits(self._rows[name, key].values.to(self.base.device), prompts).cpu()

    def _choice(self, name: str, gate: PrototypeGate) -> Tensor:
        return gate.choose(self._rows[name, "base"].values.to(self.base.device)).cpu()

    def _fill(
        self, name: str, key: str, deltas: Callable[[], Mapping[str, Tensor]], wanted: Tensor | None = None
    ) -> Iterator[None]:
        rows = self._rows.setdefault((name, key), Rows.empty(len(self.tasks[name].test), self.base.embed_dim))
        missing = ~rows.known if wanted is None else wanted & ~rows.known
        places = missing.nonzero().flatten()
        change = deltas() if len(places) else {}
        for part in (places[cut] for cut in batches(len(places), BATCH)):
            images = self.base.normalise(self.tasks[name].test.images[part])
            with torch.no_grad():
                rows.values[part] = self.base.embed(images, change).cpu()
            rows.known[part] = True
            self.forwards += len(part)
            yield

    def _prompts(self, name: str, prompts: Sequence[str] | None) -> Sequence[str]:
        task = self.tasks[name]
        if prompts is not None and task.multi_label:
            raise InvalidInput(f"{name} is a multi-label task; score it among its own prompts alone")
        return task.texts if prompts is None else prompts

    def _outputs(self, name: str, logits: Tensor, prompts: Sequence[str]) -> Outputs:
        return Outputs.on_test(self.tasks[name], logits, prompts)


def _key(item: ForgeItem) -> str:
    """Name an item that is one network; a plugin has one name, whether it was trained or merged."""
    return item.plugin.digest if isinstance(item, FusedPlugin) else item.digest


def _exhaust(work: Iterator[None]) -> None:
    for _ in work:
        pass
