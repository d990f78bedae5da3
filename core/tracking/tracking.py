"""What work says of itself while it goes on: numbers by name and step, passed on to every backend asked for."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from medforge.errors import MedForgeError


class TrackingFailed(MedForgeError):
    """Report a backend that cannot be opened or written."""

    code = "tracking-failed"


class Backend(Protocol):
    """Keep one run's numbers somewhere. Every method raises TrackingFailed where that is out of reach."""

    PREFIX: ClassVar[str]
    """What `--track` calls it, before the colon."""

    def steps(self, name: str) -> frozenset[int]:
        """Return the steps of which the run has this number already, from an earlier process."""
        ...

    def write(self, values: Mapping[str, float], step: int) -> None:
        """Add numbers by name at a step, where others can read them at once."""
        ...

    def close(self) -> None:
        """Say that the run is over for now; a later process may go on with it."""
        ...


@dataclass
class _Open:
    backend: Backend
    seen: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))

    def write(self, values: Mapping[str, float], step: int) -> None:
        for name in values.keys() - self.seen.keys():
            self.seen[name] |= self.backend.steps(name)
        new = {name: value for name, value in values.items() if step not in self.seen[name]}
        if new:
            self.backend.write(new, step)
        for name in new:
            self.seen[name].add(step)


class Tracking:
    """Pass numbers on to backends, each number once a step; without backends nothing happens.

    Work that was interrupted says its earlier numbers again when it goes on, so a curve is whole whoever wrote it.
    """

    def __init__(self, backends: Sequence[Backend] = ()) -> None:
        self._open = [_Open(backend) for backend in backends]

    def log(self, values: Mapping[str, float | None], step: int) -> None:
        """Add numbers by name at a step; None is left out. A backend that fails is said once and left alone."""
        known = {name: float(value) for name, value in values.items() if value is not None}
        for one in tuple(self._open):
            try:
                one.write(known, step)
            except TrackingFailed as error:
                # hours of work are worth more than their curves
                print(f"warning: no more is written to {one.backend.PREFIX}: {error}", file=sys.stderr, flush=True)
                self._open.remove(one)

    def close(self) -> None:
        """Close every backend."""
        for one in self._open:
            try:
                one.backend.close()
            except TrackingFailed as error:
                print(f"warning: {one.backend.PREFIX} was not closed: {error}", file=sys.stderr, flush=True)
        self._open = []
