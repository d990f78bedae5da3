"""The job that shows a router images of none of its tasks: a task left out, noise, foreign sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from medforge.base import BaseModule, batches
from medforge.class_statistics import ClassStatistics
from medforge.client.data.catalogue import open_task
from medforge.manifest import LEVELS
from medforge.router import Router
from medforge.seeds import generator
from medforge.simulation.benchmark.jobs.artefacts import Distil
from medforge.simulation.benchmark.jobs.embeddings import Embed, embed_splits
from medforge.simulation.benchmark.jobs.heads import DistilledBy
from medforge.simulation.benchmark.jobs.job import Job, StoredArtefact
from medforge.simulation.benchmark.jobs.workbench import Bench, Facts
from medforge.simulation.benchmark.results.tasks import Strangers
from medforge.simulation.centres import Centre
from medforge.task_spread import DISTILLED_SHRINKAGE, FURTHEST, STATISTICS_SHRINKAGE, TaskSpread, quantiles

NOISE_IMAGES = 200
OWN_ACCEPTED = 0.95


@dataclass(frozen=True)
class Abstain(StoredArtefact):
    """Route own and strange images, and say how well the distance to the nearest class tells them apart.

    An image is as strange as its distance to the nearest class of the task it is routed to, over that task's limit,
    which its validation images set. ``distilled`` are what the means and covariances are of, None for real images.
    """

    seed: int
    tasks: tuple[str, ...]
    foreign: tuple[Centre, ...]
    distilled: DistilledBy | None = None

    sort = "abstention"

    @property
    def label(self) -> str:
        """Name the job."""
        of = "{} images beside {}".format(*self.distilled) if self.distilled else "real images"
        return f"seed {self.seed}: abstention, router of {of}"

    @property
    def needs(self) -> tuple[Job, ...]:
        """Embed every task, and distil it where distilled images are used."""
        return (*(Embed(task, self.seed) for task in self.tasks), *map(self._dataset, self._of_distilled))

    @property
    def _of_distilled(self) -> tuple[str, ...]:
        return self.tasks if self.distilled else ()

    def _dataset(self, task: str) -> Distil:
        assert self.distilled is not None
        return Distil(task, self.seed, *self.distilled)

    def facts(self, bench: Bench) -> Facts:
        """Name the tasks, and every sort of strangers."""
        return {
            "artefact": "abstention",
            "tasks": [bench.facts(task, self.seed) for task in self.tasks],
            "distilled": [self._dataset(task).facts(bench) for task in self._of_distilled],
            "foreign": [centre.spell() for centre in self.foreign],
            "noise": NOISE_IMAGES,
        }

    def make(self, bench: Bench, place: Path) -> Mapping[str, object]:
        """Measure every sort of strangers."""
        rows = {task: Embed(task, self.seed).embeddings(bench) for task in self.tasks}
        spreads = {task: self._spread(bench, task, rows[task]) for task in self.tasks}
        own = {task: found["test"] for task, found in rows.items()}
        found = [
            strangers(task, "task", [spreads[other] for other in self.tasks if other != task],
                      [own[other] for other in self.tasks if other != task], own[task])
            for task in self.tasks
        ]  # fmt: skip
        for name, kind, images in self._others(bench):
            found.append(strangers(name, kind, list(spreads.values()), list(own.values()), images))
        return {"strangers": [one.model_dump(mode="json") for one in found]}

    def found(self, bench: Bench) -> tuple[Strangers, ...]:
        """Read what was measured."""
        return tuple(Strangers.model_validate(one) for one in self.record(bench)["strangers"])

    def _spread(self, bench: Bench, task: str, rows: Mapping[str, Tensor]) -> TaskSpread:
        """Measure a task by what its branch would send."""
        opened = bench.task(task, self.seed)
        if self.distilled is None:
            statistics, shrinkage = (rows["train"], opened.train.labels), STATISTICS_SHRINKAGE
        else:
            dataset = self._dataset(task).dataset(bench)
            embeddings = bench.base.embed_all(dataset.images.float()).cpu()
            statistics, shrinkage = (embeddings, dataset.labels), DISTILLED_SHRINKAGE
        spread = TaskSpread.of(ClassStatistics.of(*statistics, len(opened.prompts)), shrinkage)
        limits = quantiles(spread.nearest(rows["validation"]))
        return TaskSpread(spread.means, spread.weights, spread.covariance, limits)

    def _others(self, bench: Bench) -> Iterator[tuple[str, Literal["noise", "foreign"], Tensor]]:
        yield "noise", "noise", noise(bench.base, self.seed)
        for centre in self.foreign:
            task = open_task(centre.source, bench.base.preprocessing, self.seed, bench.store.cache / "pixels")
            yield centre.name, "foreign", torch.cat(list(embed_splits(bench.base, task, {}).values()))


def strangers(
    name: str,
    kind: Literal["task", "noise", "foreign"],
    spreads: Sequence[TaskSpread],
    own: Sequence[Tensor],
    strange: Tensor,
) -> Strangers:
    """Measure one sort of strangers (base embeddings [m, d]) against the own images of every task [n, d]."""
    near, far = strangeness(spreads, torch.cat(list(own))), strangeness(spreads, strange)
    return Strangers(
        name=name,
        kind=kind,
        count=len(strange),
        auroc=float(roc_auc_score(np.repeat([0, 1], [len(near), len(far)]), torch.cat([near, far]).numpy())),
        accepted=float((far <= near.quantile(OWN_ACCEPTED)).double().mean()),
        passed=float((far <= 1).double().mean()),
        refused=float((near > 1).double().mean()),
    )


def strangeness(spreads: Sequence[TaskSpread], embeddings: Tensor) -> Tensor:
    """Return the distances [n] of embeddings [n, d] to the nearest class of their likeliest task, over its limit."""
    chosen = Router(tuple(spreads)).task_log_probabilities(embeddings).argmax(dim=1)
    limits = [spread.distances[LEVELS.index(FURTHEST)] for spread in spreads if spread.distances is not None]
    ratios = [spread.nearest(embeddings) / limit for spread, limit in zip(spreads, limits, strict=True)]
    return torch.stack(ratios, dim=1).gather(1, chosen.unsqueeze(1)).squeeze(1)


def noise(base: BaseModule, seed: int) -> Tensor:
    """Embed images of which every value is drawn by itself; float32 [n, d]."""
    size, chance = base.image_size, generator(seed, "benchmark", "noise images")
    pixels = torch.randint(0, 256, (NOISE_IMAGES, 3, size, size), generator=chance, dtype=torch.uint8)
    return torch.cat([base.embed_all(base.normalise(pixels[part])).cpu() for part in batches(NOISE_IMAGES, 64)])
