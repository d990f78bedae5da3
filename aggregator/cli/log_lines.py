"""The log and the journal as lines that fit a terminal of any width."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from medforge.aggregator.cli.plain import spell_name
from medforge.cli.lines import flow

if TYPE_CHECKING:
    from medforge.aggregator.ledger.commit import Commit
    from medforge.aggregator.ledger.records import Arrival, JournalEntry
    from medforge.aggregator.main_branch.replay import ReplayResult
    from medforge.proto.signed_tag import SignedTag
    from medforge.proto.tags import Tags

SHORT = 8
"""As many letters of a digest as name it in a command."""
_DIGEST = re.compile(r"[0-9a-f]{64}")
_DONE = {"fold": (), "remove": ("removed",), "restore": ("restored",)}
_INDENT = 9
_NO_MARKS: Mapping[str, str] = {}
_MARGIN = 2


def commit_lines(
    commits: Sequence[Commit],
    arrivals: Mapping[int, Arrival],
    names: Mapping[str, str],
    width: int,
    marks: Mapping[str, str] = _NO_MARKS,
) -> Iterator[str]:
    """Return the commits, oldest first: arrival, when it arrived, commit, who, task and accuracy on distilled images.

    After these come the commit's ``marks``, by its digest (see `spell_marks`).

    ``names`` has the names for people by identifier. The accuracy is that of the commit's own task, and the mean over
    all tasks; `--json` has that of each.
    """
    heads = ("arrival  arrived (UTC)     commit  ", "contributor: task", "accuracy on distilled images")
    yield from flow(heads, width, _INDENT)
    for commit in commits:
        parts = (
            spell_row(commit.arrival, arrivals[commit.arrival].accepted_at, commit.digest),
            f"{spell_name(commit.contributor, names)}: {commit.task}",
            _outcome(commit),
            marks.get(commit.digest, ""),
        )
        yield from flow(parts, width, _INDENT)


def spell_marks(
    tags: Iterable[SignedTag], standing: Mapping[str, str] = _NO_MARKS, claims: Mapping[str, str] = _NO_MARKS
) -> dict[str, str]:
    """Return what is said of commits, by their digests, as [stable, ε = 8, tag a, release b]."""
    found = {digest: [said] for digest, said in standing.items()}
    for digest, said in claims.items():
        found.setdefault(digest, []).append(said)
    for tag in tags:
        found.setdefault(tag.commit, []).append(f"{'release' if tag.release else 'tag'} {tag.name}")
    return {digest: f"[{', '.join(names)}]" for digest, names in found.items()}


def refused_lines(tags: Tags) -> Iterator[str]:
    """Say of every tag that the forge has not signed why it is not shown."""
    for error in tags.refused.values():
        yield f"warning: {error}"


def outside_lines(arrivals: Iterable[Arrival], names: Mapping[str, str], width: int) -> Iterator[str]:
    """Return the arrivals that are not in the main branch, with what became of each and why."""
    yield from flow(("arrival  arrived (UTC)     branch  ", "contributor: task", "what became of it"), width, _INDENT)
    for one in arrivals:
        on_its_way = {"received": "waits for its turn", "folded": "comes in just now"}
        state = on_its_way.get(one.state.value) or f"{one.state.value}: {one.reason}"
        row = spell_row(one.number, one.accepted_at, one.branch)
        who = f"{spell_name(one.contributor, names)}: {one.task}"
        yield from flow((row, who, state + (" (erased)" if one.erased else "")), width, _INDENT)


def older_lines(older: int, first: int, what: str) -> Iterator[str]:
    """Say how many older commits or entries are not listed, where there are any, and how they are."""
    if older:
        yield f"{older} older {what} are not listed; --before {first} lists the last of them, --all lists everything"


def newer_lines(newer: int, what: str) -> Iterator[str]:
    """Say how many newer commits or entries are not listed, where there are any."""
    if newer:
        yield f"{newer} newer {what} are not listed; without --before the newest are"


def beside_lines(older: int) -> Iterator[str]:
    """Say how many older arrivals are not listed, where there are any, and how they are."""
    if older:
        yield f"{older} older arrivals are not listed; --all lists everything"


def journal_lines(entries: Iterable[JournalEntry], names: Mapping[str, str], width: int) -> Iterator[str]:
    """Return the journal, oldest first: number, time, who, what, about what."""
    yield from flow(("  entry  time (UTC)         ", "who: what", "about what"), width, _INDENT)
    for entry in entries:
        row = f"{entry.number:>7}  {entry.at[:19].replace('T', ' ')}"
        did = f"{spell_name(entry.actor, names)}: {entry.what}"
        yield from flow((row, did, _spell(json.loads(entry.about))), width, _INDENT)


def replay_lines(found: Iterable[ReplayResult], width: int) -> Iterator[str]:
    """Return the commits that were rebuilt, oldest first: commit, forge item, round, members, and how it came out.

    A reason that several commits in a row share is said at the first of them.
    """
    yield from flow(("commit    item    ", "round: members", "rebuilt"), width, _MARGIN)
    said = ""
    for one in found:
        commit = one.commit
        members = ", ".join(map(str, commit.members)) or "nobody"
        parts = (
            f"{commit.digest[:SHORT]}  {(commit.item or 'none')[:SHORT]:{SHORT}}",
            f"{commit.kind} {commit.arrival}: {members}",
            one.outcome if one.detail in ("", said) else f"{one.outcome}: {one.detail}",
        )
        said = one.detail
        yield from flow(parts, width, _MARGIN)


def spell_row(number: int, at: str, digest: str) -> str:
    """Return how a line of the log begins: an arrival's number, its time and the beginning of a digest."""
    return f"{number:>7}  {at[:16].replace('T', ' '):16}  {digest[:SHORT]}"


def _outcome(commit: Commit) -> str:
    own, all_tasks = commit.metrics.get(commit.task), commit.metrics.values()
    parts = [*_DONE[commit.kind], *([] if own is None else [f"{own.acc:.3f}"])]
    if len(all_tasks) > 1 or (all_tasks and own is None):
        mean = sum(score.acc for score in all_tasks) / len(all_tasks)
        parts.append(f"mean of {len(all_tasks)} task{'s' if len(all_tasks) > 1 else ''} {mean:.3f}")
    return ", ".join(parts)


def _spell(about: Mapping[str, Any]) -> str:
    words = (
        name if value is True else f"{name} {value[:SHORT] if _is_digest(value) else value}"
        for name, value in about.items()
        if name not in ("reason", "signature") and value not in ("", None, False)
    )
    return ", ".join(words) + (f": {about['reason']}" if about.get("reason") else "")


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None
