"""A request for a kit: what a hospital sends a forge that is to invite it, while its private keys stay with it."""

from __future__ import annotations

import hashlib

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from medforge.contributor_name import ContributorName
from medforge.errors import CorruptFile, InvalidInput
from medforge.files import canonical_json, parse_json
from medforge.overrides import first_fault
from medforge.proto.certificates import LONGEST_NAME, common_name, key_uri, signing_key
from medforge.proto.errors import NotAllowed
from medforge.proto.signing import KIT_REQUEST, public_bytes, sign, verify
from medforge.proto.statements import kit_request_statement

REQUEST_FILE = "request.json"
_LONGEST = 1 << 14
_UNREADABLE = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    x509.InvalidVersion,
)
_AGAIN = "make a new one with `medforge request`"


class KitRequest(BaseModel):
    """Ask for a kit under a name, and prove that both of its private keys are held by whoever asks.

    `csr` is a certificate signing request (PKCS#10, PEM) by an ECDSA P-256 key; it names the identifier and the
    Ed25519 signing key. `renewal` (hex) is the same words signed by the key of the kit that this one is to replace,
    and `signature` (hex), by the new signing key, covers all else.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = Field(ge=1, le=1)
    contributor: str = Field(min_length=1, max_length=100)
    display_name: str | None = Field(min_length=1, max_length=100)
    csr: str = Field(max_length=8192)
    signature: str = Field(pattern=r"^[0-9a-f]{128}$")
    renewal: str | None = Field(pattern=r"^[0-9a-f]{128}$")

    @classmethod
    def issue(
        cls,
        name: ContributorName,
        certificate_key: EllipticCurvePrivateKey,
        signing_key: Ed25519PrivateKey,
        kit_before: Ed25519PrivateKey | None = None,
    ) -> KitRequest:
        """Ask for a kit with two new keys, in the place of one whose signing key is `kit_before` where that is given.

        Raises InvalidInput for an identifier that no certificate can hold.
        """
        check_fits(name.identifier)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name.identifier)])
        bound = x509.UniformResourceIdentifier(key_uri(public_bytes(signing_key)))
        csr = (
            x509.CertificateSigningRequestBuilder()
            .subject_name(subject)
            .add_extension(x509.SubjectAlternativeName([bound]), critical=False)
            .sign(certificate_key, SHA256())
            .public_bytes(Encoding.PEM)
            .decode()
        )
        said = kit_request_statement(name.identifier, name.display, csr)
        renewal = None if kit_before is None else sign(kit_before, KIT_REQUEST, said).hex()
        return cls(
            format=1,
            contributor=name.identifier,
            display_name=name.display,
            csr=csr,
            signature=sign(signing_key, KIT_REQUEST, said | {"renewal": renewal or ""}).hex(),
            renewal=renewal,
        )

    @classmethod
    def parse(cls, data: bytes, what: str) -> KitRequest:
        """Read and verify a request that somebody sent, which `what` names in errors.

        Raises CorruptFile for one that is no request or was altered, InvalidInput for a name or a key that no
        certificate is given for.
        """
        try:
            request = cls.model_validate(parse_json(data, _LONGEST))
        except ValidationError as error:
            raise CorruptFile(f"{what} is not a request for a kit ({first_fault(error)}); {_AGAIN}") from error
        except ValueError as error:
            raise CorruptFile(f"{what} is not a request for a kit ({error}); {_AGAIN}") from error
        if request.to_bytes().strip() != data.strip():
            raise CorruptFile(f"{what} is not as `medforge request` wrote it; have the file itself sent again")
        request._verify(what)
        return request

    def to_bytes(self) -> bytes:
        """Spell the request as the file that travels."""
        return canonical_json(self.model_dump(mode="json")) + b"\n"

    @property
    def name(self) -> ContributorName:
        """The name that is asked for."""
        return ContributorName(self.contributor, self.display_name)

    @property
    def fingerprint(self) -> str:
        """Sixteen letters by which two people can tell over the telephone that they have the same request."""
        digest = hashlib.sha256(self.to_bytes()).hexdigest()
        return " ".join(digest[at : at + 4] for at in range(0, 16, 4))

    @property
    def certificate_key(self) -> EllipticCurvePublicKey:
        """The public key that the certificate is to be for."""
        key = self._csr.public_key()
        assert isinstance(key, EllipticCurvePublicKey)
        return key

    @property
    def signing_key(self) -> bytes:
        """The public signing key, 32 bytes, that the certificate is to bind to the name."""
        key = signing_key(self._csr)
        assert key is not None
        return key

    def renews(self, key: bytes) -> bool:
        """Say whether the holder of a signing key (32 bytes), that of the kit before, asks for this one too."""
        try:
            verify(key, KIT_REQUEST, self._statement, bytes.fromhex(self.renewal or ""))
        except NotAllowed:
            return False
        return True

    @property
    def _csr(self) -> x509.CertificateSigningRequest:
        return x509.load_pem_x509_csr(self.csr.encode())

    @property
    def _statement(self) -> dict[str, str]:
        return kit_request_statement(self.contributor, self.display_name, self.csr)

    def _verify(self, what: str) -> None:
        if ContributorName.of(self.display_name or self.contributor, self.contributor) != self.name:
            raise CorruptFile(f"{what} does not write its name as `medforge request` does; {_AGAIN}")
        check_fits(self.contributor)
        try:
            csr = self._csr
            # cryptography reads these only when they are asked for
            key, whole, asked, bound = csr.public_key(), csr.is_signature_valid, common_name(csr), signing_key(csr)
        except (*_UNREADABLE, TypeError) as error:
            raise CorruptFile(f"{what} holds no readable certificate signing request; {_AGAIN}") from error
        if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
            raise InvalidInput(f"the key of {what} is not ECDSA on the curve P-256, which kits have; {_AGAIN}")
        if bound is None:
            raise CorruptFile(f"{what} names no signing key; {_AGAIN}")
        if asked != self.contributor:
            names = f"{asked!r}, and the request {self.contributor!r}"
            raise CorruptFile(f"{what} was altered: its certificate signing request names {names}; {_AGAIN}")
        try:
            said = self._statement | {"renewal": self.renewal or ""}
            verify(bound, KIT_REQUEST, said, bytes.fromhex(self.signature))
        except NotAllowed:
            whole = False
        if not whole:
            raise CorruptFile(
                f"{what} was altered, or whoever made it does not hold its keys; have the file itself sent again"
            )


def check_fits(identifier: str) -> None:
    """Raise InvalidInput for an identifier that is too long for a certificate."""
    if len(identifier) > LONGEST_NAME:
        raise InvalidInput(
            f"{identifier!r} is too long for a certificate; give an --id of at most {LONGEST_NAME} characters"
        )
