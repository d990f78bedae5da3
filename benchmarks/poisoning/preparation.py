"""Attacks made once and kept: their plugins are fitted, which takes longer than sending them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from benchmarks.poisoning.attack import Attack, Steps
from benchmarks.poisoning.attacker import Attacker
from medforge.branch import Branch
from medforge.simulation.benchmark.jobs.artefacts import GatherFacts
from medforge.simulation.benchmark.jobs.job import Job, StoredArtefact
from medforge.simulation.benchmark.jobs.workbench import Bench, Facts


@dataclass(frozen=True)
class Prepare(StoredArtefact):
    """Make the branches that an attack sends against a task under a seed, each plugin fitted in so many steps."""

    attack: Attack
    victim: str
    seed: int
    fitting: int

    sort = "prepare an attack"

    @property
    def label(self) -> str:
        """Name the job."""
        return f"attack on {self.victim}, seed {self.seed}: {self.attack.sends}"

    @property
    def needs(self) -> tuple[Job, ...]:
        """Nothing that would be made in its turn: whoever prepares has made the honest branches."""
        return ()

    def facts(self, bench: Bench) -> Facts:
        """Name the attack, and what every centre's branch is made of."""
        made_of = [GatherFacts(name, self.seed).facts(bench) for name in bench.settings.names]
        return {
            "artefact": "attack",
            "attack": self.attack.sends,
            "steps": self.fitting,
            "victim": self.victim,
            "branches": made_of,
        }

    def make(self, bench: Bench, place: Path) -> Mapping[str, object]:
        """Make the branches and save them, step by step."""
        steps = self.attack.make(_attacker(bench, self.seed, self.victim, self.fitting))
        for number, step in enumerate(steps):
            for which, branch in enumerate(step):
                branch.save(_place(place, number, which))
        return {"steps": [len(step) for step in steps]}

    def steps(self, bench: Bench) -> Steps:
        """Read the branches, made first where they are not there."""
        if not self.done(bench):
            self.run(bench)
        place = self.place(bench)
        counts: list[int] = self.record(bench)["steps"]
        return [
            [Branch.load(_place(place, number, which)) for which in range(count)] for number, count in enumerate(counts)
        ]


@lru_cache(maxsize=2)
def _attacker(bench: Bench, seed: int, victim: str, steps: int) -> Attacker:
    """Return the one attacker of all attacks on a task under a seed: what it has is read once."""
    return Attacker(bench, seed, victim, steps)


def _place(place: Path, number: int, which: int) -> Path:
    return place / f"step-{number}" / f"branch-{which}"
