"""Reviews over gRPC: whose they are, what is taken, and what older versions meet."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.fsck import check_forge
from medforge.aggregator.forge.reader import open_reader
from medforge.aggregator.identity.invite import invite
from medforge.aggregator.ledger.review_table import MOST_REVIEWS, ReviewTable
from medforge.base_module import BaseModule
from medforge.client.review.question import ask
from medforge.errors import InvalidInput, MedForgeError
from medforge.proto import forge_pb2 as pb
from medforge.proto.connection import Connection
from medforge.proto.errors import NotAllowed, OverLimit
from medforge.proto.kit import Kit
from medforge.proto.remote import RemoteForge
from medforge.proto.signed_review import LONGEST_REVIEW, Review, TaskReview
from tests.aggregator.serving import serving, upload, wait_until_folded
from tests.making import make_branch
from tests.proto.test_remote_tls import Service, listening


@pytest.fixture
def served(tmp_path: Path, tiny_base: BaseModule) -> Iterator[tuple[Forge, str]]:
    with serving(tmp_path / "forge", tiny_base, tls=True) as both:
        yield both


@pytest.fixture
def ann(served: tuple[Forge, str], tmp_path: Path, tiny_base: BaseModule) -> Kit:
    """Ann's kit, whose branch is the head."""
    forge, at = served
    kit = invite(forge, "Ann", at, tmp_path / "ann")
    branch = make_branch(tiny_base, contributor="Ann", task="lung")
    with RemoteForge(Connection(at, kit)) as remote:
        upload(remote, branch, tmp_path / "branch")
        remote.submit(branch.manifest.to_bytes(), kit.sign_submit(branch.digest))
    wait_until_folded(forge, 1)
    return kit


def head_of(forge: Forge) -> str:
    head = forge.ledger.head()
    assert head is not None
    return head.digest


def written(served: Forge, reviewer: str = "Ann", right: int = 40, baseline: str | None = None, **other: str) -> Review:
    tasks = {"lung": TaskReview(images=50, right=right, baseline=baseline)}
    fields = {"forge": served.settings.forge, "commit": head_of(served)} | other
    return Review(reviewer=reviewer, tasks=tasks, threshold=10, software="0.2.0", **fields)


def send(at: str, kit: Kit, review: Review, signature: bytes | None = None) -> pb.ReviewReply:
    signed = bytes.fromhex(kit.sign_review(review).signature) if signature is None else signature
    with RemoteForge(Connection(at, kit)) as remote:
        return remote.review(review.to_bytes(), signed)


def test_a_review_is_kept_as_it_came_and_read_back_verified(served: tuple[Forge, str], ann: Kit) -> None:
    forge, at = served
    review = written(forge)
    assert send(at, ann, review).stable == review.commit
    assert send(at, ann, review).stable == review.commit
    kept = ReviewTable(forge.ledger).read().reviews
    assert [one.signed for one in kept] == [ann.sign_review(review)]
    with open_reader(None, Connection(at, ann)) as reader, open_reader(forge.directory, None) as local:
        assert [one.signed for one in reader.reviews().reviews] == [ann.sign_review(review)]
        assert reader.reviews().stable == local.reviews().stable == review.commit
        assert reader.reviews().marks(reader.commits()) == {review.commit: "stable"}
    assert not [problem for check in check_forge(forge) for problem in check.problems]


def test_nobody_reviews_in_anothers_name(served: tuple[Forge, str], ann: Kit, tmp_path: Path) -> None:
    forge, at = served
    bob = invite(forge, "Bob", at, tmp_path / "bob")
    with pytest.raises(NotAllowed, match="the review is Ann's, but the call came under the certificate of Bob"):
        send(at, bob, written(forge))
    with pytest.raises(NotAllowed, match="the signature of this review is not by the key it should be"):
        send(at, ann, written(forge), bytes.fromhex(bob.sign_review(written(forge)).signature))
    with pytest.raises(NotAllowed, match="the signature of this review is not by the key"):
        send(at, ann, written(forge), ann.sign_submit(written(forge).digest))
    with pytest.raises(NotAllowed, match="must be signed"):
        send(at, ann, written(forge), b"")
    forge.ledger.revoke("Bob")
    with pytest.raises(NotAllowed, match="revoked"):
        send(at, bob, written(forge, "Bob"))
    assert ReviewTable(forge.ledger).read().reviews == []


def test_only_what_is_in_question_is_reviewed(served: tuple[Forge, str], ann: Kit) -> None:
    forge, at = served
    refused: list[tuple[Review, str]] = [
        (written(forge, forge="another"), "the review is for forge another, and this is"),
        (written(forge, commit="0" * 64), "is not in question any more; review what the forge asks for now"),
        (written(forge, baseline="0" * 64), "which never went live; review what the forge asks for now"),
    ]
    for review, why in refused:
        with pytest.raises(InvalidInput, match=why):
            send(at, ann, review)


def test_reviews_do_not_fill_the_journal(served: tuple[Forge, str], ann: Kit) -> None:
    forge, at = served
    for right in range(MOST_REVIEWS):
        send(at, ann, written(forge, right=right))
    with pytest.raises(OverLimit, match=f"Ann has reviewed commit .* {MOST_REVIEWS} times"):
        send(at, ann, written(forge, right=49))
    with RemoteForge(Connection(at, ann)) as remote:
        with pytest.raises(InvalidInput, match=f"where {LONGEST_REVIEW} are admitted"):
            remote.review(b"x" * (LONGEST_REVIEW + 1))
        for data in (b"", b"{}", b"[]", written(forge).to_bytes() + b" "):
            with pytest.raises(InvalidInput, match="no review|canonical"):
                remote.review(data)


class Old(Service):
    """A forge of 0.1.0: it describes itself with what it knew, and has no calls for reviews."""

    def Describe(self, request: pb.DescribeRequest, context: object) -> pb.DescribeReply:  # noqa: N802
        return pb.DescribeReply(forge="old", head="a" * 64, software="0.1.0")


def test_a_forge_of_an_earlier_version_is_told_apart_by_a_sentence() -> None:
    with listening(None, service=Old()) as at, RemoteForge(Connection(at)) as remote:
        with pytest.raises(InvalidInput, match=r"is of version 0\.1\.0, which takes no reviews; ask its maintainer"):
            ask(remote, "Ann")
        with pytest.raises(MedForgeError):
            remote.review(b"{}")
