"""Honest small centres: parts of tasks with 60 to 200 training images, alike, skewed, or each with its own look."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from medforge.branch import Branch
from medforge.client.data.catalogue import open_task
from medforge.client.data.sites.site import parse_division
from medforge.errors import InvalidInput
from medforge.simulation.benchmark.jobs.artefacts import Distil, GatherFacts, Train, assemble
from medforge.simulation.benchmark.jobs.job import Job
from medforge.simulation.benchmark.jobs.store import Store
from medforge.simulation.benchmark.jobs.workbench import Bench
from medforge.simulation.benchmark.settings import BenchmarkSettings
from medforge.simulation.centres import Centre

WAYS = ("iid", "dirichlet:0.3", "look")
SITES = 3
# training images of a centre, a little more or less
IMAGES = (60, 110, 200)
# the first centre of one group in six distils as long as the recipe says
_EVERY = 6
# to count images and classes takes no pixel
_SIDE = 8
# what is sent is the last candidate, so none is scored at length
_ONE = ("distill.candidates=1", "distill.score_steps=10")
RECIPES = {"full": _ONE, "short": ("distill.steps=50", *_ONE)}


@dataclass(frozen=True)
class SmallCentre:
    """Name one centre, its images, the task that it shares with its group, how that is divided, and how it distils."""

    name: str
    source: str
    task: str
    way: str
    seed: int
    recipe: str


class SmallCentres:
    """Hold groups of centres that each share a task, and the benches that make their branches.

    Every centre of the settings is divided under every seed, over three seeds in each of three ways.
    """

    def __init__(self, settings: BenchmarkSettings, store: Store) -> None:
        self.groups = [
            group_of(whole, place, seed) for seed in settings.seeds for place, whole in enumerate(settings.centres)
        ]
        centres = tuple(Centre(name=one.name, source=one.source, task=one.task) for one in self)
        self._benches = {
            name: Bench(
                settings.model_copy(update={"centres": centres, "changes": (*settings.changes, *changes)}), store
            )
            for name, changes in RECIPES.items()
        }

    def __iter__(self) -> Iterator[SmallCentre]:
        """Return every centre in turn."""
        return (centre for group in self.groups for centre in group)

    def bench(self, centre: SmallCentre) -> Bench:
        """Return the bench of a centre's jobs."""
        return self._benches[centre.recipe]

    def jobs(self, centre: SmallCentre) -> tuple[Train, Distil]:
        """Return what makes a centre's branch."""
        return Train(centre.name, centre.seed), Distil(centre.name, centre.seed)

    def make(self, centre: SmallCentre) -> None:
        """Train and distil what is missing of a centre's branch."""
        self._run(centre, *self.jobs(centre))

    def made(self, centre: SmallCentre) -> bool:
        """Say whether a centre's branch is there."""
        return all(job.done(self.bench(centre)) for job in self.jobs(centre))

    def branch(self, centre: SmallCentre) -> Branch:
        """Return what an honest centre pushes: its task is that of its group."""
        self._run(centre, GatherFacts(centre.name, centre.seed))
        made = assemble(self.bench(centre), centre.name, centre.seed, "lora", "dm-dsa")
        return replace(made, manifest=made.manifest.model_copy(update={"task": centre.task}))

    def _run(self, centre: SmallCentre, *jobs: Job) -> None:
        bench = self.bench(centre)
        for job in jobs:
            if not job.done(bench):
                job.run(bench)


def group_of(whole: Centre, place: int, seed: int) -> tuple[SmallCentre, ...]:
    """Return three centres among which a part of a centre's images is divided.

    ``place`` and seed say how, and how many images each gets; there are more where the images are too few for so
    many centres of that size.
    """
    turn = place + seed
    way = WAYS[turn % len(WAYS)]
    images = len(open_task(whole.source, _SIDE, seed).train)
    sites = max(SITES, round(images / IMAGES[turn // len(WAYS) % len(IMAGES)]))
    while sites > SITES and not _divides(f"{whole.source},by={way},part=1/{sites}", seed):
        sites -= 1
    return tuple(
        SmallCentre(
            name=f"{whole.name}-{seed}-{number}",
            source=f"{whole.source},{parse_division(f'{sites}:{way}').options(number)}",
            task=whole.task,
            way=way,
            seed=seed,
            recipe="full" if turn % _EVERY == 2 and number == 1 else "short",
        )
        for number in range(1, SITES + 1)
    )


def _divides(source: str, seed: int) -> bool:
    try:
        open_task(source, _SIDE, seed)
    except InvalidInput:
        return False
    return True
