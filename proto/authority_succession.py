"""A forge's certificate authorities in their order: each signs the next, and until when both are trusted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from medforge.errors import CorruptFile
from medforge.files import canonical_json
from medforge.proto.certificates import digest_of, parse_certificate, spell_time
from medforge.proto.errors import NotAllowed

_PURPOSE = "authority succession"
_LONGEST_CERTIFICATE = 8192
_ASK = "ask whoever runs the forge for a new kit"


class AuthoritySuccession(BaseModel):
    """Say that a forge (a UUID) has another certificate authority, and until when the one before is trusted beside it.

    `authority` and `successor` are certificates (PEM); `signature` (hex) is by the key of `authority`, ECDSA over all
    else.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    forge: str = Field(min_length=1, max_length=100)
    authority: str = Field(max_length=_LONGEST_CERTIFICATE)
    successor: str = Field(max_length=_LONGEST_CERTIFICATE)
    since: AwareDatetime
    until: AwareDatetime
    signature: str = Field(pattern=r"^[0-9a-f]{2,200}$")

    @classmethod
    def issue(
        cls,
        key: ec.EllipticCurvePrivateKey,
        forge: str,
        authority: x509.Certificate,
        successor: x509.Certificate,
        valid: tuple[datetime, datetime],
    ) -> AuthoritySuccession:
        """Sign with an authority's key which one follows it, since and until when (to the second)."""
        since, until = (moment.replace(microsecond=0) for moment in valid)
        said = _spelled(forge, authority, successor, since, until)
        signature = key.sign(said, ec.ECDSA(SHA256()))
        return cls(
            forge=forge,
            authority=_pem(authority),
            successor=_pem(successor),
            since=since,
            until=until,
            signature=signature.hex(),
        )

    @property
    def before(self) -> x509.Certificate:
        """The certificate of the authority that is followed."""
        return parse_certificate(self.authority.encode(), "the forge's CA before")

    @property
    def after(self) -> x509.Certificate:
        """The certificate of the authority that follows."""
        return parse_certificate(self.successor.encode(), "the forge's new CA")

    def verify(self) -> None:
        """Raise NotAllowed unless the authority before signed exactly this, of one that can be an authority."""
        try:
            key, said = self.before.public_key(), _spelled(self.forge, self.before, self.after, self.since, self.until)
            if not isinstance(key, ec.EllipticCurvePublicKey):
                raise ValueError("not an ECDSA key")
            key.verify(bytes.fromhex(self.signature), said, ec.ECDSA(SHA256()))
            may = self.after.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        except (CorruptFile, InvalidSignature, ValueError, x509.ExtensionNotFound):
            may = False
        if not may:
            raise NotAllowed(f"the forge's CA did not sign the one that is said to follow it; {_ASK}")


def follow(
    links: Sequence[AuthoritySuccession], forge: str, known: Iterable[x509.Certificate]
) -> tuple[AuthoritySuccession, ...]:
    """Return the links that lead on from known authorities of a forge, each verified, in their order.

    Raises NotAllowed for a link that its authority did not sign, another forge's, or two that follow one authority.
    """
    by_authority = {digest_of(link.before): link for link in _readable(links)}
    if len(by_authority) != len(links):
        raise NotAllowed(f"the forge names two CAs that follow one; {_ASK}")
    reached, found = [digest_of(one) for one in known], []
    while reached:
        # each is followed once, so that no circle is endless
        link = by_authority.pop(reached.pop(), None)
        if link is None:
            continue
        if link.forge != forge:
            raise NotAllowed(f"the CA that is said to follow the forge's is another forge's; {_ASK}")
        link.verify()
        found.append(link)
        reached.append(digest_of(link.after))
    return tuple(sorted(found, key=lambda link: link.since))


def trusted(
    known: Sequence[x509.Certificate], links: Sequence[AuthoritySuccession], moment: datetime
) -> list[x509.Certificate]:
    """Return the authorities that are trusted at a moment: those known and those that verified links lead to.

    One that another follows is trusted until its link says.
    """
    ended = {digest_of(link.before) for link in links if link.until <= moment}
    every = {digest_of(one): one for one in (*known, *(link.after for link in links))}
    return [one for digest, one in every.items() if digest not in ended]


def until_of(certificate: x509.Certificate, links: Sequence[AuthoritySuccession]) -> datetime | None:
    """Return until when the authority that issued a certificate is trusted, None where no other follows it."""
    issued = (link.until for link in links if is_issued_by(certificate, link.before))
    return next(issued, None)


def is_issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Say whether an authority issued a certificate."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def bundle(certificates: Iterable[x509.Certificate]) -> bytes:
    """Spell certificates as one PEM file."""
    return "".join(map(_pem, certificates)).encode()


def _readable(links: Sequence[AuthoritySuccession]) -> Sequence[AuthoritySuccession]:
    try:
        for link in links:
            _ = link.before, link.after
    except CorruptFile as error:
        raise NotAllowed(f"the forge's chain of CAs cannot be read; {_ASK}") from error
    return links


def _spelled(
    forge: str, authority: x509.Certificate, successor: x509.Certificate, since: datetime, until: datetime
) -> bytes:
    return canonical_json(
        {
            "medforge": _PURPOSE,
            "forge": forge,
            "authority": digest_of(authority),
            "successor": digest_of(successor),
            "since": spell_time(since),
            "until": spell_time(until),
        }
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()
