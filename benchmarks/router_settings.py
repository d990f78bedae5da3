"""Choose the router's numbers on validation images: shrinkage, the discriminant's share, the metric and threshold.

For each task its training images are embedded by the base module alone and summed up as class statistics, as a site
would send them. Printed are, by shrinkage, how often the router is right and how often the discriminant alone; where
plugins are given, accuracy and cross-entropy by the discriminant's share in P(class | task); and for each task left out
in turn, how well distance tells its images from the others' (AUROC, by the task's own metric and by that of all tasks)
and how many of both a threshold accepts. What is fitted, a plugin's temperature and a threshold, is fitted on every
second validation image and measured on the others.

Run from the repository's root, once a seed: ``python -m benchmarks.router_settings --task NAME=SOURCE [--task …]
[--plugin NAME=DIR …] [--seed 0] [--dtype bf16] [--json OUT]``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional as F

from medforge.base import BaseModule, load_base
from medforge.class_statistics import ClassStatistics
from medforge.client.data.catalogue import open_task
from medforge.client.data.task import Split
from medforge.errors import MedForgeError
from medforge.manifest import LEVELS
from medforge.plugin import Plugin
from medforge.router import Router
from medforge.seeds import numpy_generator
from medforge.task_spread import STATISTICS_SHRINKAGE, TaskSpread, quantiles

SHRINKAGES = (0.01, 0.03, 0.1, 0.3, 1.0)
SHARES = (0.0, 0.1, 0.2, 0.3, 0.5, 1.0)
TEMPERATURES = tuple(2 ** (step / 4) for step in range(-8, 17))
Row = dict[str, float]


@dataclass(frozen=True, eq=False)
class Measured:
    """Hold a task's statistics, validation embeddings by the base and (or None) by its plugin, labels and prompts."""

    statistics: ClassStatistics
    embeddings: Tensor
    answers: Tensor | None
    labels: Tensor
    prompts: tuple[str, ...]

    @property
    def odd(self) -> Tensor:
        """The images that nothing is fitted on, as a mask."""
        return torch.arange(len(self.labels)) % 2 == 1


def measured(base: BaseModule, source: str, seed: int, limit: int, plugin: Path | None) -> Measured:
    """Open a task's images, at most ``limit`` a split, and embed them."""
    task = open_task(source, base.preprocessing, seed)
    train, train_labels = _some(base, task.train, limit)
    images, labels = _some(base, task.validation, limit)
    embedded = base.embed_all(train).float().cpu()
    answers = base.embed_all(images, Plugin.load(plugin).deltas(base)).float().cpu() if plugin else None
    statistics = ClassStatistics.of(embedded, train_labels, len(task.prompts))
    return Measured(statistics, base.embed_all(images).float().cpu(), answers, labels, task.prompts)


def _some(base: BaseModule, split: Split, limit: int) -> tuple[Tensor, Tensor]:
    chosen = torch.from_numpy(numpy_generator(0, "router settings").permutation(len(split))[:limit])
    return base.normalise(split.images[chosen]), split.labels[chosen]


def by_shrinkage(tasks: Mapping[str, Measured]) -> dict[str, Row]:
    """Return how often the router and the discriminant are right, the mean over tasks."""
    rows = {}
    for shrinkage in SHRINKAGES:
        spreads = [TaskSpread.of(one.statistics, shrinkage) for one in tasks.values()]
        router, right, classes = Router(tuple(spreads)), [], []
        for index, (one, spread) in enumerate(zip(tasks.values(), spreads, strict=True)):
            right.append(_share(router.task_log_probabilities(one.embeddings).argmax(dim=1) == index))
            classes.append(_share(spread.class_log_probabilities(one.embeddings).argmax(dim=1) == one.labels))
        rows[f"{shrinkage:g}"] = {"router": fmean(right), "discriminant": fmean(classes)}
    return rows


def by_share(base: BaseModule, tasks: Mapping[str, Measured]) -> dict[str, Row]:
    """Return accuracy and cross-entropy by the discriminant's share, the mean over tasks that have a plugin."""
    found: dict[str, list[tuple[float, float]]] = {f"{share:g}": [] for share in SHARES}
    for one in tasks.values():
        if one.answers is None:
            continue
        logits = base.logits(one.answers.to(base.device), one.prompts).cpu().double()
        head = TaskSpread.of(one.statistics, STATISTICS_SHRINKAGE).class_log_probabilities(one.embeddings).exp()
        fitted, labels = logits[~one.odd], one.labels[~one.odd]
        losses = {t: float(F.cross_entropy(fitted / t, labels)) for t in TEMPERATURES}
        expert = (logits / min(losses, key=lambda t: losses[t])).softmax(dim=1)
        for share in SHARES:
            mixed, truth = ((1 - share) * expert + share * head)[one.odd], one.labels[one.odd]
            loss = float(F.nll_loss(mixed.clamp_min(1e-9).log(), truth))
            found[f"{share:g}"].append((_share(mixed.argmax(dim=1) == truth), loss))
    return {
        share: {"accuracy": fmean(a for a, _ in rows), "cross-entropy": fmean(b for _, b in rows)}
        for share, rows in found.items()
        if rows
    }


def by_left_out(tasks: Mapping[str, Measured]) -> dict[str, Row]:
    """Return, for each task left out, AUROC of both metrics and the shares that the sites' thresholds accept."""
    rows = {}
    for name, stranger in tasks.items():
        others = [one for other, one in tasks.items() if other != name]
        spreads = []
        for one in others:
            plain = TaskSpread.of(one.statistics, STATISTICS_SHRINKAGE)
            limits = quantiles(plain.nearest(one.embeddings[~one.odd]))
            spreads.append(TaskSpread(plain.means, plain.weights, plain.covariance, limits))
        own = [_distances(spreads, one.embeddings[one.odd]) for one in others]
        strange = _distances(spreads, stranger.embeddings)
        truth = [0] * sum(len(part["own"]) for part in own) + [1] * len(strange["own"])
        row = {
            metric: float(roc_auc_score(truth, torch.cat([*(part[metric] for part in own), strange[metric]]).numpy()))
            for metric in ("own", "pooled")
        }
        for level in (0.95, 0.99):
            row[f"own accepted at {level:g}"] = fmean(_share(part[f"{level:g}"] > 0) for part in own)
            row[f"strangers accepted at {level:g}"] = _share(strange[f"{level:g}"] > 0)
        rows[name] = row
    return rows


def _distances(spreads: Sequence[TaskSpread], embeddings: Tensor) -> dict[str, Tensor]:
    """Return distances [n] to the routed task by both metrics, and 1 where a level's quantile accepts the image."""
    router = Router(tuple(spreads))
    chosen, rows = router.task_log_probabilities(embeddings).argmax(dim=1), torch.arange(len(embeddings))
    own = torch.stack([spread.nearest(embeddings) for spread in spreads], dim=1)[rows, chosen]
    pooled = torch.stack([s.squared(embeddings, router.root).amin(dim=1).sqrt() for s in spreads], dim=1)[rows, chosen]
    limits = torch.tensor([spread.distances for spread in spreads], dtype=torch.float64)
    accepted = {f"{level:g}": own <= limits[chosen, LEVELS.index(level)] for level in (0.95, 0.99)}
    return {"own": own, "pooled": pooled, **accepted}


def _share(mask: Tensor) -> float:
    return float(mask.double().mean())


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", action="append", required=True, help="NAME=SOURCE")
    parser.add_argument("--plugin", action="append", default=[], help="NAME=DIR, the plugin of a task")
    parser.add_argument("--base", default="medforge-tiny")
    parser.add_argument("--dtype", default="fp32")
    parser.add_argument("--seed", type=int, default=0, help="seed of the splits; that of the plugins' training")
    parser.add_argument("--limit", type=int, default=1500, help="images of a split at most")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    options = parser.parse_args(arguments)
    plugins = {name: Path(place) for name, place in (word.split("=", 1) for word in options.plugin)}
    try:
        base = load_base(options.base, "cpu", options.dtype)
        tasks = {
            name: measured(base, source, options.seed, options.limit, plugins.get(name))
            for name, source in (word.split("=", 1) for word in options.task)
        }
    except MedForgeError as error:
        print(error, file=sys.stderr)
        return 2
    found = {
        "shrinkage": by_shrinkage(tasks),
        "share of the discriminant": by_share(base, tasks),
        "left out": by_left_out(tasks) if len(tasks) > 1 else {},
    }
    for what, rows in found.items():
        for key, row in rows.items():
            print(f"{what} {key}: " + ", ".join(f"{name} {value:.3f}" for name, value in row.items()))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
