"""Pictures of more than 8 bits: their own values under a window, or a refusal that names the option."""

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from medforge.client.data.pixels.jpeg2000 import components
from medforge.client.data.pixels.reading import Reading, check_header, read_picture
from medforge.client.data.pixels.window import parse_window
from medforge.errors import InvalidInput
from tests.client.data.pixels.test_colour import check, on_black
from tests.client.data.pixels.written import GREY, GREY_ALPHA, RGB, RGB_ALPHA, png, tiff, twelve_bits

RANDOM = np.random.default_rng(3)
TWELVE = RANDOM.integers(0, 4096, (11, 13, 3)).astype(np.uint16)
SIXTEEN = RANDOM.integers(0, 65536, (11, 13, 3)).astype(np.uint16)
OPAQUE = RANDOM.integers(0, 65536, (11, 13)).astype(np.uint16)
SIGNED = RANDOM.integers(-1000, 3000, (11, 13)).astype(np.int16)
FLOATS = RANDOM.normal(0, 500, (11, 13)).astype(np.float32)

Values = NDArray[np.generic]


def windowed(values: Values, low: float, high: float) -> NDArray[np.float64]:
    return np.clip((values.astype(np.float64) - low) / (high - low), 0, 1) * 255


def read(path: Path, window: str | None) -> NDArray[np.uint8]:
    return np.asarray(read_picture(path, Reading(None if window is None else parse_window(window))))


def check_deep(
    path: Path, data: bytes, values: Values, span: tuple[float, float] | None, inverted: bool = False
) -> None:
    """Check every window of a file, and that it needs one."""
    path.write_bytes(data)
    for opener in (check_header, read_picture):
        with pytest.raises(InvalidInput, match=f"{path.name} has more than 8 bits a channel; give window=CENTRE,WIDTH"):
            opener(path)
    low, high = np.percentile(values[np.isfinite(values)], [0.5, 99.5])
    for window, (black, white) in {"500,2000": (-500, 1500), "auto": (low, high)}.items():
        expected = windowed(values, black, white)
        check(read(path, window), 255 - expected if inverted else expected)
    if span is None:
        with pytest.raises(
            InvalidInput, match=f"{path.name} holds values of a kind that has no full range; give window"
        ):
            read(path, "full")
    else:
        expected = windowed(values, *span)
        check(read(path, "full"), 255 - expected if inverted else expected)


def refuse(path: Path, data: bytes, words: str) -> None:
    path.write_bytes(data)
    with pytest.raises(InvalidInput, match=rf"{path.name} .*{words}.*; "):
        read(path, "2048,4096")


@pytest.mark.parametrize("values", [TWELVE, SIXTEEN], ids=["12 of 16 bits", "16 bits"])
def test_png(tmp_path: Path, values: Values) -> None:
    check_deep(tmp_path / "grey.png", png(values[..., 0], GREY, 16), values[..., 0], (0, 65535))
    check_deep(tmp_path / "colour.png", png(values, RGB, 16), values, (0, 65535))


def test_png_with_alpha(tmp_path: Path) -> None:
    (tmp_path / "grey.png").write_bytes(png(np.dstack([TWELVE[..., 0], OPAQUE]), GREY_ALPHA, 16))
    check(read(tmp_path / "grey.png", "2048,4096"), on_black(windowed(TWELVE[..., 0], 0, 4096), OPAQUE, 65535))
    (tmp_path / "colour.png").write_bytes(png(np.dstack([TWELVE, OPAQUE]), RGB_ALPHA, 16))
    check(read(tmp_path / "colour.png", "2048,4096"), on_black(windowed(TWELVE, 0, 4096), OPAQUE, 65535))


def test_png_with_a_transparent_value(tmp_path: Path) -> None:
    key = TWELVE[5, 5]
    grey = png(TWELVE[..., 0], GREY, 16, [(b"tRNS", int(key[0]).to_bytes(2, "big"))])
    (tmp_path / "grey.png").write_bytes(grey)
    expected = np.where(TWELVE[..., 0] == key[0], 0, windowed(TWELVE[..., 0], 0, 4096))
    check(read(tmp_path / "grey.png", "2048,4096"), expected)
    (tmp_path / "colour.png").write_bytes(png(TWELVE, RGB, 16, [(b"tRNS", key.astype(">u2").tobytes())]))
    expected = np.where((key == TWELVE).all(axis=2)[..., None], 0, windowed(TWELVE, 0, 4096))
    check(read(tmp_path / "colour.png", "2048,4096"), expected)


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "deflate"])
@pytest.mark.parametrize("order", "<>")
class TestTiff:
    def written(self, values: Values, order: str, compressed: bool, photometric: int = 1, **more: object) -> bytes:
        bits = [values.dtype.itemsize * 8] * (values.shape[2] if values.ndim == 3 else 1)
        data = values.astype(values.dtype.newbyteorder(order)).tobytes()  # type: ignore[arg-type]
        return tiff(data, (13, 11), bits, photometric, order=order, compressed=compressed, **more)  # type: ignore[arg-type]

    def test_grey(self, tmp_path: Path, order: str, compressed: bool) -> None:
        grey = SIXTEEN[..., 0]
        check_deep(tmp_path / "a.tif", self.written(grey, order, compressed), grey, (0, 65535))
        inverted = self.written(grey, order, compressed, 0)
        if order == "<":
            check_deep(tmp_path / "b.tif", inverted, grey, (0, 65535), inverted=True)
        else:
            refuse(tmp_path / "b.tif", inverted, "is an image of a kind that Pillow does not read here")
        floats = self.written(FLOATS, order, compressed, 0, sample_format=3)
        check_deep(tmp_path / "c.tif", floats, FLOATS, None, inverted=True)

    def test_signed(self, tmp_path: Path, order: str, compressed: bool) -> None:
        data = self.written(SIGNED, order, compressed, sample_format=2)
        check_deep(tmp_path / "a.tif", data, SIGNED, (-32768, 32767))
        wide = SIGNED.astype(np.int32) * 3
        check_deep(tmp_path / "b.tif", self.written(wide, order, compressed, sample_format=2), wide, None)
        small = (SIGNED // 100).astype(np.int8)
        check_deep(tmp_path / "c.tif", self.written(small, order, compressed, sample_format=2), small, (-128, 127))

    def test_thirty_two_bits(self, tmp_path: Path, order: str, compressed: bool) -> None:
        wide = SIXTEEN[..., 0].astype(np.uint32) * 65536
        wide[0] = 700
        if order == "<":
            check_deep(tmp_path / "a.tif", self.written(wide, order, compressed), wide, None)
        else:
            refuse(
                tmp_path / "a.tif",
                self.written(wide, order, compressed),
                "is an image of a kind that Pillow does not read here",
            )
        floats = FLOATS.copy()
        check_deep(tmp_path / "b.tif", self.written(floats, order, compressed, sample_format=3), floats, None)

    def test_colours(self, tmp_path: Path, order: str, compressed: bool) -> None:
        check_deep(tmp_path / "a.tif", self.written(TWELVE, order, compressed, 2), TWELVE, (0, 65535))
        four = np.dstack([TWELVE, OPAQUE])
        (tmp_path / "b.tif").write_bytes(self.written(four, order, compressed, 2, extra=[2]))
        check(read(tmp_path / "b.tif", "2048,4096"), on_black(windowed(TWELVE, 0, 4096), OPAQUE, 65535))
        check_deep(tmp_path / "c.tif", self.written(four, order, compressed, 2, extra=[0]), TWELVE, (0, 65535))

    def test_what_is_not_read_whole_is_refused(self, tmp_path: Path, order: str, compressed: bool) -> None:
        four = np.dstack([TWELVE, OPAQUE])
        refused = {
            "in planes of their own": self.written(TWELVE, order, compressed, 2, planar=2),
            "16 bits a channel in mode RGBA": self.written(four, order, compressed, 2, extra=[1]),
            "16 bits a channel in mode CMYK": self.written(four, order, compressed, 5),
            "is an image of a kind that Pillow does not read here .unknown pixel mode.": self.written(
                FLOATS.astype(np.float64), order, compressed, sample_format=3
            ),
        }
        for words, data in refused.items():
            refuse(tmp_path / "scan.tif", data, words)


def test_tiff_of_twelve_bits(tmp_path: Path) -> None:
    even = TWELVE[:, :12, 0]
    check_deep(tmp_path / "a.tif", tiff(twelve_bits(even), (12, 11), [12], 1), even, (0, 4095))
    check_deep(tmp_path / "b.tif", tiff(twelve_bits(even), (12, 11), [12], 1, compressed=True), even, (0, 4095))


def test_floats_that_are_no_numbers_are_black(tmp_path: Path) -> None:
    floats = FLOATS.copy()
    floats[:2] = np.nan
    floats[2] = np.inf
    (tmp_path / "scan.tif").write_bytes(tiff(floats.tobytes(), (13, 11), [32], 1, sample_format=3))
    pixels = read(tmp_path / "scan.tif", "0,1000")[..., 0]
    assert (pixels[:2] == 0).all()
    assert (pixels[2] == 255).all()
    check(np.stack([pixels[3:]] * 3, axis=2), windowed(floats[3:], -500, 500))


@pytest.mark.parametrize("most", [300, 4095, 65535])
def test_netpbm(tmp_path: Path, most: int) -> None:
    values = (SIXTEEN.astype(np.int64) % (most + 1)).astype(np.uint16)
    grey = f"P5 13 11 {most}\n".encode() + values[..., 0].astype(">u2").tobytes()
    check_deep(tmp_path / "scan.pgm", grey, values[..., 0], (0, most))
    colour = f"P6 13 11 {most}\n".encode() + values.astype(">u2").tobytes()
    check_deep(tmp_path / "scan.ppm", colour, values, (0, most))
    text = " ".join(map(str, values.ravel().tolist()))
    check_deep(tmp_path / "plain.ppm", f"P3 13 11 {most}\n# a comment\n{text}\n".encode(), values, (0, most))
    (tmp_path / "short.ppm").write_bytes(colour[:-1])
    with pytest.raises(InvalidInput, match="short.ppm cannot be decoded .*it ends after .*; replace or remove it"):
        read(tmp_path / "short.ppm", "full")


def test_a_map_of_floats(tmp_path: Path) -> None:
    # PFM keeps the lowest row first
    data = b"Pf\n13 11\n-1.0\n" + FLOATS[::-1].astype("<f4").tobytes()
    check_deep(tmp_path / "scan.pfm", data, FLOATS, None)


def test_jpeg_2000(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(SIXTEEN[..., 0]).save(buffer, "JPEG2000")
    assert components(buffer) == [(16, False)]
    check_deep(tmp_path / "scan.jp2", buffer.getvalue(), SIXTEEN[..., 0], (0, 65535))


@pytest.mark.parametrize("signed", [False, True])
def test_jpeg_2000_of_twelve_bits(tmp_path: Path, signed: bool) -> None:
    openjpeg = pytest.importorskip("openjpeg.utils", reason="writes the file; it comes with the extra dicom")
    deep = RANDOM.integers(0, 4096, (40, 50, 3)).astype(np.uint16)  # smaller ones have no six resolutions to encode
    grey = deep[..., 0].copy()
    values = grey.astype(np.int16) - 2048 if signed else grey
    data = openjpeg.encode_array(values, bits_stored=12, codec_format=1)
    check_deep(tmp_path / "scan.jp2", bytes(data), values, (-2048, 2047) if signed else (0, 4095))
    colour = openjpeg.encode_array(deep, bits_stored=12, photometric_interpretation=1, codec_format=1)
    refuse(tmp_path / "colour.jp2", bytes(colour), "JPEG 2000 of 3 channels and 12 bits")


def test_eight_bits_are_taken_as_they_are_whatever_the_window(tmp_path: Path) -> None:
    values = (TWELVE >> 4).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "scan.png")
    for window in ("40,80", "full", "auto"):
        check(read(tmp_path / "scan.png", window), values)
