"""A merged model as one module: from pixels to tasks, classes and distances, as `MergedModel.predict` has them."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from math import inf

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medforge.base_module import BaseModule
from medforge.ranking import NamedClasses
from medforge.routed import Routed
from medforge.routed_task import RoutedTask
from medforge.task_spread import TaskSpread

INPUTS = ("pixels", "task_log_prior")
"""What a graph takes: uint8 pixels [n, 3, S, S], and what is added to each task's evidence, float64 [T].

Zeros leave it as it is; −∞ for all tasks but one asks that one alone.
"""

OUTPUTS = ("task_probability", "class_probability", "best", "probability", "none_of_these", "distance", "network")
"""What a graph says of n images.

P(task | image) [n, T]; P(class | task, image) [n, C] over the classes of all tasks; the likeliest of these classes [n]
and its probability [n]; whether the image is none of them [n]; its distance [n, T] from each task's nearest class mean
(−1 where none is measured); and by task which network would answer [n, T].
"""

_NEVER = 1e30
"""A squared distance that no image has: that of a class nobody had an image of."""


class Choice:
    """Hold which weights every image of a batch takes [n], or which all take.

    It is not an attribute of a module, which may not change.
    """

    networks: Tensor | int


class ChosenWeights(nn.Module):
    """Compute a Linear layer whose weight differs from image to image: of ``weights`` [M, out, in] the chosen one."""

    def __init__(self, layer: nn.Linear, weights: Tensor, choice: Choice) -> None:
        super().__init__()
        self.weights = nn.Parameter(weights, requires_grad=False)
        self.bias = layer.bias
        self._choice = choice

    def forward(self, x: Tensor) -> Tensor:
        """Map [n, …, in] to [n, …, out]."""
        chosen = self._choice.networks
        if isinstance(chosen, int):
            return F.linear(x, self.weights[chosen], self.bias)
        rows = x.reshape(chosen.shape[0], -1, x.shape[-1])
        mapped = rows @ self.weights[chosen].transpose(1, 2)
        out = mapped.reshape(*x.shape[:-1], self.weights.shape[1])
        return out if self.bias is None else out + self.bias


class Distances(nn.Module):
    """Measure squared Mahalanobis distances to class means, as `TaskSpread.squared` does; float64."""

    means: Tensor
    root: Tensor
    empty: Tensor

    def __init__(self, spread: TaskSpread, root: Tensor) -> None:
        super().__init__()
        self.register_buffer("means", spread.means.double() @ root.double())
        self.register_buffer("root", root.double())
        self.register_buffer("empty", spread.weights == 0)

    def forward(self, embeddings: Tensor) -> Tensor:
        """Return distances [n, C] of embeddings [n, d]."""
        points = embeddings @ self.root
        found = (points.unsqueeze(1) - self.means).square().sum(dim=2)
        return torch.where(self.empty, _NEVER, found)


class Pixels(nn.Module):
    """Bring uint8 pixels [n, 3, S, S] into the base's input space."""

    mean: Tensor
    std: Tensor

    def __init__(self, base: BaseModule) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(base.mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(base.std).view(3, 1, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """Return normalised images."""
        return (pixels.float() / 255 - self.mean) / self.std


class Prompts(nn.Module):
    """Measure embeddings against the classes' prompts."""

    features: Tensor

    def __init__(self, base: BaseModule, tasks: Sequence[NamedClasses]) -> None:
        super().__init__()
        self.scale = base.logit_scale
        by_task = [base.prompt_features([one.prompt for one in task.classes]) for task in tasks]
        self.register_buffer("features", torch.cat(by_task).double())

    def forward(self, embeddings: Tensor) -> Tensor:
        """Return logits [n, C] over the classes of all tasks; float64."""
        return self.scale * F.normalize(embeddings.double(), dim=-1) @ self.features.T


class SingleGraph(nn.Module):
    """Answer by one network: P(task | image) is the sum over the task's classes, and no distance is known."""

    def __init__(self, base: BaseModule, change: Mapping[str, Tensor], tasks: Sequence[NamedClasses]) -> None:
        super().__init__()
        self.pixels, self.prompts = Pixels(base), Prompts(base, tasks)
        self.tower = copy.deepcopy(base.visual)
        for site, delta in change.items():
            layer = self.tower.get_submodule(site)
            layer.weight.data = base.weight(site) + delta
        self.sizes = [len(task.classes) for task in tasks]

    def forward(self, pixels: Tensor, task_log_prior: Tensor) -> tuple[Tensor, ...]:
        """Return `OUTPUTS` for uint8 pixels [n, 3, S, S] and, float64 [T], what is added to each task's evidence."""
        logits = self.prompts(self.tower(self.pixels(pixels)))
        return unmeasured(logits, self.sizes, task_log_prior)


class RoutedGraph(nn.Module):
    """Answer by two towers: the base says which task, and so which expert's weights the other one takes."""

    furthest: Tensor
    temperature: Tensor

    def __init__(self, base: BaseModule, item: Routed) -> None:
        super().__init__()
        self.pixels, self.base = Pixels(base), base.visual
        self.choice = Choice()
        changes = [network.weight_change(base) for task in item.tasks for network in task.networks]
        self.expert = choosing_tower(base, changes, self.choice)
        self.prompts = Prompts(base, [task.card for task in item.tasks])
        self.router = [Distances(task.spread, item.router.root) for task in item.tasks]
        counts = [len(task.networks) for task in item.tasks]
        self.heads = [TaskHead(task, sum(counts[:index])) for index, task in enumerate(item.tasks)]
        self.parts = nn.ModuleList([*self.router, *self.heads])
        self.register_buffer("temperature", torch.tensor(_temperatures(item), dtype=torch.float64))
        within = [task.spread.furthest() for task in item.tasks]
        self.register_buffer("furthest", torch.tensor([inf if one is None else one for one in within]).double())
        self.sizes = [len(task.card.classes) for task in item.tasks]

    def forward(self, pixels: Tensor, task_log_prior: Tensor) -> tuple[Tensor, ...]:
        """Return `OUTPUTS` for uint8 pixels [n, 3, S, S] and, float64 [T], what is added to each task's evidence."""
        images = self.pixels(pixels)
        embeddings = self.base(images).double()
        evidence = torch.stack([self._evidence(index, embeddings) for index in range(len(self.sizes))], dim=1)
        evidence = evidence.log_softmax(dim=1) + task_log_prior
        likeliest = evidence.argmax(dim=1)
        heads = [head(embeddings) for head in self.heads]
        networks = torch.stack([network for _, _, network in heads], dim=1)
        chosen = networks.gather(1, likeliest.unsqueeze(1)).squeeze(1)
        self.choice.networks = chosen
        logits = self.prompts(self.expert(images)) / self.temperature[chosen].unsqueeze(1)
        of_class = []
        for index, part in enumerate(logits.split(self.sizes, dim=1)):
            discriminant, share = heads[index][0], self.heads[index].share
            mixed = (1 - share) * part.softmax(dim=1) + share * discriminant
            of_class.append(torch.where((likeliest == index).unsqueeze(1), mixed, discriminant))
        distances = torch.stack([distance for _, distance, _ in heads], dim=1)
        joined = torch.cat(of_class, dim=1)
        return _outputs(evidence.softmax(dim=1), joined, self.sizes, distances, self.furthest, networks)

    def _evidence(self, index: int, embeddings: Tensor) -> Tensor:
        densities: Tensor = -self.router[index](embeddings) / 2
        return densities.logsumexp(dim=1) - self.heads[index].log_classes


class TaskHead(nn.Module):
    """Say of one task the discriminant's P(class), the nearest class mean's distance, and which network answers.

    ``first`` is the number of the task's own expert, which its sites' plugins follow.
    """

    reach: Tensor

    def __init__(self, task: RoutedTask, first: int) -> None:
        super().__init__()
        self.share, self.first = float(task.card.head), first
        self.log_classes = float((task.spread.weights > 0).sum().double().log())
        self.classes = Distances(task.spread, task.spread.root)
        spreads = [site.spread(task.spread) for site in task.sites]
        self.sites = nn.ModuleList(Distances(one, task.spread.root) for one in spreads)
        within = [one.furthest() for one in spreads]
        self.register_buffer("reach", torch.tensor([inf if one is None else one for one in within]).double())

    def forward(self, embeddings: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return P(class) [n, C], distances [n] and the network's number [n] for base embeddings [n, d]."""
        squared = self.classes(embeddings)
        network = torch.zeros_like(squared[:, 0], dtype=torch.int64) + self.first
        if len(self.sites):
            to_sites = torch.stack([site(embeddings).amin(dim=1).sqrt() for site in self.sites], dim=1)
            nearest, chosen = to_sites.min(dim=1)
            network = torch.where(nearest > self.reach[chosen], network, network + 1 + chosen)
        return (-squared / 2).softmax(dim=1), squared.amin(dim=1).sqrt(), network


def choosing_tower(base: BaseModule, changes: Sequence[Mapping[str, Tensor]], choice: Choice) -> nn.Module:
    """Return the tower with every network's weights side by side at the sites, and all else the base's own."""
    shared = {id(tensor): tensor for tensor in (*base.visual.parameters(), *base.visual.buffers())}
    tower = copy.deepcopy(base.visual, shared)
    for site in sorted({site for change in changes for site in change}):
        layer = tower.get_submodule(site)
        weights = torch.stack([base.weight(site) + change.get(site, 0.0) for change in changes])
        assert isinstance(layer, nn.Linear)
        above, _, name = site.rpartition(".")
        setattr(tower.get_submodule(above), name, ChosenWeights(layer, weights, choice))
    return tower


def _temperatures(item: Routed) -> list[float]:
    return [
        temperature
        for task in item.tasks
        for temperature in (task.card.temperature, *(site.card.temperature for site in task.sites))
    ]


def unmeasured(
    logits: Tensor, sizes: Sequence[int], log_prior: Tensor, networks: Tensor | None = None
) -> tuple[Tensor, ...]:
    """Return `OUTPUTS` of logits [n, C] over the classes of all tasks, where nobody knows distances.

    P(task | image) is the sum over the task's classes, its evidence with `log_prior` [T] added. `networks` [n] says
    which network answered; without it the first did.
    """
    parts = logits.split(sizes, dim=1)
    evidence = torch.stack([part.logsumexp(dim=1) for part in parts], dim=1) + log_prior
    of_class = torch.cat([part.softmax(dim=1) for part in parts], dim=1)
    unknown = torch.full_like(evidence, -1.0)
    answering = torch.zeros_like(evidence, dtype=torch.int64)
    answering = answering if networks is None else answering + networks.unsqueeze(1)
    return _outputs(evidence.softmax(dim=1), of_class, sizes, unknown, torch.full_like(unknown[0], inf), answering)


def owners_of(sizes: Sequence[int]) -> Tensor:
    """Return for each class the place of its task."""
    return torch.tensor([index for index, size in enumerate(sizes) for _ in range(size)])


def _outputs(
    of_task: Tensor, of_class: Tensor, sizes: Sequence[int], distances: Tensor, furthest: Tensor, networks: Tensor
) -> tuple[Tensor, ...]:
    owners = owners_of(sizes)
    joint = of_task[:, owners] * of_class
    probability, best = joint.max(dim=1)
    beyond = distances > furthest
    none = beyond.gather(1, owners[best].unsqueeze(1)).squeeze(1)
    return of_task.float(), of_class.float(), best, probability.float(), none, distances.float(), networks
