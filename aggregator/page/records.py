"""What the pages say of a forge's past, in plain values that take little memory."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Round:
    """Hold one commit without its members: who came and who left with it, of how many it is made since.

    ``item`` is the forge item's digest. ``acc`` is the accuracy on the distilled images of the commit's own task,
    ``mean`` that over all tasks; None where nothing was scored.
    """

    number: int
    digest: str
    item: str | None
    kind: str
    arrival: int
    came: tuple[int, ...]
    left: tuple[int, ...]
    members: int
    acc: float | None
    mean: float | None


@dataclass(frozen=True)
class Event:
    """Hold one entry of the journal, as far as everybody who may see the pages may read it.

    ``arrival``, ``commit`` (its number), ``task``, ``about`` (a contributor) and ``tag`` are what it is about, where it
    says so.
    """

    number: int
    at: str
    actor: str
    what: str
    arrival: int | None = None
    commit: int | None = None
    task: str | None = None
    about: str | None = None
    tag: str | None = None
    reason: str = ""
    erase: bool = False


@dataclass
class ScoreSeries:
    """Keep what one task scored over the commits: only the commits at which that changed (None: not in the model)."""

    commits: list[int] = field(default_factory=list)
    accuracies: list[float | None] = field(default_factory=list)

    def note(self, commit: int, accuracy: float | None) -> None:
        """Add what a later commit scored."""
        if self.now != accuracy:
            self.commits.append(commit)
            self.accuracies.append(accuracy)

    @property
    def now(self) -> float | None:
        """What it scored last."""
        return self.accuracies[-1] if self.accuracies else None

    def at(self, commit: int) -> float | None:
        """Return what it scored once a commit was made (by its number from 1)."""
        place = bisect_right(self.commits, commit)
        return self.accuracies[place - 1] if place else None
