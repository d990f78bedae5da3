"""What a store of blobs promises, of a directory and of a bucket on a real S3 server."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from medforge.aggregator.blobs.address import parse_blob_address
from medforge.aggregator.blobs.bucket import BlobBucket
from medforge.aggregator.blobs.cache import BlobCache
from medforge.aggregator.blobs.s3 import S3
from medforge.aggregator.blobs.store import BlobStore
from medforge.aggregator.blobs.sweeping import sweep_blobs
from medforge.errors import CorruptFile
from medforge.files import sha256_bytes
from medforge.proto.errors import MissingBlob
from tests.s3 import S3Server

DATA = os.urandom(1 << 20)
DIGEST = sha256_bytes(DATA)
LARGE = os.urandom(20 << 20)  # three parts
PATIENT = 60.0
Spoil = Callable[[str, bytes | None], None]


class Stored:
    """A place for blobs, which every process opens anew, and whose bytes can be spoilt behind its back."""

    def __init__(self, opened: Callable[[], BlobStore], spoil: Spoil) -> None:
        self.opened, self.spoil = opened, spoil


@pytest.fixture(params=["directory", "s3"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stored]:
    if request.param == "directory":
        yield Stored(lambda: BlobStore(tmp_path / "blobs"), _spoil_file(tmp_path / "blobs"))
        return
    server: S3Server = request.getfixturevalue("s3")
    address = parse_blob_address(server.new_place())
    caches = iter(range(1000))

    def opened() -> BlobStore:
        # what one process has copied is not there for the next
        cache = BlobCache(tmp_path / f"cache{next(caches)}", 64 << 20)
        return BlobStore(tmp_path / "blobs", BlobBucket(S3(address, PATIENT), cache))

    def spoil(digest: str, data: bytes | None) -> None:
        key = address.key(f"{digest[:2]}/{digest}")
        if data is None:
            server.client().delete_object(Bucket=address.bucket, Key=key)
        else:
            server.client().put_object(Bucket=address.bucket, Key=key, Body=data)

    yield Stored(opened, spoil)


def _spoil_file(directory: Path) -> Spoil:
    def spoil(digest: str, data: bytes | None) -> None:
        path = directory / digest[:2] / digest
        path.unlink() if data is None else path.write_bytes(data)

    return spoil


def bring(store: BlobStore, data: bytes, holder: str | None = None) -> str:
    digest = sha256_bytes(data)
    store.append(digest, 0, data, holder)
    store.finish(digest, len(data), holder)
    return digest


def test_what_was_put_is_there_for_the_next_process(stored: Stored) -> None:
    store = stored.opened()
    assert store.put(DATA) == store.put(DATA) == DIGEST
    after = stored.opened()
    assert after.has(DIGEST)
    assert after.size(DIGEST) == len(DATA)
    assert after.read(DIGEST) == bytes(after.mapped(DIGEST)) == DATA
    assert b"".join(after.chunks(DIGEST, 1000, 777)) == DATA[1000:]
    assert list(after.present()) == [DIGEST]
    assert after.kept.digest_of(DIGEST) == DIGEST
    assert list(after.directory.glob("partial/*")) == []


def test_an_upload_is_kept_only_when_it_is_asked_for(stored: Stored) -> None:
    store = stored.opened()
    digests = {bring(store, data, "A") for data in (DATA, LARGE, b"")}
    assert not any(stored.opened().has(digest) for digest in digests)
    store.send_ahead(digests)
    store.keep_together(digests)
    store.keep_together(digests)
    after = stored.opened()
    assert {digest: after.read(digest) for digest in digests} == {sha256_bytes(one): one for one in (DATA, LARGE, b"")}
    assert set(after.present()) == digests
    assert all(after.holds(digest, "A") and not after.holds(digest, "B") for digest in digests)
    assert all(store.located(digest).is_file() for digest in digests)


def test_another_who_brings_it_holds_it_too(stored: Stored) -> None:
    store = stored.opened()
    store.put(DATA)
    assert not store.touch(DIGEST, "B")
    bring(store, DATA, "B")
    assert store.touch(DIGEST, "B")
    assert store.partial_size(DIGEST, "B") == len(DATA)
    assert list(store.directory.glob("partial/*")) == []


def test_what_is_not_there_gets_a_sentence(stored: Stored) -> None:
    store = stored.opened()
    assert not store.has(DIGEST)
    assert not store.touch(DIGEST)
    assert list(store.present()) == []
    for call in (store.read, store.size, store.open):
        with pytest.raises(MissingBlob, match="is not in this forge; upload it first"):
            call(DIGEST)
    with pytest.raises(MissingBlob):
        store.keep_together([DIGEST])
    store.remove(DIGEST)


@pytest.mark.parametrize("spoilt", [DATA[:-1], bytes([DATA[0] ^ 1]) + DATA[1:], b""])
def test_bytes_that_change_where_they_lie_are_noticed(stored: Stored, spoilt: bytes) -> None:
    stored.opened().put(DATA)
    stored.spoil(DIGEST, spoilt)
    store = stored.opened()
    assert store.kept.digest_of(DIGEST) != DIGEST
    for call in (store.read, store.mapped):
        with pytest.raises(CorruptFile, match="no longer has the digest it is named by; restore it from a backup"):
            call(DIGEST)
    stored.spoil(DIGEST, DATA)
    assert stored.opened().read(DIGEST) == DATA


def test_what_was_lost_is_not_acknowledged(stored: Stored) -> None:
    store = stored.opened()
    store.put(DATA)
    stored.spoil(DIGEST, None)
    with pytest.raises(MissingBlob):
        store.keep_together([DIGEST])
    assert not store.has(DIGEST)


def test_what_is_removed_is_nowhere(stored: Stored, tmp_path: Path) -> None:
    store = stored.opened()
    bring(store, DATA, "A")
    store.keep_together([DIGEST])
    assert store.read(DIGEST) == DATA
    store.remove(DIGEST)
    assert not any(one.has(DIGEST) or one.holds(DIGEST, "A") for one in (store, stored.opened()))
    assert [path for path in tmp_path.rglob("*") if DIGEST in path.name and path.is_file()] == []


def test_a_sweep_leaves_what_is_needed_or_was_touched(stored: Stored) -> None:
    store = stored.opened()
    digests = [store.put(data) for data in (b"needed", b"touched", b"old")]
    bring(store, b"staged", "A")
    # S3 says when something was written in whole seconds
    time.sleep(1.1)
    # a file system's clock is some milliseconds behind
    before = time.time() - 0.5
    store.touch(digests[1])
    assert sweep_blobs(store, before, {digests[0]}) == 2
    assert set(stored.opened().present()) == set(digests[:2])
