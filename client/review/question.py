"""What a forge asks a site about: its chain of commits, which is stable, which is to be reviewed, and what was said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from medforge.declared_task import DeclaredTask
from medforge.errors import CorruptFile, InvalidInput
from medforge.files import parse_json
from medforge.progress import remark
from medforge.proto import forge_pb2 as pb
from medforge.proto.codec import review_from_message
from medforge.proto.remote import RemoteForge
from medforge.proto.signed_review import Review
from medforge.proto.verified_log import VerifiedLog
from medforge.runs import Runs

_LEFT = (pb.BRANCH_STATE_HELD, pb.BRANCH_STATE_REJECTED, pb.BRANCH_STATE_WITHDRAWN)


@dataclass(frozen=True)
class ReviewedCommit:
    """Hold what a site reads of a commit: place, members, its forge item's files by digest, and who came or left."""

    digest: str
    number: int
    members: Sequence[int]
    task: str
    contributor: str
    item: str | None
    item_files: Mapping[str, str]
    arrival: int


class Arrived(NamedTuple):
    """Say whose an arrival is, and what it answers."""

    contributor: str
    task: str


@dataclass(frozen=True)
class Question:
    """Hold what a forge (a UUID) asks: commits by digest, the stable one and the one to be reviewed, and its tasks.

    `live` are the commits that went live by a decision, and that nobody has left since. `own` are the reviews that
    came under the site's name, the newest of each commit. `reviewed` says whether anybody reviews this forge.
    """

    forge: str
    base: str
    commits: Mapping[str, ReviewedCommit]
    stable: ReviewedCommit
    candidate: ReviewedCommit | None
    tasks: tuple[DeclaredTask, ...]
    live: frozenset[str]
    own: Mapping[str, Review]
    reviewed: bool

    @cached_property
    def arrived(self) -> Mapping[int, Arrived]:
        """Whose each arrival is that was ever a member."""
        return {one.arrival: Arrived(one.contributor, one.task) for one in self.commits.values()}

    def comparable(self, commit: ReviewedCommit, task: str) -> frozenset[str]:
        """Return the live commits that a commit may be compared with in a task.

        Where nobody new answers the task these are the ones with the same branches in it: what these cost each other
        went live by a decision of its own, and is not to be held against who comes for another task.
        """
        inside = self._inside(self.stable, task)
        if self._inside(commit, task) != inside:
            return self.live
        return frozenset(one for one in self.live if self._inside(self.commits[one], task) == inside)

    def _inside(self, commit: ReviewedCommit, task: str) -> set[int]:
        return {number for number in commit.members if number in self.arrived and self.arrived[number].task == task}

    def begins(self, commit: ReviewedCommit, reviewer: str, task: str) -> bool:
        """Say whether this is a site's first review of a commit with its own branch for a task in it."""
        own = {number for number, one in self.arrived.items() if one == (reviewer, task)}
        before = [digest for digest, review in self.own.items() if task in review.tasks and digest in self.commits]
        return not own.isdisjoint(commit.members) and all(own.isdisjoint(self.commits[one].members) for one in before)

    @property
    def asked(self) -> ReviewedCommit | None:
        """The commit that this site is to review now; one that never reviewed begins with what there is."""
        if self.candidate is None and not self.own:
            return self.stable
        return self.candidate


def ask(forge: RemoteForge, reviewer: str) -> Question:
    """Ask a forge what is to be reviewed, and check that its commits form one chain.

    Raises InvalidInput for a forge without commits, or of a version that knows no reviews, CorruptFile for a log that
    is not whole.
    """
    told = forge.describe()
    if not told.head:
        raise InvalidInput(f"the main branch of the forge at {forge.at} has no commit yet; review it once it has")
    if not told.stable:
        raise InvalidInput(
            f"the forge at {forge.at} is of version {told.software}, which takes no reviews; ask its maintainer to "
            "update it"
        )
    commits, left = _read_chain(forge)
    missing = next((name for name in (told.stable, told.candidate) if name and name not in commits), None)
    if missing:
        raise CorruptFile(f"commit {missing[:12]} is not in the log of {forge.at}; do not trust what answers there")
    live: set[str] = set()
    own: dict[str, Review] = {}
    for entry in forge.reviews():
        if entry.WhichOneof("entry") == "decision":
            if entry.decision.standing == pb.STANDING_LIVE and entry.decision.commit in commits:
                live.add(entry.decision.commit)
        elif entry.WhichOneof("entry") == "review":
            review = review_from_message(entry.review, told.forge).review
            if review.reviewer == reviewer:
                own[review.commit] = review
    return Question(
        forge=told.forge,
        base=told.base,
        commits=commits,
        stable=commits[told.stable],
        candidate=commits[told.candidate] if told.candidate else None,
        tasks=tuple(signed.task for signed in forge.tasks(told).values()),
        live=frozenset(digest for digest in live if not left & set(commits[digest].members)),
        own=own,
        reviewed=told.reviewed,
    )


def _read_chain(forge: RemoteForge) -> tuple[dict[str, ReviewedCommit], set[int]]:
    """Return the commits by digest, and the arrivals that had to leave."""
    with closing(VerifiedLog(forge)) as log:
        for line in log.said:
            remark(line)
        commits = {one.digest: _parse(one.content, one.digest, one.number, forge.at) for one in log.records()}
        return commits, {one.number for one in log.outside if one.state in _LEFT}


def _parse(content: bytes, digest: str, number: int, at: str) -> ReviewedCommit:
    try:
        said = parse_json(content)
        members = Runs.read(said["members"])
        files = {str(path): str(name) for path, name in said["item_files"].items()}
        texts = str(said["task"]), str(said["contributor"])
        return ReviewedCommit(digest, number, members, *texts, said["item"], files, int(said["arrival"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptFile(f"{at} sent a commit that cannot be read; do not trust what answers there") from error
