"""What a person asked for with `NAME:PATH[,option=value]*`, taken apart."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from medforge.client.data.split_names import SplitName
from medforge.errors import InvalidInput
from medforge.image_geometry import ImageGeometry

if TYPE_CHECKING:
    from medforge.client.data.pixels.reading import Reading
    from medforge.client.data.pixels.store import Storage

_TRAILING_OPTION = re.compile(r"^(?P<rest>.*),(?P<key>[a-z_]+)=(?P<value>.*)$", re.DOTALL)

READING_OPTIONS = ("window", "megapixels")
"""Options of every source of image files: the window of what has more than 8 bits, and the most pixels of one image."""


@dataclass(frozen=True)
class NamedSource:
    """Name one source: its name, its path as typed, and its options.

    `scoring` is the one split that is asked for, where the source is opened to score a model on it: the others may be
    missing. None: all three are needed.
    """

    name: str
    place: str
    options: Mapping[str, str]
    scoring: SplitName | None = field(default=None, kw_only=True)

    @property
    def path(self) -> Path:
        """Return the place as a path."""
        return as_path(self.place)

    def folder(self) -> Path:
        """Return the path; raises InvalidInput unless it is a folder."""
        if not is_there(self.path):
            raise InvalidInput(f"{self.name}: the folder {self.path} does not exist; check the path")
        if not self.path.is_dir():
            raise InvalidInput(f"{self.name}: {self.path} is not a folder; name the folder that holds the data set")
        return self.path

    def reading(self) -> Reading:
        """Return how image files are read, by the options of READING_OPTIONS; raises InvalidInput for what is none."""
        # here, for a source can be asked about without NumPy
        from medforge.client.data.pixels.reading import MEGAPIXELS, Reading
        from medforge.client.data.pixels.window import parse_window

        window, most = self.options.get("window"), self.options.get("megapixels", str(MEGAPIXELS))
        try:
            chosen = None if window is None else parse_window(window)
        except InvalidInput as error:
            raise InvalidInput(f"{self.name}: {error}") from error
        return Reading(chosen, whole_number(self.name, "megapixels", most, 1))

    def beside(self, value: str) -> Path:
        """Return the path that an option names: in the source's folder if there is such a file, else as it is typed."""
        folder = self.path if self.path.is_dir() else self.path.parent
        near = folder / value
        return near if is_there(near) else as_path(value)

    @property
    def leaks_allowed(self) -> bool:
        """Say whether splits may share images and groups; what comes of that must say so."""
        return self.choice("leaks", ("refused", "allowed"), "refused") == "allowed"

    def choice(self, option: str, allowed: Collection[str], default: str) -> str:
        """Return the value of an option that may take only some values."""
        value = self.options.get(option, default)
        if value not in allowed:
            raise InvalidInput(f"{self.name}: option {option}={value} is unknown; choose {' or '.join(allowed)}")
        return value


@dataclass(frozen=True)
class Request(NamedSource):
    """Ask for a source to be opened, and say how to store and split what it holds.

    `look_alikes` says whether images that look alike stay on one side of a split where no groups are known.
    """

    geometry: ImageGeometry
    seed: int
    storage: Storage
    look_alikes: bool = field(default=True, kw_only=True)

    @property
    def image_size(self) -> int:
        """Return the side of the images, in pixels."""
        return self.geometry.size


def split_source(source: str) -> tuple[str, str, dict[str, str]]:
    """Take `NAME:PLACE[,key=value]*` apart into name, place and options.

    A path may itself hold commas and equal signs: options are cut off from the right, and only as long as what is
    left is not an existing path. Raises InvalidInput without a name or a place, or when an option comes twice.
    """
    name, colon, place = source.partition(":")
    if not colon or not name or not place:
        raise InvalidInput(f"the source '{source}' is not of the form NAME:PATH; for example folder:DIRECTORY")
    options: dict[str, str] = {}
    while not is_there(as_path(place)):
        match = _TRAILING_OPTION.match(place)
        if match is None:
            break
        if match["key"] in options:
            raise InvalidInput(f"{name}: option {match['key']} is given twice in '{source}'; give it once")
        options[match["key"]] = match["value"]
        place = match["rest"]
    if not place:
        raise InvalidInput(f"the source '{source}' names no path; write NAME:PATH, then its options")
    return name, place, dict(reversed(options.items()))


def as_path(text: str) -> Path:
    """Return a path as a person typed it, with `~` for a home where there is such a home."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def is_there(path: Path) -> bool:
    """Say whether a path exists; one that no file system could hold does not."""
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that is too long or holds no text, or a folder that may not be looked into
        return False


def task_name(text: str) -> str:
    """Return a file's or folder's name as a task may be called: Latin letters, digits and `_.-`.

    A name without any of these is returned as it is, and whoever wants a task of that name is asked for another.
    """
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", plain).strip("-_.")[:64] or text


def whole_number(name: str, option: str, value: str, least: int) -> int:
    """Return an option's value as an integer; raises InvalidInput below `least` or when it is none."""
    if not re.fullmatch(r"\d{1,9}", value) or int(value) < least:
        raise InvalidInput(f"{name}: option {option}={value} must be a whole number of at least {least}; change it")
    return int(value)
