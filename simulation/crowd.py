"""A crowd: many centres in the place of a few, each with images of its own."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from medforge.client.data.catalogue import draws, whole_source
from medforge.client.data.sites.site import MOST_SITES, Division
from medforge.errors import InvalidInput
from medforge.simulation.centres import Centre

FEW = 30
"""A run of more centres tells how many are where, and no longer where each of them is."""

SCORED = 3
"""Centres of a task on whose test images a run of more than a few scores the main branch."""

NAMED = 10
"""Names in a sentence, before the others are counted."""

SMALL = "train=24,validation=12,test=24"
DEFAULT_CROWD = tuple(Centre(name=name, source=f"tissue:{name},{SMALL}") for name in ("breast", "lung"))
"""What a crowd is of where nobody says: tissues that some steps on some images teach; for colon a forge wants more."""

SHORT = (
    "train.epochs=3", "train.batch=8", "distill.ipc=4", "distill.steps=10", "distill.real_batch=4",
    "distill.candidates=1", "distill.score_steps=4",
)  # fmt: skip
"""What such a crowd changes in the demonstration's recipe, as so few images ask for."""


class Crowd(BaseModel):
    """Say that `count` centres stand in the place of those `of`, which take turns.

    Where images are drawn each centre draws its own; other images are divided among the centres, by chance alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    count: int
    of: tuple[Centre, ...]

    @classmethod
    def make(cls, of: Sequence[Centre], count: int) -> Crowd:
        """Check that so many centres can stand there. Raises InvalidInput where they cannot."""
        if count < len(of):
            raise InvalidInput(
                f"--centres {count} is fewer than the {len(of)} centres whose images they would have; give at least "
                f"{len(of)}"
            )
        for centre in of:
            if whole_source(centre.source)[1] is not None:
                raise InvalidInput(
                    f"--centre {centre.name} has a part of its source already, which --centres would divide; leave one "
                    "of them out"
                )
        most = -(-count // len(of))
        divided = next((centre.name for centre in of if not draws(centre.source)), None)
        if divided is not None and most > MOST_SITES:
            raise InvalidInput(
                f"--centres {count}: the images of {divided} are divided among at most {MOST_SITES} centres; give fewer"
            )
        return cls(count=count, of=tuple(of))

    @property
    def large(self) -> bool:
        """Say whether there are more centres than a run shows one by one."""
        return self.count > FEW

    def centres(self) -> tuple[Centre, ...]:
        """Return the centres: the first of each kind, then the second of each, and so on."""
        kinds = len(self.of)
        return tuple(self._centre(place % kinds, place // kinds + 1) for place in range(self.count))

    def ends(self) -> tuple[Centre, ...]:
        """Return the first centre of each kind, and the last."""
        every, kinds = self.centres(), len(self.of)
        return every if len(every) <= 2 * kinds else (*every[:kinds], *every[-kinds:])

    def _centre(self, kind: int, number: int) -> Centre:
        whole = self.of[kind]
        alike = self.count // len(self.of) + (kind < self.count % len(self.of))
        if draws(whole.source):
            source = f"{whole.source},draw={number}"
        else:
            source = whole.source if alike == 1 else f"{whole.source},{Division(alike).options(number)}"
        return Centre(name=f"{whole.name}-{number}", source=source, task=whole.task)


def worth_scoring(arrival: int) -> bool:
    """Say whether a large run scores the main branch after this arrival: 1, 2, 3, 5, 10, 20, 30, 50, 100 and so on."""
    while arrival % 10 == 0:
        arrival //= 10
    return arrival in (1, 2, 3, 5)


def scored(centres: Sequence[Centre]) -> tuple[Centre, ...]:
    """Return the first few centres of each task."""
    seen: dict[str, int] = {}
    chosen = []
    for centre in centres:
        seen[centre.task] = seen.get(centre.task, 0) + 1
        if seen[centre.task] <= SCORED:
            chosen.append(centre)
    return tuple(chosen)


def few_names(names: Sequence[str]) -> str:
    """List names for a reader, the first few of many."""
    return ", ".join(names) if len(names) <= NAMED else f"{', '.join(names[:NAMED])} and {len(names) - NAMED} others"
