"""Tags and releases: names that the maintainer gives commits, signed with the forge's key."""

from __future__ import annotations

from functools import partial

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.names import stable_or_named
from medforge.aggregator.forge.review_view import ReviewView
from medforge.aggregator.ledger.journal import now
from medforge.aggregator.ledger.log_page import CommitLog, LogTable
from medforge.aggregator.ledger.review_table import ReviewTable
from medforge.aggregator.ledger.tag_table import TagTable
from medforge.errors import InvalidInput
from medforge.proto.names import check_tag_name
from medforge.proto.signed_tag import LONGEST_NOTES, SignedTag
from medforge.proto.signing import public_bytes
from medforge.proto.tags import Tags


def verified_tags(forge: Forge) -> Tags:
    """Return the tags by name, oldest first, each verified with the forge's key; what is no tag is refused."""
    table = TagTable(forge.ledger)
    found = Tags.verified((tag.name, partial(checked, forge, tag)) for tag in table.tags())
    found.refused |= table.unreadable()
    return found


def checked(forge: Forge, tag: SignedTag) -> SignedTag:
    """Return a tag of the forge's, signed with the key that it has now.

    Raise NotAllowed where no key that this forge ever had signed it for this forge.
    """
    now_key = public_bytes(forge.key).hex()
    known = tag.key if tag.key in {link.key for link in forge.keys} else now_key
    ours = tag.model_copy(update={"forge": forge.settings.forge, "key": known})
    ours.verify()
    if known == now_key:
        return ours
    return SignedTag.issue(forge.key, ours.forge, ours.name, ours.commit, ours.release, ours.notes, ours.tagged_at)


def tag_commit(forge: Forge, name: str, commit: str | None, release: bool = False, notes: str = "") -> SignedTag:
    """Give a commit (the stable one where none is named) a name, signed with the forge's key, for good.

    A release must have a merged model to recommend. Raises InvalidInput for what cannot be a tag or its notes, or is a
    task's name, NotFound for no such commit, LedgerConflict for a name in use.
    """
    check_tag_name(name)
    _check_notes(notes)
    log = LogTable(forge.ledger)
    stable = ReviewView.of(ReviewTable(forge.ledger)).stable
    chosen = stable_or_named(log, commit, verified_tags(forge), stable)
    _check_no_task(name, log)
    if release:
        forge.check_item(chosen)
    signed = SignedTag.issue(forge.key, forge.settings.forge, name, chosen.digest, release, notes, now())
    TagTable(forge.ledger).add(signed)
    return signed


def _check_no_task(name: str, log: CommitLog) -> None:
    if any(one.task == name for one in log.called(name)):
        raise InvalidInput(f"{name!r} is a task, and commits are named by tasks too; choose another name for the tag")


def _check_notes(notes: str) -> None:
    if len(notes) > LONGEST_NOTES:
        raise InvalidInput(
            f"the notes have {len(notes)} characters where {LONGEST_NOTES} are admitted; shorten them, or say where "
            "the rest is"
        )
    if not all(line.isprintable() for line in notes.replace("\t", " ").split("\n")):
        raise InvalidInput("the notes hold characters that cannot be shown; leave them out")
