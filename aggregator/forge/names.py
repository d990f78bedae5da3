"""What people call an arrival or a commit: its number, its task, its digest or the beginning of it."""

from __future__ import annotations

from collections.abc import Iterable

from medforge.aggregator.ledger.commit import Commit
from medforge.aggregator.ledger.log_page import CommitLog, commit_of
from medforge.aggregator.ledger.records import Arrival, State
from medforge.errors import printable
from medforge.proto.errors import NotFound
from medforge.proto.names import HEAD, STABLE, Candidate, choose, spell_commit
from medforge.proto.signed_tag import SignedTag
from medforge.proto.tags import Tags

_LEFT = (State.SUPERSEDED, State.REJECTED, State.WITHDRAWN)
_SHORT = 8
_NO_TAGS = Tags()


def find_arrival(arrivals: Iterable[Arrival], name: str) -> Arrival:
    """Find the arrival that somebody means by its number, its task, or its branch's digest or first letters.

    Of several with one task, the one that has not left the main branch is meant. Raises NotFound for none, InvalidInput
    with the candidates for several, or for a beginning that is too short.
    """
    known = [Candidate(one, one.number, one.task, (one.branch,), _arrival(one)) for one in arrivals]
    staying = [one for one in known if one.task == name and one.value.state not in _LEFT]
    return staying[0].value if len(staying) == 1 and not name.isdigit() else choose(known, name, "arrival")


def find_commit(log: CommitLog, name: str, tags: Tags = _NO_TAGS, stable: str | None = None) -> Commit:
    """Find the commit that somebody means by its digest or first letters, by a tag, or by its arrival.

    An arrival is named as in `find_arrival`; "head" is the newest, "stable" the one of that digest (None: the newest),
    unless a task is called so. Raises as `find_arrival` does, NotFound also for a tag of a commit that is not there,
    NotAllowed for one that the forge has not signed.
    """
    tag = tags.named(name)
    if tag is not None:
        return _tagged(log, tag)
    # what cannot be printed is no name, and a database may refuse it
    called = log.called(name) if name and name.isprintable() else []
    if name in (HEAD, STABLE) and not called:
        return _stable(log, None if name == HEAD else stable)
    known = [Candidate(one, one.arrival, one.task, (one.digest, one.branch), _commit(one)) for one in called]
    return choose(known, name, "commit")


def stable_or_named(log: CommitLog, name: str | None, tags: Tags, stable: str | None) -> Commit:
    """Return the stable commit (by its digest; None: the newest), or the one that is meant by a name.

    Raises as `find_commit`, NotFound for no commit.
    """
    return _stable(log, stable) if name is None else find_commit(log, name, tags, stable)


def _stable(log: CommitLog, stable: str | None) -> Commit:
    head = log.page(0).head
    if head is None:
        raise NotFound("this forge's main branch has no commit yet; push a branch and wait until it is folded")
    found = head if stable is None else commit_of(log, stable)
    if found is None:
        raise NotFound(
            f"the stable commit {str(stable)[:12]} is not on this main branch; name another, such as --commit head"
        )
    return found


def _tagged(log: CommitLog, tag: SignedTag) -> Commit:
    found = commit_of(log, tag.commit)
    if found is None:
        raise NotFound(
            f"tag {tag.name!r} names commit {tag.commit[:12]}, which is not on this main branch; "
            "ask the maintainer to run `medforge fsck`"
        )
    return found


def _arrival(one: Arrival) -> str:
    return printable(f"{one.number} ({one.branch[:_SHORT]}, {one.contributor}: {one.task}, {one.state.value})")


def _commit(one: Commit) -> str:
    return spell_commit(one.digest, one.kind, one.arrival, one.contributor, one.task)
