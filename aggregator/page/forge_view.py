"""A forge as its pages show it: its past, and what is read from its files for one page at a time."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from statistics import fmean

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.review_view import ReviewView
from medforge.aggregator.forge.shares import shares_of
from medforge.aggregator.forge.tagging import verified_tags
from medforge.aggregator.ledger.commit import Commit
from medforge.aggregator.ledger.records import Arrival
from medforge.aggregator.ledger.review_records import Decision
from medforge.aggregator.ledger.review_table import ReviewTable
from medforge.aggregator.page.chart import Chart, chart_of
from medforge.aggregator.page.history import History, Position
from medforge.contributor_name import shown
from medforge.declared_task import DeclaredTask
from medforge.errors import MedForgeError
from medforge.manifest import Manifest, public_spec
from medforge.proto.signed_tag import SignedTag
from medforge.proto.tags import Tags

LONG_CHART = (640, 180)
SMALL_CHART = (120, 28)


class ForgeView:
    """Answer what the pages ask of a forge; distilled images and tensors are never read.

    Of a branch's manifest only what `docs/how-to-page.md` lists is shown. `stable` is the number of the newest commit
    that sites have reviewed, and `reviews` what they said; None, and nothing, where nobody reviews.
    """

    def __init__(self, forge: Forge) -> None:
        self.forge = forge
        self.history = History(forge.ledger)
        self.tags = Tags()
        self.stable: int | None = None
        self.reviews = ReviewView()
        self._reviews = ReviewTable(forge.ledger)
        self._asked: dict[str, DeclaredTask | None] = {}
        self._sent: dict[tuple[str | None, str | None], list[Arrival]] = {}

    def update(self) -> Position:
        """Read what is new; raises as `History.update` and `verified_tags` do."""
        position = self.history.update()
        self._asked, self._sent = {}, {}
        for one in self.history.arrivals.values():
            for key in ((one.task, None), (None, one.contributor)):
                self._sent.setdefault(key, []).append(one)
        self.tags = verified_tags(self.forge)
        self.reviews = ReviewView.of(self._reviews)
        self.stable = self.history.number_of(self.reviews.stable) if self.reviews.stable else None
        return position

    @property
    def id(self) -> str:
        """The forge's identifier."""
        return self.forge.settings.forge

    @cached_property
    def base(self) -> str:
        """The base module as it may be named outside the house."""
        return public_spec(self.forge.settings.base_spec)

    def name(self, identifier: str) -> str:
        """Return how a contributor is written, with the identifier where that differs."""
        return shown(identifier, self.history.names.get(identifier))

    def commit(self, number: int) -> Commit | None:
        """Read a commit by its number in the chain."""
        found = self.forge.ledger.commits(number - 1, 1) if number > 0 else []
        return found[0][1] if found else None

    def manifest(self, arrival: Arrival) -> Manifest | None:
        """Read the manifest of a branch; None for one whose files are gone."""
        if arrival.erased:
            return None
        try:
            return Manifest.parse(self.forge.blobs.read(arrival.branch))
        except MedForgeError:
            # a page is no place to find out that a disk is damaged: fsck says so
            return None

    def task(self, name: str) -> DeclaredTask | None:
        """Return how a task is declared, or else what its first readable branch says of it; None where nothing does."""
        if name not in self._asked:
            declared = self.history.declarations.get(name)
            self._asked[name] = self._undeclared(name) if declared is None else declared.task
        return self._asked[name]

    def _undeclared(self, name: str) -> DeclaredTask | None:
        for arrival in self.branches(task=name):
            manifest = self.manifest(arrival)
            if manifest is not None:
                try:
                    return DeclaredTask.of(manifest)
                except MedForgeError:
                    return None
        return None

    def branches(self, *, task: str | None = None, contributor: str | None = None) -> list[Arrival]:
        """List the branches of a task or of a contributor, oldest first."""
        return self._sent.get((task, contributor), [])

    def shares(self, task: str) -> dict[str, float | None]:
        """Return the branches (by digest) that answer a task in the head, and what each counts there."""
        head = self.history.head
        return {} if head is None else shares_of(head, task, self.forge.blobs.read, self.branches(task=task))

    def chart(self, task: str, size: tuple[int, int] = LONG_CHART) -> Chart | None:
        """Draw a task's score over the commits; None where it was never scored."""
        series = self.history.scores.get(task)
        if series is None:
            return None
        declared = self.task(task)
        chance = None if declared is None else 1 / len(declared.classes)
        return chart_of(series, len(self.history.rounds), *size, chance)

    def score(self, task: str) -> float | None:
        """Return what a task scores now."""
        series = self.history.scores.get(task)
        return None if series is None else series.now

    def tags_of(self, digest: str) -> list[SignedTag]:
        """List the tags of a commit, oldest first."""
        return [one for one in self.tags.values() if one.commit == digest]

    @property
    def release(self) -> SignedTag | None:
        """The newest release, which the maintainer recommends."""
        return next((one for one in reversed(self.tags.values()) if one.release), None)

    def decisions(self, commit: str | None) -> list[Decision]:
        """List what was decided about a commit (by digest) by reviews of it."""
        return self.reviews.said_of(commit)[1] if commit else []

    def mean_score(self) -> float | None:
        """Return the mean over the tasks that are scored now."""
        found = [score for task in self.history.scores if (score := self.score(task)) is not None]
        return fmean(found) if found else None

    def by_number(self, numbers: Iterable[int]) -> list[Arrival]:
        """Return the branches with these arrival numbers, in their order."""
        return [self.history.arrivals[number] for number in numbers if number in self.history.arrivals]
