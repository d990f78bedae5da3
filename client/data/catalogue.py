"""The data sources by name, and how one is opened as a Task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from medforge.client.data.request import Request, split_source, whole_number
from medforge.client.data.sources.medmnist_prompts import PAIRS, PROMPTS
from medforge.errors import InvalidInput

if TYPE_CHECKING:
    from medforge.client.data.task import Task

COMMON_OPTIONS = ("threads",)
_HERE = "medforge.client.data"


@dataclass(frozen=True)
class _Source:
    """One entry of the table: where its opener is, what it says in the help, which options it takes.

    ``words`` are what may stand in place of a path.
    """

    opener: str
    about: str
    options: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


_SOURCES = {
    "breakhis": _Source(
        f"{_HERE}.sources.breakhis.open_breakhis", "BreakHis breast histology, split by patient", ("magnification",)
    ),
    "lc25000-lung": _Source(
        f"{_HERE}.sources.lc25000.open_lung", "LC25000 lung histology, 3 classes", ("split", "groups")
    ),
    "lc25000-colon": _Source(
        f"{_HERE}.sources.lc25000.open_colon", "LC25000 colon histology, 2 classes", ("split", "groups")
    ),
    "medfmc-colon": _Source(
        f"{_HERE}.sources.medfmc.open_colon",
        "MedFMC colon histology with its published split files",
        ("split", "images", "train", "validation", "test"),
    ),
    "nih-cxr14": _Source(
        f"{_HERE}.sources.nih.open_nih",
        "NIH ChestX-ray14 with its published lists: 14 findings, several an image",
        ("labels",),
    ),
    "shenzhen-tb": _Source(f"{_HERE}.sources.shenzhen.open_shenzhen", "Shenzhen chest x-rays, normal or tuberculosis"),
    "oai-knee": _Source(f"{_HERE}.sources.oai.open_oai", "OAI knee x-rays by Kellgren–Lawrence grade", ("split",)),
    "medmnist": _Source(
        f"{_HERE}.sources.medmnist.open_medmnist",
        "any 2-D MedMNIST .npz file, or its name",
        ("prompts", "size"),
        (*PROMPTS, *PAIRS),
    ),
    "folder": _Source(f"{_HERE}.sources.folder.open_folder", "a folder with train/CLASS and test/CLASS images"),
    "tissue": _Source(
        f"{_HERE}.drawn.tissue.open_tissue",
        "tissue drawn on the spot, for demonstrations: breast, lung or colon",
        ("train", "validation", "test"),
        ("breast", "lung", "colon"),
    ),
    "findings": _Source(
        f"{_HERE}.drawn.films.open_findings",
        "chest films drawn on the spot, for demonstrations: chest (4 findings, several an image), pneumonia or"
        " tuberculosis",
        ("train", "validation", "test"),
        ("chest", "pneumonia", "tuberculosis"),
    ),
}


def summaries() -> dict[str, str]:
    """Return each source's name and one line about it, for help."""
    return {name: source.about for name, source in _SOURCES.items()}


def read_source(source: str) -> tuple[str, str, dict[str, str]]:
    """Take `NAME:PATH[,option=value]*` apart. Raises InvalidInput for a source or an option that does not exist."""
    name, place, options = split_source(source)
    if name not in _SOURCES:
        raise InvalidInput(f"there is no source named '{name}'; choose one of {', '.join(_SOURCES)}")
    entry = _SOURCES[name]
    for option in options:
        if option not in entry.options + COMMON_OPTIONS:
            known = ", ".join(entry.options + COMMON_OPTIONS)
            raise InvalidInput(
                f"{name}: there is no option '{option}' (nor a path '{place},{option}=…'); it takes {known}"
            )
    if "threads" in options:
        whole_number(name, "threads", options["threads"], 1)
    return name, place, options


def check_source(source: str) -> None:
    """Refuse at once what plainly cannot be opened: an unknown source or option, a path where nothing is.

    It looks at no image and imports no numerical library, so it can stand before anything is written.
    """
    name, place, _ = read_source(source)
    words = _SOURCES[name].words
    if place in words or Path(place).expanduser().exists():
        return
    if words:
        raise InvalidInput(f"{name}: there is no '{place}'; choose one of {', '.join(words)}, or check the path")
    raise InvalidInput(f"{name}: the folder {place} does not exist; check the path")


def open_task(source: str, image_size: int, seed: int = 0, cache: Path | None = None, budget: int = 2 << 30) -> Task:
    """Open `NAME:PATH[,option=value]*` as a Task of images `image_size` pixels wide and high.

    The splits depend on `seed` and the data alone. At most `budget` bytes of decoded pixels are kept in memory; a
    larger data set goes to a file in `cache` (or an unnamed temporary file). Option `threads=N` bounds the decoding
    threads of every source. Raises InvalidInput naming the file, class or option that cannot be used.
    """
    from medforge.client.data.pixels.store import Storage

    name, place, options = read_source(source)
    entry = _SOURCES[name]
    threads = int(options.get("threads", 0))
    request = Request(name, place, image_size, seed, Storage(cache, budget, threads), options)
    module, function = entry.opener.rsplit(".", 1)
    opener = cast("Callable[[Request], Task]", getattr(import_module(module), function))
    return opener(request)
