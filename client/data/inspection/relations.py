"""Which images of a data set are copies of one another, and which look alike."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from medforge.client.data.inspection.alignment import Pairs, Scores, unmoved_likeness
from medforge.client.data.inspection.cache import Cache
from medforge.client.data.inspection.candidates import candidates
from medforge.client.data.inspection.look_alikes import Numbers, chained, groups_of, look_alikes
from medforge.client.data.inspection.sketch import Sketches
from medforge.client.data.inspection.survey import Survey
from medforge.files import canonical_json, sha256_bytes
from medforge.progress import waiting

COPY = 0.95
"""Likeness, as they lie, from which on two pictures are one."""

SAME_TONES = 5.0
"""Grey levels by which the tones of a copy may differ on average."""


@dataclass(frozen=True, eq=False)
class Relations:
    """Hold the pairs of images that have equal bytes [e, 2], that are copies [c, 2] and that look alike [l, 2].

    Of equal images each is paired with the next one only. A copy is the same picture saved again, in another format,
    quality or size, and its bytes differ. `groups` int64 [n] is the same for images that are equal, copies or
    look-alikes.
    """

    equal: Pairs
    copies: Pairs
    alike: Pairs
    scores: Scores
    groups: Numbers


def kinds_of(labels: Numbers) -> Numbers:
    """Return one number an image for its labels [n] or [n, L]: equal labels, equal number."""
    return labels if labels.ndim == 1 else np.unique(labels, axis=0, return_inverse=True)[1].reshape(-1)


def relations(survey: Survey, kinds: Numbers, threads: int, cache: Cache | None = None) -> Relations:
    """Find out which images of a survey are related; `kinds` int64 [n] are their classes.

    Raises SourceProblems where an image cannot be used.
    """
    survey.refuse()
    cache, digests = cache or Cache(), survey.digests
    key = "relations " + sha256_bytes(canonical_json([digests, kinds.tolist(), COPY, SAME_TONES]))
    numbers = np.unique(np.array(digests, dtype=np.str_), return_inverse=True)[1].astype(np.int64)
    equal = chained(numbers)
    found = _read(cache.get([key]).get(key))
    if found is None:
        with waiting("comparing the images"), ThreadPoolExecutor(threads, "compare") as workers:
            found = _found(survey.sketches, kinds, workers)
        cache.put({key: _written(found)})
    copies, alike, scores = found
    copies = copies[numbers[copies[:, 0]] != numbers[copies[:, 1]]]
    return Relations(equal, copies, alike, scores, groups_of(len(digests), np.concatenate([alike, copies]), digests))


_Found = tuple[Pairs, Pairs, Scores]


def _found(sketches: Sketches, kinds: Numbers, workers: ThreadPoolExecutor) -> _Found:
    pairs = candidates(sketches)
    link = look_alikes(sketches, kinds, pairs, workers)
    return pairs[_are_copies(sketches, pairs)], link.pairs, link.scores


def _are_copies(sketches: Sketches, pairs: Pairs) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    one, other = (sketches.tones[pairs[:, side]].astype(np.int16) for side in (0, 1))
    near = np.abs(one - other).mean(axis=1) <= SAME_TONES
    copies = np.zeros(len(pairs), np.bool_)
    copies[near] = unmoved_likeness(sketches.rings, pairs[near]) >= COPY
    return copies


def _written(found: _Found) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, copies=found[0], alike=found[1], scores=found[2])
    return stream.getvalue()


def _read(row: bytes | None) -> _Found | None:
    if row is None:
        return None
    with np.load(io.BytesIO(row), allow_pickle=False) as kept:
        return kept["copies"], kept["alike"], kept["scores"]
