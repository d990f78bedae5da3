"""Masks and drawings that lie beside the images they belong to, and must not be trained on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

_WORD = r"(?:masks?|seg|segm|segmentation|gt|ground[-_ ]?truth|annotations?|contours?|overlay|label(?:map)?)"
_AFTER = re.compile(rf"(?P<image>.+?)[-_ .]+{_WORD}(?:[-_ .]?\d+)?", re.IGNORECASE)
_BEFORE = re.compile(rf"{_WORD}[-_ .]+(?P<image>.+)", re.IGNORECASE)


def masks_beside(names: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yield the position of each image that is named as the mask of another one in its folder, and that one's name.

    `benign (1)_mask.png` and `benign (1)_mask_1.png` lie beside `benign (1).png` (BUSI as it is published). A name
    alone, without the image it belongs to, is no sign.
    """
    stems = {_stem(name): name for name in names}
    for place, name in enumerate(names):
        folder, stem = _stem(name)
        match = _AFTER.fullmatch(stem) or _BEFORE.fullmatch(stem)
        image = match and stems.get((folder, match["image"].casefold()))
        if image:
            yield place, image


def _stem(name: str) -> tuple[str, str]:
    path = PurePosixPath(name)
    return str(path.parent), path.stem.casefold()
