"""Honest sites that review on their validation images, as `medforge review` does, and false ones that do not look."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from medforge import __version__
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.ledger.commit import Commit
from medforge.base_module import BaseModule
from medforge.client.data.task import Task
from medforge.client.model_task import model_task, tasks_of
from medforge.client.review.answers import Answers, answers
from medforge.client.review.counting import count
from medforge.client.review.run import THRESHOLD
from medforge.errors import InvalidInput
from medforge.forge_item import ForgeItem
from medforge.proto.signed_review import Review, TaskReview

_CLAIMED = 1000


@dataclass
class Answered:
    """Keep what merged models (by digest) answer to sites' images: the same model is asked once."""

    base: BaseModule
    _known: dict[tuple[str, str], Answers | None] = field(default_factory=dict)

    def ask(self, item: ForgeItem, site: Site) -> Answers | None:
        """Return the answers to a site's validation images; None where the model does not have its task."""
        key = (item.digest, site.name)
        if key not in self._known:
            self._known[key] = self._ask(item, site)
        return self._known[key]

    def _ask(self, item: ForgeItem, site: Site) -> Answers | None:
        known = tasks_of(item, None)
        try:
            asked = model_task(known, site.images, site.task)
        except InvalidInput:
            return None
        return answers(item, self.base, site.images.validation, asked, known, f"{site.name} reviews")


@dataclass(frozen=True)
class Known:
    """Hold what a reviewer reads of a forge: its items, the stable commit, and by digest the commits that are live."""

    forge: Forge
    stable: Commit
    live: frozenset[str]


@dataclass
class Site:
    """Hold a centre that reviews: its name, task, images, and how many of them each commit (by digest) got right."""

    name: str
    task: str
    images: Task
    right: dict[str, int] = field(default_factory=dict)

    def fresh(self) -> Site:
        """Return the site with a memory of its own."""
        return Site(self.name, self.task, self.images, dict(self.right))

    def review(self, commit: Commit, known: Known, answered: Answered) -> Review | None:
        """Count a commit against the live one that did best here; None where it does not answer the site's task."""
        now = answered.ask(known.forge.load_item(commit), self)
        if now is None:
            return None
        baseline = self._baseline(commit, known, answered)
        before = answered.ask(known.forge.load_item(baseline), self) if baseline else None
        told = baseline.digest if baseline and before is not None else None
        counts = count(now, self.task, THRESHOLD, before if told else None, told)
        self.right[commit.digest] = int(now.right.sum())
        return _review(self.name, self.task, commit, known, counts) if counts else None

    def _baseline(self, commit: Commit, known: Known, answered: Answered) -> Commit | None:
        stable = known.stable
        if stable.digest == commit.digest or stable.digest not in known.live:
            return None
        if stable.digest not in self.right:
            found = answered.ask(known.forge.load_item(stable), self)
            if found is None:
                return None
            self.right[stable.digest] = int(found.right.sum())
        best = max(known.live & self.right.keys(), key=lambda digest: (self.right[digest], digest == stable.digest))
        return known.forge.find_commit(best)


def false_review(name: str, task: str, commit: Commit, known: Known, says: Literal["praise", "harm"]) -> Review:
    """Say of a thousand images that nobody looked at that all are well, or that all are lost."""
    baseline = known.stable.digest if known.stable.digest in known.live - {commit.digest} else None
    well = says == "praise"
    moved = _CLAIMED if baseline else 0
    counts = TaskReview(
        baseline=baseline,
        images=_CLAIMED,
        right=_CLAIMED if well else 0,
        gained=moved if well else 0,
        returned=moved if well else 0,
        lost=0 if well else moved,
        taken=0 if well else moved,
    )
    return _review(name, task, commit, known, counts)


def _review(name: str, task: str, commit: Commit, known: Known, counts: TaskReview) -> Review:
    return Review(
        forge=known.forge.settings.forge,
        reviewer=name,
        commit=commit.digest,
        tasks={task: counts},
        threshold=THRESHOLD,
        software=__version__,
    )
