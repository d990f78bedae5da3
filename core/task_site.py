"""One site of a task whose sites keep their own plugins: where its images lie, and the plugin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from medforge.item import plugin_in, under
from medforge.single_network import FusedPlugin
from medforge.task_card import SiteCard
from medforge.task_spread import TaskSpread
from medforge.tensors import dump_tensors, parse_tensors

MEANS_FILE = "sites.safetensors"
SITES_DIRECTORY = "sites"


@dataclass(frozen=True, eq=False)
class TaskSite:
    """Hold a site's card, its class means [C, d] and their weights [C] (0 for a class it has not), and its plugin."""

    card: SiteCard
    means: Tensor
    weights: Tensor
    expert: FusedPlugin

    def spread(self, task: TaskSpread) -> TaskSpread:
        """Return where the site's images lie, in the task's metric; without quantiles of its own it has the task's."""
        return TaskSpread(self.means, self.weights, task.covariance, self.card.distances or task.distances)


def nearest_site(sites: Sequence[TaskSite], task: TaskSpread, embeddings: Tensor) -> Tensor:
    """Return which site each image (base embeddings [n, d]) looks like, int64 [n]; −1 for those like none.

    That is the site with the nearest class mean, as S-Prompts (Wang et al., NeurIPS 2022) chooses a domain by its
    nearest centre, but by the Mahalanobis distance under one covariance (Lee et al., NeurIPS 2018), the task's. An
    image further off than `FURTHEST` of the site's own validation images is like none: beyond a threshold Yu et al.
    (CVPR 2024) ask no adapter either. Of sites as near as each other it is the first.
    """
    spreads = [site.spread(task) for site in sites]
    distances = torch.stack([one.squared(embeddings, task.root).amin(dim=1).sqrt() for one in spreads])
    nearest, chosen = distances.min(dim=0)
    beyond = torch.stack([one.beyond(nearest) for one in spreads]).gather(0, chosen.unsqueeze(0))[0]
    return chosen.masked_fill(beyond, -1)


def dump_sites(sites: Sequence[TaskSite]) -> dict[str, bytes]:
    """Return sites as named files, their cards apart; none for no sites."""
    if not sites:
        return {}
    tensors = {name: torch.stack([getattr(site, name) for site in sites]) for name in ("means", "weights")}
    files = {MEANS_FILE: dump_tensors(tensors)}
    for site in sites:
        files |= under(f"{SITES_DIRECTORY}/{site.card.branch}", site.expert.plugin)
    return files


def read_sites(files: Mapping[str, bytes], cards: Sequence[SiteCard], task: TaskSpread) -> tuple[TaskSite, ...]:
    """Read the sites of these cards; raises KeyError, ValueError or a MedForgeError where they are none."""
    if not cards:
        return ()
    tensors, _ = parse_tensors(files[MEANS_FILE], "the spread of a task's sites")
    means, weights = tensors["means"], tensors["weights"]
    shape = (len(cards), *task.means.shape)
    if (means.dtype, weights.dtype) != (torch.float32, torch.int64):
        raise ValueError("its sites are not of float32 means and int64 weights")
    if tuple(means.shape) != shape or tuple(weights.shape) != shape[:2]:
        raise ValueError("its sites do not fit its classes")
    if int(weights.min()) < 0 or int(weights.amax(dim=1).min()) == 0 or not means.isfinite().all():
        raise ValueError("its sites have weights or means that cannot be")
    plugins = [plugin_in(files, f"{SITES_DIRECTORY}/{card.branch}") for card in cards]
    rows = zip(cards, means, weights, plugins, strict=True)
    return tuple(TaskSite(card, m, w, FusedPlugin(plugin)) for card, m, w, plugin in rows)
