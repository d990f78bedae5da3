"""The data sources by name, and how one is opened as a Task: names are known without a numerical library."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from medforge.client.data.registration import COMMON_OPTIONS, Source
from medforge.client.data.request import NamedSource, Request, as_path, is_there, split_source, whole_number
from medforge.client.data.sites.site import OPTIONS, Site, read_site
from medforge.client.data.split_names import SplitName
from medforge.errors import InvalidInput, MedForgeError
from medforge.files import path_text
from medforge.image_geometry import ImageGeometry, as_geometry
from medforge.registry import Registry

if TYPE_CHECKING:
    from medforge.client.data.task import Task

SOURCES = Registry(
    noun="data source",
    package="medforge.client.data.sources",
    group="medforge.data_sources",
    kind=Source,
    decorator="data_source",
)


def names() -> tuple[str, ...]:
    """Return the sources that can be opened, sorted: built in, and of installed packages."""
    return SOURCES.names()


def source_package(source: str) -> dict[str, str]:
    """Name the installed package that opens a source, and its version; none for a source that is built in."""
    return SOURCES.provider(split_source(source)[0])


def check_source(source: str, scoring: SplitName | None = None) -> None:
    """Refuse at once what plainly cannot be opened: an unknown source or option, a path where nothing is.

    It decodes no image, so it can stand before anything is written; `scoring` is as in `open_task`. Raises
    InvalidInput.
    """
    found, place, options = _read(source)
    if found.words is None or place in found.words or is_there(as_path(place)):
        if found.look is not None:
            _look(found, NamedSource(found.name, place, options, scoring=scoring))
        return
    if found.words:
        known = ", ".join(found.words)
        raise InvalidInput(f"{found.name}: there is no '{place}'; choose one of {known}, or check the path")
    raise InvalidInput(f"{found.name}: {place} does not exist; check the path")


def resolve_source(source: str) -> str:
    """Return a source in its one spelling: the path absolute, links followed, and the options sorted.

    So are paths in options, but for those that are found beside the source.

    What stands in place of a path is left as it is, also where a file or directory has that name: the same words mean
    the same images in every directory. Raises InvalidInput where name or options do not exist.
    """
    found, place, options = _read(source)
    named = found.words is None or place in found.words
    where = place if named else str(as_path(place).resolve())
    for name in options.keys() & set(found.files):
        options[name] = _lasting(NamedSource(found.name, place, options), options[name])
    return ",".join([f"{found.name}:{where}", *(f"{name}={options[name]}" for name in sorted(options))])


def _lasting(named: NamedSource, value: str) -> str:
    """Return an option's path so that it means the same in every directory: one beside the source does as it is."""
    file = named.beside(value)
    return str(file.resolve()) if file == as_path(value) and is_there(file) else value


def same_source(one: str, other: str) -> bool:
    """Say whether two sources open the same images, however they are spelt and with how many threads."""
    return one == other or _unthreaded(one) == _unthreaded(other)


def open_task(
    source: str,
    geometry: int | ImageGeometry,
    seed: int = 0,
    cache: Path | None = None,
    budget: int = 2 << 30,
    scoring: SplitName | None = None,
    prompted: bool = True,
    look_alikes: bool = True,
) -> Task:
    """Open `NAME:PATH[,option=value]*` as a Task of images of this geometry (see `as_geometry`).

    The splits depend on `seed` and the data alone. Where a source knows no groups, images that look alike stay on one
    side of a split that is made here; without `look_alikes` only equal ones do. Option `leaks=allowed` opens splits
    that share images. At most `budget` bytes of decoded pixels are kept in memory; a
    larger data set goes to a file in `cache` (or an unnamed temporary file). Of every source, option `threads=N` bounds
    the decoding threads, and `part=2/4,by=WAY` opens what the second of four sites has of it (see `at_site`).

    With `scoring`, the name of the split to be scored, the other splits may be missing. Without `prompted` the task's
    own prompts are not looked at, for a declaration or a model has others. Raises InvalidInput naming the
    file, class, split or option that cannot be used, or the package whose source cannot.
    """
    from medforge.client.data.pixels.store import Storage
    from medforge.client.data.prompts import check_names, check_prompts, vague

    found, place, options = _read(source)
    storage = Storage(cache, budget, int(options.get("threads", 0)))
    request = Request(
        found.name, place, options, as_geometry(geometry), seed, storage, scoring=scoring, look_alikes=look_alikes
    )
    task = found.open(request) if found.name in SOURCES.built_in() else _open_foreign(found, request)
    check_names(task)
    task = replace(task, authors_split=found.authors_split and task.split == "published")
    if prompted:
        check_prompts(task)
        task = replace(task, notes=(*task.notes, *vague(task)))
    site = read_site(options)
    if site is not None and "train" not in task.there:
        raise InvalidInput(f"{found.name}: sites are divided by their train split, which is missing; leave part out")
    return task if site is None else _at_site(found, task, site, seed)


def whole_source(source: str) -> tuple[str, Site | None]:
    """Return a source without the options that divide it, and the site that they name.

    Raises InvalidInput where name or options do not exist.
    """
    found, place, options = _read(source)
    kept = (f"{name}={value}" for name, value in options.items() if name not in OPTIONS)
    return ",".join([f"{found.name}:{place}", *kept]), read_site(options)


def draws(source: str) -> bool:
    """Say whether a source draws its images, as many different ones as are asked for, by its option `draw`."""
    found, _, options = _read(source)
    return "draw" in found.options and "draw" not in options


def with_leaks(source: str) -> str:
    """Return a source whose splits may share images."""
    return source if split_source(source)[2].get("leaks") == "allowed" else f"{source},leaks=allowed"


def leaks_allowed(source: str) -> bool:
    """Say whether a source's splits may share images."""
    return split_source(source)[2].get("leaks") == "allowed"


def _read(source: str) -> tuple[Source, str, dict[str, str]]:
    """Return a source, its place and its options; raises InvalidInput where one of them does not exist."""
    name, place, options = split_source(source)
    found = SOURCES.find(name)
    if path_text(source) != source:
        raise InvalidInput(f"{name}: the path '{path_text(place)}' is not UTF-8; rename the file or folder")
    for option in options:
        if option not in found.options + COMMON_OPTIONS:
            known = ", ".join(found.options + COMMON_OPTIONS)
            raise InvalidInput(
                f"{name}: there is no option '{option}' (nor a path '{place},{option}=…'); it takes {known}"
            )
    if "threads" in options:
        whole_number(name, "threads", options["threads"], 1)
    _ = NamedSource(name, place, options).leaks_allowed
    try:
        read_site(options)
    except InvalidInput as error:
        raise InvalidInput(f"{name}: {error}") from error
    return found, place, options


def _unthreaded(source: str) -> str:
    try:
        return re.sub(r",threads=\d+(?=,|$)", "", resolve_source(source))
    except InvalidInput:  # of a package that is gone, or as another version spelt it
        return source


def _at_site(source: Source, task: Task, site: Site, seed: int) -> Task:
    from medforge.client.data.sites.divide import at_site

    try:
        return at_site(task, site, seed)
    except InvalidInput as error:
        raise InvalidInput(f"{source.name}: {error}") from error


def _look(source: Source, named: NamedSource) -> None:
    assert source.look is not None
    if source.name in SOURCES.built_in():
        source.look(named)
    else:
        with _answered_for(source):
            source.look(named)


@contextmanager
def _answered_for(source: Source) -> Iterator[None]:
    """Turn what the code of another package raises, which is not known, into a sentence about that package."""
    try:
        yield
    except MedForgeError:
        raise
    except (Exception, SystemExit) as error:
        raise SOURCES.unusable(SOURCES.offers()[source.name], f"{type(error).__name__}: {error}") from error


def _open_foreign(source: Source, request: Request) -> Task:
    """Open a source of another package, and answer for what it returns."""
    from medforge.client.data.task import Task

    offer = SOURCES.offers()[source.name]
    with _answered_for(source):
        task = source.open(request)
    if not isinstance(task, Task):
        raise SOURCES.unusable(offer, f"it opens no Task but {type(task).__name__}")
    seen: dict[str, str] = {}
    for part, split in task.splits.items():
        for image in split.images.names:
            if seen.setdefault(image, part) != part:
                raise SOURCES.unusable(offer, f"its image {image} is in {seen[image]} and in {part}")
    return task
