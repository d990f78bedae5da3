"""Files of forge items in a cache that several processes of one user share."""

import os
from pathlib import Path

import pytest

from medforge.client.review.item_files import ItemFiles
from medforge.files import sha256_bytes

DATA = b"a file of a forge item"


class Blobs:
    """Answer as a forge does that has one blob."""

    def blob(self, digest: str) -> bytes:
        assert digest == sha256_bytes(DATA)
        return DATA


def fetch(files: ItemFiles) -> bytes:
    return files._file(Blobs(), sha256_bytes(DATA))  # type: ignore[arg-type]


def test_what_another_process_deletes_meanwhile_is_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = ItemFiles(tmp_path / "files")
    assert fetch(files) == DATA
    whole = Path.read_bytes

    def late(self: Path) -> bytes:
        ItemFiles(tmp_path / "files").keep_only([])
        return whole(self)

    monkeypatch.setattr(Path, "read_bytes", late)
    assert fetch(files) == DATA


def test_what_another_process_writes_is_left_to_it_and_what_a_dead_one_left_goes(tmp_path: Path) -> None:
    writing, left = tmp_path / ".digest.1.tmp", tmp_path / ".digest.2.tmp"
    for path in (writing, left):
        path.write_bytes(DATA)
    os.utime(left, (0, 0))
    (tmp_path / sha256_bytes(DATA)).write_bytes(DATA)
    ItemFiles(tmp_path).keep_only([])
    assert list(tmp_path.iterdir()) == [writing]
