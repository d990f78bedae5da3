"""What people have instead of an image says what it is."""

from pathlib import Path

import pytest

from medforge.client.data.pixels.reading import check_header
from medforge.errors import InvalidInput


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"NRRD0005\ntype: short\n", "is a NRRD volume and no image; save it as NIfTI"),
        (b"ObjectType = Image\nNDims = 3\n", "is a MetaImage volume and no image; save it as NIfTI"),
        (b"\x93NUMPY\x01\0", "is an array of NumPy and no image"),
        (b"\0\0\0\x20ftypisom", "is a video and no image; save its frames"),
        (b"RIFF\0\0\0\0AVI LIST", "is a video and no image"),
        (b"ZISRAWFILE\0", "is a Zeiss CZI slide and no image"),
    ],
)
def test_what_hospitals_have_instead_of_an_image_is_named(tmp_path: Path, head: bytes, what: str) -> None:
    (tmp_path / "scan.png").write_bytes(head + bytes(600))
    with pytest.raises(InvalidInput, match=what):
        check_header(tmp_path / "scan.png")
