import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from medforge.aggregator.identity.authority import Authority
from medforge.errors import CorruptFile
from medforge.proto.certificates import common_name, digest_of, now, server_name, signing_key
from tests.kits import DAY, FORGE

KEY = bytes(range(32))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.of(tmp_path, FORGE)


def store(authority: Authority) -> Store:
    return Store([x509.load_pem_x509_certificate(authority.pem)])


def test_it_is_made_once_and_its_key_is_its_owners_alone(tmp_path: Path, authority: Authority) -> None:
    assert Authority.of(tmp_path, FORGE).pem == authority.pem
    assert stat.S_IMODE((tmp_path / "keys" / "ca.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700


def test_processes_that_make_it_at_once_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: Authority.of(tmp_path / "forge", FORGE).pem, range(8)))
    assert len(set(made)) == 1


def test_a_server_certificate_verifies_for_this_forge_and_no_other(authority: Authority) -> None:
    _, pem = authority.issue_server()
    certificate = x509.load_pem_x509_certificate(pem)
    policy = PolicyBuilder().store(store(authority))
    policy.build_server_verifier(x509.DNSName(server_name(FORGE))).verify(certificate, [])
    with pytest.raises(VerificationError):
        policy.build_server_verifier(x509.DNSName(server_name("another"))).verify(certificate, [])


def test_a_client_certificate_binds_name_and_signing_key(authority: Authority) -> None:
    _, pem = authority.issue_client("Centre A", KEY, now() + 30 * DAY)
    certificate = x509.load_pem_x509_certificate(pem)
    PolicyBuilder().store(store(authority)).build_client_verifier().verify(certificate, [])
    assert common_name(certificate) == "Centre A"
    assert signing_key(certificate) == KEY
    assert len(digest_of(certificate)) == 64


def test_client_and_server_cannot_pass_for_each_other(authority: Authority) -> None:
    for pem, use in (
        (authority.issue_client("Centre A", KEY, now() + DAY)[1], ExtendedKeyUsageOID.CLIENT_AUTH),
        (authority.issue_server()[1], ExtendedKeyUsageOID.SERVER_AUTH),
    ):
        certificate = x509.load_pem_x509_certificate(pem)
        assert list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [use]
        assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_another_forges_authority_has_issued_nothing_here(authority: Authority, tmp_path: Path) -> None:
    other = Authority.of(tmp_path / "other", FORGE)
    certificate = x509.load_pem_x509_certificate(other.issue_client("Centre A", KEY, now() + DAY)[1])
    with pytest.raises(InvalidSignature):
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.pem))


def test_new_certificates_are_no_surprise_to_a_clock_that_is_behind(authority: Authority) -> None:
    for pem in (authority.issue_server()[1], authority.issue_client("Centre A", KEY, now() + DAY)[1]):
        assert x509.load_pem_x509_certificate(pem).not_valid_before_utc < now() - timedelta(hours=23)


def test_damaged_files_get_a_sentence(tmp_path: Path, authority: Authority) -> None:
    key, pem = tmp_path / "keys" / "ca.key", tmp_path / "keys" / "ca.pem"
    kept = key.read_bytes()
    key.write_bytes(kept[:60])
    with pytest.raises(CorruptFile, match="ca.key is not a private key; restore it from a backup"):
        Authority.of(tmp_path, FORGE)
    Authority.of(tmp_path / "other", FORGE)
    key.write_bytes((tmp_path / "other" / "keys" / "ca.key").read_bytes())
    with pytest.raises(CorruptFile, match="are not a pair; restore both from a backup"):
        Authority.of(tmp_path, FORGE)
    key.write_bytes(kept)
    pem.write_text("nothing")
    with pytest.raises(CorruptFile, match="ca.pem is not a certificate"):
        Authority.of(tmp_path, FORGE)
