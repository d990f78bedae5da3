"""The past of a forge, read from its ledger once and then only what is new."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from statistics import fmean
from typing import Any, NamedTuple

from medforge.aggregator.forge.rounds import Chain
from medforge.aggregator.ledger.commit import Commit, check_parent
from medforge.aggregator.ledger.invitations import invitations
from medforge.aggregator.ledger.journal import REVIEWED, TAGGED
from medforge.aggregator.ledger.ledger import Ledger
from medforge.aggregator.ledger.records import Arrival, Contributor, Declaration, JournalEntry, State
from medforge.aggregator.ledger.task_table import TaskTable
from medforge.aggregator.page.records import Event, Round, ScoreSeries
from medforge.proto.certificates import spell_time

_AT_ONCE = 200
# what the timeline of the main branch leaves out, as the journal has it
_ASIDE = frozenset({"arrived", "invited", "revoked", "erased", "refused", "refused again"})


class Position(NamedTuple):
    """Say how much of a ledger was read: commits, arrivals and entries of the journal."""

    commits: int = 0
    arrivals: int = 0
    entries: int = 0

    def __str__(self) -> str:
        return ".".join(map(str, self))


class History:
    """Keep what the pages tell of a ledger; `update` reads on. For one thread at a time.

    Commits and the journal, which only grow, are read in portions and kept without members or bytes: about half a
    kilobyte a commit and an entry, whatever the branches weigh. Of arrivals the ledger says where each stands now.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._tasks = TaskTable(ledger)
        self._chain = Chain()
        self.head: Commit | None = None
        self.rounds: list[Round] = []
        self.events: list[Event] = []
        self.timeline: list[Event] = []
        self.scores: dict[str, ScoreSeries] = defaultdict(ScoreSeries)
        self.arrivals: dict[int, Arrival] = {}
        self.declarations: dict[str, Declaration] = {}
        self.contributors: dict[str, Contributor] = {}
        self.kit_ends: dict[str, str] = {}
        self.names: dict[str, str] = {}
        self.made_at: dict[int, str] = {}
        self.of_arrival: dict[int, list[Event]] = defaultdict(list)
        self._came_with: dict[int, int] = {}
        self._numbers: dict[str, int] = {}

    @property
    def position(self) -> Position:
        """How much was read."""
        return Position(len(self.rounds), len(self.arrivals), len(self.events))

    def is_current(self) -> bool:
        """Say whether everything is read; whatever changes a ledger is entered in its journal, without gaps."""
        return len(self.events) == self._ledger.journal_length()

    def update(self) -> Position:
        """Read what is new, and return how much is read now; raises CorruptFile where the chain is broken.

        Commits come first, and what the journal says of later ones waits for the next time. Where arrivals stand comes
        last: who is told a new position is never shown an older state.
        """
        while portion := self._ledger.commits(len(self.rounds), _AT_ONCE):
            for number, commit in portion:
                self._add(number, commit)
        for event in self._new_events():
            self.events.append(event)
            if event.what not in _ASIDE:
                self.timeline.append(event)
            if event.arrival is not None:
                self.of_arrival[event.arrival].append(event)
            if event.commit is not None and event.what.startswith("committed"):
                self.made_at[event.commit] = event.at
        self.arrivals = {one.number: one for one in self._ledger.arrivals()}
        self.declarations = self._tasks.declarations()
        self.contributors = {one.name: one for one in self._ledger.contributors()}
        newest = invitations(self._ledger).values()
        self.kit_ends = {one.contributor: spell_time(one.expires) for one in newest if one.expires is not None}
        self.names = self._ledger.display_names()
        return self.position

    @property
    def tasks(self) -> list[str]:
        """The tasks that were declared, or that a branch was sent for, by name."""
        return sorted({*self.declarations, *(one.task for one in self.arrivals.values())})

    @property
    def everybody(self) -> list[str]:
        """The contributors who were invited, or who sent a branch, by identifier."""
        return sorted({*self.contributors, *(one.contributor for one in self.arrivals.values())})

    @property
    def held(self) -> list[Arrival]:
        """The arrivals that wait for the maintainer, the newest first."""
        return [one for one in reversed(self.arrivals.values()) if one.state is State.HELD]

    def number_of(self, digest: str) -> int | None:
        """Return the number of a commit."""
        return self._numbers.get(digest)

    def round_of(self, arrival: int) -> Round | None:
        """Return the newest commit by which an arrival came into the main branch."""
        number = self._came_with.get(arrival)
        return None if number is None else self.rounds[number - 1]

    def _add(self, number: int, commit: Commit) -> None:
        check_parent(commit, self.head.digest if self.head else None)
        changed = self._chain.follow(commit)
        came = changed.came + changed.returned
        own = commit.metrics.get(commit.task)
        self.rounds.append(
            Round(
                number=number,
                digest=commit.digest,
                item=commit.item,
                kind=commit.kind,
                arrival=commit.arrival,
                came=tuple(sorted(came)),
                left=changed.left,
                members=len(commit.members),
                acc=None if own is None else own.acc,
                mean=fmean(score.acc for score in commit.metrics.values()) if commit.metrics else None,
            )
        )
        self._numbers[commit.digest] = number
        self._came_with |= dict.fromkeys(came, number)
        for task in {*self.scores, *commit.metrics}:
            score = commit.metrics.get(task)
            self.scores[task].note(number, None if score is None else score.acc)
        self.head = commit

    def _new_events(self) -> Iterator[Event]:
        last = self.events[-1].number if self.events else 0
        while portion := self._ledger.journal(last, _AT_ONCE):
            for entry in portion:
                event = _event(entry, self._numbers)
                if (event.commit or 0) > len(self.rounds):
                    return
                yield event
            last = portion[-1].number


def _event(entry: JournalEntry, numbers: Mapping[str, int]) -> Event:
    """Take from an entry what may be shown: no keys or certificates, and nothing that is not known to be harmless.

    ``numbers`` are those of the commits by digest.
    """
    about: dict[str, Any] = json.loads(entry.about)
    if entry.what == REVIEWED:
        about = {"commit": about["review"]["commit"]}
    return Event(
        number=entry.number,
        at=entry.at,
        actor=entry.actor,
        what=entry.what,
        arrival=about.get("arrival"),
        commit=about.get("number") if "number" in about else numbers.get(about.get("commit", "")),
        task=about.get("task"),
        about=about.get("contributor"),
        tag=about.get("name") if entry.what == TAGGED else None,
        reason=str(about.get("reason") or ""),
        erase=bool(about.get("erase")),
    )
