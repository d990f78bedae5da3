"""How evenly images are shared among classes, and what follows from it."""

from __future__ import annotations

from collections.abc import Sequence

FEW = 20
"""Images of a class below which this is said."""

UNEVEN = 2.0
"""How many times as many images as the smallest class the largest may have before classes are out of balance."""


def out_of_balance(counts: Sequence[int]) -> bool:
    """Say whether the largest class has at least twice as many images as the smallest one that has any."""
    there = [count for count in counts if count]
    return len(there) > 1 and max(there) >= UNEVEN * min(there)


def majority_share(counts: Sequence[int]) -> float:
    """Return the accuracy of who always answers the largest class; 0 without an image."""
    total = sum(counts)
    return max(counts) / total if total else 0.0
