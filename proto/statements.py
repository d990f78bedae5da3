"""What a contributor or a forge signs, spelt the same by who signs and by who verifies."""

from __future__ import annotations

from medforge.proto.signing import Statement


def submit_statement(forge: str, branch: str) -> Statement:
    """Say that a branch (its digest covers contributor, task and content) is meant for one forge (a UUID)."""
    return {"forge": forge, "branch": branch}


def withdraw_statement(forge: str, branch: str, erase: bool, nonce: str = "", signed_at: str = "") -> Statement:
    """Say that a branch is to leave one forge, and whether its files are to be deleted too.

    With a nonce (hex) and a time (RFC 3339) it can be told from every other time that this was said; 0.1.0 had neither.
    """
    said: Statement = {"forge": forge, "branch": branch, "erase": erase}
    return {**said, "nonce": nonce, "signed_at": signed_at} if nonce else said


def receipt_statement(forge: str, arrival: int, branch: str, accepted_at: str, epoch: str = "") -> Statement:
    """Say that a forge keeps a branch as its `arrival`-th, of an epoch ("" for the first), since a time (RFC 3339)."""
    said: Statement = {"forge": forge, "arrival": arrival, "branch": branch, "accepted_at": accepted_at}
    return {**said, "epoch": epoch} if epoch else said


def epoch_statement(forge: str, epoch: str) -> Statement:
    """Say that an epoch of a forge begins, named by the digest of its facts."""
    return {"forge": forge, "epoch": epoch}


def tombstone_statement(forge: str, entry: str) -> Statement:
    """Say that an entry of a forge's journal, named by its digest, is to outlast a restore."""
    return {"forge": forge, "entry": entry}


def succession_statement(forge: str, successor: str, since: str) -> Statement:
    """Say that a forge signs with another key (hex) since a time (RFC 3339)."""
    return {"forge": forge, "successor": successor, "since": since}


def task_statement(forge: str, task: str) -> Statement:
    """Say that a forge declares a task, named by the digest of its declaration."""
    return {"forge": forge, "task": task}


def tag_statement(forge: str, name: str, commit: str, release: bool, notes: str, tagged_at: str) -> Statement:
    """Say that a forge gave a commit (its digest) a name at a time (RFC 3339), and whether as a release."""
    return {
        "forge": forge,
        "name": name,
        "commit": commit,
        "release": release,
        "notes": notes,
        "tagged_at": tagged_at,
    }


def review_statement(forge: str, review: str) -> Statement:
    """Say that a review (its digest covers reviewer, commit and counts) is meant for one forge (a UUID)."""
    return {"forge": forge, "review": review}


def kit_request_statement(contributor: str, display_name: str | None, csr: str) -> dict[str, str]:
    """Say that a kit is asked for under an identifier, written so for people, by a certificate signing request."""
    return {"contributor": contributor, "display_name": display_name or "", "csr": csr}
