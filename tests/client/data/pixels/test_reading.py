"""Reading files: upright, bounded before decoding, and whatever is no picture says what it is."""

import io
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features

from medforge.client.data.pixels.decode import read_image, to_pixels
from medforge.client.data.pixels.reading import Reading, check_header, picture_in_memory, read_picture
from medforge.client.data.pixels.window import Window
from medforge.errors import CorruptFile, InvalidInput
from tests.client.data.pixels.written import RGB, jpeg_header, png, tiff

ROWS, COLUMNS = np.mgrid[0:24, 0:40]
PICTURE = np.dstack([ROWS * 10, COLUMNS * 6, np.full_like(ROWS, 90)]).astype(np.uint8)
ORIENTATION = 0x0112

# EXIF 2.32, 4.6.4.A: what row 0 and column 0 of the stored picture are; here what makes it upright
UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: stored.swapaxes(0, 1)[:, ::-1],
    7: lambda stored: stored.swapaxes(0, 1)[::-1, ::-1],
    8: lambda stored: stored.swapaxes(0, 1)[::-1],
}


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    return tags.tobytes()


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "PNG behind the pixels", "TIFF", "16-bit TIFF", "WEBP", "AVIF"])
def test_a_picture_stands_upright(tmp_path: Path, kind: str, orientation: int) -> None:
    image, tags, lost = Image.fromarray(PICTURE), exif(orientation), 1
    if kind == "PNG behind the pixels":
        data = png(PICTURE, RGB, after=[(b"eXIf", tags.removeprefix(b"Exif\0\0"))])
    elif kind == "TIFF":
        data = tiff(PICTURE.tobytes(), (40, 24), [8] * 3, 2, orientation=orientation)
    elif kind == "16-bit TIFF":
        data = tiff((PICTURE.astype("<u2") * 257).tobytes(), (40, 24), [16] * 3, 2, orientation=orientation)
    elif kind == "AVIF":
        if not features.check("avif"):
            pytest.skip("this Pillow reads no AVIF")
        data, lost = encoded(image, "AVIF", exif=tags, quality=100, subsampling="4:4:4"), 4
    elif kind == "JPEG":
        data, lost = encoded(image, "JPEG", exif=tags, quality=100, subsampling=0), 4
    else:
        data = encoded(image, kind, exif=tags, **({"lossless": True} if kind == "WEBP" else {}))
    (tmp_path / "scan").write_bytes(data)
    found = np.asarray(read_picture(tmp_path / "scan", Reading("full"))).astype(int)
    expected = UPRIGHT[orientation](PICTURE)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= lost
    if "16-bit" not in kind:  # Pillow has made 8 bits of it
        np.testing.assert_array_equal(np.asarray(picture_in_memory(Image.open(tmp_path / "scan"))), found)


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_an_orientation_that_is_none_changes_nothing(tmp_path: Path, orientation: int) -> None:
    Image.fromarray(PICTURE).save(tmp_path / "scan.png", exif=exif(orientation))
    np.testing.assert_array_equal(np.asarray(read_picture(tmp_path / "scan.png")), PICTURE)
    Image.fromarray(PICTURE).save(tmp_path / "scan.png", exif=b"Exif\0\0broken")
    np.testing.assert_array_equal(np.asarray(read_picture(tmp_path / "scan.png")), PICTURE)


@pytest.mark.parametrize("shape", [(1, 20000), (20000, 1), (3, 30000), (30000, 7), (7, 64), (50, 401)])
@pytest.mark.parametrize("size", [16, 33])
def test_the_middle_of_a_strip_is_what_a_whole_resize_would_leave(shape: tuple[int, int], size: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    height, width = shape
    target = (int(size * width / height), size) if height <= width else (size, int(size * height / width))
    whole = Image.fromarray(pixels).resize(target, Image.Resampling.BICUBIC)
    left, top = (round((side - size) / 2) for side in target)
    expected = np.asarray(whole.crop((left, top, left + size, top + size))).transpose(2, 0, 1)
    assert np.abs(to_pixels(Image.fromarray(pixels), size).astype(int) - expected).max() <= 1


@pytest.mark.parametrize("size", [(20000, 1), (1, 20000)])
def test_a_long_strip_takes_little_time_and_memory(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size, (9, 90, 200)).save(tmp_path / "strip.png")
    code = f"""
import resource, time
from pathlib import Path
from medforge.client.data.pixels.decode import read_image
before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
pixels = read_image(Path({str(tmp_path / "strip.png")!r}), 224)
print(time.monotonic() - start, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
assert pixels.reshape(3, -1).min(axis=1).tolist() == pixels.reshape(3, -1).max(axis=1).tolist() == [9, 90, 200]
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    seconds, mebibytes = map(float, said)
    assert seconds < 1
    assert mebibytes < 100


def hollow_png(width: int, height: int) -> bytes:
    """A PNG whose header promises pixels that are not there."""
    whole = png(np.zeros((1, 1, 3), np.uint8), RGB)
    header = b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    return whole[:12] + header + zlib.crc32(header).to_bytes(4, "big") + whole[33:]


@pytest.mark.parametrize(("width", "height"), [(13500, 13500), (2_000_000, 91), (65535, 65535), (2**31 - 1, 2**31 - 1)])
def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path: Path, width: int, height: int) -> None:
    (tmp_path / "huge.png").write_bytes(hollow_png(width, height))
    words = (
        f"huge.png has {width} × {height} pixels, more than 180 million; make it smaller, or allow so many with megap"
    )
    for opener in (check_header, read_picture):
        start = time.monotonic()
        with pytest.raises(InvalidInput, match=words) as raised:
            opener(tmp_path / "huge.png")
        assert not isinstance(raised.value, CorruptFile)
        assert time.monotonic() - start < 0.5


def test_the_most_pixels_can_be_raised_and_lowered(tmp_path: Path) -> None:
    (tmp_path / "huge.png").write_bytes(hollow_png(13500, 13500))
    with pytest.raises(InvalidInput, match="allow so many with megapixels=183"):
        check_header(tmp_path / "huge.png", Reading(megapixels=182))
    check_header(tmp_path / "huge.png", Reading(megapixels=183))
    Image.new("L", (1001, 1000)).save(tmp_path / "scan.png")
    with pytest.raises(InvalidInput, match="has 1001 × 1000 pixels, more than 1 million; make it smaller"):
        check_header(tmp_path / "scan.png", Reading(megapixels=1))


def test_a_picture_beyond_pillow_s_own_bound_is_read_where_it_is_allowed(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from PIL import Image
from medforge.client.data.pixels.reading import Reading, read_picture
Image.new("1", (13500, 13500), 1).save({str(tmp_path / "huge.tif")!r})
picture = read_picture(Path({str(tmp_path / "huge.tif")!r}), Reading(megapixels=183))
assert picture.size == (13500, 13500) and picture.getpixel((9, 9)) == (255, 255, 255)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


FRAMES = [Image.fromarray(np.full((16, 16, 3), value, np.uint8)) for value in (10, 120, 240)]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_several_pictures_in_one_file_are_refused(tmp_path: Path, kind: str) -> None:
    if not features.check("avif") and kind == "AVIF":
        pytest.skip("this Pillow reads no AVIF")
    (tmp_path / "stack").write_bytes(encoded(FRAMES[0], kind, save_all=True, append_images=FRAMES[1:]))
    for opener in (check_header, read_picture):
        with pytest.raises(InvalidInput, match="stack holds 3 pictures; save each as a file of its own"):
            opener(tmp_path / "stack")


def test_the_previews_of_a_jpeg_are_no_other_pictures(tmp_path: Path) -> None:
    (tmp_path / "scan.jpg").write_bytes(encoded(FRAMES[2], "MPO", save_all=True, append_images=FRAMES[:1]))
    assert np.asarray(read_picture(tmp_path / "scan.jpg")).mean() > 230


@pytest.mark.parametrize("bits", [12, 16])
def test_a_jpeg_of_more_than_eight_bits_says_what_it_is(tmp_path: Path, bits: int) -> None:
    (tmp_path / "scan.jpg").write_bytes(jpeg_header(bits))
    for opener in (check_header, read_picture):
        with pytest.raises(
            InvalidInput, match=f"scan.jpg is a JPEG of {bits} bits a channel, which Pillow does not read; save"
        ) as raised:
            opener(tmp_path / "scan.jpg")
        assert not isinstance(raised.value, CorruptFile)


def test_a_sound_file_of_a_kind_that_is_not_read_is_not_called_corrupt(tmp_path: Path) -> None:
    strange = {
        "unknown compression 65000": tiff(PICTURE.tobytes(), (40, 24), [8] * 3, 2).replace(
            b"\x03\x01\x03\0\x01\0\0\0\x01\0", b"\x03\x01\x03\0\x01\0\0\0" + (65000).to_bytes(2, "little")
        ),
        "unknown pixel mode": tiff(PICTURE.tobytes() * 4, (40, 24), [32] * 3, 2, sample_format=3),
    }
    for reason, data in strange.items():
        (tmp_path / "scan.tif").write_bytes(data)
        with pytest.raises(
            InvalidInput, match=f"of a kind that Pillow does not read here .{reason}.; save it"
        ) as raised:
            check_header(tmp_path / "scan.tif")
        assert not isinstance(raised.value, CorruptFile)


def test_a_picture_in_memory_is_bounded_too(tmp_path: Path) -> None:
    Image.new("L", (1001, 1000)).save(tmp_path / "scan.png")
    with pytest.raises(InvalidInput, match="a picture has 1001 × 1000 pixels, more than 1 million"):
        picture_in_memory(Image.open(tmp_path / "scan.png"), Reading(megapixels=1))


@pytest.mark.parametrize("bits", [8, 16])
def test_jpeg_ls_says_what_it_is(tmp_path: Path, bits: int) -> None:
    (tmp_path / "scan.jpg").write_bytes(jpeg_header(bits, marker=0xF7))
    with pytest.raises(
        InvalidInput, match=f"scan.jpg is a JPEG-LS of {bits} bits a channel, which Pillow does not read"
    ):
        read_picture(tmp_path / "scan.jpg")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty (0 bytes); replace or remove it"),
        (b"\x89P", "is not a readable image; replace or remove it"),
        (b"hello", "is not a readable image; replace or remove it"),
        (bytes(128) + b"DICM" + bytes(99), "is a DICOM file and no image; open its folder as dicom:DIR"),
        (b"%PDF-1.7\n", "is a PDF document and no image; save its pictures as PNG"),
        (b"<!DOCTYPE html>", "is a text in HTML or XML and no image; fetch the image itself"),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "is a pointer of Git LFS and no image; fetch the image itself",
        ),
        (b"\0\0\0\x18ftypheic" + bytes(30), "is a HEIC picture and no image; save it as PNG or JPEG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is a PostScript document and no image; save"),
        (b"\x89PNG\r\n\x1a\n", "is not a readable image (.*); replace or remove it"),
    ],
)
def test_what_is_no_image_is_told(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "scan.png").write_bytes(data)
    pattern = words if "(.*)" in words else words.replace("(", r"\(").replace(")", r"\)")
    for opener in (check_header, read_picture):
        with pytest.raises(InvalidInput, match=f"scan.png {pattern}"):
            opener(tmp_path / "scan.png")


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"cannot be read \(Is a directory\); check the path and its permissions"):
        read_picture(tmp_path)
    with pytest.raises(InvalidInput, match=r"cannot be read \(No such file or directory\)"):
        check_header(tmp_path / "gone.png")


def broken_formats() -> dict[str, bytes]:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8))
    found = {kind: encoded(image, kind) for kind in ("JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP", "JPEG2000", "PPM")}
    found["JPEG progressive"] = encoded(image, "JPEG", progressive=True, exif=exif(6))
    found["TIFF LZW"] = encoded(image, "TIFF", compression="tiff_lzw")
    found["TIFF JPEG"] = encoded(image, "TIFF", compression="jpeg")
    found["PNG 16"] = png(np.random.default_rng(0).integers(0, 65536, (24, 24, 3)), RGB, 16)
    if features.check("avif"):
        found["AVIF"] = encoded(image, "AVIF")
    return found


BROKEN = broken_formats()


@pytest.mark.parametrize("kind", sorted(BROKEN))
def test_a_truncated_file_is_told_or_lacks_nothing(tmp_path: Path, kind: str) -> None:
    path, data = tmp_path / "scan", BROKEN[kind]
    path.write_bytes(data)
    whole = read_image(path, 24, reading=Reading("full"))
    told = 0
    for length in {0, 1, 2, 8, 20, *range(len(data) // 9, len(data), len(data) // 9)}:
        path.write_bytes(data[:length])
        try:
            np.testing.assert_array_equal(read_image(path, 24, reading=Reading("full")), whole)
        except InvalidInput:
            told += 1
    assert told >= 12


@pytest.mark.parametrize("kind", sorted(BROKEN))
@settings(max_examples=40, deadline=2000)
@given(st.data())
def test_flipped_bits_are_a_picture_or_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject
) -> None:
    changed = bytearray(BROKEN[kind])
    for place in data.draw(st.lists(st.integers(0, len(changed) * 8 - 1), min_size=1, max_size=6)):
        changed[place // 8] ^= 1 << place % 8
    path = tmp_path_factory.getbasetemp() / "flipped"
    path.write_bytes(changed)
    try:
        pixels = read_image(path, 8, reading=Reading(Window(128, 256), megapixels=4))
    except InvalidInput:
        return
    assert pixels.shape == (3, 8, 8)
