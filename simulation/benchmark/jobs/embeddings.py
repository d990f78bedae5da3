"""The job that embeds a task's images with the base alone: what every head without a plugin is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from medforge.base import BaseModule, batches
from medforge.client.data.task import Split, Task
from medforge.files import read_file, write_atomically
from medforge.simulation.benchmark.jobs.job import Artefact
from medforge.simulation.benchmark.jobs.workbench import Bench, Facts
from medforge.tensors import dump_tensors, parse_tensors

EMBEDDINGS_FILE = "embeddings.safetensors"
_BATCH = 64


@dataclass(frozen=True)
class Embed(Artefact):
    """Embed the three splits of a task with the base module alone, not normalised."""

    sort = "embed a task"

    @property
    def label(self) -> str:
        """Name the job."""
        return f"{self.task}, seed {self.seed}: base embeddings"

    def facts(self, bench: Bench) -> Facts:
        """Name the task and the base."""
        return {"artefact": "base embeddings", **bench.facts(self.task, self.seed)}

    def make(self, bench: Bench, place: Path) -> Mapping[str, object]:
        """Embed and save, float32 [n, d] a split."""
        rows = embed_splits(bench.base, bench.task(self.task, self.seed), {})
        write_atomically(place / EMBEDDINGS_FILE, dump_tensors(rows))
        return {"images": {name: len(found) for name, found in rows.items()}}

    def embeddings(self, bench: Bench) -> dict[str, Tensor]:
        """Read the embeddings [n, d] of ``train``, ``validation`` and ``test``."""
        path = self.place(bench) / EMBEDDINGS_FILE
        return dict(parse_tensors(read_file(path, "the embeddings"), str(path))[0])


def embed_splits(base: BaseModule, task: Task, deltas: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Embed every split of a task with the base and a weight change; float32 [n, d], not normalised."""
    return {name: embed_split(base, split, deltas) for name, split in task.splits.items()}


def embed_split(base: BaseModule, split: Split, deltas: Mapping[str, Tensor]) -> Tensor:
    """Embed the images of a split, float32 [n, d]."""
    parts = [base.embed_all(base.normalise(split.images[part]), deltas).cpu() for part in batches(len(split), _BATCH)]
    return torch.cat(parts)
