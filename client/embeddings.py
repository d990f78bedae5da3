"""The base module's embeddings of a centre's training and validation images: computed once, kept in the workspace."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from medforge.base import BaseModule, batches
from medforge.client.data.split_names import SplitName
from medforge.client.data.task import Task
from medforge.determinism import on_grid
from medforge.errors import CorruptFile
from medforge.files import canonical_json, sha256_bytes, write_atomically
from medforge.progress import Progress
from medforge.tensors import dump_tensors, parse_tensors

_BATCH = 256


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Hold what the base module makes of training [n, d] and validation [m, d] images: float32, on a grid, exact."""

    train: Tensor
    validation: Tensor


def embed_task(base: BaseModule, task: Task, kept: Path | None = None, progress_file: Path | None = None) -> Embeddings:
    """Embed the training and validation images, not normalised and without a plugin; the test split stays unseen.

    They do not depend on the number of threads. With `kept` they are read from that file, where it holds the same
    images' embeddings by the same base, and are written to it.
    """
    identity = _identity(base, task)
    found = _read(kept, identity)
    if found is not None:
        return found
    parts: dict[SplitName, list[Tensor]] = {"train": [], "validation": []}
    with Progress("embedding", len(task.train) + len(task.validation), file=progress_file) as bar:
        for name, rows in parts.items():
            split = task.splits[name]
            for part in batches(len(split), _BATCH):
                pixels = split.images[part]
                rows.append(on_grid(base.embed_all(base.normalise(pixels), exactly=True)).float().cpu())
                bar.advance(len(pixels))
    embeddings = Embeddings(*(torch.cat(rows) for rows in parts.values()))
    if kept is not None:
        write_atomically(kept, dump_tensors(vars(embeddings), {"identity": identity}))
    return embeddings


def _read(kept: Path | None, identity: str) -> Embeddings | None:
    if kept is None or not kept.exists():
        return None
    try:
        tensors, facts = parse_tensors(kept.read_bytes(), str(kept))
    except CorruptFile:  # it can be had again
        return None
    return Embeddings(**tensors) if facts.get("identity") == identity else None


def _identity(base: BaseModule, task: Task) -> str:
    images = [list(task.splits[name].images.names) for name in ("train", "validation")]
    made = [base.fingerprint, str(base.dtype), base.device.type, base.image_size, images]
    return sha256_bytes(canonical_json(made))
