"""What both ends read in an X.509 certificate (RFC 5280)."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from medforge.errors import CorruptFile

LONGEST_NAME = 64  # of a common name (RFC 5280, ub-common-name)
ENDS_SOON = timedelta(days=30)
"""How long before its end a certificate is spoken of, so that there is time to renew it."""
_KEY_SCHEME = "medforge:ed25519:"


def server_name(forge: str) -> str:
    """Return the name that a forge's server certificate bears, whatever address the forge has today."""
    return f"{forge}.medforge"


def key_uri(public: bytes) -> str:
    """Write an Ed25519 public key as the URI that binds it to a client certificate."""
    return f"{_KEY_SCHEME}{public.hex()}"


def parse_certificate(pem: bytes, what: str) -> x509.Certificate:
    """Read the first certificate of a PEM file; raises CorruptFile, naming `what`, where it holds none."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        # cryptography reads these two only when they are asked for
        _ = certificate.subject, certificate.extensions
    except (ValueError, x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise CorruptFile(f"{what} is not a certificate; ask whoever runs the forge for a new kit") from error
    return certificate


def parse_certificates(pem: bytes, what: str) -> list[x509.Certificate]:
    """Read every certificate of a PEM file, one at least; raises as `parse_certificate`."""
    try:
        found = x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise CorruptFile(f"{what} is not a certificate; ask whoever runs the forge for a new kit") from error
    return [parse_certificate(one.public_bytes(Encoding.PEM), what) for one in found]


def digest_of(certificate: x509.Certificate) -> str:
    """Digest a certificate: the sha256 of its DER in hex, by which the forge knows it again."""
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def common_name(certificate: x509.Certificate | x509.CertificateSigningRequest) -> str:
    """Return the common name of a certificate, or of a request for one, empty where it has none: the contributor."""
    return next((str(name.value) for name in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)), "")


def signing_key(certificate: x509.Certificate | x509.CertificateSigningRequest) -> bytes | None:
    """Return the Ed25519 public key that a client certificate, or a request for one, binds to its name, if any."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    keys = (uri.removeprefix(_KEY_SCHEME) for uri in uris if re.fullmatch(f"{_KEY_SCHEME}[0-9a-f]{{64}}", uri))
    return next(map(bytes.fromhex, keys), None)


def new_certificate_key() -> ec.EllipticCurvePrivateKey:
    """Make the key of a certificate: ECDSA on the curve P-256, which every TLS library has."""
    return ec.generate_private_key(ec.SECP256R1())


def now() -> datetime:
    """Read this machine's clock, in UTC."""
    return datetime.now(UTC)


def spell_time(moment: datetime) -> str:
    """Write a time as RFC 3339 in UTC, to the second."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def days_until(ends: datetime, moment: datetime) -> str:
    """Spell how many whole days a moment has until a later one."""
    days = (ends - moment).days
    return "less than a day" if days == 0 else "1 day" if days == 1 else f"{days} days"


def read_time(spelled: str) -> datetime | None:
    """Read a time as RFC 3339 spells it, or None if it is none or does not say its offset."""
    try:
        moment = datetime.fromisoformat(spelled)
    except ValueError:
        return None
    return moment if moment.tzinfo else None
