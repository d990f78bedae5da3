"""Invite a contributor to a forge: make their startup kit and register them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.identity.kept import authority_of
from medforge.aggregator.identity.kit_readme import readme
from medforge.aggregator.ledger.records import Contributor
from medforge.contributor_name import ContributorName, check_not_reserved
from medforge.errors import InvalidInput
from medforge.files import make_private, write_atomically
from medforge.manifest import public_spec
from medforge.name_skeleton import alike
from medforge.proto.address import split_address
from medforge.proto.certificates import LONGEST_NAME, digest_of, now, spell_time
from medforge.proto.kit import Kit, KitCard
from medforge.proto.signing import new_key, public_bytes


def invite(
    forge: Forge,
    contributor: str | ContributorName,
    address: str,
    out: Path,
    days: int = 730,
    ends: datetime | None = None,
    overlap: timedelta = timedelta(0),
) -> Kit:
    """Make the kit of a contributor in a new or empty directory, register them, and return the kit.

    They are known by the name's identifier. The certificate is good for `days`, or until `ends`. The kit
    that it replaces, if there is one that was not revoked, stays good for the `overlap` and never beyond its own end.
    Raises InvalidInput for a name, an address or a directory that cannot be used.
    """
    name = ContributorName.of(contributor) if isinstance(contributor, str) else contributor
    _check(name.identifier, address, out)
    _check_unlike(name, forge.ledger.invited_as())
    signing_key = new_key()
    authority = authority_of(forge)
    ends = ends or now() + timedelta(days=days)
    certificate_key, certificate = authority.issue_client(name.identifier, public_bytes(signing_key), ends)
    card = KitCard(
        contributor=name.identifier,
        display_name=name.display,
        forge=forge.settings.forge,
        address=address,
        key=public_bytes(forge.key).hex(),
        base_spec=public_spec(forge.settings.base_spec),
        base=forge.settings.base,
        expires=spell_time(ends),
    )
    kit = Kit(out, card, authority.pem, certificate, certificate_key, signing_key)
    try:
        make_private(out)
        kit.save()
        write_atomically(out / "README.md", readme(card).encode())
    except OSError as error:
        raise InvalidInput(f"the kit cannot be written to {out} ({error.strerror}); choose another --out") from error
    # Registered last: a kit that was not wholly written must not have taken the place of an earlier one.
    forge.ledger.invite(
        Contributor(name.identifier, public_bytes(signing_key), digest_of(kit.x509), invited_at=spell_time(now())),
        name.display,
        card.expires,
        overlap,
    )
    return kit


def _check(identifier: str, address: str, out: Path) -> None:
    if len(identifier) > LONGEST_NAME:
        raise InvalidInput(
            f"{identifier!r} is too long for a certificate; give an --id of at most {LONGEST_NAME} characters"
        )
    host, port = split_address(address)
    if port == 0 or host in ("0.0.0.0", "::"):
        raise InvalidInput(f"contributors cannot call {address}; give the address that they reach the forge under")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InvalidInput(f"{out} is not an empty directory; give a new one with --out")


def _check_unlike(name: ContributorName, invited: Mapping[str, str]) -> None:
    """Refuse a name that reads like another of ``invited``, which has the name for people of each identifier."""
    own = name.display or name.identifier
    if name.identifier not in invited:
        check_not_reserved(name.identifier, own)
    for identifier, written in invited.items():
        pairs = product({name.identifier, own}, {identifier, written})
        if identifier != name.identifier and any(alike(*pair) for pair in pairs):
            raise InvalidInput(f"{own!r} is too like {written!r}, who was invited before; choose another name")
