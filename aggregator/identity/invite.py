"""Invite a contributor to a forge: make their startup kit, or answer their request for one, and register them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.identity.kept import authority_of, trusted_bundle
from medforge.aggregator.identity.kit_readme import readme
from medforge.aggregator.ledger.authority_table import authority_successions
from medforge.aggregator.ledger.invitations import check_fresh_key
from medforge.aggregator.ledger.records import Contributor
from medforge.contributor_name import ContributorName, check_not_reserved
from medforge.errors import InvalidInput
from medforge.files import make_private, write_atomically
from medforge.manifest import public_spec
from medforge.name_skeleton import alike
from medforge.proto.address import split_address
from medforge.proto.certificates import digest_of, now, parse_certificate, spell_time
from medforge.proto.kit import Kit, KitCard, save_answer
from medforge.proto.kit_request import KitRequest, check_fits
from medforge.proto.signing import new_key, public_bytes

_NO_OVERLAP = timedelta(0)


@dataclass(frozen=True)
class Terms:
    """Say where a contributor reaches the forge (HOST:PORT), until when a kit is good, and what of the one before.

    The kit that it replaces, if there is one that was not revoked, stays good for the `overlap` and never beyond its
    own end.
    """

    address: str
    ends: datetime
    overlap: timedelta = _NO_OVERLAP


def invite(
    forge: Forge,
    contributor: str | ContributorName,
    address: str,
    out: Path,
    days: int = 730,
    ends: datetime | None = None,
    overlap: timedelta = _NO_OVERLAP,
) -> Kit:
    """Make the kit of a contributor in a new or empty directory, register them, and return the kit.

    They are known by the name's identifier. The certificate is good for `days`, or until `ends`; `overlap` as in
    `Terms`. Raises InvalidInput for a name, an address or a directory that cannot be used.
    """
    name = ContributorName.of(contributor) if isinstance(contributor, str) else contributor
    terms = Terms(address, ends or now() + timedelta(days=days), overlap)
    _check(forge, name, address, out)
    signing_key, authority = new_key(), authority_of(forge)
    key, certificate = authority.issue_client(name.identifier, public_bytes(signing_key), terms.ends)
    links = authority_successions(forge.ledger)[-1:]
    ca = trusted_bundle(forge, authority)
    kit = Kit(out, _card(forge, name, terms), ca, certificate, key, signing_key, links)
    with _writing(out):
        kit.save()
        write_atomically(out / "README.md", readme(kit.card).encode())
    _register(forge, name, public_bytes(signing_key), certificate, terms)
    return kit


def answer(forge: Forge, request: KitRequest, terms: Terms, out: Path) -> KitCard:
    """Write what makes a kit of the keys that a contributor made into a new or empty directory; register them.

    Raises InvalidInput as `invite`, and for keys that were revoked or replaced before, or a renewal that the kit before
    did not sign.
    """
    name, key = request.name, request.signing_key
    _check(forge, name, terms.address, out)
    check_fresh_key(forge.ledger, name.identifier, key)
    known = forge.ledger.contributor(name.identifier)
    if request.renewal is not None and (known is None or not request.renews(known.key)):
        raise InvalidInput(
            f"the request says that it renews the kit of {name.identifier}, but the key of that kit did not sign it; "
            f"have a new one made with the newest kit, or without --kit"
        )
    authority, card = authority_of(forge), _card(forge, name, terms)
    certificate = authority.certify(request.certificate_key, name.identifier, key, terms.ends)
    with _writing(out):
        save_answer(out, card, trusted_bundle(forge, authority), certificate, authority_successions(forge.ledger)[-1:])
        write_atomically(out / "README.md", readme(card, keys_stayed=True).encode())
    _register(forge, name, key, certificate, terms)
    return card


def _card(forge: Forge, name: ContributorName, terms: Terms) -> KitCard:
    return KitCard(
        contributor=name.identifier,
        display_name=name.display,
        forge=forge.settings.forge,
        address=terms.address,
        key=public_bytes(forge.key).hex(),
        base_spec=public_spec(forge.settings.base_spec),
        base=forge.settings.base,
        expires=spell_time(terms.ends),
    )


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        make_private(out)
        yield
    except OSError as error:
        raise InvalidInput(f"the kit cannot be written to {out} ({error.strerror}); choose another --out") from error


def _register(forge: Forge, name: ContributorName, key: bytes, certificate: bytes, terms: Terms) -> None:
    """Register a contributor, last: a kit that was not wholly written must not have replaced an earlier one."""
    digest = digest_of(parse_certificate(certificate, "the new certificate"))
    invited = Contributor(name.identifier, key, digest, invited_at=spell_time(now()))
    forge.ledger.invite(invited, name.display, spell_time(terms.ends), terms.overlap)


def _check(forge: Forge, name: ContributorName, address: str, out: Path) -> None:
    check_fits(name.identifier)
    host, port = split_address(address)
    if port == 0 or host in ("0.0.0.0", "::"):
        raise InvalidInput(f"contributors cannot call {address}; give the address that they reach the forge under")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InvalidInput(f"{out} is not an empty directory; give a new one with --out")
    _check_unlike(name, forge.ledger.invited_as())


def _check_unlike(name: ContributorName, invited: Mapping[str, str]) -> None:
    """Refuse a name that reads like another of ``invited``, which has the name for people of each identifier."""
    own = name.display or name.identifier
    if name.identifier not in invited:
        check_not_reserved(name.identifier, own)
    for identifier, written in invited.items():
        pairs = product({name.identifier, own}, {identifier, written})
        if identifier != name.identifier and any(alike(*pair) for pair in pairs):
            raise InvalidInput(f"{own!r} is too like {written!r}, who was invited before; choose another name")
