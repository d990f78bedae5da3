import os
from pathlib import Path

from medforge.aggregator.blobs.cache import BlobCache
from medforge.files import sha256_bytes


def add(cache: BlobCache, data: bytes, used: float) -> str:
    coming, digest = cache.coming(), sha256_bytes(data)
    coming.write_bytes(data)
    os.utime(cache.take(digest, coming), (used, used))
    return digest


def test_the_oldest_make_room_but_for_those_in_use(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path / "cache", 100)
    old, older, newer = (
        add(cache, bytes([number]) * 40, used) for number, used in ((1, 2000.0), (2, 1000.0), (3, 0.0))
    )
    assert cache.find(older) is None
    assert cache.find(old)
    assert cache.find(newer)
    # both were used just now
    add(cache, b"x" * 90, 0.0)
    assert cache.find(old)
    assert cache.find(newer)


def test_a_copy_that_a_power_cut_damaged_is_no_copy(tmp_path: Path) -> None:
    digest = add(BlobCache(tmp_path, 100), b"sound", 1000.0)
    (tmp_path / digest).write_bytes(b"spoil")
    assert BlobCache(tmp_path, 100).find(digest) is None
    assert list(tmp_path.iterdir()) == []


def test_copies_are_the_owners_alone(tmp_path: Path) -> None:
    cache = BlobCache(tmp_path / "cache", 100)
    cache.coming()
    assert (tmp_path / "cache").stat().st_mode & 0o077 == 0
