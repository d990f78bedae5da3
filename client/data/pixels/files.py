"""Image files on disk: finding them without skipping any in silence, and decoding them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL
from numpy.typing import NDArray

from medforge.client.data.litter import is_litter
from medforge.client.data.pixels.decode import read_image
from medforge.client.data.pixels.formats import IMAGE_SUFFIXES, other_kind
from medforge.client.data.pixels.glance import Glance
from medforge.client.data.pixels.reading import PLAIN, Reading, check_header, glance_at
from medforge.client.data.problems import Problems
from medforge.errors import InvalidInput
from medforge.files import canonical_json, path_text, sha256_bytes, sha256_file
from medforge.image_geometry import ImageGeometry


def walk(folder: Path) -> Iterator[Path]:
    """Yield every file below `folder`, links followed, in sorted order, without litter.

    Raises InvalidInput for a broken link, for links that lead back into themselves, or for an unreadable folder.
    """
    problems = Problems()
    for path in visit(folder, problems):
        problems.refuse()
        if path.is_file():
            yield path
    problems.refuse()


def visit(folder: Path, problems: Problems, passed: list[Path] | None = None) -> Iterator[Path]:
    """Yield every file and folder below `folder`, as `walk` does; what is neither, or cannot be read, is a problem.

    Litter that is passed over is added to `passed`.
    """
    yield from _visit(folder, (), problems, [] if passed is None else passed)


def _visit(folder: Path, above: tuple[Path, ...], problems: Problems, passed: list[Path]) -> Iterator[Path]:
    real = folder.resolve()
    if real in above:
        problems.add(f"the link {folder}", "leads back to a folder that contains it", "remove the link")
        return
    for path, kind in _children(folder, problems, passed):
        if kind == "folder":
            yield path
            yield from _visit(path, (*above, real), problems, passed)
        elif kind == "file":
            yield path
        else:
            problems.add(path, "is a broken link or no regular file", "mend or remove it")


def _children(folder: Path, problems: Problems, passed: list[Path]) -> list[tuple[Path, str]]:
    """Return what is in a folder, sorted and without litter, each with its kind."""
    found = []
    try:
        for path in sorted(folder.iterdir()):
            if is_litter(path.name):
                passed.append(path)
            else:
                found.append((path, "folder" if path.is_dir() else "file" if path.is_file() else "other"))
    except OSError as error:
        problems.add(error.filename or folder, f"cannot be read ({error.strerror})", "check its permissions")
    return found


def is_image_name(path: Path) -> bool:
    """Say whether a file is named like an image, in upper or lower case, with or without spaces behind."""
    return path.suffix.lower().strip() in IMAGE_SUFFIXES


def add_no_image(path: Path, problems: Problems) -> None:
    """Note that a file is no image, and what it is where that can be seen."""
    kind = other_kind(path)
    if kind is not None:
        problems.add(path, f"is {kind[0]} and no image", kind[1])
    else:
        problems.add(path, f"is not an image ({', '.join(sorted(IMAGE_SUFFIXES))})", "move or remove it")


def list_images(folder: Path) -> list[Path]:
    """Return the image files below a class's folder, sorted; raises InvalidInput if there is none, or another file."""
    problems = Problems()
    paths = [path for path in visit(folder, problems) if path.is_file()]
    for path in paths:
        if not is_image_name(path):
            add_no_image(path, problems)
    if not paths and not problems:
        problems.add(f"the class folder {folder}", "is empty", "add images to it or remove it")
    problems.refuse()
    return paths


def content_ids(paths: Sequence[Path]) -> list[str]:
    """Return one text per file, the same for two files exactly when their bytes are the same.

    Only files that share their size with another one are read.
    """
    sizes = [path.stat().st_size for path in paths]
    alike: dict[int, int] = defaultdict(int)
    for size in sizes:
        alike[size] += 1
    return [sha256_file(path) if alike[size] > 1 else f"size {size}" for path, size in zip(paths, sizes, strict=True)]


def _twins(images: ImageFiles) -> str:
    seen: dict[str, Path] = {}
    pairs = zip(images.names, images.paths, strict=True)
    return next(f"{seen[name]} and {path}" for name, path in pairs if seen.setdefault(name, path) != path)


def check_headers(paths: Sequence[Path], reading: Reading = PLAIN) -> None:
    """Refuse files for what their headers say.

    Where one is refused all are read whole, so that a person hears of every one at once. Raises SourceProblems.
    """
    try:
        for path in paths:
            check_header(path, reading)
    except InvalidInput:
        problems = Problems()
        for path in paths:
            try:
                glance_at(path, 1, reading)
            except InvalidInput as error:
                problems.note(path, error)
        problems.refuse()
        raise


class ImageFiles:
    """Offer files as an ImageSource; `crop` cuts a centred square of so many pixels before the resize."""

    def __init__(self, paths: Sequence[Path], root: Path, crop: int | None = None, reading: Reading = PLAIN) -> None:
        self.paths = tuple(paths)
        self.names = tuple(path_text(path.relative_to(root)) for path in paths)
        if len(set(self.names)) < len(set(self.paths)):
            raise InvalidInput(f"{_twins(self)} have one name when written as text; rename one of them")
        self.crop = crop
        self.reading = reading

    def key(self) -> str:
        """Digest names, sizes, modification times, the crop, the window and the decoder's version."""
        stats = [path.stat() for path in self.paths]
        entries = [[name, stat.st_size, stat.st_mtime_ns] for name, stat in zip(self.names, stats, strict=True)]
        how = {"crop": self.crop, "window": self.reading.key(), "pillow": PIL.__version__}
        return sha256_bytes(canonical_json({"files": entries, **how}))

    def fill(
        self,
        wanted: NDArray[np.int64],
        room: NDArray[np.uint8],
        geometry: ImageGeometry,
        workers: ThreadPoolExecutor,
    ) -> NDArray[np.int64]:
        """Decode the wanted files in parallel (Pillow releases the interpreter lock while it decodes)."""

        def decode(index: int) -> None:
            room[index] = read_image(self.paths[index], geometry, self.crop, self.reading)

        for _ in workers.map(decode, wanted.tolist()):
            pass
        return wanted

    def stamp(self, index: int) -> str:
        """Return where the file lies, its size, when it was written, and how it is read."""
        path = self.paths[index]
        stat = path.stat()
        return f"{path.absolute()} {stat.st_size} {stat.st_mtime_ns} {self.reading}"

    def digest(self, index: int) -> str:
        """Digest the file's bytes and how they are read."""
        digest = sha256_file(self.paths[index])
        return digest if self.reading == PLAIN else sha256_bytes(f"{digest} {self.reading}".encode())

    def glance(self, index: int, side: int) -> Glance:
        """Read one file whole; raises as `read_image` does."""
        return glance_at(self.paths[index], side, self.reading)
