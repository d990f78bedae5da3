"""Core's words ⇄ messages."""

from __future__ import annotations

from pydantic import ValidationError

from medforge.declared_task import DeclaredTask
from medforge.errors import CorruptFile, InvalidInput, printable
from medforge.files import sha256_bytes
from medforge.proto import forge_pb2 as pb
from medforge.proto.receipt import Receipt
from medforge.proto.signed_review import Review, SignedReview
from medforge.proto.signed_tag import SignedTag
from medforge.proto.signed_task import SignedTask


def receipt_to_message(receipt: Receipt) -> pb.Receipt:
    """Put a receipt into its message, which leaves out the key: who verifies must know it from elsewhere."""
    return pb.Receipt(
        forge=receipt.forge,
        arrival=receipt.arrival,
        branch=receipt.branch,
        accepted_at=receipt.accepted_at,
        signature=bytes.fromhex(receipt.signature),
        epoch=receipt.epoch,
        epoch_signature=bytes.fromhex(receipt.epoch_signature),
    )


def receipt_from_message(message: pb.Receipt, key: bytes) -> Receipt:
    """Read a receipt and verify that the forge with this public key (32 bytes) signed it.

    Raises CorruptFile if a field is missing or malformed, NotAllowed if the signature is not by that key.
    """
    try:
        receipt = Receipt(
            forge=message.forge,
            arrival=message.arrival,
            branch=message.branch,
            accepted_at=message.accepted_at,
            key=key.hex(),
            signature=message.signature.hex(),
            epoch=message.epoch,
            epoch_signature=message.epoch_signature.hex(),
        )
    except ValidationError as error:
        field = error.errors()[0]["loc"][0]
        raise CorruptFile(
            f"the forge's receipt has no valid {field}; push again, and tell whoever runs the forge"
        ) from error
    receipt.verify()
    return receipt


def task_to_message(signed: SignedTask) -> pb.DeclaredTask:
    """Put a signed task into its message without forge and key: who verifies must know them from elsewhere."""
    return pb.DeclaredTask(content=signed.task.to_bytes(), signature=bytes.fromhex(signed.signature))


def task_from_message(message: pb.DeclaredTask, forge: str, key: bytes) -> SignedTask:
    """Read a declared task and verify that the forge with this id and public key (32 bytes) signed it.

    Raises CorruptFile for what is no declaration, NotAllowed if the signature is not by that key.
    """
    task = DeclaredTask.parse(message.content, sha256_bytes(message.content))
    try:
        signed = SignedTask(forge=forge, task=task, key=key.hex(), signature=message.signature.hex())
    except ValidationError as error:
        field = error.errors()[0]["loc"][0]
        raise CorruptFile(
            f"the forge's task {task.name!r} has no valid {field}; tell whoever runs the forge"
        ) from error
    signed.verify()
    return signed


def tag_to_message(tag: SignedTag) -> pb.Tag:
    """Put a tag into its message without forge and key: who verifies must know them from elsewhere."""
    return pb.Tag(
        name=tag.name,
        commit=tag.commit,
        release=tag.release,
        notes=tag.notes,
        tagged_at=tag.tagged_at,
        signature=bytes.fromhex(tag.signature),
    )


def tag_from_message(message: pb.Tag, forge: str, key: bytes) -> SignedTag:
    """Read a tag and verify that the forge with this id and public key (32 bytes) signed it.

    Raises CorruptFile if a field is missing or malformed, NotAllowed if the signature is not by that key.
    """
    try:
        tag = SignedTag(
            forge=forge,
            name=message.name,
            commit=message.commit,
            release=message.release,
            notes=message.notes,
            tagged_at=message.tagged_at,
            key=key.hex(),
            signature=message.signature.hex(),
        )
    except ValidationError as error:
        field = error.errors()[0]["loc"][0]
        raise CorruptFile(
            f"the forge sent a tag ({printable(message.name[:100])!r}) with no valid {field}; tell whoever runs the "
            "forge"
        ) from error
    tag.verify()
    return tag


def review_from_message(message: pb.ReviewRecord, forge: str) -> SignedReview:
    """Read a review of a forge (a UUID), and verify its signature where it has one.

    Whose key that is must be known from elsewhere. Raises CorruptFile for what is no review of this forge, NotAllowed
    for a signature that is not by the key beside it.
    """
    try:
        review = Review.parse(message.review)
        signed = SignedReview(review=review, key=message.key.hex(), signature=message.signature.hex())
    except (ValidationError, InvalidInput) as error:
        raise CorruptFile("the forge sent a review that cannot be read; tell whoever runs the forge") from error
    if review.forge != forge:
        raise CorruptFile(f"the forge sent a review of forge {review.forge}; tell whoever runs the forge")
    if signed.key:
        signed.verify()
    return signed


def commit_to_message(
    number: int, content: bytes, accepted_at: str = "", display_name: str | None = None
) -> pb.CommitRecord:
    """Put the canonical bytes of the `number`-th commit into their message.

    With it go the time its branch arrived, and how its contributor is written for people.
    """
    return pb.CommitRecord(
        number=number,
        digest=sha256_bytes(content),
        content=content,
        accepted_at=accepted_at,
        display_name=display_name or "",
    )


def commit_from_message(message: pb.CommitRecord) -> tuple[int, bytes]:
    """Read a commit's number and canonical bytes; raise CorruptFile unless they have the digest they came under."""
    if sha256_bytes(message.content) != message.digest:
        raise CorruptFile(f"commit {message.digest[:12]} came with other content; read the log again")
    return message.number, message.content
