"""A TIFF that its decoder would complain of on the terminal is told by its header."""

import struct
from pathlib import Path

import numpy as np
import pytest

from medforge.client.data.pixels.reading import check_header, read_picture
from medforge.errors import CorruptFile, InvalidInput
from tests.client.data.pixels.written import tiff


def test_a_compressed_tiff_that_ends_early_is_told_by_its_header(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    whole = tiff(noise.tobytes(), (64, 64), [8] * 3, 2, compressed=True)
    (tmp_path / "whole.tif").write_bytes(whole)
    assert read_picture(tmp_path / "whole.tif").size == (64, 64)
    length = struct.pack("<HHI", 279, 4, 1)
    place = whole.index(length) + len(length)
    longer = struct.pack("<I", len(whole) - 8 + 100)
    (tmp_path / "scan.tif").write_bytes(whole[:place] + longer + whole[place + 4 :])
    for opener in (check_header, read_picture):
        with pytest.raises(CorruptFile, match="scan.tif lacks its last 100 bytes; fetch it again"):
            opener(tmp_path / "scan.tif")
    # libtiff would speak of it on the terminal
    assert capfd.readouterr() == ("", "")


def test_a_compression_that_libtiff_lacks_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    webp = tiff(bytes(40 * 24 * 3), (40, 24), [8] * 3, 2).replace(
        b"\x03\x01\x03\0\x01\0\0\0\x01\0", b"\x03\x01\x03\0\x01\0\0\0" + (50001).to_bytes(2, "little")
    )
    (tmp_path / "scan.tif").write_bytes(webp)
    with pytest.raises(InvalidInput, match="scan.tif is a TIFF compressed as webp, which Pillow does not read here; "):
        read_picture(tmp_path / "scan.tif")
    assert capfd.readouterr() == ("", "")


def test_planes_that_are_no_colours_are_of_a_kind_that_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "scan.tif").write_bytes(tiff(bytes(40 * 24 * 2), (40, 24), [8] * 2, 1, planar=2))
    with pytest.raises(InvalidInput, match="of a kind that Pillow does not read here .unknown pixel mode.; save"):
        check_header(tmp_path / "scan.tif")
