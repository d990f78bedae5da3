"""Every mode of 8 bits a channel, right to one of 255 against the file's own values."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, features

from medforge.client.data.pixels.reading import read_picture
from medforge.errors import InvalidInput
from tests.client.data.pixels.written import GREY, GREY_ALPHA, PALETTE, RGB, RGB_ALPHA, png, tiff

RANDOM = np.random.default_rng(7)
COLOURS = RANDOM.integers(0, 256, (11, 13, 3), dtype=np.uint8)
GREYS = COLOURS[..., 0]
ALPHA = RANDOM.integers(0, 256, (11, 13), dtype=np.uint8)
ALPHA[0] = 0
ALPHA[1] = 255
Values = NDArray[np.floating]


def read(tmp_path: Path, data: bytes, name: str = "scan.png") -> NDArray[np.uint8]:
    (tmp_path / name).write_bytes(data)
    return np.asarray(read_picture(tmp_path / name))


def check(pixels: NDArray[np.uint8], expected: NDArray[np.generic]) -> None:
    """Compare with a reference [H, W] or [H, W, 3]."""
    wanted = np.stack([expected] * 3, axis=2) if expected.ndim == 2 else expected
    assert pixels.shape == wanted.shape
    assert np.abs(pixels.astype(np.float64) - wanted).max() <= 1


def on_black(values: NDArray[np.generic], alpha: NDArray[np.generic], most: int = 255) -> Values:
    share = alpha / most
    return values * (share if values.ndim == 2 else share[..., None])


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_grey_png(tmp_path: Path, bits: int) -> None:
    values = GREYS >> (8 - bits)
    check(read(tmp_path, png(values, GREY, bits)), values * (255 / (2**bits - 1)))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_grey_png_with_a_transparent_value(tmp_path: Path, bits: int) -> None:
    values = GREYS >> (8 - bits)
    key = int(values[3, 3])
    data = png(values, GREY, bits, [(b"tRNS", key.to_bytes(2, "big"))])
    check(read(tmp_path, data), np.where(values == key, 0, values * (255 / (2**bits - 1))))


def test_colour_png_with_a_transparent_value(tmp_path: Path) -> None:
    key = COLOURS[4, 5]
    data = png(COLOURS, RGB, 8, [(b"tRNS", b"".join(bytes([0, value]) for value in key))])
    check(read(tmp_path, data), np.where((key == COLOURS).all(axis=2)[..., None], 0, COLOURS))


def test_png_with_alpha_lies_on_black(tmp_path: Path) -> None:
    check(read(tmp_path, png(np.dstack([GREYS, ALPHA]), GREY_ALPHA)), on_black(GREYS, ALPHA))
    check(read(tmp_path, png(np.dstack([COLOURS, ALPHA]), RGB_ALPHA)), on_black(COLOURS, ALPHA))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("transparent", ["none", "one", "many"])
def test_palette_png(tmp_path: Path, bits: int, transparent: str) -> None:
    indices = GREYS >> (8 - bits)
    palette = RANDOM.integers(0, 256, (2**bits, 3), dtype=np.uint8)
    alphas = {
        "none": np.full(2**bits, 255, np.uint8),
        "one": np.array([255] * (2**bits - 1) + [0], np.uint8),
        "many": RANDOM.integers(0, 256, 2**bits, dtype=np.uint8),
    }[transparent]
    chunks = [(b"PLTE", palette.tobytes())] + ([] if transparent == "none" else [(b"tRNS", alphas.tobytes())])
    check(read(tmp_path, png(indices, PALETTE, bits, chunks)), on_black(palette[indices], alphas[indices]))


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("order", "<>")
def test_tiff_of_every_colour(tmp_path: Path, order: str, compressed: bool) -> None:
    def written(values: NDArray[np.uint8], photometric: int, extra: tuple[int, ...] = ()) -> bytes:
        bits = [8] * (values.shape[2] if values.ndim == 3 else 1)
        return tiff(values.tobytes(), (13, 11), bits, photometric, order=order, extra=extra, compressed=compressed)

    with_alpha = np.dstack([COLOURS, ALPHA])
    check(read(tmp_path, written(GREYS, 1), "a.tif"), GREYS)
    check(read(tmp_path, written(GREYS, 0), "b.tif"), 255 - GREYS)
    check(read(tmp_path, written(COLOURS, 2), "c.tif"), COLOURS)
    check(read(tmp_path, written(with_alpha, 2, (2,)), "d.tif"), on_black(COLOURS, ALPHA))
    check(read(tmp_path, written(with_alpha, 2, (0,)), "e.tif"), COLOURS)
    premultiplied = np.dstack([np.minimum(COLOURS, ALPHA[..., None]), ALPHA])
    check(read(tmp_path, written(premultiplied, 2, (1,)), "f.tif"), premultiplied[..., :3])
    grey_alpha = np.dstack([GREYS, ALPHA])
    check(read(tmp_path, written(grey_alpha, 1, (2,)), "g.tif"), on_black(GREYS, ALPHA))
    check(read(tmp_path, written(grey_alpha, 1, (0,)), "h.tif"), GREYS)
    cmyk = np.dstack([COLOURS, ALPHA])
    expected = (255 - cmyk[..., :3].astype(float)) * (255 - cmyk[..., 3:].astype(float)) / 255
    check(read(tmp_path, written(cmyk, 5), "i.tif"), expected)


@pytest.mark.parametrize("photometric", [0, 1])
def test_tiff_of_one_bit(tmp_path: Path, photometric: int) -> None:
    values = GREYS >> 7
    packed = np.packbits(values, axis=1).tobytes()
    expected = values * 255 if photometric else 255 - values * 255
    check(read(tmp_path, tiff(packed, (13, 11), [1], photometric), "bits.tif"), expected)


def lab_to_srgb(lab: NDArray[np.uint8]) -> Values:
    """CIE 15 for L*a*b* to XYZ under D50, Bradford to D65, IEC 61966-2-1 to sRGB; each step by itself."""
    lightness = lab[..., 0] / 255 * 100
    a, b = (lab[..., place].view(np.int8).astype(float) for place in (1, 2))
    fy = (lightness + 16) / 116

    def inverse(f: Values) -> Values:
        return np.where(f**3 > 216 / 24389, f**3, (116 * f - 16) / (24389 / 27))

    xyz = np.stack([inverse(fy + a / 500) * 0.96422, inverse(fy), inverse(fy - b / 200) * 0.82521], axis=-1)
    bradford = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    d50, d65 = np.array([0.96422, 1, 0.82521]), np.array([0.95047, 1, 1.08883])
    adapted = np.linalg.inv(bradford) @ np.diag((bradford @ d65) / (bradford @ d50)) @ bradford
    to_rgb = np.linalg.inv(
        np.array(
            [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
        )
    )
    linear = np.clip(xyz @ adapted.T @ to_rgb.T, 0, 1)
    srgb: Values = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055) * 255
    return srgb


def test_lab_tiff(tmp_path: Path) -> None:
    lab = np.dstack([GREYS, COLOURS[..., 1:].astype(np.int16) // 3 - 40]).astype(np.uint8)
    check(read(tmp_path, tiff(lab.tobytes(), (13, 11), [8, 8, 8], 8), "lab.tif"), lab_to_srgb(lab))


def jpeg(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=100, subsampling=0, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def smooth(channels: int) -> NDArray[np.uint8]:
    """A picture that JPEG keeps to about one of 255."""
    rows, columns = np.mgrid[0:64, 0:64]
    return np.stack([(rows * (1 + k) + columns * 2) // (1 + k) % 256 // 2 for k in range(channels)], axis=2).astype(
        np.uint8
    )


def marked(data: bytes, transform: int) -> bytes:
    """Return a JPEG with Adobe's marker of a colour transform: 0 none, 2 YCCK; its inks are then inverted."""
    start = data.index(b"Adobe")
    return data[: start + 11] + bytes([transform]) + data[start + 12 :]


def test_cmyk_jpeg_of_adobe_is_not_inverted(tmp_path: Path) -> None:
    inks = smooth(4)
    data = jpeg(Image.fromarray(inks, "CMYK"))
    assert b"Adobe" in data
    expected = (255 - inks[..., :3].astype(float)) * (255 - inks[..., 3:].astype(float)) / 255
    pixels = read(tmp_path, data, "inks.jpg")
    # what JPEG itself loses is the difference that a plain decoder sees
    lost = np.abs(np.asarray(Image.open(io.BytesIO(data))).astype(float) - inks).max()
    assert np.abs(pixels - expected).max() <= 1 + 2 * lost
    assert lost <= 4


def test_ycck_jpeg(tmp_path: Path) -> None:
    inks = smooth(4)
    data = jpeg(Image.fromarray(inks, "CMYK"))
    # the same bytes under the other transform: what the file holds is then Y, Cb, Cr and K, all inverted
    stored = 255 - np.asarray(Image.open(io.BytesIO(data))).astype(float)
    y, cb, cr, k = (stored[..., place] for place in range(4))
    cmy_inverted = np.stack(
        [y + 1.402 * (cr - 128), y - 0.344136 * (cb - 128) - 0.714136 * (cr - 128), y + 1.772 * (cb - 128)], axis=2
    )
    # libjpeg gives 255 minus RGB as CMY, which Adobe's inversion turns back
    expected = np.clip(255 - np.clip(np.rint(cmy_inverted), 0, 255), 0, 255) * k[..., None] / 255
    pixels = read(tmp_path, marked(data, 2), "ycck.jpg")
    assert np.abs(pixels - expected).max() <= 2


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_is_what_the_decoder_says(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(smooth(3)).convert(mode)
    data = jpeg(image)
    check(read(tmp_path, data, "scan.jfif"), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


LOSSLESS: dict[str, Callable[[Image.Image, io.BytesIO], None]] = {
    "scan.bmp": lambda image, to: image.save(to, "BMP"),
    "scan.dib": lambda image, to: image.save(to, "DIB"),
    "scan.ppm": lambda image, to: image.save(to, "PPM"),
    "scan.jp2": lambda image, to: image.save(to, "JPEG2000"),
    "scan.webp": lambda image, to: image.save(to, "WEBP", lossless=True),
    "scan.gif": lambda image, to: image.quantize(256).save(to, "GIF"),
    "scan.apng": lambda image, to: image.save(to, "PNG"),
    # what a file is, its content says
    "scan.jpg": lambda image, to: image.save(to, "TIFF"),
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_every_lossless_format(tmp_path: Path, name: str) -> None:
    few = Image.fromarray(COLOURS // 64 * 64)
    buffer = io.BytesIO()
    LOSSLESS[name](few, buffer)
    check(read(tmp_path, buffer.getvalue(), name), np.asarray(few))


def test_avif_and_webp_with_alpha(tmp_path: Path) -> None:
    flat = np.zeros((32, 32, 4), np.uint8)
    flat[:, :16] = (200, 100, 50, 128)
    flat[:, 16:] = (10, 20, 30, 255)
    expected = on_black(flat[..., :3], flat[..., 3])
    buffer = io.BytesIO()
    Image.fromarray(flat).save(buffer, "WEBP", lossless=True, exact=True)
    check(read(tmp_path, buffer.getvalue(), "a.webp"), expected)
    if not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    buffer = io.BytesIO()
    Image.fromarray(flat).save(buffer, "AVIF", quality=100, subsampling="4:4:4")
    assert np.abs(read(tmp_path, buffer.getvalue(), "a.avif")[8:24, 4:12] - expected[8:24, 4:12]).max() <= 2


def test_a_gif_with_a_transparent_colour(tmp_path: Path) -> None:
    image = Image.fromarray(COLOURS // 64 * 64).quantize(64)
    indices, palette = np.asarray(image), np.array(image.getpalette()).reshape(-1, 3)
    key = int(indices[2, 2])
    buffer = io.BytesIO()
    image.save(buffer, "GIF", transparency=key)
    expected = palette[indices]
    expected[indices == key] = 0
    check(read(tmp_path, buffer.getvalue(), "scan.gif"), expected)


def test_a_colour_profile_changes_nothing(tmp_path: Path) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    for suffix in ("png", "tif", "webp"):
        path = tmp_path / f"scan.{suffix}"
        Image.fromarray(COLOURS).save(path, icc_profile=profile, **({"lossless": True} if suffix == "webp" else {}))
        check(np.asarray(read_picture(path)), COLOURS)


def test_an_unknown_mode_is_refused_by_name(tmp_path: Path) -> None:
    from medforge.client.data.pixels.colour import to_rgb

    with pytest.raises(InvalidInput, match="colours in Pillow's mode HSV, which is not read; save it as RGB"):
        to_rgb(Image.new("HSV", (3, 3)))


@pytest.mark.parametrize("most", [1, 7, 200, 255])
def test_netpbm_of_any_greatest_value(tmp_path: Path, most: int) -> None:
    values = (COLOURS.astype(int) % (most + 1)).astype(np.uint8)
    text = "\n".join(map(str, values.ravel().tolist()))
    grey = values[..., 0]
    for name, data, expected in (
        ("a.ppm", f"P6 13 11 {most}\n".encode() + values.tobytes(), values),
        ("b.pgm", f"P5 13 11 {most}\n".encode() + grey.tobytes(), grey),
        ("c.ppm", f"P3\n# made by hand\n13 11\n{most}\n{text}".encode(), values),
    ):
        check(read(tmp_path, data, name), expected * (255 / most))
    for data in (f"P3 13 11 {most} {text[:99]}", f"P3 13 11 {most} {text[:99]} x {text}", f"P3 1 1 {most} 1 1 999"):
        with pytest.raises(InvalidInput, match="broken.ppm cannot be decoded .*; replace or remove it"):
            read(tmp_path, data.encode(), "broken.ppm")


@pytest.mark.parametrize("plain", [False, True])
def test_netpbm_of_bits(tmp_path: Path, plain: bool) -> None:
    bits = GREYS >> 7
    rows = "\n".join("".join(map(str, row)) for row in bits.tolist()).encode()
    data = b"P1 13 11\n" + rows if plain else b"P4 13 11\n" + np.packbits(bits, axis=1).tobytes()
    check(read(tmp_path, data, "bits.pbm"), 255 - bits * 255)
