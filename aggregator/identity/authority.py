"""A forge's own certificate authority: who may call it, and how callers know it again."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from filelock import FileLock

from medforge.errors import CorruptFile
from medforge.files import PRIVATE, make_private, read_file, write_atomically
from medforge.proto.authority_succession import AuthoritySuccession
from medforge.proto.certificates import key_uri, new_certificate_key, now, parse_certificate, server_name
from medforge.proto.key_files import load_private_key, pem_of, save_private_key
from medforge.proto.passphrase import given

KEYS = "keys"
KEY_FILE = "ca.key"
CERTIFICATE_FILE = "ca.pem"
LOCK_FILE = "ca.lock"
NEXT = ".next"
"""How the files end of an authority that is to follow."""
_MAKING_FILE = "ca.making"
_YEARS = timedelta(days=20 * 365)
# A peer whose clock is a little behind must not find a new certificate to be from the future.
_SLACK = timedelta(days=1)


class Authority:
    """Issue the certificates of one forge (ECDSA P-256). Its private key never leaves the forge directory."""

    def __init__(self, forge: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self.forge = forge
        self._key = key
        self._certificate = certificate

    @classmethod
    def of(cls, directory: Path, forge: str, make: bool = True) -> Authority:
        """Open the authority of the forge (a UUID) in a directory, or make it; processes that do so at once agree.

        Raises CorruptFile where its files are damaged or do not belong together, and where one is missing: it is made
        only where there is neither, and with `make=False` not at all.
        """
        keys = directory / KEYS
        make_private(keys)
        with FileLock(keys / LOCK_FILE, mode=PRIVATE):
            missing = [name for name in (KEY_FILE, CERTIFICATE_FILE) if not (keys / name).exists()]
            if missing == [CERTIFICATE_FILE] and (keys / _MAKING_FILE).exists():
                # its process was killed between the two: nobody has been given anything
                missing.insert(0, KEY_FILE)
            if len(missing) == 2 and make:
                write_atomically(keys / _MAKING_FILE, b"")
                cls.create(forge).save(keys)
                (keys / _MAKING_FILE).unlink()
            elif missing:
                raise CorruptFile(
                    f"{keys / missing[0]} is missing; restore it from a backup, since another authority would make "
                    f"every kit useless"
                )
            key = _read_key(keys / KEY_FILE)
            certificate = parse_certificate(
                read_file(keys / CERTIFICATE_FILE, "the authority"), str(keys / CERTIFICATE_FILE)
            )
        if certificate.public_key() != key.public_key():
            raise CorruptFile(f"{KEY_FILE} and {CERTIFICATE_FILE} in {keys} are not a pair; restore both from a backup")
        return cls(forge, key, certificate)

    @classmethod
    def create(cls, forge: str, number: int = 1) -> Authority:
        """Make the authority of a forge (a UUID), its `number`-th, in memory."""
        key = new_certificate_key()
        # two authorities of one name would be taken for one by whoever builds a chain
        name = _name(f"forge {forge}" if number == 1 else f"forge {forge} {number}")
        certificate = (
            _builder(name, name, key.public_key(), now() - _SLACK, now() + _YEARS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(key_cert_sign=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, SHA256())
        )
        return cls(forge, key, certificate)

    def save(self, keys: Path, suffix: str = "") -> None:
        """Write key and certificate, the certificate last: where it is, its key is too.

        The key is encrypted where a passphrase is known.
        """
        save_private_key(keys / f"{KEY_FILE}{suffix}", self._key, given())
        write_atomically(keys / f"{CERTIFICATE_FILE}{suffix}", self.pem)

    @property
    def pem(self) -> bytes:
        """The authority's certificate: what a peer needs to verify the others."""
        return self._certificate.public_bytes(Encoding.PEM)

    @property
    def fingerprint(self) -> str:
        """The digest of the authority's certificate, 64 hex digits."""
        return self._certificate.fingerprint(SHA256()).hex()

    @property
    def ends(self) -> datetime:
        """When the authority's certificate ends."""
        return self._certificate.not_valid_after_utc

    def succeed(self, successor: Authority, valid: tuple[datetime, datetime]) -> AuthoritySuccession:
        """Sign that another authority follows this one, since and until when both are trusted."""
        return AuthoritySuccession.issue(self._key, self.forge, self._certificate, successor._certificate, valid)

    def issue_server(self, ends: datetime | None = None) -> tuple[bytes, bytes]:
        """Issue a certificate that names this forge; return (key, certificate), PEM.

        It is good for as long as the authority, or until `ends`. Its key is new.
        """
        key, name = new_certificate_key(), server_name(self.forge)
        names = x509.SubjectAlternativeName([x509.DNSName(name)])
        valid = now() - _SLACK, ends or self.ends
        return pem_of(key), self._issue(key.public_key(), name, names, ExtendedKeyUsageOID.SERVER_AUTH, valid)

    def issue_client(
        self, contributor: str, signing_key: bytes, ends: datetime, begins: datetime | None = None
    ) -> tuple[bytes, bytes]:
        """Make a contributor's key and certify it, as `certify` does; return (key, certificate), PEM."""
        key = new_certificate_key()
        return pem_of(key), self.certify(key.public_key(), contributor, signing_key, ends, begins)

    def certify(
        self,
        key: ec.EllipticCurvePublicKey,
        contributor: str,
        signing_key: bytes,
        ends: datetime,
        begins: datetime | None = None,
    ) -> bytes:
        """Issue a contributor's certificate (PEM) for a key; it binds the Ed25519 signing key (32 bytes) to the name.

        It begins a day ago by default, for clocks that are behind.
        """
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(key_uri(signing_key))])
        valid = begins or now() - _SLACK, ends
        return self._issue(key, contributor, names, ExtendedKeyUsageOID.CLIENT_AUTH, valid)

    def _issue(
        self,
        key: ec.EllipticCurvePublicKey,
        common_name: str,
        names: x509.SubjectAlternativeName,
        use: x509.ObjectIdentifier,
        valid: tuple[datetime, datetime],
    ) -> bytes:
        issuer = self._certificate.public_key()
        assert isinstance(issuer, ec.EllipticCurvePublicKey)
        certificate = (
            _builder(_name(common_name), self._certificate.subject, key, *valid)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True), critical=True)
            # An invited client must not be able to pass for the forge, nor the forge for a client.
            .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
            .add_extension(names, critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False)
            .sign(self._key, SHA256())
        )
        return certificate.public_bytes(Encoding.PEM)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, begins: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )


def _usage(digital_signature: bool = False, key_cert_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = load_private_key(path, "the authority's key")
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CorruptFile(f"{path} is not an ECDSA key; restore it from a backup")
    return key
