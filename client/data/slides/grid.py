"""Which tiles of a slide are used: the resolution that was asked for, tissue, and a drawn few of many."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medforge.client.data.pixels.reading import MEGAPIXELS
from medforge.client.data.request import NamedSource, whole_number
from medforge.client.data.slides.slide import Slide
from medforge.client.data.slides.tiles import Tile
from medforge.client.data.slides.tissue import tissue_shares
from medforge.errors import InvalidInput
from medforge.seeds import numpy_generator

TILE_OPTIONS = ("mpp", "magnification", "slide_mpp", "tile", "tiles", "tissue")
MPP_OF_1X = 10.0
"""Micrometres per pixel at a magnification of 1, by convention: 20x is 0.5, 40x is 0.25."""

MOST_ENLARGED = 1.2
"""How much finer than its scan a slide may be asked for: scanners' 0.24 and 0.26 both pass as 0.25."""

_MOST_SIDE = 4096


@dataclass(frozen=True)
class Tiling:
    """Say how slides are cut.

    A tile is `side` pixels wide and high at `mpp` micrometres per pixel. Of a slide at most `most` tiles are used whose
    share of tissue is at least `tissue`. `slide_mpp` is the resolution of slides that do not state their own.
    """

    mpp: float
    side: int
    most: int
    tissue: float
    slide_mpp: float | None

    def extent(self, slide: Slide) -> tuple[float, float]:
        """Return the width and height of a tile in pixels of the slide's finest level.

        Raises InvalidInput, without the slide's name, where its resolution is not known or too coarse.
        """
        own = slide.resolution or (self.slide_mpp and (self.slide_mpp, self.slide_mpp))
        if not own:
            raise InvalidInput("does not state its resolution; give micrometres per pixel as slide_mpp=0.25")
        if max(own) > self.mpp * MOST_ENLARGED:
            raise InvalidInput(
                f"is scanned at {max(own):g} micrometres per pixel, coarser than {self.mpp:g}; choose mpp={max(own):g} "
                "or more"
            )
        across, down = (self.side * self.mpp / one for one in own)
        if slide.pixels_read(across, down, (self.side, self.side)) > MEGAPIXELS * 1_000_000:
            raise InvalidInput("has no level coarse enough for such tiles; choose a smaller mpp or tile")
        if across > slide.width or down > slide.height:
            raise InvalidInput(
                f"is smaller than one tile of {self.side} pixels at {self.mpp:g} micrometres; choose a smaller tile "
                "or mpp"
            )
        return across, down


def read_tiling(named: NamedSource) -> Tiling:
    """Read TILE_OPTIONS; raises InvalidInput for a value that is none."""
    if "mpp" in named.options and "magnification" in named.options:
        raise InvalidInput(f"{named.name}: mpp and magnification say the same; give one of them")
    if "magnification" in named.options:
        mpp = MPP_OF_1X / _number(named, "magnification", named.options["magnification"].lower().rstrip("x"), 1000)
    else:
        mpp = _number(named, "mpp", named.options.get("mpp", "0.5"), 1000)
    side = whole_number(named.name, "tile", named.options.get("tile", "224"), 16)
    if side > _MOST_SIDE:
        raise InvalidInput(f"{named.name}: option tile={side} is more than {_MOST_SIDE} pixels; choose a coarser mpp")
    own = named.options.get("slide_mpp")
    return Tiling(
        mpp=mpp,
        side=side,
        most=whole_number(named.name, "tiles", named.options.get("tiles", "100"), 1),
        tissue=_number(named, "tissue", named.options.get("tissue", "0.5"), 1),
        slide_mpp=None if own is None else _number(named, "slide_mpp", own, 10),
    )


def choose_tiles(path: Path, slide: Slide, tiling: Tiling, seed: int, name: str) -> list[Tile]:
    """Return a slide's tiles of tissue by rows, at most as many as asked for, drawn from a seed named `name`."""
    across, down = tiling.extent(slide)
    rows, columns = np.nonzero(tissue_shares(slide, (across, down)) >= tiling.tissue)
    if len(rows) > tiling.most:
        drawn = np.sort(numpy_generator(seed, "tiles", name).permutation(len(rows))[: tiling.most])
        rows, columns = rows[drawn], columns[drawn]
    places = zip(rows.tolist(), columns.tolist(), strict=True)
    return [Tile(path, column * across, row * down, across, down) for row, column in places]


def _number(named: NamedSource, option: str, text: str, most: float) -> float:
    """Return an option's value as a number above 0 and at most `most`."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 < number <= most:
        raise InvalidInput(
            f"{named.name}: option {option}={text} must be a number above 0, at most {most:g}; change it"
        )
    return number
