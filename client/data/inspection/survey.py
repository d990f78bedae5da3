"""One look at every image of a data set: each is read whole once, and all that cannot be used are found."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from medforge.client.data.inspection.cache import Cache
from medforge.client.data.inspection.facts import Facts
from medforge.client.data.inspection.looking import Looker, looker
from medforge.client.data.inspection.sketch import SIDE, Sketches, sketch
from medforge.client.data.problems import Problem, Problems
from medforge.errors import CorruptFile, InvalidInput, split_remedy
from medforge.progress import Progress

if TYPE_CHECKING:
    from medforge.client.data.pixels.store import ImageSource


@dataclass(frozen=True)
class Survey:
    """Hold what is known of each image of a source, in its order; None for one that cannot be used.

    `problems` says of each of those, by its position, what is wrong with it.
    """

    names: tuple[str, ...]
    facts: tuple[Facts | None, ...]
    problems: dict[int, Problem]

    @cached_property
    def sketches(self) -> Sketches:
        """Return the sketches of all images; raises SourceProblems where one cannot be used."""
        self.refuse()
        return Sketches.of_bytes([one.sketch for one in self.facts if one is not None])

    @cached_property
    def digests(self) -> list[str]:
        """Return one text an image, equal for equal bytes; one that cannot be used is like no other."""
        return [name if one is None else one.digest for name, one in zip(self.names, self.facts, strict=True)]

    def refuse(self) -> None:
        """Raise SourceProblems where an image cannot be used."""
        Problems(list(self.problems.values())).refuse()


def survey(source: ImageSource, threads: int, cache: Cache | None = None) -> Survey:
    """Look at every image of a source with so many threads, those apart that the cache knows.

    An image is known by its stamp, or, where that changed, by its bytes.
    """
    surveyor = _Surveyor(source, cache or Cache())
    with ThreadPoolExecutor(threads, "look") as workers:
        unknown = surveyor.recall(range(len(surveyor.names)))
        bar = Progress("looking at the images", len(surveyor.names), start=len(surveyor.names) - len(unknown))
        with bar:
            at_once = surveyor.looker.at_once
            for start in range(0, len(unknown), at_once):
                part = unknown[start : start + at_once]
                surveyor.look(part, workers)
                bar.advance(len(part))
    return Survey(surveyor.names, tuple(surveyor.facts), dict(sorted(surveyor.problems.items())))


class _Surveyor:
    """Gather the facts of one source's images."""

    def __init__(self, source: ImageSource, cache: Cache) -> None:
        self.names = tuple(source.names)
        self.cache = cache
        self.looker: Looker = looker(source, SIDE)
        self.facts: list[Facts | None] = [None] * len(self.names)
        self.problems: dict[int, Problem] = {}

    def recall(self, indices: Sequence[int]) -> list[int]:
        """Take what the cache knows by stamps; return the positions that are left."""
        stamps: dict[int, str] = {}
        for index in indices:
            try:
                stamps[index] = self.looker.stamp(index)
            except OSError as error:
                self._note(index, CorruptFile(f"{self.names[index]} cannot be read ({error.strerror}); restore it"))
        digests = {stamp: digest.decode() for stamp, digest in self.cache.get(list(stamps.values())).items()}
        known = self.cache.get(list(set(digests.values())))
        return [index for index, stamp in stamps.items() if not self._take(index, known.get(digests.get(stamp, "")))]

    def look(self, indices: Sequence[int], workers: ThreadPoolExecutor) -> None:
        """Look at some images: first at their bytes, then at what the cache does not know by those."""
        digests: dict[int, str] = {}
        for index, digest in zip(indices, self.looker.digests(indices, workers), strict=True):
            if isinstance(digest, InvalidInput):
                self._note(index, digest)
            else:
                digests[index] = digest
        known = self.cache.get(list(digests.values()))
        left = [index for index, digest in digests.items() if not self._take(index, known.get(digest))]
        glances = zip(left, self.looker.glances(left, workers), strict=True)
        seen = {}
        for index, glance in glances:
            if isinstance(glance, InvalidInput):
                self._note(index, glance)
            else:
                seen[index] = glance
        if seen:
            sketches = sketch(np.stack([glance.small for glance in seen.values()]))
            for place, (index, one) in enumerate(seen.items()):
                made = Facts(digests[index], one.width, one.height, one.mode, sketches.as_bytes(place))
                self.facts[index] = made
        self._keep(digests)

    def _keep(self, digests: dict[int, str]) -> None:
        kept: dict[str, bytes] = {}
        for index, digest in digests.items():
            one = self.facts[index]
            if one is not None:
                kept[digest], kept[self.looker.stamp(index)] = one.to_bytes(), digest.encode()
        self.cache.put(kept)

    def _take(self, index: int, row: bytes | None) -> bool:
        if row is None:
            return False
        try:
            self.facts[index] = Facts.of_bytes(row)
        except CorruptFile:
            return False
        return True

    def _note(self, index: int, error: InvalidInput) -> None:
        """Note a problem where the error's own words name the image, in whatever spelling."""
        name = self.names[index]
        cause, remedy = split_remedy(str(error))
        folder, named, what = cause.partition(name)
        place, said = (folder + named, what.strip()) if named else (name, f"cannot be used: {cause}")
        self.problems[index] = Problem(place, said, remedy or "mend or remove it")
