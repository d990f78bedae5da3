"""How alike images are, by layout and by the base module's features, and which real image is nearest."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from medforge.base import batches

_ENTRIES = 1 << 24
"""Distances held at once: 64 MiB."""


class Nearest(NamedTuple):
    """Hold each query's distance to its nearest row [n] (float32) and that row's position [n] (int64)."""

    distance: Tensor
    position: Tensor


def directions(embeddings: Tensor, centre: Tensor) -> Tensor:
    """Return where embeddings [n, d] lie as seen from `centre` [d], as unit rows.

    A CLIP's embeddings fill a narrow cone, in which every two images look alike; seen from their mean they do not.
    """
    return F.normalize(embeddings - centre, dim=1)


def nearest(
    queries: Tensor, rows: Tensor, query_groups: Tensor | None = None, row_groups: Tensor | None = None
) -> Nearest:
    """Find each query's nearest row, by Euclidean distance, a bounded part of the distances at a time.

    `queries` are [n, d], or [v, n, d] where each comes in v versions, of which the nearest counts; `rows` are [m, d].
    With groups (int64 [n] and [m]) rows of the query's own group are left out; a query without any other row is at
    distance ∞.
    """
    versions = queries if queries.ndim == 3 else queries.unsqueeze(0)
    found = []
    for part in batches(versions.shape[1], max(1, _ENTRIES // max(1, len(rows)))):
        distances = _distances(versions[0, part], rows)
        for version in versions[1:]:
            distances = torch.minimum(distances, _distances(version[part], rows))
        if query_groups is not None and row_groups is not None:
            distances[query_groups[part].unsqueeze(1) == row_groups] = torch.inf
        found.append(distances.min(dim=1))
    return Nearest(torch.cat([one.values for one in found]), torch.cat([one.indices for one in found]))


def _distances(queries: Tensor, rows: Tensor) -> Tensor:
    return torch.cdist(queries, rows, compute_mode="use_mm_for_euclid_dist")
