import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from medforge.contributor_name import ContributorName
from medforge.errors import InvalidInput, MedForgeError
from medforge.files import canonical_json
from medforge.proto.certificates import key_uri, new_certificate_key
from medforge.proto.kit_request import KitRequest
from medforge.proto.signing import KIT_REQUEST, new_key, public_bytes, sign
from medforge.proto.statements import kit_request_statement

NAME = ContributorName.of("Klinik Süd")
CERTIFICATE_KEY, SIGNING_KEY, KEY_BEFORE = new_certificate_key(), new_key(), new_key()
REQUEST = KitRequest.issue(NAME, CERTIFICATE_KEY, SIGNING_KEY, KEY_BEFORE)
WRITTEN = REQUEST.to_bytes()


def refused(data: bytes) -> str:
    with pytest.raises(MedForgeError) as raised:
        KitRequest.parse(data, "request.json")
    sentence = str(raised.value)
    assert "; " in sentence
    assert "\n" not in sentence
    return sentence


def forged(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, name: str = "Klinik Sud", **changes: object) -> bytes:
    """A request that is whole in itself, as a program of somebody's own could make it."""
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(key_uri(public_bytes(SIGNING_KEY)))]),
            critical=False,
        )
        .sign(key, SHA256())
        .public_bytes(Encoding.PEM)
        .decode()
    )
    values = {"format": 1, "contributor": "Klinik Sud", "display_name": None, "csr": csr, "renewal": None} | changes
    said = kit_request_statement(str(values["contributor"]), values["display_name"], csr)  # type: ignore[arg-type]
    signature = sign(SIGNING_KEY, KIT_REQUEST, said | {"renewal": ""}).hex()
    return canonical_json(values | {"signature": signature}) + b"\n"


def test_it_comes_back_as_it_was_made() -> None:
    read = KitRequest.parse(WRITTEN, "it")
    assert (read, read.name, read.fingerprint) == (REQUEST, NAME, REQUEST.fingerprint)
    assert read.certificate_key == CERTIFICATE_KEY.public_key()
    assert read.signing_key == public_bytes(SIGNING_KEY)
    assert read.renews(public_bytes(KEY_BEFORE))
    assert not read.renews(public_bytes(SIGNING_KEY))
    assert not KitRequest.issue(NAME, CERTIFICATE_KEY, SIGNING_KEY).renews(public_bytes(KEY_BEFORE))


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, len(WRITTEN) - 2), byte=st.integers(0, 255))
def test_altered_at_any_byte_it_is_refused(at: int, byte: int) -> None:
    if WRITTEN[at] != byte:
        refused(WRITTEN[:at] + bytes([byte]) + WRITTEN[at + 1 :])


@settings(max_examples=100, deadline=None)
@given(at=st.integers(0, len(WRITTEN) - 2))
def test_cut_short_it_is_refused(at: int) -> None:
    refused(WRITTEN[:at])


def test_mail_may_end_its_line_otherwise() -> None:
    assert KitRequest.parse(WRITTEN.strip() + b"\r\n", "it") == REQUEST


def test_only_keys_of_the_curve_of_kits() -> None:
    for key in (ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)):
        assert "is not ECDSA on the curve P-256, which kits have; make a new one" in refused(forged(key))
    KitRequest.parse(forged(CERTIFICATE_KEY), "it")


@pytest.mark.parametrize("name", ["Klinik\u200b Sud", "Klinik\u202eduS", "Klinik\nSud", "", " Klinik Sud", "Su\u0308d"])
def test_a_name_with_what_nobody_sees_is_refused(name: str) -> None:
    refused(forged(CERTIFICATE_KEY, display_name=name))


def test_a_signing_request_for_another_name_is_refused() -> None:
    said = refused(forged(CERTIFICATE_KEY, name="Centre B"))
    assert "was altered: its certificate signing request names 'Centre B', and the request 'Klinik Sud'" in said


def test_keys_that_the_sender_does_not_hold_are_refused() -> None:
    """A signing request copied from somebody else's, under a signature of one's own."""
    values = json.loads(forged(CERTIFICATE_KEY))
    said = kit_request_statement(values["contributor"], None, values["csr"])
    values["signature"] = sign(new_key(), KIT_REQUEST, said | {"renewal": ""}).hex()
    assert "does not hold its keys; have the file itself sent again" in refused(canonical_json(values))


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", b"1" * 40_000, b'{"format":1,"format":1}', b"[" * 5000])
def test_what_is_no_request_gets_a_sentence(data: bytes) -> None:
    assert "is not a request for a kit" in refused(data)


def test_a_name_too_long_for_a_certificate() -> None:
    with pytest.raises(InvalidInput, match="is too long for a certificate; give an --id of at most 64"):
        KitRequest.issue(ContributorName("a" * 70), CERTIFICATE_KEY, SIGNING_KEY)
