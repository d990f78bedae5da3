"""Which of all pairs of images are worth comparing."""

from __future__ import annotations

import numpy as np

from medforge.client.data.inspection.alignment import Pairs
from medforge.client.data.inspection.neighbours import nearest, standardised
from medforge.client.data.inspection.sketch import Sketches

BY_TONES, BY_LAYOUT = 16, 4
"""Candidates of each image: those with the most similar tones, and with the most similar layout."""


def candidates(sketches: Sketches) -> Pairs:
    """Return pairs [m, 2] worth comparing, each once and in ascending order."""
    found = [
        nearest(standardised(sketches.tones.astype(np.float32)), BY_TONES),
        nearest(sketches.layout.astype(np.float32), BY_LAYOUT),
    ]
    others = np.concatenate(found, axis=1)
    own = np.repeat(np.arange(len(sketches)), others.shape[1])
    pairs = np.sort(np.stack([own, others.ravel()], axis=1), axis=1)
    return np.unique(pairs, axis=0)
