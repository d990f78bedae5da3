"""What comes is digested on the way; whatever is done to its file meanwhile, it is what its name says, or refused."""

import mmap
import os
from collections.abc import Callable
from hashlib import file_digest
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medforge.aggregator.blobs import incoming, store
from medforge.aggregator.blobs.store import BlobStore
from medforge.errors import CorruptFile
from medforge.files import sha256_bytes
from medforge.proto.errors import MissingBlob, UploadConflict

DATA = bytes(range(256)) * 400
DIGEST = sha256_bytes(DATA)
WRONG = bytes([DATA[0] ^ 1]) + DATA[1:]


@pytest.fixture
def read_again(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were read to be digested."""
    names: list[str] = []

    def noted(file: Any, algorithm: str) -> Any:
        names.append(Path(file.name).name)
        return file_digest(file, algorithm)

    for module in (incoming, store):
        monkeypatch.setattr(module, "file_digest", noted)
    return names


def written(path: Path) -> None:
    path.write_bytes(WRONG)


def written_as_if_never(path: Path) -> None:
    before = path.stat()
    path.write_bytes(WRONG)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def written_in_memory(path: Path) -> None:
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[0] = WRONG[0]


def replaced(path: Path) -> None:
    other = path.with_suffix(".other")
    other.write_bytes(WRONG)
    other.replace(path)


def cut(path: Path) -> None:
    path.write_bytes(DATA[:-1])


alterations = pytest.mark.parametrize("alter", [written, written_as_if_never, written_in_memory, replaced, cut])
Alter = Callable[[Path], None]


def bring(blobs: BlobStore, holder: str | None = None, chunk: int = 10_000) -> Path:
    for offset in range(0, len(DATA), chunk):
        blobs.append(DIGEST, offset, DATA[offset : offset + chunk], holder)
    blobs.finish(DIGEST, len(DATA), holder)
    return blobs.located(DIGEST)


def test_what_came_is_not_read_again(tmp_path: Path, read_again: list[str]) -> None:
    blobs = BlobStore(tmp_path)
    bring(blobs)
    blobs.check(DIGEST)
    assert bytes(blobs.mapped(DIGEST)) == DATA
    blobs.keep_together([DIGEST])
    assert read_again == []
    # where it is kept it may have lain for years
    assert bytes(blobs.mapped(DIGEST)) == DATA
    assert read_again == [DIGEST]


@alterations
@pytest.mark.parametrize(
    "look", [BlobStore.check, BlobStore.mapped, BlobStore.read, lambda one, digest: one.keep_together([digest])]
)
def test_what_is_altered_before_it_is_kept_is_refused_and_can_be_sent_again(
    tmp_path: Path, alter: Alter, look: Callable[[BlobStore, str], object]
) -> None:
    blobs = BlobStore(tmp_path)
    alter(bring(blobs))
    with pytest.raises(CorruptFile, match="was altered on the forge's disk before it was kept; upload it again"):
        look(blobs, DIGEST)
    assert not blobs.has(DIGEST)
    assert blobs.partial_size(DIGEST) == 0
    bring(blobs)
    blobs.keep_together([DIGEST])
    assert BlobStore(tmp_path).read(DIGEST) == DATA


@alterations
def test_what_is_altered_while_it_comes_is_refused(tmp_path: Path, alter: Alter) -> None:
    blobs = BlobStore(tmp_path)
    blobs.append(DIGEST, 0, DATA)
    alter(tmp_path / "partial" / DIGEST)
    with pytest.raises((CorruptFile, UploadConflict)):
        blobs.finish(DIGEST, len(DATA))
    assert not blobs.has(DIGEST)


def test_a_file_of_the_same_bytes_is_as_good(tmp_path: Path, read_again: list[str]) -> None:
    blobs = BlobStore(tmp_path)
    path = bring(blobs)
    path.write_bytes(DATA)
    assert bytes(blobs.mapped(DIGEST)) == DATA
    assert read_again == [DIGEST]
    # who asks whether it is here lets it count as just brought
    assert blobs.touch(DIGEST)
    blobs.keep_together([DIGEST])
    assert BlobStore(tmp_path).read(DIGEST) == DATA


@pytest.mark.parametrize("whole", [True, False])
def test_the_next_process_reads_what_came_to_the_one_before(tmp_path: Path, read_again: list[str], whole: bool) -> None:
    end = len(DATA) if whole else 1000
    BlobStore(tmp_path).append(DIGEST, 0, DATA[:end])
    after = BlobStore(tmp_path)
    after.append(DIGEST, end, DATA[end:])
    after.finish(DIGEST, len(DATA))
    assert read_again == [DIGEST]
    assert bytes(after.mapped(DIGEST)) == DATA
    assert read_again == [DIGEST]


@alterations
def test_the_next_process_refuses_what_was_altered_between(tmp_path: Path, alter: Alter) -> None:
    alter(bring(BlobStore(tmp_path)))
    after = BlobStore(tmp_path)
    assert not after.has(DIGEST)
    with pytest.raises(MissingBlob):
        after.keep_together([DIGEST])
    with pytest.raises((CorruptFile, UploadConflict)):
        after.finish(DIGEST, len(DATA))
    assert not after.has(DIGEST)


@given(cuts=st.lists(st.integers(0, len(DATA)), max_size=6), touched=st.sets(st.integers(0, 6)))
def test_a_digest_that_was_lost_on_the_way_is_taken_from_the_file(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], touched: set[int]
) -> None:
    blobs = BlobStore(tmp_path_factory.mktemp("blobs"))
    places = [0, *sorted(cuts), len(DATA)]
    for number, (begin, end) in enumerate(pairwise(places)):
        assert blobs.append(DIGEST, begin, DATA[begin:end]) == end
        if number in touched:
            os.utime(blobs.directory / "partial" / DIGEST)
    blobs.finish(DIGEST, len(DATA))
    assert bytes(blobs.mapped(DIGEST)) == DATA
