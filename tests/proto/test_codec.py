import json
from pathlib import Path

import pytest

from medforge.declared_task import DeclaredTask
from medforge.errors import CorruptFile, InvalidInput
from medforge.files import sha256_bytes
from medforge.proto import forge_pb2 as pb
from medforge.proto.address import is_loopback, join_address, split_address
from medforge.proto.codec import (
    commit_from_message,
    commit_to_message,
    receipt_from_message,
    receipt_to_message,
    task_from_message,
    task_to_message,
)
from medforge.proto.errors import NotAllowed
from medforge.proto.receipt import Receipt
from medforge.proto.signed_task import SignedTask
from medforge.proto.signing import SUBMIT, new_key, public_bytes, sign
from medforge.proto.statements import task_statement

KEY = new_key()
TASK = DeclaredTask.make("lung", [("n", "normal lung"), ("t", "lung tumor")], "CT")
RECEIPT = Receipt.issue(KEY, "some-forge", 7, "a" * 64, "2026-01-02T03:04:05.678Z")


def test_a_receipt_survives_the_wire_and_the_disk(tmp_path: Path) -> None:
    wire = pb.Receipt.FromString(receipt_to_message(RECEIPT).SerializeToString())
    assert receipt_from_message(wire, public_bytes(KEY)) == RECEIPT
    RECEIPT.save(tmp_path / "receipt.json")
    assert Receipt.load(tmp_path / "receipt.json") == RECEIPT
    assert list(tmp_path.iterdir()) == [tmp_path / "receipt.json"]


@pytest.mark.parametrize("field", ["forge", "arrival", "branch", "accepted_at", "signature"])
def test_a_receipt_that_lacks_a_field_is_refused(field: str) -> None:
    message = receipt_to_message(RECEIPT)
    message.ClearField(field)
    with pytest.raises(CorruptFile, match=f"the forge's receipt has no valid {field}; push again"):
        receipt_from_message(message, public_bytes(KEY))


def test_a_receipt_is_read_only_with_the_key_that_signed_it() -> None:
    with pytest.raises(NotAllowed, match="is not signed by the forge's key"):
        receipt_from_message(receipt_to_message(RECEIPT), public_bytes(new_key()))
    with pytest.raises(CorruptFile, match="has no valid key"):
        receipt_from_message(receipt_to_message(RECEIPT), b"")


def test_a_file_that_is_no_receipt_gets_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "receipt.json").write_text("{}")
    with pytest.raises(CorruptFile, match=r"receipt.json is not a receipt; remove it and push again"):
        Receipt.load(tmp_path / "receipt.json")
    with pytest.raises(InvalidInput, match="cannot read the receipt"):
        Receipt.load(tmp_path / "absent.json")


def test_a_declared_task_is_read_only_with_the_key_and_the_forge_that_signed_it() -> None:
    signed = SignedTask.issue(KEY, "some-forge", TASK)
    wire = pb.DeclaredTask.FromString(task_to_message(signed).SerializeToString())
    assert task_from_message(wire, "some-forge", public_bytes(KEY)) == signed
    for forge, key in (("another-forge", public_bytes(KEY)), ("some-forge", public_bytes(new_key()))):
        with pytest.raises(NotAllowed, match="task 'lung' is not signed by the forge's key"):
            task_from_message(wire, forge, key)
    other = pb.DeclaredTask(content=TASK.to_bytes().replace(b"tumor", b"cysts"), signature=wire.signature)
    with pytest.raises(NotAllowed, match="task 'lung' is not signed by the forge's key"):
        task_from_message(other, "some-forge", public_bytes(KEY))
    with pytest.raises(
        CorruptFile, match="the forge's task 'lung' has no valid signature; tell whoever runs the forge"
    ):
        task_from_message(pb.DeclaredTask(content=TASK.to_bytes()), "some-forge", public_bytes(KEY))
    with pytest.raises(CorruptFile, match="cannot be read"):
        task_from_message(pb.DeclaredTask(content=b"{}"), "some-forge", public_bytes(KEY))


def test_a_signature_for_a_receipt_or_a_branch_declares_no_task() -> None:
    signature = sign(KEY, SUBMIT, task_statement("some-forge", TASK.digest))
    with pytest.raises(NotAllowed, match="is not signed by the forge's key"):
        task_from_message(
            pb.DeclaredTask(content=TASK.to_bytes(), signature=signature), "some-forge", public_bytes(KEY)
        )


def test_a_task_is_given_to_a_centre_as_a_file(tmp_path: Path) -> None:
    signed = SignedTask.issue(KEY, "some-forge", TASK)
    path = tmp_path / "lung.json"
    path.write_text(json.dumps(signed.document(), indent=2))
    assert SignedTask.load(path) == signed
    path.write_text(json.dumps(signed.document() | {"name": "brain"}))
    with pytest.raises(NotAllowed, match="task 'brain' is not signed .*; ask whoever runs the forge"):
        SignedTask.load(path)
    for content in ("{", "[]", "{}", TASK.to_bytes().decode()):
        path.write_text(content)
        with pytest.raises(
            CorruptFile, match="lung.json is not a signed task .*write it again with `medforge task show"
        ):
            SignedTask.load(path)


def test_a_commit_travels_as_its_very_bytes() -> None:
    content = '{"task":"tumör"}'.encode()
    message = pb.CommitRecord.FromString(commit_to_message(3, content).SerializeToString())
    assert commit_from_message(message) == (3, content)
    assert message.digest == sha256_bytes(content)
    message.content += b" "
    with pytest.raises(CorruptFile, match="came with other content; read the log again"):
        commit_from_message(message)


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [("127.0.0.1:0", "127.0.0.1", 0), ("forge.example:50051", "forge.example", 50051), ("[::1]:65535", "::1", 65535)],
)
def test_an_address_is_split_and_joined(address: str, host: str, port: int) -> None:
    assert split_address(address) == (host, port)
    assert join_address(host, port) == address


@pytest.mark.parametrize("address", ["", "host", ":1", "host:", "host:x", "host:-1", "host:65536", "host:١", "::1:5"])
def test_what_is_no_address_gets_a_sentence(address: str) -> None:
    with pytest.raises(InvalidInput, match="is not an address; write"):
        split_address(address)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("localhost", True), ("LOCALHOST", True), ("127.0.0.1", True), ("127.9.8.7", True), ("::1", True),
     ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("localhost.evil.org", False),
     ("127.0.0.1.evil.org", False), ("forge", False)],
)  # fmt: skip
def test_only_this_very_machine_is_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
