import errno
import hashlib
import os
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medforge.aggregator.blobs import directory
from medforge.aggregator.blobs.store import BlobStore
from medforge.aggregator.blobs.sweeping import sweep_blobs
from medforge.errors import CorruptFile, InvalidInput
from medforge.files import sha256_bytes
from medforge.proto.errors import MissingBlob, UploadConflict

DATA = bytes(range(256)) * 40
DIGEST = sha256_bytes(DATA)


def files(store: BlobStore) -> list[str]:
    """The names of the files there are, once what was staged is kept."""
    store.keep_together([path.name for path in store.directory.glob("partial/*") if store.has(path.name)])
    return sorted(path.name for path in store.directory.rglob("*") if path.is_file())


def test_reading_makes_nothing(tmp_path: Path) -> None:
    store = BlobStore(tmp_path / "blobs")
    assert not store.has(DIGEST)
    assert store.partial_size(DIGEST) == 0
    assert list(store.present()) == []
    assert sweep_blobs(store, 0.0, set()) == 0
    store.remove(DIGEST)
    assert list(tmp_path.iterdir()) == []


def test_put_stores_once_and_reads_back(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    assert store.put(DATA) == store.put(DATA) == DIGEST
    assert store.read(DIGEST) == DATA
    assert store.size(DIGEST) == len(DATA)
    assert files(store) == [DIGEST]


def test_an_upload_resumes_in_another_process_life(tmp_path: Path) -> None:
    assert BlobStore(tmp_path).append(DIGEST, 0, DATA[:1000]) == 1000
    store = BlobStore(tmp_path)
    assert store.partial_size(DIGEST) == 1000
    assert not store.has(DIGEST)
    assert store.append(DIGEST, 1000, DATA[1000:]) == len(DATA)
    store.finish(DIGEST, len(DATA))
    assert store.read(DIGEST) == DATA
    assert files(store) == [DIGEST]


def test_an_offset_past_the_end_says_where_to_go_on(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    store.append(DIGEST, 0, DATA[:10])
    with pytest.raises(UploadConflict, match="continues at byte 20, but 10 bytes have been received; .*byte 10"):
        store.append(DIGEST, 20, DATA[20:])
    assert store.partial_size(DIGEST) == 10


def test_an_unfinished_upload_is_kept(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    store.append(DIGEST, 0, DATA[:10])
    with pytest.raises(UploadConflict, match=f"ended after 10 of {len(DATA)} bytes; what came is kept"):
        store.finish(DIGEST, len(DATA))
    assert store.partial_size(DIGEST) == 10


def test_wrong_bytes_are_dropped_and_named(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    store.append(DIGEST, 0, b"x" * len(DATA))
    with pytest.raises(CorruptFile, match=f"received as blob {DIGEST} have the digest .* nothing was kept"):
        store.finish(DIGEST, len(DATA))
    assert store.partial_size(DIGEST) == 0
    assert files(store) == []


def test_an_overlap_with_other_bytes_starts_again(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    store.append(DIGEST, 0, b"x" * 100)
    with pytest.raises(UploadConflict, match="two uploads of blob .* differ after byte 50; neither was kept"):
        store.append(DIGEST, 50, DATA[50:200])
    assert store.partial_size(DIGEST) == 0


def test_a_blob_on_disk_that_rots_is_noticed(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    store.put(DATA)
    store.path(DIGEST).write_bytes(DATA[:-1] + b"!")
    with pytest.raises(CorruptFile, match="no longer has the digest it is named by"):
        store.read(DIGEST)


def test_an_absent_blob_gets_a_sentence(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    for call in (store.read, store.size, lambda digest: list(store.chunks(digest, 0, 10))):
        with pytest.raises(MissingBlob, match="is not in this forge; upload it first"):
            call(DIGEST)


@pytest.mark.parametrize("digest", ["", "abc", "../../etc/passwd", "A" * 64, "g" * 64, DIGEST + "\n"])
def test_a_digest_can_never_be_a_path(tmp_path: Path, digest: str) -> None:
    store = BlobStore(tmp_path)
    with pytest.raises(InvalidInput, match="is not a blob digest; give the SHA-256"):
        store.has(digest)
    with pytest.raises(InvalidInput, match="is not a blob digest"):
        store.append(digest, 0, b"x")
    with pytest.raises(InvalidInput, match="is not a blob digest"):
        store.partial_size(digest)


def test_the_empty_blob_can_be_uploaded(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    digest = sha256_bytes(b"")
    store.append(digest, 0, b"")
    store.finish(digest, 0)
    assert store.read(digest) == b""


def test_concurrent_uploads_of_one_blob_help_each_other(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)

    def upload(size: int) -> None:
        offset = store.partial_size(DIGEST)
        while offset < len(DATA):
            store.append(DIGEST, offset, DATA[offset : offset + size])
            offset += size
        store.finish(DIGEST, len(DATA))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(upload, [7, 64, 100, 999, 1000, 1024, 4096, 10240]))
    assert store.read(DIGEST) == DATA
    assert files(store) == [DIGEST]


@given(cuts=st.lists(st.integers(0, len(DATA)), max_size=6), overlap=st.integers(0, 300), start=st.integers(0, 200))
def test_any_cut_and_overlap_gives_the_same_blob(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], overlap: int, start: int
) -> None:
    store = BlobStore(tmp_path_factory.mktemp("blobs"))
    offsets = [0, *sorted(cuts), len(DATA)]
    for begin, end in pairwise(offsets):
        again = max(0, begin - overlap)
        assert store.append(DIGEST, again, DATA[again:end]) == end
    store.finish(DIGEST, len(DATA))
    assert b"".join(store.chunks(DIGEST, start, 333)) == DATA[start:]


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files and directories that were fsynced, as they are."""
    names: list[str] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        fsync(descriptor)
        names.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)

    monkeypatch.setattr(os, "fsync", record)
    return names


def test_a_kept_blob_is_durable(tmp_path: Path, synced: list[str]) -> None:
    """Every file is synced before it bears its name, and the directories, once each, after all bear theirs."""
    store = BlobStore(tmp_path / "blobs")
    contents = [DATA + bytes([number]) for number in range(9)]
    digests = [sha256_bytes(data) for data in contents]
    for digest, data in zip(digests, contents, strict=True):
        store.append(digest, 0, data, "A")
        store.finish(digest, len(data), "A")
    assert store.stage(DATA) == DIGEST
    assert synced == []
    assert not any(store.path(digest).exists() for digest in (*digests, DIGEST))
    renamed: list[list[str]] = []
    replace = Path.replace

    def watched(path: Path, target: Path) -> Path:
        renamed.append(list(synced))
        return replace(path, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "replace", watched)
        store.keep_together([*digests, DIGEST])
    files = {DIGEST, *(f"{digest}.{sha256_bytes(b'A')}" for digest in digests)}
    assert all(set(before) == files for before in renamed)
    assert len(renamed) == len(files)
    directories = {tmp_path.name, "blobs", *(digest[:2] for digest in (*digests, DIGEST))}
    assert sorted(synced[len(files) :]) == sorted(directories)
    assert all(BlobStore(tmp_path / "blobs").read(digest) for digest in (*digests, DIGEST))
    synced.clear()
    store.keep_together(digests)
    assert sorted(synced) == sorted({digest[:2] for digest in digests})


def test_a_name_is_durable_whatever_came_between_before(tmp_path: Path, synced: list[str]) -> None:
    """A file that bears its name already may do so since a try that failed, or an earlier process that was killed."""
    store = BlobStore(tmp_path / "blobs")
    store.stage(DATA)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(directory, "sync_directories", lambda _: (_ for _ in ()).throw(OSError("the disk is gone")))
        with pytest.raises(OSError, match="the disk is gone"):
            store.keep_together([DIGEST])
    assert store.path(DIGEST).is_file()
    for process in (store, BlobStore(tmp_path / "blobs")):
        synced.clear()
        process.keep_together([DIGEST])
        assert sorted(synced) == sorted({"blobs", DIGEST[:2], tmp_path.name})


def test_what_could_not_be_synced_is_sent_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a sync that failed the next one says nothing of what was lost, and what is read comes from memory."""
    store, other = BlobStore(tmp_path), DATA + b"other"
    store.append(DIGEST, 0, DATA, "A")
    store.finish(DIGEST, len(DATA), "A")
    kept = store.stage(other)
    fsync = os.fsync

    def fails(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink().name.startswith(DIGEST):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fails)
        with pytest.raises(OSError, match="Input/output error"):
            store.keep_together([DIGEST, kept])
    assert store.partial_size(DIGEST, "A") == 0
    assert not store.has(DIGEST)
    with pytest.raises(MissingBlob):
        store.keep_together([DIGEST])
    store.keep_together([kept])
    assert BlobStore(tmp_path).read(kept) == other


def test_bytes_that_are_put_while_they_are_kept_fail_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = BlobStore(tmp_path)
    store.append(DIGEST, 0, DATA, "A")
    store.finish(DIGEST, len(DATA), "A")
    sync_files = directory.sync_files
    put: list[str] = []

    def meanwhile(paths: list[Path]) -> dict[Path, OSError]:
        put.append(store.put(DATA))
        return sync_files(paths)

    monkeypatch.setattr(directory, "sync_files", meanwhile)
    store.keep_together([DIGEST])
    assert put == [DIGEST]
    assert store.holds(DIGEST, "A")
    assert list((tmp_path / "partial").iterdir()) == []


def test_bytes_that_are_put_are_durable(tmp_path: Path, synced: list[str]) -> None:
    store = BlobStore(tmp_path / "blobs")
    store.stage(DATA)
    store.put(DATA)
    assert synced == ["blobs", f"{DIGEST}.put", DIGEST[:2]]


def test_what_was_not_kept_is_verified_again_by_the_next_process(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    for holder in (None, "A"):
        store.append(DIGEST, 0, DATA, holder)
        store.finish(DIGEST, len(DATA), holder)
        assert store.holds(DIGEST, holder)
    assert not store.holds(DIGEST, "B")
    assert bytes(store.mapped(DIGEST)) == store.read(DIGEST) == DATA
    after = BlobStore(tmp_path)
    assert not after.has(DIGEST)
    assert after.partial_size(DIGEST) == after.partial_size(DIGEST, "A") == len(DATA)
    with pytest.raises(MissingBlob):
        after.keep_together([DIGEST])
    after.append(DIGEST, len(DATA), b"", "A")
    after.finish(DIGEST, len(DATA), "A")
    after.keep_together([DIGEST])
    assert after.holds(DIGEST, "A")
    assert not after.holds(DIGEST, "B")
    assert BlobStore(tmp_path).read(DIGEST) == DATA


def test_what_several_brought_is_kept_once_and_held_by_each(tmp_path: Path) -> None:
    store = BlobStore(tmp_path)
    for holder in ("A", "B"):
        store.append(DIGEST, 0, DATA, holder)
        store.finish(DIGEST, len(DATA), holder)
    store.keep_together([DIGEST])
    assert list((tmp_path / "partial").iterdir()) == []
    assert store.holds(DIGEST, "A")
    assert store.holds(DIGEST, "B")
    assert not store.holds(DIGEST, "C")


def test_memory_does_not_grow_with_the_blob(tmp_path: Path) -> None:
    store, piece, count = BlobStore(tmp_path), bytes(range(256)) * 256, 512
    whole = hashlib.sha256()
    for _ in range(count):
        whole.update(piece)
    digest, size = whole.hexdigest(), count * len(piece)
    tracemalloc.start()
    try:
        for number in range(count):
            store.append(digest, number * len(piece), piece)
        store.finish(digest, size)
        assert sum(len(part) for part in store.chunks(digest, 0, 1 << 16)) == size == 32 << 20
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20
