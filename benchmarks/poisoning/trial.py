"""One attack under one condition: who gets in, and what it costs the tasks of others on real test images."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Literal, NamedTuple

from benchmarks.poisoning.attack import Attack, Before, Steps
from benchmarks.poisoning.door import refused
from benchmarks.poisoning.scoring import TaskScores, TestScores
from benchmarks.poisoning.sites import Answered, Site
from benchmarks.poisoning.trial_forge import Sent, TrialForge
from medforge.aggregator.forge.policy import Policy, Tasks
from medforge.aggregator.merge import MethodSettings
from medforge.aggregator.merge.arrived_branch import ArrivedBranch
from medforge.aggregator.merge.folding import refold
from medforge.branch import Branch
from medforge.errors import InvalidInput
from medforge.forge_item import ForgeItem
from medforge.simulation.benchmark.jobs.artefacts import assemble
from medforge.simulation.benchmark.jobs.workbench import Bench
from medforge.simulation.benchmark.settings import BenchmarkSettings

Condition = Literal["no checks", "admission", "reviews"]
CONDITIONS: tuple[Condition, ...] = ("no checks", "admission", "reviews")
POLICY = Policy(tasks=Tasks(open=False))
"""What a new forge has."""


class Outcome(NamedTuple):
    """Say what became of an attack: how many branches, what stopped them, and each task's scores before and after.

    ``stopped`` counts the attacker's branches by the check that keeps them out of what people use, "" for none;
    ``honest`` those of honest sites that came meanwhile. ``before`` and ``after`` are `TaskScores` by task; ``after``
    is the worst moment of the attack. ``reasons`` are the forge's sentences for what it holds.
    """

    attack: str
    method: str
    seed: int
    victim: str
    condition: Condition
    stopped: dict[str, int]
    honest: dict[str, int]
    before: dict[str, TaskScores]
    after: dict[str, TaskScores]
    reasons: list[str]

    @property
    def harm(self) -> float:
        """The loss of accuracy of the task that lost most, as a share."""
        return max(self.before[task].harm(self.after[task]) for task in self.before)

    @property
    def drawn_away(self) -> float:
        """By how much the share of a task's images that are routed elsewhere grew, of the task where it grew most."""
        return max(self.after[task].away - self.before[task].away for task in self.before)


class _Fate(NamedTuple):
    """Hold what an attack's and the honest branches after it came to, and what was merged at every moment of it."""

    stopped: dict[str, int]
    honest: dict[str, int]
    moments: list[ForgeItem | None]
    reasons: list[str]


class _Ground(NamedTuple):
    """Hold a closed forge as an attacker meets it, what became of the honest branches, and what it has merged."""

    forge: TrialForge
    honest: dict[str, int]
    item: ForgeItem | None
    reasons: list[str]


@dataclass
class Trial:
    """Send attacks on one task to main branches of honest sites, under one seed and by one way to merge.

    The last centre of every task is the attacker's; all others are honest.
    """

    bench: Bench
    seed: int
    victim: str
    method: str
    settings: MethodSettings
    scores: TestScores
    answered: Answered
    place: Path
    _grounds: dict[tuple[bool, Before], _Ground] = field(default_factory=dict)
    _unattacked: dict[Condition, dict[str, TaskScores]] = field(default_factory=dict)

    def run(self, attack: Attack, steps: Steps, condition: Condition) -> Outcome:
        """Send an attack under a condition."""
        if condition == "no checks":
            fate = self._unchecked(attack, steps)
        else:
            fate = self._at_a_forge(attack, steps, condition == "reviews")
        before, found = self.before(condition), [self._score(item) for item in fate.moments]
        worst = max(found, key=lambda after: max(before[task].harm(after[task]) for task in before))
        about = (attack.name, self.method, self.seed, self.victim, condition)
        return Outcome(*about, fate.stopped, fate.honest, before, worst, fate.reasons)

    def honest(self, condition: Condition) -> dict[str, int]:
        """Count the honest branches by the check that stops them, "" for none, where nobody attacks."""
        if condition == "no checks":
            return {"": len(honest_centres(self.bench.settings))}
        return self._ground(condition == "reviews", "nobody").honest

    def reasons(self, condition: Condition) -> list[str]:
        """Return the sentences with which honest branches are held where nobody attacks."""
        return [] if condition == "no checks" else self._ground(condition == "reviews", "nobody").reasons

    def before(self, condition: Condition) -> dict[str, TaskScores]:
        """Score what the honest sites make where nobody attacks."""
        if condition not in self._unattacked:
            merged = condition == "no checks"
            item = self._merged([self._branch(name) for name in self._order()]) if merged else self._made(condition)
            self._unattacked[condition] = self._score(item)
        return self._unattacked[condition]

    def _made(self, condition: Condition) -> ForgeItem | None:
        return self._ground(condition == "reviews", "nobody").item

    def _unchecked(self, attack: Attack, steps: Steps) -> _Fate:
        """Merge whatever has the form of a branch."""
        stopped: Counter[str] = Counter()
        members = [self._branch(name) for name in self._first(attack.before)]
        late = [self._branch(name) for name in self._late(attack.before)]
        moments: list[ForgeItem | None] = []
        for step in steps:
            for branch in step:
                fate = refused(branch, self.bench.base, POLICY)
                stopped[fate] += 1
                if not fate:
                    members = [*(one for one in members if not _version(one, branch)), branch]
            if not late:
                moments.append(self._merged(members))
        if late:
            moments.append(self._merged([*members, *late]))
        return _Fate(dict(stopped), {"": len(late)}, moments, [])

    def _at_a_forge(self, attack: Attack, steps: Steps, reviewed: bool) -> _Fate:
        """Push to a real forge, and let the honest sites that were to come later come then."""
        ground = self._ground(reviewed, attack.before)
        moments = []
        with tempfile.TemporaryDirectory(dir=self.place) as place:
            forge = ground.forge.copied(Path(place) / "forge", attack.says)
            try:
                sent: list[Sent] = []
                for step in steps:
                    for branch in step if attack.declared else ():
                        forge.declare(branch)
                    sent += forge.push(step)
                    forge.settle()
                    if attack.before == "nobody":
                        moments.append(forge.item(forge.stable))
                late = [forge.join(self._site(name), self._branch(name)) for name in self._late(attack.before)]
                if attack.before != "nobody":
                    moments.append(forge.item(forge.stable))
                reasons = forge.reasons([*sent, *late])
                return _Fate(_counted(forge, sent), _counted(forge, late), moments, reasons)
            finally:
                forge.close()

    def _ground(self, reviewed: bool, before: Before) -> _Ground:
        """Return the forge of the honest sites that come before an attacker; made once."""
        if (reviewed, before) not in self._grounds:
            place = self.place / f"{self.method}-{self.victim}-{self.seed}-{int(reviewed)}-{before.replace(' ', '-')}"
            forge = TrialForge.establish(place, self.answered, self.settings, POLICY, reviewed)
            try:
                for name in self._order():
                    forge.declare(self._branch(name))
                sent = [forge.join(self._site(name), self._branch(name)) for name in self._first(before)]
                self._grounds[reviewed, before] = _Ground(
                    forge, _counted(forge, sent), forge.item(forge.stable), forge.reasons(sent)
                )
            finally:
                forge.close()
        return self._grounds[reviewed, before]

    def _order(self) -> tuple[str, ...]:
        """Return the honest centres as they come: the tasks in turn, the victim's last."""
        sharing = self.bench.settings.sharing(honest_centres(self.bench.settings))
        tasks = sorted(sharing, key=lambda task: task == self.victim)
        turns = zip_longest(*(sharing[task] for task in tasks))
        return tuple(name for turn in turns for name in turn if name is not None)

    def _first(self, before: Before) -> tuple[str, ...]:
        """Return the honest centres that come before an attacker."""
        order, settings = self._order(), self.bench.settings
        if before == "nobody":
            return order
        if before == "one site":
            return order[:-1]
        return tuple(name for name in order if settings.task_of(name) != self.victim)

    def _late(self, before: Before) -> tuple[str, ...]:
        """Return the honest centres that come after an attacker."""
        first = self._first(before)
        return tuple(name for name in self._order() if name not in first)

    def _merged(self, branches: Sequence[Branch]) -> ForgeItem:
        arrived = [ArrivedBranch.of(number, branch) for number, branch in enumerate(branches, start=1)]
        return refold(self.bench.base, self.settings, arrived, self.bench.probabilities).item

    def _score(self, item: ForgeItem | None) -> dict[str, TaskScores]:
        if item is None:
            return {self.bench.settings.task_of(name): TaskScores(0.0, 0.0, 1.0) for name in self._order()}
        return self.scores.score(item)

    def _branch(self, name: str) -> Branch:
        return assemble(self.bench, name, self.seed, "lora", "dm-dsa")

    def _site(self, name: str) -> Site:
        return Site.of(
            name, self.bench.settings.task_of(name), self.bench.task(name, self.seed), self._branch(name).plugin
        )


def honest_centres(settings: BenchmarkSettings) -> tuple[str, ...]:
    """Return all centres but the last of every task, which is the attacker's.

    Raises InvalidInput where a task has no other, or there is one task only.
    """
    sharing = settings.sharing(settings.names)
    alone = [task for task, names in sharing.items() if len(names) < 2]
    if alone or len(sharing) < 2:
        raise InvalidInput(
            "attacks need two tasks or more, each of two centres or more, of which the last is the attacker's; divide "
            "them with --divide NAME=SITES:WAY"
        )
    return tuple(name for names in sharing.values() for name in names[:-1])


def _version(one: Branch, other: Branch) -> bool:
    return (one.manifest.contributor, one.manifest.task) == (other.manifest.contributor, other.manifest.task)


def _counted(forge: TrialForge, sent: Sequence[Sent]) -> dict[str, int]:
    return dict(Counter(forge.stopped(one) for one in sent))
