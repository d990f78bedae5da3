"""From a whole task to what one site has of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from medforge.client.data.sites.allocation import Shares, allocate, shares_of
from medforge.client.data.sites.look import Look
from medforge.client.data.sites.site import Site
from medforge.client.data.splits import Index, Strata
from medforge.client.data.task import Split, Task
from medforge.errors import InvalidInput


def at_site(task: Task, site: Site, seed: int) -> Task:
    """Return what one site of a division has of a task; it depends on the task, the division and the seed alone.

    Each split is divided by itself, with the same shares of the classes, and no group comes to two sites. Together the
    sites have every image once, but for images of a class that a site lacks in a group with several classes. A site's
    prompts are those of the classes that it has, in the task's order.

    Raises InvalidInput where the images are too few, or labels are not of the kind that the division needs.
    """
    division = site.division
    if task.multi_label and division.way in ("dirichlet", "missing-class"):
        raise InvalidInput(
            f"{task.name} has several labels an image, and {division.by} divides by class; choose iid or look"
        )
    shares = _shares(task, site, seed)
    own = np.flatnonzero(shares[site.number - 1] > 0)
    look = Look.of_site(site.number, seed) if division.way == "look" else None
    splits: dict[str, Split] = {}
    for part, split in task.splits.items():
        here = np.flatnonzero(allocate(_strata(task, split), shares, part, seed) == site.number - 1)
        splits[part] = _cut(split, here, own, look)
    chosen = own if not task.multi_label else np.arange(len(task.prompts))
    return replace(
        task,
        prompts=tuple(task.prompts[label] for label in chosen),
        folders=tuple(task.folders[label] for label in chosen) if task.folders else (),
        classes=tuple(task.classes[label] for label in chosen) if task.classes else (),
        train=splits["train"],
        validation=splits["validation"],
        test=splits["test"],
    )


def _shares(task: Task, site: Site, seed: int) -> Shares:
    division = site.division
    if task.multi_label:
        # a group counts for its rarest finding, or for none of them
        return np.full((division.sites, len(task.prompts) + 1), 1 / division.sites)
    counts = np.bincount(task.train.labels.numpy(), minlength=len(task.prompts))
    return shares_of(division, counts, task.prompts, seed)


def _strata(task: Task, split: Split) -> Strata:
    classes = (*task.prompts, "none of them") if task.multi_label else task.prompts
    return Strata(split.labels.numpy(), classes, split.groups, "image" if split.groups is None else "group")


def _cut(split: Split, here: Index, own: Index, look: Look | None) -> Split:
    """Take the images at these positions, of the site's own classes, and number the classes anew."""
    labels = split.labels.numpy()[here]
    if labels.ndim == 1:
        here = here[np.isin(labels, own)]
        labels = np.searchsorted(own, split.labels.numpy()[here])
    images = split.images.select(here)
    return Split(
        images=images if look is None else images.changed(look),
        labels=torch.from_numpy(labels.astype(np.int64)),
        groups=None if split.groups is None else tuple(split.groups[place] for place in here),
    )
