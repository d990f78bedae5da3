"""Named random seeds: one run seed, and a name for every place where chance enters."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def derive(seed: int, *names: str | int) -> int:
    """Derive an independent 63-bit seed from the run's ``seed`` and the names of the place that draws."""
    text = "/".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *names: str | int) -> torch.Generator:
    """Make a CPU torch generator for the named place."""
    # here, for who splits data needs numpy alone
    import torch

    return torch.Generator().manual_seed(derive(seed, *names))


def numpy_generator(seed: int, *names: str | int) -> np.random.Generator:
    """Make a NumPy generator for the named place."""
    return np.random.default_rng(derive(seed, *names))
