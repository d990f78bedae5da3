"""Files cut into chunks: joined they are the file, and none is larger than anybody takes."""

import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medforge.files import sha256_bytes
from medforge.proto.errors import ForgeFault
from medforge.proto.upload_chunks import Part, cut


@settings(deadline=None, max_examples=50)
@given(
    size=st.integers(0, 5000), skipped=st.integers(0, 5000), first=st.integers(1, 700), most=st.integers(1, 3000),
    together=st.booleans(),
)  # fmt: skip
def test_chunks_are_the_rest_of_the_file_in_order(
    tmp_path_factory: pytest.TempPathFactory, size: int, skipped: int, first: int, most: int, together: bool
) -> None:
    data = bytes(place % 251 for place in range(size))
    path = tmp_path_factory.mktemp("file") / "file"
    path.write_bytes(data)
    part, first = Part(sha256_bytes(data), path, min(skipped, size)), min(first, most)
    chunks = list(cut(part, first, most, together))
    assert b"".join(chunk.data for chunk in chunks) == data[part.offset :]
    assert chunks[0].offset == part.offset
    assert all(one.offset + len(one.data) == other.offset for one, other in pairwise(chunks))
    assert all(len(chunk.data) <= most for chunk in chunks)
    assert all(chunk.data for chunk in chunks[1:])
    assert {(chunk.digest, chunk.total, chunk.together) for chunk in chunks} == {(part.digest, size, together)}


def test_on_a_quick_line_chunks_grow_and_on_a_slow_one_they_stay(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(10_000))
    assert [len(chunk.data) for chunk in cut(Part("a", path, 0), 1000, 4000)] == [1000, 2000, 4000, 3000]
    assert [len(chunk.data) for chunk in cut(Part("a", path, 0), 1000, 1000)] == [1000] * 10
    lengths = []
    for chunk in cut(Part("a", path, 0), 1000, 4000):
        lengths.append(len(chunk.data))
        if len(lengths) == 2:
            time.sleep(0.15)
    assert lengths == [1000, 2000, 1000, 2000, 4000]


def test_a_forge_that_has_more_than_the_file_is_at_fault(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    assert Part("a", path, 3).check("there") == 3
    with pytest.raises(ForgeFault, match="the forge at there says that it has 4 of 3 bytes"):
        Part("a", path, 4).check("there")
