"""How well can training images be told from others by a site's class statistics, as they are and as they are sent?

Every row is one source, seed and number of training images: the better AUC of the two attacks of the audit, against
the test images, which nothing was chosen by, on the exact statistics and on those that a site sends; how many
directions of the covariance it keeps; and what they are good for, the accuracy of a linear discriminant on the frozen
base with either.

Run from the repository's root: ``python -m benchmarks.statistics_leak --source NAME:PATH … [--seeds 0 1 2]
[--images 60 250] [--base SPEC] [--threads N] [--json OUT]``; without ``--images`` all training images are taken.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from medforge.base import BaseModule, load_base
from medforge.class_statistics import ClassStatistics
from medforge.client.audit.gallery import numbered
from medforge.client.audit.policy import SitePolicy
from medforge.client.audit.statistics_attacks import attack_statistics, directions_kept
from medforge.client.data.catalogue import open_task
from medforge.client.data.task import Split, Task
from medforge.client.embeddings import Embeddings, embed_task
from medforge.client.release import release
from medforge.errors import MedForgeError
from medforge.seeds import generator
from medforge.task_spread import STATISTICS_SHRINKAGE, TaskSpread


@dataclass(frozen=True)
class Row:
    """Hold what one site's statistics give away, and what they are good for; None where it sends none."""

    source: str
    seed: int
    images: int
    exact_auc: float
    sent_auc: float | None
    directions: int | None
    exact_accuracy: float
    sent_accuracy: float | None


def measure(base: BaseModule, source: str, seed: int, sizes: Sequence[int]) -> list[Row]:
    """Measure a source with so many of its training images, drawn by the seed; all of them where no size is given."""
    whole = open_task(source, base.preprocessing, seed)
    embeddings = embed_task(base, whole)
    pixels = whole.test.images[slice(0, len(whole.test))]
    test = base.embed_all(base.normalise(pixels), exactly=True).float().cpu()
    order = torch.randperm(len(whole.train), generator=generator(seed, "statistics leak"))
    rows = []
    for size in sizes or [len(whole.train)]:
        some = order[:size].sort().values
        task, part = _with_training(whole, some), Embeddings(embeddings.train[some], embeddings.validation)
        exact = ClassStatistics.of(part.train, task.train.labels, len(task.prompts))
        sent = release(part, task, SitePolicy()).statistics
        rows.append(
            Row(
                source=whole.name,
                seed=seed,
                images=len(some),
                exact_auc=_area(exact, part.train, test, task),
                sent_auc=None if sent is None else _area(sent, part.train, test, task),
                directions=None if sent is None else directions_kept(sent.covariance),
                exact_accuracy=_accuracy(exact, test, task.test.labels),
                sent_accuracy=None if sent is None else _accuracy(sent, test, task.test.labels),
            )
        )
    return rows


def _with_training(task: Task, some: Tensor) -> Task:
    train = task.train
    groups = None if train.groups is None else tuple(train.groups[at] for at in some.tolist())
    split = Split(train.images.select(some.numpy()), train.labels[some], groups)
    return Task(task.name, task.prompts, split, task.validation, task.test, task.split)


def _area(statistics: ClassStatistics, train: Tensor, test: Tensor, task: Task) -> float:
    labels = torch.cat([task.train.labels, task.test.labels])
    groups = numbered(task.train.groups, task.test.groups, len(labels))
    tried = attack_statistics(statistics, torch.cat([train, test]), labels, groups, len(train))
    return max(attack.area.value for attack in tried)


def _accuracy(statistics: ClassStatistics, test: Tensor, labels: Tensor) -> float:
    found = TaskSpread.of(statistics, STATISTICS_SHRINKAGE).class_log_probabilities(test).argmax(dim=1)
    return float((found == labels).double().mean())


def _show(rows: Sequence[Row]) -> None:
    table = Table("source", "seed", "images", "AUC, exact", "AUC, sent", "directions", "LDA, exact", "LDA, sent")
    for row in rows:
        table.add_row(
            row.source, str(row.seed), str(row.images), f"{row.exact_auc:.3f}", _spell(row.sent_auc),
            "–" if row.directions is None else str(row.directions),
            f"{row.exact_accuracy:.3f}", _spell(row.sent_accuracy),
        )  # fmt: skip
    Console().print(table)


def _spell(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", action="append", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--images", type=int, nargs="+", default=[])
    parser.add_argument("--base", default="medforge-tiny")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        base = load_base(options.base)
        rows = [
            row
            for source in options.source
            for seed in options.seeds
            for row in measure(base, source, seed, options.images)
        ]
    except MedForgeError as error:
        sys.exit(str(error))
    _show(rows)
    if options.json:
        options.json.write_text(json.dumps([vars(row) for row in rows], indent=1))


if __name__ == "__main__":
    main()
