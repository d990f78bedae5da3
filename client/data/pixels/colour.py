"""From Pillow's modes of 8 bits a channel to RGB; transparency lies on black, colour profiles are not applied."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medforge.errors import InvalidInput

_PLAIN = frozenset({"1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr"})
_WITH_ALPHA = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})

# CIE 1976 L*a*b* under the illuminant D50, as TIFF has it, and from there to linear sRGB (Bradford; W3C, CSS Color 4)
_WHITE = np.array([0.9642956764295677, 1.0, 0.8251046025104602])
_TO_SRGB = np.array(
    [
        [3.1341358529001178, -1.617385998018042, -0.49066221791109754],
        [-0.978795502912089, 1.916254567259524, 0.03344273116131949],
        [0.07195537988411677, -0.2289768264158322, 1.405386058324125],
    ]
)


def to_rgb(image: Image.Image) -> Image.Image:
    """Return a picture of 8 bits a channel in mode RGB.

    Transparent pixels are blended with black: colour times alpha. CMYK becomes (1 − C)(1 − K), L*a*b* sRGB, what is
    grey three equal channels. Embedded profiles and gammas are left aside. Raises InvalidInput for another mode.
    """
    if image.mode in _WITH_ALPHA or (image.mode in _PLAIN and "transparency" in image.info):
        return _on_black(image)
    if image.mode in _PLAIN:
        return image if image.mode == "RGB" else _palette_safe(image)
    if image.mode == "LAB":
        return Image.fromarray(_lab_to_srgb(np.asarray(image)))
    raise InvalidInput(f"has its colours in Pillow's mode {image.mode}, which is not read; save it as RGB")


def mend_transparent_grey(image: Image.Image) -> None:
    """Spread the transparent value of a grey PNG of 2 or 4 bits as Pillow will spread the others; before it decodes."""
    key, tiles = image.info.get("transparency"), getattr(image, "tile", ())
    if image.mode == "L" and isinstance(key, int) and tiles:
        image.info["transparency"] = key * {"L;2": 85, "L;4": 17}.get(str(tiles[0].args), 1)


def _palette_safe(image: Image.Image) -> Image.Image:
    palette = image.palette if image.mode == "P" else None
    return _on_black(image) if palette is not None and palette.mode.endswith("A") else image.convert("RGB")


def _on_black(image: Image.Image) -> Image.Image:
    if image.mode == "La":  # Pillow knows one way out of it
        image = image.convert("LA")
    whole = image.convert("RGBA")
    # without "transparency", which would be applied twice
    whole.info = {}
    return Image.composite(whole.convert("RGB"), Image.new("RGB", whole.size), whole.getchannel("A"))


def _lab_to_srgb(lab: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return uint8 [H, W, 3] sRGB of a TIFF file's bytes: L* from 0 to 255 for 0 to 100, a* and b* signed."""
    lightness = lab[..., 0] * (100 / 255)
    a, b = (lab[..., place].astype(np.int8).astype(np.float64) for place in (1, 2))
    y = (lightness + 16) / 116
    roots = np.stack([y + a / 500, y, y - b / 200], axis=-1)
    xyz = np.where(roots > 6 / 29, roots**3, 3 * (6 / 29) ** 2 * (roots - 4 / 29)) * _WHITE
    linear = np.clip(xyz @ _TO_SRGB.T, 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    pixels: NDArray[np.uint8] = np.rint(encoded * 255).astype(np.uint8)
    return pixels
