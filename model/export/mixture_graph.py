"""Mixtures as one module: of outputs, every member answers and is weighed; gated, each image goes to one member."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from medforge.base_module import BaseModule
from medforge.mixing import mix
from medforge.mixture import Mixture
from medforge.model.export.graph import Choice, Pixels, Prompts, choosing_tower, owners_of, unmeasured
from medforge.prototype_gate import PrototypeGate
from medforge.ranking import NamedClasses


class MixtureGraph(nn.Module):
    """Answer by every member's network, whose class probabilities are weighed and added."""

    weights: Tensor

    def __init__(self, base: BaseModule, item: Mixture, tasks: Sequence[NamedClasses]) -> None:
        super().__init__()
        self.pixels, self.prompts = Pixels(base), Prompts(base, tasks)
        self.choice, self.count = Choice(), len(item.members)
        self.tower = choosing_tower(base, [member.plugin.deltas(base) for member in item.members], self.choice)
        self.register_buffer("weights", item.coefficients.double())
        self.sizes = [len(task.classes) for task in tasks]

    def forward(self, pixels: Tensor, task_log_prior: Tensor) -> tuple[Tensor, ...]:
        """Return `OUTPUTS` for uint8 pixels [n, 3, S, S] and, float64 [T], what is added to each task's evidence."""
        images, prior = self.pixels(pixels), task_log_prior[owners_of(self.sizes)]
        found = []
        for member in range(self.count):
            self.choice.networks = member
            found.append((self.prompts(self.tower(images)) + prior).softmax(dim=1))
        mixed = mix(torch.stack(found), self.weights)
        # a task that is not asked about has no share, whatever floor the mixture has
        asked = torch.where(task_log_prior.isneginf(), task_log_prior, torch.zeros_like(task_log_prior))
        return unmeasured(mixed, self.sizes, asked)


class GatedGraph(nn.Module):
    """Answer by two towers: the base says which member an image is of, and so which weights the other one takes."""

    prototypes: Tensor
    metric: Tensor
    owners: Tensor

    def __init__(self, base: BaseModule, item: Mixture, gate: PrototypeGate, tasks: Sequence[NamedClasses]) -> None:
        super().__init__()
        self.pixels, self.prompts, self.base = Pixels(base), Prompts(base, tasks), base.visual
        self.choice = Choice()
        self.expert = choosing_tower(base, [member.plugin.deltas(base) for member in item.members], self.choice)
        self.register_buffer("prototypes", gate.prototypes.double() @ gate.metric.double())
        self.register_buffer("metric", gate.metric.double())
        self.register_buffer("owners", gate.owners)
        self.sizes = [len(task.classes) for task in tasks]

    def forward(self, pixels: Tensor, task_log_prior: Tensor) -> tuple[Tensor, ...]:
        """Return `OUTPUTS` for uint8 pixels [n, 3, S, S] and, float64 [T], what is added to each task's evidence."""
        images = self.pixels(pixels)
        points = self.base(images).double() @ self.metric
        squared = (points.unsqueeze(1) - self.prototypes).square().sum(dim=2)
        chosen = self.owners[squared.argmin(dim=1)]
        self.choice.networks = chosen
        return unmeasured(self.prompts(self.expert(images)), self.sizes, task_log_prior, chosen)
