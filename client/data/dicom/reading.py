"""Which window of a DICOM image is used: the option `window`, and what an image's header offers for it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from medforge.client.data.dicom.voi import Shown
from medforge.client.data.pixels.reading import MEGAPIXELS
from medforge.client.data.pixels.window import WindowChoice, parse_window
from medforge.errors import InvalidInput

HEADER = "header"
CHOICES = "window=CENTRE,WIDTH, window=auto or window=full"


@dataclass(frozen=True)
class Offered:
    """Hold one way to show an image that its header offers, and what the header calls it."""

    shown: Shown
    explanation: str


@dataclass(frozen=True)
class FromHeader:
    """Ask for what the header offers: `name` is part of its explanation, or `place` (from 1) its place among them."""

    name: str = ""
    place: int = 1

    def among(self, offered: Sequence[Offered]) -> Shown | None:
        """Return what was asked for, or None where the header does not offer it."""
        if self.name:
            return next((one.shown for one in offered if self.name in _plain(one.explanation)), None)
        return offered[self.place - 1].shown if self.place <= len(offered) else None


Choice = FromHeader | WindowChoice


@dataclass(frozen=True)
class DicomReading:
    """Hold the ways to show an image in the order in which they are tried, the text that said so, and the most pixels.

    `megapixels` is the most pixels of one frame, in millions.
    """

    choices: tuple[Choice, ...] = (FromHeader(),)
    text: str = HEADER
    megapixels: int = MEGAPIXELS


def parse_dicom_window(text: str, megapixels: int = MEGAPIXELS) -> DicomReading:
    """Read the option `window`: one way, or several parted by `|`, of which an image gets the first that it can have.

    `header` is what the header offers first, a number its place there, `C,W`, `full` and `auto` as in `parse_window`,
    and any other word is part of the header's explanation of a window. Raises InvalidInput for an empty way.
    """
    return DicomReading(tuple(_way(part.strip(), text) for part in text.split("|")), text, megapixels)


def _way(part: str, text: str) -> Choice:
    if part == HEADER:
        return FromHeader()
    if part.isdecimal() and len(part) < 4 and int(part) > 0:
        return FromHeader(place=int(part))
    if "," not in part and part not in ("full", "auto") and re.search(r"[^\W\d]", part):
        return FromHeader(name=_plain(part))
    try:
        return parse_window(part)
    except InvalidInput as error:
        raise InvalidInput(
            f"window={text} is no window; write {CHOICES}, window=header, a number among the header's windows or a name"
        ) from error


def _plain(text: str) -> str:
    """Spell an explanation so that SOFT_TISSUE, "Soft tissue" and softtissue are the same."""
    return re.sub(r"[\W_]+", "", text).casefold()
