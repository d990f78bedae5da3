"""The startup kit: what a contributor holds to be known to one forge, and to know it."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import Certificate
from pydantic import ConfigDict, Field, ValidationError

from medforge.contributor_name import ContributorName
from medforge.digested import DigestedModel
from medforge.errors import CorruptFile, InvalidInput
from medforge.files import canonical_json, read_file, write_atomically
from medforge.overrides import first_fault
from medforge.proto.authority_succession import AuthoritySuccession, bundle, follow, is_issued_by, trusted, until_of
from medforge.proto.certificates import (
    ENDS_SOON,
    common_name,
    days_until,
    digest_of,
    parse_certificate,
    parse_certificates,
    signing_key,
    spell_time,
)
from medforge.proto.errors import NotAllowed
from medforge.proto.key_files import load_private_key, pem_of
from medforge.proto.kit_authorities import read_links, write_links
from medforge.proto.kit_request import REQUEST_FILE
from medforge.proto.signed_review import Review, SignedReview
from medforge.proto.signing import SUBMIT, WITHDRAW, load_key, public_bytes, save_key, sign
from medforge.proto.statements import submit_statement, withdraw_statement

CARD_FILE = "kit.json"
CA_FILE = "ca.pem"
CERTIFICATE_FILE = "client.pem"
CERTIFICATE_KEY_FILE = "client.key"
SIGNING_KEY_FILE = "signing.key"
SECRET_FILES = (CERTIFICATE_KEY_FILE, SIGNING_KEY_FILE)
_FILES = (CARD_FILE, CA_FILE, CERTIFICATE_FILE, *SECRET_FILES)


class KitCard(DigestedModel):
    """Say whose kit it is and for which forge (a UUID): its address, its Ed25519 public key (hex), its base module.

    `display_name` is how the contributor is written for people, where that is not the identifier.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    younger = frozenset({"display_name"})

    format: Literal[1] = 1
    contributor: str = Field(min_length=1)
    forge: str = Field(min_length=1)
    address: str = Field(min_length=1)
    key: str = Field(pattern=r"^[0-9a-f]{64}$")
    base_spec: str
    base: str = Field(pattern=r"^[0-9a-f]{64}$")
    expires: str
    display_name: str | None = None

    @property
    def name(self) -> ContributorName:
        """The contributor's name, as it is compared and as it is shown."""
        return ContributorName(self.contributor, self.display_name)


@dataclass(frozen=True)
class Kit:
    """Hold an opened kit: its card, the forge's CA, and the contributor's certificate and two private keys, decrypted.

    `ca` may be two certificates, where one is about to follow the other; `links` say which followed which since.
    """

    directory: Path
    card: KitCard
    ca: bytes
    certificate: bytes
    certificate_key: bytes = field(repr=False)
    signing_key: Ed25519PrivateKey = field(repr=False)
    links: tuple[AuthoritySuccession, ...] = field(default=(), repr=False)

    @classmethod
    def load(cls, directory: Path) -> Kit:
        """Read a kit; raises InvalidInput or CorruptFile where a part is missing or the parts do not match."""
        absent = [name for name in _FILES if not (directory / name).exists()]
        if absent:
            raise _not_whole(directory, absent)
        kit = cls(
            directory,
            _read_card(directory / CARD_FILE),
            read_file(directory / CA_FILE, "the forge's CA"),
            read_file(directory / CERTIFICATE_FILE, "the certificate"),
            _load_certificate_key(directory / CERTIFICATE_KEY_FILE),
            load_key(directory / SIGNING_KEY_FILE),
        )
        kit = replace(kit, links=read_links(directory, kit.card.forge, kit._known))
        kit._check_match()
        return kit

    def save(self) -> None:
        """Write the kit's files, readable by their owner alone."""
        write_atomically(self.directory / CERTIFICATE_KEY_FILE, self.certificate_key)
        save_key(self.directory / SIGNING_KEY_FILE, self.signing_key)
        save_answer(self.directory, self.card, self.ca, self.certificate, self.links)

    @property
    def x509(self) -> x509.Certificate:
        """The contributor's certificate."""
        return parse_certificate(self.certificate, str(self.directory / CERTIFICATE_FILE))

    @property
    def ends(self) -> datetime:
        """When the kit ends: its certificate, or the trust in the authority that issued it."""
        ends, until = self.x509.not_valid_after_utc, until_of(self.x509, self.links)
        return ends if until is None else min(ends, until)

    def roots(self, moment: datetime) -> bytes:
        """Return the certificates (PEM) of the forge's authorities that are trusted at a moment."""
        return bundle(trusted(self._known, self.links, moment))

    def learn(self, links: Sequence[AuthoritySuccession]) -> bool:
        """Remember in the kit's directory which authorities follow those that it knows; say whether all are remembered.

        Raises NotAllowed for links that no known authority signed.
        """
        found = follow(links, self.card.forge, self._known)
        known = set(map(digest_of, self._known))
        if links and known.isdisjoint(digest_of(one) for link in links for one in (link.before, link.after)):
            raise NotAllowed(
                "the forge has another CA, which the kit's did not sign; ask whoever runs it for a new kit"
            )
        return set(found) <= set(self.links) or write_links(self.directory, found)

    @property
    def forge_key(self) -> bytes:
        """The forge's public key (32 bytes), which signs receipts."""
        return bytes.fromhex(self.card.key)

    def sign_submit(self, branch: str) -> bytes:
        """Sign a branch digest for the kit's forge, whatever forge may ask."""
        return sign(self.signing_key, SUBMIT, submit_statement(self.card.forge, branch))

    def sign_withdraw(self, branch: str, erase: bool, nonce: bytes = b"", signed_at: str = "") -> bytes:
        """Sign that a branch is to leave the kit's forge; with a nonce it counts once, soon after it was signed."""
        statement = withdraw_statement(self.card.forge, branch, erase, nonce.hex(), signed_at)
        return sign(self.signing_key, WITHDRAW, statement)

    def sign_review(self, review: Review) -> SignedReview:
        """Sign a review for the forge that it names, which must be the kit's."""
        return SignedReview.issue(self.signing_key, review)

    def check_valid(self, moment: datetime) -> None:
        """Raise InvalidInput unless the certificate is valid at a moment."""
        begins, ends = self.x509.not_valid_before_utc, self.ends
        if moment > ends:
            raise InvalidInput(
                f"the certificate of {self.card.contributor} ended on {spell_time(ends)}, and this machine's clock "
                f"says {spell_time(moment)}; ask whoever runs the forge for a new kit (`medforge invite --renew`)"
            )
        if moment < begins:
            raise InvalidInput(
                f"the certificate of {self.card.contributor} begins on {spell_time(begins)}, but this machine's clock "
                f"says {spell_time(moment)}; set the clock"
            )

    def ends_soon(self, moment: datetime) -> str | None:
        """Return a sentence and its remedy where the certificate ends in the 30 days after a moment, None elsewhere."""
        ends = self.ends
        if not moment <= ends < moment + ENDS_SOON:
            return None
        return (
            f"the certificate of {self.card.contributor} ends in {days_until(ends, moment)}, on "
            f"{spell_time(ends)}; ask whoever runs the forge for a new kit (`medforge invite --renew`) before then"
        )

    def readable_by_others(self) -> list[str]:
        """List the secret files that other users of this machine can read."""
        open_to_all = stat.S_IRGRP | stat.S_IROTH
        return [name for name in SECRET_FILES if (self.directory / name).stat().st_mode & open_to_all]

    @property
    def _known(self) -> list[Certificate]:
        return parse_certificates(self.ca, str(self.directory / CA_FILE))

    def _check_match(self) -> None:
        certificate = self.x509
        known = (*self._known, *(link.after for link in self.links))
        if not any(is_issued_by(certificate, one) for one in known):
            raise self._mixed_up(f"{CERTIFICATE_FILE} was not issued by {CA_FILE}")
        if common_name(certificate) != self.card.contributor:
            raise self._mixed_up(f"{CERTIFICATE_FILE} belongs to {common_name(certificate)!r}")
        if signing_key(certificate) != public_bytes(self.signing_key):
            raise self._mixed_up(f"{SIGNING_KEY_FILE} is not the one that {CERTIFICATE_FILE} names")
        if load_pem_private_key(self.certificate_key, password=None).public_key() != certificate.public_key():
            raise self._mixed_up(f"{CERTIFICATE_KEY_FILE} is not the key of {CERTIFICATE_FILE}")

    def _mixed_up(self, what: str) -> CorruptFile:
        if (self.directory / REQUEST_FILE).exists():
            return CorruptFile(
                f"the files that the forge sent are not for the keys in {self.directory} ({what}); copy there the "
                f"answer to its own {REQUEST_FILE}, or ask anew with `medforge request`"
            )
        return CorruptFile(
            f"the files of the kit {self.directory} do not belong together ({what}); "
            f"unpack the kit again, or ask whoever runs the forge for a new one"
        )


def save_answer(
    directory: Path, card: KitCard, ca: bytes, certificate: bytes, links: Sequence[AuthoritySuccession] = ()
) -> None:
    """Write what a forge adds to the keys of a kit: none of it is secret."""
    if links:
        write_links(directory, links)
    write_atomically(directory / CA_FILE, ca)
    write_atomically(directory / CERTIFICATE_FILE, certificate)
    write_atomically(directory / CARD_FILE, canonical_json(card.model_dump(mode="json")) + b"\n")


def _not_whole(directory: Path, absent: list[str]) -> InvalidInput:
    what = f"{directory} is not a whole kit: {', '.join(absent)} {'is' if len(absent) == 1 else 'are'} not there"
    if (directory / REQUEST_FILE).exists() and not set(absent) & set(SECRET_FILES):
        return InvalidInput(
            f"{what}; send {REQUEST_FILE} to whoever runs the forge, and copy the files that come back into {directory}"
        )
    if set(absent) == set(SECRET_FILES):
        return InvalidInput(f"{what}; copy its files to the keys, into the directory that `medforge request` made")
    return InvalidInput(f"{what}; give the directory that `medforge invite` made, with every file in it")


def _load_certificate_key(path: Path) -> bytes:
    """Read the key of a certificate as what gRPC takes, PEM that is not encrypted."""
    return pem_of(load_private_key(path, "the certificate's key"))


def _read_card(path: Path) -> KitCard:
    try:
        return KitCard.model_validate_json(read_file(path, "the kit"))
    except ValidationError as error:
        raise CorruptFile(
            f"{path} is not a kit's card ({first_fault(error)}); unpack the kit again, or ask whoever runs the "
            f"forge for a new one"
        ) from error
