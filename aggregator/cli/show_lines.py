"""A commit as lines that fit a terminal of any width."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from medforge.aggregator.cli.plain import spell_name
from medforge.aggregator.merge.wording import in_words
from medforge.cli.lines import entry, table
from medforge.privacy_facts import PrivacyFacts, said_privacy
from medforge.runs import runs_of

if TYPE_CHECKING:
    from medforge.aggregator.coefficients.task_score import TaskScore
    from medforge.aggregator.forge.rounds import Round
    from medforge.aggregator.ledger.records import Arrival
    from medforge.proto.signed_tag import SignedTag

_INDENT = 12
_SHORT = 40
_MOST_TASKS = 12
_MOST_RUNS = 5


def show_lines(
    one: Round,
    arrivals: Mapping[int, Arrival],
    names: Mapping[str, str],
    tags: Iterable[SignedTag],
    claims: Mapping[str, PrivacyFacts],
    count: int,
    width: int,
) -> Iterator[str]:
    """Return what a commit is: what it changed, who is in it, how it was merged, and every task's score.

    ``tags`` are the commit's own, ``count`` is how many commits there are; ``names`` are those for people, ``claims``
    the differential privacy that branches claim, by their digests.
    """
    commit = one.commit
    about = [("commit", commit.digest), ("place", f"{one.number} of {count}{' (head)' if one.number == count else ''}")]
    about += [(("release" if tag.release else "tag"), _spell_tag(tag)) for tag in tags]
    about += [("change", change) for change in changes(one, arrivals, names)]
    about += [("arrived", f"{arrivals[commit.arrival].accepted_at[:16].replace('T', ' ')} UTC")]
    about += [("members", _members(commit.members, arrivals))]
    about += [("privacy", said) for said in _claimed(commit.members, arrivals, claims)]
    about += [("merged by", in_words(commit.method))]
    about += [("item", (commit.item or "none, the main branch is empty")[:_SHORT])]
    about += [("parent", (commit.parent or "none, it is the first")[:_SHORT])]
    software = ", ".join(f"{name} {version}" for name, version in sorted(commit.software.items()))
    about += [("made with", f"{commit.compute}, seed {commit.seed}, {software}")]
    for name, value in about:
        yield from entry(name, value, width, _INDENT)
    yield ""
    yield from score_lines(one.scores, width)


def changes(one: Round, arrivals: Mapping[int, Arrival], names: Mapping[str, str]) -> Iterator[str]:
    """Say who came, came back and left with a commit, one after another, and of who left what became of it."""
    for number in one.came:
        yield f"+ {spell_branch(number, arrivals, names)}"
    for number in one.returned:
        yield f"+ {spell_branch(number, arrivals, names)}, which came back"
    for number in one.left:
        replaced = one.commit.kind == "fold"
        why = f"replaced by arrival {one.commit.arrival}" if replaced else _why(arrivals[number])
        yield f"- {spell_branch(number, arrivals, names)}, {why}"
    if not (one.came or one.returned or one.left):
        yield f"arrival {one.commit.arrival} again"


def spell_branch(number: int, arrivals: Mapping[int, Arrival], names: Mapping[str, str]) -> str:
    """Return an arrival's number, contributor and task."""
    one = arrivals[number]
    return f"arrival {number}  {spell_name(one.contributor, names)}: {one.task}"


def score_lines(scores: Mapping[str, tuple[TaskScore | None, TaskScore | None]], width: int) -> Iterator[str]:
    """Return every task's accuracy on distilled images before and after, and the difference, as a table."""
    if not scores:
        yield "no task is answered, so none has a score"
        return
    yield "accuracy on distilled images"
    rows = [("task", "before", "after", "change")]
    for task, (before, after) in scores.items():
        change = "" if before is None or after is None else f"{after.acc - before.acc:+.3f}"
        rows.append((task, _acc(before), _acc(after), change.replace("-0.000", "+0.000")))
    yield from table(rows, width, 2, right=(1, 2, 3))


def spell_numbers(numbers: Iterable[int]) -> str:
    """Write numbers as few: 1–3, 5."""
    return ", ".join(str(first) if first == last else f"{first}–{last}" for first, last in runs_of(sorted(numbers)))


def _members(members: Iterable[int], arrivals: Mapping[int, Arrival]) -> str:
    by_task: dict[str, list[int]] = defaultdict(list)
    for number in members:
        by_task[arrivals[number].task].append(number)
    if not by_task:
        return "none"
    parts = [f"{task} {len(numbers)}{_spell_few(numbers)}" for task, numbers in sorted(by_task.items())]
    more = f", and {len(parts) - _MOST_TASKS} more tasks" if len(parts) > _MOST_TASKS else ""
    return f"{sum(map(len, by_task.values()))}: {', '.join(parts[:_MOST_TASKS])}{more}"


def _claimed(
    members: Iterable[int], arrivals: Mapping[int, Arrival], claims: Mapping[str, PrivacyFacts]
) -> Iterator[str]:
    """Say what differential privacy members claim, those that claim the same together."""
    by_claim: dict[str, list[int]] = defaultdict(list)
    for number in members:
        by_claim[said_privacy(claims.get(arrivals[number].branch))].append(number)
    for said, numbers in sorted(by_claim.items()):
        yield f"{said}{_spell_few(numbers)}"


def _spell_few(numbers: list[int]) -> str:
    few = len(runs_of(sorted(numbers))) <= _MOST_RUNS
    return f" (arrival{'s' if len(numbers) > 1 else ''} {spell_numbers(numbers)})" if few else ""


def _spell_tag(tag: SignedTag) -> str:
    notes = " ".join(tag.notes.split())
    return f"{tag.name}, since {tag.tagged_at[:10]}" + (f": {notes}" if notes else "")


def _why(arrival: Arrival) -> str:
    if arrival.state == "folded":
        return "which is in again"
    return arrival.state.value + (f": {arrival.reason}" if arrival.reason else "")


def _acc(score: TaskScore | None) -> str:
    return "–" if score is None else f"{score.acc:.3f}"
