"""Keep out of a restored forge what was withdrawn or revoked after the backup, as the tombstones say it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.tombstones import Tombstone, TombstoneFacts
from medforge.aggregator.ledger.epoch_table import KeptOut, keep_out
from medforge.aggregator.ledger.journal import REVOKED, ROTATED
from medforge.aggregator.ledger.records import State
from medforge.errors import CorruptFile
from medforge.proto.errors import NotAllowed
from medforge.proto.signing import public_bytes
from medforge.proto.succession import KeySuccession


@dataclass(frozen=True)
class Buried:
    """Say what a restored forge keeps out: arrivals that leave, branches that it no longer knows, and who was revoked.

    `returned` are arrivals whose withdrawal was undone after the backup; they stay as the backup has them. `rotated` is
    the key that the forge had signed with last, where its backup has an older one.
    """

    withdrawn: tuple[int, ...]
    unknown: tuple[str, ...]
    revoked: tuple[str, ...]
    rotated: str | None


def verified(forge: Forge, lines: Sequence[Tombstone]) -> list[TombstoneFacts]:
    """Return what tombstones say, each signed by a key that the forge had, also after its backup.

    Raises NotAllowed for one that no such key signed.
    """
    links = list(forge.keys)
    keys = {public_bytes(forge.key).hex(), *(link.key for link in links)}
    # a succession is signed by the key before; what came earlier may have been written with the key after
    for line in lines:
        if line.facts.what == ROTATED:
            keys |= _successor(line.facts, keys)
    for line in lines:
        if line.key not in keys:
            raise NotAllowed(
                f"the tombstone of {line.facts.at} is signed by key {line.key[:12]}, which this forge never had; give "
                f"the file that this forge wrote"
            )
        line.verify()
    return [line.facts for line in lines]


def bury(forge: Forge, said: Sequence[TombstoneFacts]) -> Buried:
    """Enter in a forge's ledger what tombstones say, in their order; what it says already changes nothing."""
    withdrawn = _withdrawn(said)
    left, unknown = [], []
    for branch, facts in withdrawn.items():
        erase = bool(facts.said().get("erase", False))
        arrival = forge.ledger.arrival_of(branch)
        if arrival is None:
            if branch not in forge.kept_out:
                keep_out(forge.ledger, KeptOut(branch=branch, since=facts.at, erase=erase))
                unknown.append(branch)
        elif arrival.state is not State.WITHDRAWN or (erase and not arrival.erase):
            reason = f"{facts.said().get('reason') or 'withdrawn'} ({facts.at[:10]}, after the backup)"
            nonce = facts.said().get("nonce")
            forge.ledger.change(
                arrival.number, State.WITHDRAWN, reason, facts.actor, erase=erase, nonce=nonce if nonce else None
            )
            left.append(arrival.number)
    return Buried(tuple(left), tuple(unknown), tuple(_revoke(forge, said)), _rotated(forge, said))


def _withdrawn(said: Sequence[TombstoneFacts]) -> dict[str, TombstoneFacts]:
    """Return the last word about each branch that is out; what was erased once is out for good."""
    out: dict[str, TombstoneFacts] = {}
    for facts in said:
        about = facts.said()
        branch = str(about.get("branch", ""))
        if facts.what == State.WITHDRAWN.value and not (branch in out and out[branch].said().get("erase")):
            out[branch] = facts
        elif facts.what == State.FOLDED.value and about.get("was") == State.WITHDRAWN.value:
            out.pop(branch, None)
    return out


def _revoke(forge: Forge, said: Sequence[TombstoneFacts]) -> list[str]:
    revoked = []
    for facts in said:
        name = str(facts.said().get("contributor", ""))
        known = forge.ledger.contributor(name) if facts.what == REVOKED else None
        # who was invited anew before the backup has another certificate
        if known is not None and known.revoked_at is None and known.certificate in facts.certificates:
            reason = f"{facts.said().get('reason', '')} ({facts.at[:10]}, after the backup)".strip()
            forge.ledger.revoke(name, reason)
            revoked.append(name)
    return revoked


def _rotated(forge: Forge, said: Sequence[TombstoneFacts]) -> str | None:
    now = public_bytes(forge.key).hex()
    known = {link.successor for link in forge.keys} | {now}
    later = [
        link.successor for facts in said if facts.what == ROTATED and (link := _link(facts)).successor not in known
    ]
    return later[-1] if later else None


def _successor(facts: TombstoneFacts, keys: set[str]) -> set[str]:
    link = _link(facts)
    link.verify()
    return {link.successor} if link.key in keys and link.forge == facts.forge else set()


def _link(facts: TombstoneFacts) -> KeySuccession:
    try:
        return KeySuccession.model_validate_json(facts.about)
    except ValueError as error:
        raise CorruptFile("a tombstone names no successor of a key; restore the file from a copy") from error
