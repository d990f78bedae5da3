"""Which branches answer a task, as lines that fit a terminal of any width."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from medforge.aggregator.cli.log_lines import spell_row
from medforge.aggregator.cli.plain import spell_name
from medforge.aggregator.merge.wording import in_words
from medforge.cli.lines import flow, table

if TYPE_CHECKING:
    from medforge.aggregator.ledger.commit import Commit
    from medforge.aggregator.ledger.records import Arrival

_SHORT = 8
_INDENT = 9
_HEADS = ("arrival  arrived (UTC)     branch  ", "contributor")


def blame_lines(
    task: str,
    commit: Commit,
    sent: Sequence[Arrival],
    shares: Mapping[str, float | None],
    names: Mapping[str, str],
    width: int,
) -> Iterator[str]:
    """Return the branches that answer a task in a commit, and below them those that do not, with what became of them.

    ``sent`` are all branches of the task, ``shares`` what each counts, by digest.
    """
    inside = [one for one in sent if one.number in commit.members]
    outside = [one for one in sent if one.number not in commit.members]
    count = {0: "no branch answers", 1: "one branch answers"}.get(len(inside), f"{len(inside)} branches answer")
    score = commit.metrics.get(task)
    accuracy = "" if score is None else f", accuracy {score.acc:.3f} on distilled images"
    yield from flow((f"{count} {task} in commit {commit.digest[:_SHORT]}{accuracy}",), width, 0)
    yield from flow((in_words(commit.method),), width, 0)
    if inside:
        yield ""
        in_all = sum(share for share in shares.values() if share is not None)
        of_one = commit.method.method == "routed"
        rows = [(*_row(one, names), _counts(shares.get(one.branch), of_one, in_all)) for one in inside]
        yield from table([(*_HEADS, "counts"), *rows], width, _INDENT, right=(2,))
    if outside:
        yield ""
        yield "not in it"
        rows = [(*_row(one, names), _fate(one, commit)) for one in outside]
        yield from table([(*_HEADS, "what became of it"), *rows], width, _INDENT)


def _row(one: Arrival, names: Mapping[str, str]) -> tuple[str, str]:
    return spell_row(one.number, one.accepted_at, one.branch), spell_name(one.contributor, names)


def _counts(share: float | None, of_one: bool, in_all: float) -> str:
    if share is None:
        return ""
    return f"{share / in_all:.1%}" if of_one and in_all else f"× {share:.2f}"


def _fate(one: Arrival, commit: Commit) -> str:
    if one.state == "folded":
        return "came later" if one.number > commit.arrival else "is in the newest commit"
    state = "waits for its turn" if one.state == "received" else one.state.value
    why = f"{state}: {one.reason}" if one.reason else state
    return why + (" (erased)" if one.erased else "")
