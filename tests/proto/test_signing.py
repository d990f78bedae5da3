import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from medforge.errors import CorruptFile, InvalidInput
from medforge.proto.errors import NotAllowed
from medforge.proto.receipt import Receipt
from medforge.proto.signing import RECEIPT, SUBMIT, WITHDRAW, load_key, new_key, public_bytes, save_key, sign, verify
from medforge.proto.statements import receipt_statement, submit_statement, withdraw_statement

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
BRANCH = "a" * 64


def test_what_is_signed_is_the_canonical_json_of_purpose_and_statement() -> None:
    signature = sign(KEY, SUBMIT, submit_statement("some-forge", BRANCH))
    spelled = b'{"branch":"' + BRANCH.encode() + b'","forge":"some-forge","medforge":"submit"}'
    KEY.public_key().verify(signature, spelled)
    assert len(signature) == 64


def test_a_signature_verifies_for_its_own_statement_only() -> None:
    public = public_bytes(KEY)
    signature = sign(KEY, SUBMIT, submit_statement("forge one", BRANCH))
    verify(public, SUBMIT, submit_statement("forge one", BRANCH), signature)
    for purpose, statement in [
        (SUBMIT, submit_statement("forge two", BRANCH)),
        (SUBMIT, submit_statement("forge one", "b" * 64)),
        (WITHDRAW, submit_statement("forge one", BRANCH)),
        (RECEIPT, submit_statement("forge one", BRANCH)),
        (SUBMIT, withdraw_statement("forge one", BRANCH, False)),
    ]:
        with pytest.raises(NotAllowed, match=f"the signature of this {purpose} is not by the key it should be"):
            verify(public, purpose, statement, signature)


def test_erasing_is_signed_apart_from_withdrawing() -> None:
    signature = sign(KEY, WITHDRAW, withdraw_statement("forge", BRANCH, False))
    with pytest.raises(NotAllowed):
        verify(public_bytes(KEY), WITHDRAW, withdraw_statement("forge", BRANCH, True), signature)


@given(st.integers(0, 63), st.integers(1, 255))
def test_one_changed_byte_of_a_signature_is_noticed(place: int, flip: int) -> None:
    signature = bytearray(sign(KEY, SUBMIT, submit_statement("forge", BRANCH)))
    signature[place] ^= flip
    with pytest.raises(NotAllowed):
        verify(public_bytes(KEY), SUBMIT, submit_statement("forge", BRANCH), bytes(signature))


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_no_bytes_at_all_pass_for_key_and_signature(public: bytes, signature: bytes) -> None:
    with pytest.raises(NotAllowed):
        verify(public, SUBMIT, submit_statement("forge", BRANCH), signature)


def test_another_key_does_not_verify() -> None:
    with pytest.raises(NotAllowed):
        verify(public_bytes(new_key()), SUBMIT, {"forge": "f"}, sign(KEY, SUBMIT, {"forge": "f"}))


def test_keys_come_back_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    save_key(tmp_path / "key", KEY)
    assert public_bytes(load_key(tmp_path / "key")) == public_bytes(KEY)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_what_is_no_key_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot read the signing key"):
        load_key(tmp_path / "absent")
    (tmp_path / "key").write_bytes(b"no key")
    with pytest.raises(CorruptFile, match="is not a private key; restore it"):
        load_key(tmp_path / "key")
    other = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key").write_bytes(other)
    with pytest.raises(CorruptFile, match="is not an Ed25519 key"):
        load_key(tmp_path / "key")


class TestReceipt:
    receipt = Receipt.issue(KEY, "some-forge", 7, BRANCH, "2026-01-02T03:04:05.678Z")

    def test_it_verifies_and_is_the_same_each_time(self) -> None:
        self.receipt.verify()
        assert Receipt.issue(KEY, "some-forge", 7, BRANCH, "2026-01-02T03:04:05.678Z") == self.receipt
        assert self.receipt.key == public_bytes(KEY).hex()

    @pytest.mark.parametrize(
        "change",
        [
            {"forge": "another-forge"},
            {"arrival": 8},
            {"branch": "b" * 64},
            {"accepted_at": "2026-01-02T03:04:05.679Z"},
            {"key": public_bytes(new_key()).hex()},
            {"signature": "0" * 128},
        ],
    )
    def test_any_changed_field_is_noticed(self, change: dict[str, object]) -> None:
        with pytest.raises(NotAllowed, match="is not signed by the forge's key .*; keep the branch"):
            self.receipt.model_copy(update=change).verify()

    def test_its_statement_is_what_the_wire_says(self) -> None:
        statement = receipt_statement("some-forge", 7, BRANCH, "2026-01-02T03:04:05.678Z")
        verify(public_bytes(KEY), RECEIPT, statement, bytes.fromhex(self.receipt.signature))
