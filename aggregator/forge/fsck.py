"""Check a forge on disk: blobs, digests, both chains, signatures, and that they all say the same."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.retention import referenced
from medforge.aggregator.forge.tagging import verified_tags
from medforge.aggregator.ledger.commit import Commit
from medforge.aggregator.ledger.journal import DECLARED, EXTENDED, INVITED, entry_digest
from medforge.aggregator.ledger.records import Arrival, JournalEntry, State
from medforge.aggregator.ledger.review_table import ReviewTable
from medforge.aggregator.ledger.task_table import TaskTable
from medforge.errors import MedForgeError
from medforge.files import open_to_others
from medforge.manifest import Manifest
from medforge.proto.signing import SUBMIT, public_bytes, verify
from medforge.proto.statements import submit_statement
from medforge.proto.succession import KeySuccession
from medforge.runs import Runs

OF_HEAD = "the head is made of exactly what is folded"
"""The check that fails while the main branch follows a withdrawal, as it does within seconds where it is served."""
OF_TRIGGERS = "the database refuses to change what only grows"
"""The check that fails for a ledger of an earlier version, or a copied one, until it is upgraded or served."""
_KEY = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Check:
    """Say what was checked, how many things were, and each problem in a sentence with its remedy."""

    name: str
    count: int
    problems: tuple[str, ...]


def check_forge(forge: Forge, quick: bool = False) -> Iterator[Check]:
    """Run every check; nothing is changed. A forge that is being served may show an arrival that is just coming in.

    With ``quick`` only those that read the ledger alone: their time does not depend on how much the blobs hold.
    """
    for name, check in (_OF_LEDGER if quick else _CHECKS).items():
        found: list[str] = []
        try:
            found += check(forge)
        # damage has any shape, and a check that stumbles over it has found it
        except Exception as error:
            found.append(_stumbled(name, error))
        yield Check(name, len(found), tuple(problem for problem in found if problem))


def _stumbled(name: str, error: Exception) -> str:
    said = str(error).splitlines()[0] if str(error) else type(error).__name__
    if isinstance(error, MedForgeError):
        return said
    return f"whether {name} cannot be told ({type(error).__name__}: {said[:200]}); restore the ledger from a backup"


def _about(entry: JournalEntry) -> dict[str, Any]:
    """Return what a journal entry says; empty where it says nothing that could be read."""
    try:
        about = json.loads(entry.about)
    except (ValueError, TypeError, RecursionError):
        return {}
    return about if isinstance(about, dict) else {}


def _blobs(forge: Forge) -> Iterator[str]:
    for digest in forge.blobs.present():
        right = forge.blobs.kept.digest_of(digest) == digest
        yield "" if right else f"blob {digest} has been altered where it is kept; restore it from a backup"


def _references(forge: Forge) -> Iterator[str]:
    if said := forge.blobs.kept.problem():
        yield said
    for digest in sorted(set(referenced(forge))):
        yield "" if forge.blobs.has(digest) else f"blob {digest} is needed and not there; restore it from a backup"


def _arrivals(forge: Forge) -> Iterator[str]:
    for place, arrival in enumerate(forge.ledger.arrivals(), start=1):
        yield (
            _manifest_problem(forge, arrival.number)
            if arrival.number == place
            else f"arrival {place} is missing from the ledger; restore it from a backup"
        )


def _manifest_problem(forge: Forge, number: int) -> str:
    arrival = forge.ledger.arrival(number)
    if arrival is None or arrival.erased or not forge.blobs.has(arrival.branch):
        return ""
    try:
        manifest = Manifest.parse(forge.blobs.read(arrival.branch))
    except MedForgeError as error:
        return f"arrival {number}: {error}"
    said = (manifest.contributor, manifest.task, sum(entry.size for entry in manifest.files.values()))
    if said != (arrival.contributor, arrival.task, arrival.size):
        return f"arrival {number} is not what its manifest says; restore the ledger from a backup"
    return ""


def _invited_keys(forge: Forge) -> dict[str, list[str]]:
    """Return every signing key (hex) that a contributor was ever invited with."""
    keys: dict[str, list[str]] = {}
    for entry in forge.ledger.journal(kinds=(INVITED,)):
        about = _about(entry)
        who, key = about.get("contributor"), about.get("key")
        if isinstance(who, str) and isinstance(key, str) and _KEY.fullmatch(key):
            keys.setdefault(who, []).append(key)
    return keys


def _signatures(forge: Forge) -> Iterator[str]:
    keys = _invited_keys(forge)
    for arrival in forge.ledger.arrivals():
        if arrival.signature:
            right = any(_signed(forge, arrival, bytes.fromhex(key)) for key in keys.get(arrival.contributor, []))
            yield (
                ""
                if right
                else f"arrival {arrival.number} is signed by no key that {arrival.contributor} ever had; "
                f"restore the ledger from a backup"
            )


def _signed(forge: Forge, arrival: Arrival, key: bytes) -> bool:
    try:
        verify(key, SUBMIT, submit_statement(forge.settings.forge, arrival.branch), arrival.signature)
    except MedForgeError:
        return False
    return True


def _chain(forge: Forge) -> Iterator[str]:
    parent: Commit | None = None
    for place, (number, commit) in enumerate(forge.ledger.chain(), start=1):
        sound = number == place and commit.parent == (parent.digest if parent else None)
        sound = sound and Runs(commit.members).distinct()
        yield "" if sound else f"commit {commit.digest[:12]} does not follow the one before; restore the ledger"
        parent = commit


def _journal(forge: Forge) -> Iterator[str]:
    previous = ""
    for place, entry in enumerate(forge.ledger.journal(), start=1):
        due = entry_digest(previous, place, entry.at, entry.actor, entry.what, entry.about)
        yield "" if due == entry.digest else f"entry {place} of the journal was altered; restore the ledger"
        previous = entry.digest


def _tasks(forge: Forge) -> Iterator[str]:
    entries = [_about(entry) for entry in forge.ledger.journal(kinds=(DECLARED, EXTENDED))]
    told = [(about.get("task"), about.get("digest"), about.get("arrival")) for about in entries]
    declared = [(one.task.name, one.task.digest, one.arrival) for one in TaskTable(forge.ledger).history()]
    for place in range(max(len(told), len(declared))):
        if told[place : place + 1] == declared[place : place + 1]:
            yield ""
        else:
            name, _, _ = (declared[place : place + 1] or told[place : place + 1])[0]
            yield f"task {name!r} is not declared as the journal says; restore the ledger from a backup"


def _tags(forge: Forge) -> Iterator[str]:
    tags = verified_tags(forge)
    yield from map(str, tags.refused.values())
    for tag in tags.values():
        there = forge.ledger.has_commit(tag.commit)
        yield "" if there else f"tag {tag.name!r} names a commit that is not in the ledger; restore the ledger"


def _keys(forge: Forge) -> Iterator[str]:
    before: KeySuccession | None = None
    for link in forge.keys:
        try:
            link.verify()
        except MedForgeError as error:
            yield str(error)
        else:
            follows = link.forge == forge.settings.forge and (before is None or link.key == before.successor)
            yield "" if follows else f"key {link.key[:12]} does not follow the one before; restore the ledger"
        before = link
    try:
        _ = forge.key
    except MedForgeError as error:
        yield str(error)
    else:
        yield ""


def _protected(forge: Forge) -> Iterator[str]:
    missing = forge.ledger.unprotected()
    yield (
        f"the ledger lacks {len(missing)} triggers that keep rows from being changed, such as {missing[0]}; serve the "
        f"forge, which makes them again, and look at who changed the ledger"
        if missing
        else ""
    )


def _reviews(forge: Forge) -> Iterator[str]:
    keys = _invited_keys(forge)
    for kept in ReviewTable(forge.ledger).read().reviews:
        reviewer = kept.signed.review.reviewer
        if reviewer not in keys and not kept.signed.key:
            yield ""  # over plaintext, by a name that nobody was given
            continue
        try:
            kept.signed.verify()
        except MedForgeError as error:
            yield str(error)
        else:
            known = kept.signed.key in keys.get(reviewer, ())
            yield (
                ""
                if known
                else f"entry {kept.number} of the journal is signed by no key that {reviewer} had; restore the ledger"
            )


def _permissions(forge: Forge) -> Iterator[str]:
    loose = sorted(open_to_others(forge.directory))
    yield (
        f"{len(loose)} files or folders can be read by others on this machine, such as {loose[0]}; run "
        f"`chmod -R go= {shlex.quote(str(forge.directory))}`, on a file system that keeps permissions"
        if loose
        else ""
    )


def _epochs(forge: Forge) -> Iterator[str]:
    keys = {public_bytes(forge.key).hex(), *(link.key for link in forge.keys)}
    before = ""
    for epoch in forge.epochs:
        try:
            epoch.verify()
        except MedForgeError as error:
            yield str(error)
        else:
            sound = epoch.key in keys and epoch.facts.forge == forge.settings.forge and epoch.facts.before == before
            yield "" if sound else f"epoch {epoch.digest[:12]} does not follow the one before; restore the ledger"
        before = epoch.digest


def _head(forge: Forge) -> Iterator[str]:
    head = forge.ledger.head()
    members = set(head.members) if head else set()
    folded = set(forge.ledger.numbers(State.FOLDED))
    both = members & folded
    for number in sorted(members | folded):
        yield (
            ""
            if number in both
            else f"arrival {number} is to {'leave' if number in members else 'enter'} the main branch; serve the forge"
        )


_CHECKS: dict[str, Callable[[Forge], Iterator[str]]] = {
    "blobs have the digests they are named by": _blobs,
    "everything that branches and forge items need is there": _references,
    "arrivals are numbered without gaps, and are what their manifests say": _arrivals,
    "submissions are signed by their contributors": _signatures,
    "the chain of commits is whole": _chain,
    "the chain of the journal is whole": _journal,
    "tasks are declared as the journal says": _tasks,
    "tags are signed by the forge and name commits": _tags,
    "the keys that the forge has signed with follow one another": _keys,
    OF_TRIGGERS: _protected,
    "reviews are signed by their reviewers": _reviews,
    "nobody but its owner can read the forge's directory": _permissions,
    "its epochs are signed and follow one another": _epochs,
    OF_HEAD: _head,
}

_OF_BLOBS = (_blobs, _references, _arrivals, _permissions)
_OF_LEDGER = {name: check for name, check in _CHECKS.items() if check not in _OF_BLOBS}
