"""The run's scores, worked out in small steps while the centres compute."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from medforge.errors import MedForgeError
from medforge.simulation.crowd import worth_scoring
from medforge.simulation.curves_of_rounds import log_scores
from medforge.simulation.result import Decided, Reviews, RoundResult, Score, TaskResult, mean_score
from medforge.simulation.settings import SimulationSettings
from medforge.tracking.tracking import Tracking

if TYPE_CHECKING:
    from medforge.aggregator.forge.forge import Forge
    from medforge.aggregator.ledger.commit import Commit
    from medforge.assessment.result import Assessment
    from medforge.base_module import BaseModule
    from medforge.branch import Branch
    from medforge.client.data.task import Task
    from medforge.forge_item import ForgeItem
    from medforge.plugin import Plugin
    from medforge.simulation.evaluation import Evaluator
    from medforge.simulation.outputs import Outputs
    from medforge.simulation.task_scores import LastAnswers, Question, Scores

# Share of the wall time that scoring may take from the centres while no core is idle.
SHARE_WHEN_BUSY = 0.1
POLL_SECONDS = 0.5


class Scoring:
    """Score the base alone, then every commit as it appears in the forge, on every task's test split.

    A model chooses among all the prompts of a task on the test images of each of its centres. The steps come in an
    order that does not depend on when they are taken, so neither do the scores. A centre whose images cannot be opened
    is left out, with the reason in `unopened`. Of a crowd the first centres of each task have their test images scored,
    after fewer and fewer of the arrivals, and after the last.
    """

    def __init__(
        self,
        settings: SimulationSettings,
        forge: Path,
        workspace: Callable[[str], Path],
        tracking: Tracking | None = None,
    ) -> None:
        self._settings = settings
        self._tracking = tracking or Tracking()
        self._directory = forge
        self._workspace = workspace
        self._forge: Forge | None = None
        self._evaluator: Evaluator | None = None
        self.questions: tuple[Question, ...] = ()
        self._base_scores: dict[str, Scores] = {}
        self._commits: list[Commit] = []
        self._newest: Commit | None = None
        self._read = self._decided = self._there = 0
        self._work = self._all_steps()
        self._began = time.monotonic()
        self._spent = 0.0
        self._polled = 0.0
        self._ready = False
        self.arrivals: dict[str, int] = {}
        self.holds: dict[int, str] = {}
        self.unopened: dict[str, str] = {}
        self.zero_shot: dict[str, Score] = {}
        self.rounds: list[RoundResult] = []

    def load_code(self) -> None:
        """Import what scoring needs, seconds that would fall later else, while the centres compute."""
        import medforge.simulation.evaluation  # noqa: F401

    @cached_property
    def base(self) -> BaseModule:
        """The base module, loaded where nothing asked for it before."""
        import torch

        from medforge.base import load_base

        # One thread, always: a sum's last bits depend on how many threads made it.
        torch.set_num_threads(1)
        return load_base(self._settings.base, self._settings.device, self._settings.dtype)

    @property
    def ready(self) -> bool:
        """Say whether the base alone is scored, so that there is an evaluator."""
        return self._ready

    @property
    def decided(self) -> int:
        """How many arrivals are in the main branch, or held with a reason."""
        return self._decided

    @property
    def evaluator(self) -> Evaluator:
        """Return the evaluator, once there is one."""
        assert self._evaluator is not None
        return self._evaluator

    def folded(self, arrivals: int) -> bool:
        """Say whether this many arrivals are in the main branch, or held with a reason."""
        if not arrivals:
            return True
        self._poll()
        return self._decided >= max(arrivals, self._there)

    def spare(self, idle_cores: int) -> bool:
        """Take one step where a core is idle or scoring has had less than its share; say whether one was taken."""
        self._poll()
        began = time.monotonic()
        if not idle_cores and self._spent > SHARE_WHEN_BUSY * (began - self._began):
            return False
        if self._ready and len(self.rounds) == len(self._commits):
            return False
        next(self._work)
        self._spent += time.monotonic() - began
        return True

    def finish(self, show: Callable[[], None]) -> None:
        """Take all the steps that are left, calling `show` after each, once every arrival is decided."""
        self._poll(now=True)
        if (self._directory / "forge.json").exists():
            ledger = self._open().ledger
            self.arrivals = {entry.contributor: entry.number for entry in ledger.arrivals()}
            self.holds = {number: hold.reason for number, hold in ledger.holds().items()}
        if self._newest is not None and self._newest not in self._commits[-1:]:
            self._commits.append(self._newest)
        while not self._ready or len(self.rounds) < len(self._commits):
            next(self._work)
            show()

    def tasks(self) -> tuple[TaskResult, ...]:
        """Score each centre's own plugin, on the test images of every centre of its task."""
        assessed = {last.question.name: last.assess() for last in self.last_answers()}
        return tuple(self._task(question, assessed.get(question.name)) for question in self.questions)

    def _task(self, question: Question, assessment: Assessment | None) -> TaskResult:
        last = self.rounds[-1] if self.rounds else None
        own = {
            name: question.scores(partial(_plugin_answer, self.evaluator, self.branch(name).plugin))
            for name in question.centres
            if name in self.arrivals
        }
        return TaskResult(
            name=question.name,
            prompts=question.prompts or self.evaluator.tasks[question.centres[0]].texts,
            centres=question.centres,
            test_images=sum(len(self.evaluator.tasks[name].test) for name in question.centres),
            zero_shot=self._base_scores[question.name].whole,
            merged=last.tasks[question.name] if last else None,
            home={name: last.metrics[name] for name in question.centres} if last else {},
            away={name: scores.centres for name, scores in own.items()},
            alone={name: scores.whole for name, scores in own.items()},
            assessment=assessment,
        )

    def last_answers(self) -> Iterator[LastAnswers]:
        """Return what the last main branch answers on the test images of each task; nothing where there is none."""
        from medforge.simulation.task_scores import LastAnswers

        if not self._commits:
            return
        item = self._open().load_item(self._commits[-1])
        for question in self.questions:
            first = self.evaluator.tasks[question.centres[0]]
            outputs = question.outputs(partial(_item_answer, self.evaluator, item))
            yield LastAnswers(question, question.prompts or first.prompts, outputs)

    def branch(self, name: str) -> Branch:
        """Read the branch of a centre that arrived."""
        return self._open().load_branch(self.arrivals[name])

    @property
    def branches(self) -> dict[str, str]:
        """The branch of every centre that is in the main branch, or was."""
        if self._settings.crowded:
            # not every merge round was scored
            return {
                one.contributor: one.branch for one in self._open().ledger.arrivals() if one.number not in self.holds
            }
        return {one.centre: one.branch for one in self.rounds}

    def reviews(self) -> Reviews | None:
        """Say how the commits stand by reviews; None before the first commit."""
        from medforge.aggregator.ledger.review_table import ReviewTable

        table = ReviewTable(self._open().ledger)
        stable = table.stable_or_head()
        if stable is None:
            return None
        return Reviews(
            stable=stable.digest,
            tasks=next((one.tasks for one in self.rounds if one.commit == stable.digest), {}),
            decisions=tuple(
                Decided(
                    commit=kept.decision.commit,
                    standing=kept.decision.standing,
                    reason=kept.decision.reason,
                    held=kept.decision.held,
                )
                for kept in table.decisions
            ),
            reviews=len(table.reviews),
        )

    def close(self) -> None:
        """Close the forge."""
        if self._forge is not None:
            self._forge.close()

    def _open(self) -> Forge:
        if self._forge is None:
            from medforge.aggregator.forge.forge import Forge

            self._forge = Forge.open(self._directory)
        return self._forge

    def _poll(self, now: bool = False) -> None:
        """Read from the ledger what is new."""
        from medforge.aggregator.ledger.records import State

        if not (self._directory / "forge.json").exists() or (
            not now and time.monotonic() < self._polled + POLL_SECONDS
        ):
            return
        ledger = self._open().ledger
        new = ledger.commits(after=self._read)
        self._read = new[-1][0] if new else self._read
        # after one without a forge item nobody is left in the main branch, so there is nothing to score
        merged = [commit for _, commit in new if commit.item is not None]
        self._newest = merged[-1] if merged else self._newest
        self._commits += [one for one in merged if not self._settings.crowded or worth_scoring(one.arrival)]
        # counted by the database: what is read here is read every half second, however many have arrived
        states = ledger.count_states()
        self._there = states.total()
        self._decided = self._there - states[State.RECEIVED]
        self._polled = time.monotonic()

    def _all_steps(self) -> Iterator[None]:
        from medforge.simulation.task_scores import questions

        evaluator = self._evaluator = yield from self._prepare()
        self.questions = questions(self._settings.scored, evaluator.tasks)
        for question in self.questions:
            for name in question.centres:
                yield from evaluator.prepare_base(name)
            scores = self._base_scores[question.name] = question.scores(evaluator.base_outputs)
            self.zero_shot |= scores.centres
        log_scores(self._tracking, {name: scores.whole for name, scores in self._base_scores.items()}, 0)
        self._ready = True
        while True:
            while len(self.rounds) == len(self._commits):
                yield
            commit = self._commits[len(self.rounds)]
            item = self._open().load_item(commit)
            for question in self.questions:
                for name in question.centres:
                    yield from evaluator.prepare_item(name, item, question.prompts)
            self.rounds.append(self._round(commit, item, evaluator))
            log_scores(self._tracking, self.rounds[-1].tasks, commit.arrival)
            yield

    def _prepare(self) -> Generator[None, None, Evaluator]:
        from medforge.client.data.catalogue import open_task
        from medforge.simulation.evaluation import Evaluator

        base = self.base
        yield
        tasks: dict[str, Task] = {}
        for centre in self._settings.scored:
            try:
                tasks[centre.name] = open_task(
                    centre.source, base.preprocessing, self._settings.seed, cache=self._workspace(centre.name) / "cache"
                )
            except MedForgeError as error:
                self.unopened[centre.name] = str(error)
            yield
        return Evaluator(base, tasks)

    def _round(self, commit: Commit, item: ForgeItem, evaluator: Evaluator) -> RoundResult:
        from medforge.simulation.routing import routing_of

        scores = {question.name: question.scores(partial(_item_answer, evaluator, item)) for question in self.questions}
        tasks = {name: one.whole for name, one in scores.items()}
        contributors = {entry.branch: entry.contributor for entry in self._open().ledger.arrivals()}
        routing = routing_of(item, commit.coefficients, contributors, self.questions, evaluator)
        return RoundResult(
            arrival=commit.arrival,
            kind=commit.kind,
            centre=commit.contributor,
            branch=commit.branch,
            commit=commit.digest,
            item=commit.item,
            coefficients=routing.coefficients,
            routing=routing.shares,
            none_of_these=routing.none_of_these,
            metrics={name: score for one in scores.values() for name, score in one.centres.items()},
            tasks=tasks,
            mean=mean_score(list(tasks.values())),
        )


def _item_answer(evaluator: Evaluator, item: ForgeItem, name: str, prompts: Sequence[str] | None) -> Outputs:
    return evaluator.item_outputs(name, item, prompts)


def _plugin_answer(evaluator: Evaluator, plugin: Plugin, name: str, prompts: Sequence[str] | None) -> Outputs:
    return evaluator.plugin_outputs(name, plugin, prompts)
