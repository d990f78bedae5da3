"""Another certificate authority for a forge, which the old one signs; both are trusted for a while."""

from __future__ import annotations

from datetime import datetime, timedelta

from filelock import FileLock

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.identity.authority import KEYS, LOCK_FILE, NEXT, Authority
from medforge.aggregator.identity.kept import authority_of, finish_rotation
from medforge.aggregator.identity.overlap import save_overlap
from medforge.aggregator.ledger.authority_table import add_authority_succession, authority_successions
from medforge.errors import InvalidInput
from medforge.faults import reached
from medforge.files import PRIVATE
from medforge.proto.authority_succession import AuthoritySuccession
from medforge.proto.certificates import now, spell_time


def overlapping(forge: Forge, moment: datetime) -> AuthoritySuccession | None:
    """Return what a forge says of the authority before, while that one is trusted beside the newest."""
    links = authority_successions(forge.ledger)
    return links[-1] if links and links[-1].until > moment else None


def rotate_authority(forge: Forge, overlap: timedelta) -> AuthoritySuccession:
    """Give a forge another authority, durably, also while it is served; the old one's private key is deleted.

    For the `overlap` the forge shows callers a certificate by the old authority, made now, and takes kits of both. A
    crash leaves it with the old authority, or with the new one in its place or beside it, which `authority_of` mends.
    Raises InvalidInput while an earlier overlap lasts.
    """
    old, moment = authority_of(forge), now()
    running = overlapping(forge, moment)
    if running is not None:
        raise InvalidInput(
            f"the CA before this one is trusted until {spell_time(running.until)}; renew the kits until then, and "
            f"rotate after it"
        )
    keys = forge.directory / KEYS
    with FileLock(keys / LOCK_FILE, mode=PRIVATE):
        new = Authority.create(forge.settings.forge, 2 + len(authority_successions(forge.ledger)))
        until = min(moment + overlap, old.ends)
        save_overlap(keys, old.issue_server(until), old.pem, NEXT)
        new.save(keys, NEXT)
        link = old.succeed(new, (moment, until))
        reached("before a new authority")
        add_authority_succession(forge.ledger, link, new.fingerprint)
        reached("after a new authority")
        finish_rotation(keys, new.fingerprint)
    return link
