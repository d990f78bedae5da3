"""A digest is no key: a contributor can name only blobs that it uploaded itself."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.retention import may_read, sweep
from medforge.aggregator.identity.invite import invite
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.files import sha256_bytes
from medforge.manifest import DISTILLED_FILE
from medforge.proto import forge_pb2 as pb
from medforge.proto.connection import Connection
from medforge.proto.errors import MissingBlob, NotAllowed, UploadConflict
from medforge.proto.kit import Kit
from medforge.proto.receipt import Receipt
from medforge.proto.remote import RemoteForge
from tests.aggregator.serving import FAST, serving, upload
from tests.making import make_branch

Places = tuple[Forge, str, Kit, Kit]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, tiny_base: BaseModule) -> Iterator[Places]:
    place = tmp_path_factory.mktemp("possession")
    with serving(place / "forge", tiny_base, tls=True) as (forge, at):
        yield forge, at, *(invite(forge, f"Centre {name}", at, place / name) for name in "AB")


def submit(remote: RemoteForge, kit: Kit, branch: Branch) -> Receipt:
    return remote.submit(branch.manifest.to_bytes(), kit.sign_submit(branch.digest))


def test_naming_anothers_blobs_gives_nothing(two: Places, tiny_base: BaseModule, tmp_path: Path) -> None:
    _, at, kit, thief = two
    branch = make_branch(tiny_base, 1, contributor="Centre A")
    digests = [entry.digest for entry in branch.manifest.files.values()]
    with RemoteForge(Connection(at, kit)) as mine, RemoteForge(Connection(at, thief)) as theirs:
        upload(mine, branch, tmp_path / "branch")
        submit(mine, kit, branch)
        assert mine.missing(digests) == {}
        assert mine.status(branch.digest).state != pb.BRANCH_STATE_UNKNOWN
        # as if nobody had brought any
        assert theirs.missing(digests) == dict.fromkeys(digests, 0)
        assert theirs.status(branch.digest) == pb.StatusReply(state=pb.BRANCH_STATE_UNKNOWN)
        stolen = branch.renamed(thief.card.name)
        with pytest.raises(MissingBlob, match="has not been uploaded: 0 of"):
            submit(theirs, thief, stolen)
        with pytest.raises(NotAllowed, match="belongs to no forge item and to no branch of Centre B"):
            theirs.blob(branch.manifest.files[DISTILLED_FILE].digest)


def test_who_has_the_bytes_sends_them_again_and_may_stop_in_between(
    two: Places, tiny_base: BaseModule, tmp_path: Path
) -> None:
    forge, at, kit, other = two
    branch = make_branch(tiny_base, 2, contributor="Centre A", task="shared")
    entry, place = branch.manifest.files[DISTILLED_FILE], tmp_path / "branch" / DISTILLED_FILE
    with RemoteForge(Connection(at, kit)) as mine, RemoteForge(Connection(at, other)) as theirs:
        upload(mine, branch, tmp_path / "branch")
        half = entry.size // 2
        forge.blobs.append(entry.digest, 0, place.read_bytes()[:half], "Centre B")
        assert theirs.missing([entry.digest]) == {entry.digest: half}
        # the last chunk alone proves nothing
        with pytest.raises(UploadConflict, match=f"{half} bytes have been received"):
            list(theirs.upload(entry.digest, place, half + 10, 1 << 16))
        list(theirs.upload(entry.digest, place, half, 1 << 16))
        assert theirs.missing([entry.digest]) == {}
        # what is taken in is kept once, whoever brought it
        forge.blobs.keep_together([entry.digest])
        kept = [path.name for path in (forge.directory / "blobs" / "partial").iterdir()]
        assert not [name for name in kept if name.startswith(entry.digest)]
        assert forge.blobs.size(entry.digest) == entry.size
    assert not may_read(forge, "Centre B", entry.digest)  # held, and in no branch of theirs


def test_a_blob_that_was_deleted_is_held_by_nobody(tiny_base: BaseModule, tmp_path: Path) -> None:
    forge = Forge.establish(tmp_path / "forge", tiny_base, FAST)
    digest, data = sha256_bytes(b"data"), b"data"
    for holder in ("A", "B"):
        forge.blobs.append(digest, 0, data, holder)
        forge.blobs.finish(digest, len(data), holder)
    assert forge.blobs.holds(digest, "A")
    assert not forge.blobs.holds(digest, "C")
    assert forge.blobs.holds(digest, None)
    forge.blobs.remove(digest)
    forge.blobs.put(data)
    assert not forge.blobs.holds(digest, "A")
    forge.close()


def test_what_one_left_unfinished_takes_nothing_from_another(tiny_base: BaseModule, tmp_path: Path) -> None:
    """An old piece of an upload is swept, and the blob that somebody else has just brought stays."""
    forge = Forge.establish(tmp_path / "forge", tiny_base, FAST)
    digest, data = sha256_bytes(b"data"), b"data"
    forge.blobs.append(digest, 0, b"da", "A")
    for path in (forge.directory / "blobs" / "partial").iterdir():
        os.utime(path, (0, 0))
    forge.blobs.append(digest, 0, data, "B")
    forge.blobs.finish(digest, len(data), "B")
    assert sweep(forge) == 1
    assert forge.blobs.holds(digest, "B")
    assert forge.blobs.partial_size(digest, "A") == 0
    forge.close()


def test_without_identities_all_share(tiny_base: BaseModule, tmp_path: Path) -> None:
    branch = make_branch(tiny_base, contributor="one")
    with serving(tmp_path / "forge", tiny_base) as (_, at), RemoteForge(Connection(at)) as remote:
        upload(remote, branch, tmp_path / "branch")
        assert remote.submit(branch.manifest.to_bytes()).arrival == 1
        renamed = branch.manifest.model_copy(update={"contributor": "two"})
        assert remote.submit(renamed.to_bytes()).arrival == 2
