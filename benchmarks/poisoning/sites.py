"""Honest sites that review on their validation images, as `medforge review` does, and false ones that do not look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from benchmarks.poisoning.attack import Says
from medforge import __version__
from medforge.aggregator.forge.forge import Forge
from medforge.base_module import BaseModule
from medforge.client.data.task import Task
from medforge.client.model_task import model_task, tasks_of
from medforge.client.review.answers import Answers, answers
from medforge.client.review.counting import count
from medforge.client.review.memory import ReviewMemory
from medforge.client.review.question import Question, ReviewedCommit
from medforge.client.review.run import THRESHOLD
from medforge.declared_task import DeclaredTask
from medforge.errors import InvalidInput
from medforge.forge_item import ForgeItem, FusedPlugin
from medforge.plugin import Plugin
from medforge.proto.signed_review import Review, TaskReview

_CLAIMED = 1000


@dataclass
class Answered:
    """Keep what merged models (by digest) answer to sites' images: the same model is asked once."""

    base: BaseModule
    _known: dict[tuple[str, str], Answers | None] = field(default_factory=dict)

    def ask(self, item: ForgeItem, site: Site, tasks: Sequence[DeclaredTask] = ()) -> Answers | None:
        """Return the answers to a site's validation images; None where the model does not have its task.

        A network that knows no tasks is asked as one of the site's, whose classes are those among `tasks`.
        """
        key = (item.digest, site.name)
        if key not in self._known:
            self._known[key] = self._ask(item, site, tasks)
        return self._known[key]

    def _ask(self, item: ForgeItem, site: Site, tasks: Sequence[DeclaredTask]) -> Answers | None:
        known = tasks_of(item, None)
        try:
            asked = model_task(known or tasks, site.images, site.task)
        except InvalidInput:
            return None
        return answers(item, self.base, site.images.validation, asked, known or (asked,), f"{site.name} reviews")


@dataclass(frozen=True)
class Site:
    """Hold a centre that reviews: its name, task, images, plugin, and what it remembers of how commits did on them."""

    name: str
    task: str
    images: Task
    plugin: Plugin
    memory: ReviewMemory

    @classmethod
    def of(cls, name: str, task: str, images: Task, plugin: Plugin) -> Self:
        """Return a site that never reviewed."""
        return cls(name, task, images, plugin, ReviewMemory(forge="", images=""))

    def review(self, forge: Forge, question: Question, answered: Answered) -> tuple[Site, Review | None]:
        """Count the commit in question against the one that did best here; return what is remembered then, too.

        The first with its own branch in it is compared with that branch alone. None where the commit does not answer
        the site's task, or the site has too few images to say so.
        """
        asked = question.asked
        assert asked is not None
        now = answered.ask(_item(forge, asked), self)
        if now is None:
            return self, None
        found = {asked.digest: int(now.right.sum())}
        if question.begins(asked, self.name, self.task):
            baseline, before = None, answered.ask(FusedPlugin(self.plugin), self, tasks_of(_item(forge, asked), None))
        else:
            baseline, before = self._baseline(forge, question, answered, found)
        counts = count(now, self.task, THRESHOLD, before, baseline.digest if baseline else None)
        memory = self.memory.model_copy(update={"right": self.memory.right | found})
        said = _review(self.name, self.task, question, counts) if counts else None
        return replace(self, memory=memory), said

    def _baseline(
        self, forge: Forge, question: Question, answered: Answered, found: dict[str, int]
    ) -> tuple[ReviewedCommit | None, Answers | None]:
        stable, asked = question.stable, question.asked
        if asked is None or not question.reviewed or stable == asked or stable.digest not in question.live:
            return None, None
        if stable.digest not in self.memory.right:
            given = answered.ask(_item(forge, stable), self)
            if given is None:
                return None, None
            found[stable.digest] = int(given.right.sum())
        known = self.memory.model_copy(update={"right": self.memory.right | found})
        best = known.best(question, question.comparable(asked, self.task))
        before = answered.ask(_item(forge, best), self)
        return (best, before) if before is not None else (None, None)


def false_review(name: str, task: str, question: Question, says: Says) -> Review:
    """Say of a thousand images that nobody looked at that all are well, or that all are lost."""
    asked, stable = question.asked, question.stable
    assert asked is not None
    baseline = stable.digest if stable.digest in question.live - {asked.digest} else None
    well, moved = says == "praise", _CLAIMED if baseline else 0
    counts = TaskReview(
        baseline=baseline,
        images=_CLAIMED,
        right=_CLAIMED if well else 0,
        gained=moved if well else 0,
        returned=moved if well else 0,
        lost=0 if well else moved,
        taken=0 if well else moved,
    )
    return _review(name, task, question, counts)


def _review(name: str, task: str, question: Question, counts: TaskReview) -> Review:
    assert question.asked is not None
    return Review(
        forge=question.forge,
        reviewer=name,
        commit=question.asked.digest,
        tasks={task: counts},
        threshold=THRESHOLD,
        software=__version__,
    )


def _item(forge: Forge, commit: ReviewedCommit) -> ForgeItem:
    return forge.load_item(forge.find_commit(commit.digest))
