"""What a forge made of a centre's branches: read from its log, and said in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from shlex import quote
from typing import Any, NamedTuple

from medforge.errors import CorruptFile
from medforge.files import parse_json
from medforge.proto import forge_pb2 as pb
from medforge.proto.codec import commit_from_message
from medforge.proto.remote import RemoteForge

_STATES = {
    "unknown": "has not arrived",
    "received": "waits for its turn",
    "folded": "is in the main branch",
    "held": "is held",
    "rejected": "is kept out by the maintainer",
    "withdrawn": "is withdrawn",
    "superseded": "was replaced",
}
_STANDINGS = {pb.STANDING_LIVE: "live", pb.STANDING_WAITING: "waiting", pb.STANDING_HARMFUL: "harmful"}
_STOOD = {"live": "is live", "waiting": "waits for reviews", "harmful": "was found harmful"}


class LoggedCommit(NamedTuple):
    """Hold what a centre reads of a commit; `accuracies` are by task, on distilled images.

    `standing` says how it stands by reviews; None where nobody reviews.
    """

    number: int
    digest: str
    arrival: int
    branch: str
    contributor: str
    task: str
    accepted_at: str
    accuracies: Mapping[str, float]
    standing: str | None = None


@dataclass(frozen=True)
class BranchFate:
    """Say what became of a branch (its digest); what is not known is None.

    `commit` and `number` name the newest commit about it while it is in the main branch, `acc_before` and `acc` are its
    task's accuracy on distilled images just before and after that, `acc_now` is that of the head, which `head` and
    `head_number` name.
    """

    branch: str
    state: str
    task: str | None = None
    reason: str | None = None
    arrival: int | None = None
    arrived_at: str | None = None
    commit: str | None = None
    number: int | None = None
    acc_before: float | None = None
    acc: float | None = None
    head: str | None = None
    head_number: int | None = None
    acc_now: float | None = None
    stable: str | None = None
    stable_number: int | None = None
    standing: str | None = None

    @property
    def words(self) -> str:
        """What became of it, in plain words, and why."""
        return _STATES[self.state] + (f": {self.reason}" if self.reason else "")

    def next_step(self, kit: str = "DIR", workspace: str = "DIR") -> str:
        """Return what its contributor does next; ``kit`` and ``workspace`` are where these are."""
        if self.state == "held" and "is not declared" in (self.reason or ""):
            return "ask the maintainer to declare the task; the branch is folded then"
        return {
            "unknown": f"push it: medforge push --workspace {quote(workspace)} --kit {quote(kit)}",
            "received": "wait; branches are folded in the order in which they came, while the forge is served",
            "folded": f"fetch the merged model: medforge checkout --kit {quote(kit)} --out merged",
            "held": "ask the maintainer, who accepts or rejects it, or push a better branch of the task",
            "rejected": "ask the maintainer; a better branch of the task can be pushed at any time",
            "withdrawn": "nothing; to come in again, make and push another branch",
            "superseded": "nothing; your newer branch of the task stands for you",
        }[self.state]


class ForgeLog:
    """Hold what a forge's log tells of a contributor: commits, oldest first, and arrivals that are not in it.

    The commits are those about the contributor's branches, each after the one before it, and the newest and the stable
    one; a forge of an earlier version tells all.
    """

    def __init__(self, forge: RemoteForge, contributor: str) -> None:
        self.commits: list[LoggedCommit] = []
        self.outside: dict[str, pb.Arrival] = {}
        for entry in forge.log_entries(contributor=contributor):
            if entry.WhichOneof("entry") == "commit":
                self.commits.append(_read(entry.commit))
            elif entry.WhichOneof("entry") == "arrival":
                self.outside[entry.arrival.branch] = entry.arrival

    def fates(self, contributor: str) -> list[BranchFate]:
        """Return what became of each branch of a contributor, in the order in which they arrived."""
        theirs = {one.branch: one.arrival for one in self.commits if one.contributor == contributor}
        theirs |= {branch: one.number for branch, one in self.outside.items() if one.contributor == contributor}
        return [self.fate(branch) for branch, _ in sorted(theirs.items(), key=lambda known: known[1])]

    def fate(self, branch: str) -> BranchFate:
        """Return what became of a branch, by its digest."""
        about = [place for place, one in enumerate(self.commits) if one.branch == branch]
        left = self.outside.get(branch)
        if left is not None:
            return BranchFate(
                branch,
                pb.BranchState.Name(left.state).removeprefix("BRANCH_STATE_").lower(),
                reason=left.reason or None,
                arrival=left.number,
                arrived_at=left.accepted_at or None,
                **self._head(left.task),
            )
        if not about:
            return BranchFate(branch, "unknown", **self._head(None))
        came = self.commits[about[-1]]
        before = self.commits[about[-1] - 1].accuracies if came.number > 1 else {}
        return BranchFate(
            branch,
            "folded",
            arrival=came.arrival,
            arrived_at=came.accepted_at or None,
            commit=came.digest,
            number=came.number,
            standing=came.standing,
            acc_before=before.get(came.task),
            acc=came.accuracies.get(came.task),
            **self._head(came.task),
        )

    def _head(self, task: str | None) -> dict[str, Any]:
        if not self.commits:
            return {"task": task}
        head = self.commits[-1]
        score = None if task is None else head.accuracies.get(task)
        about = {"task": task, "head": head.digest, "head_number": head.number, "acc_now": score}
        live = [one for one in self.commits if one.standing == "live"]
        return about | ({"stable": live[-1].digest, "stable_number": live[-1].number} if live else {})


def fate_lines(fate: BranchFate, next_step: str) -> Iterator[tuple[str, str]]:
    """Return what became of a branch as pairs of a heading and what is said under it."""
    yield "at the forge", fate.words
    if fate.arrival is not None:
        yield "arrival", str(fate.arrival) + (f", {_moment(fate.arrived_at)}" if fate.arrived_at else "")
    if fate.commit is not None:
        before = "not answered" if fate.acc_before is None else f"{fate.acc_before:.3f}"
        after = "not scored" if fate.acc is None else f"{fate.acc:.3f}"
        yield "commit", f"{fate.number} ({fate.commit[:8]})"
        yield "its task", f"{before} before, {after} with it (accuracy on the task's distilled images)"
    if fate.head is not None:
        now = "" if fate.acc_now is None else f", where its task has {fate.acc_now:.3f}"
        yield "main branch", f"at commit {fate.head_number} ({fate.head[:8]}){now}"
    if fate.stable is not None:
        own = f"; the branch's own commit {_STOOD[fate.standing]}" if fate.standing else ""
        yield "reviews", f"commit {fate.stable_number} ({fate.stable[:8]}) is stable{own}"
    yield "next", next_step


def _moment(at: str) -> str:
    return f"{at[:16].replace('T', ' ')} UTC"


def _read(record: pb.CommitRecord) -> LoggedCommit:
    number, content = commit_from_message(record)
    try:
        commit = parse_json(content)
        return LoggedCommit(
            number,
            record.digest,
            int(commit["arrival"]),
            str(commit["branch"]),
            str(commit["contributor"]),
            str(commit["task"]),
            record.accepted_at,
            {str(task): float(score["acc"]) for task, score in commit["metrics"].items()},
            _STANDINGS.get(record.standing),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptFile("the forge sent a commit that cannot be read; ask whoever runs it") from error
