"""Whole slides, cut into tiles of tissue at one resolution, split by patient and scored by slide."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from medforge.client.data.described import Described, class_folders, describe
from medforge.client.data.listing import Listing, task_of
from medforge.client.data.pixels.files import walk
from medforge.client.data.problems import Problems
from medforge.client.data.pseudonyms import Pseudonyms
from medforge.client.data.registration import data_source
from medforge.client.data.request import NamedSource, Request, task_name
from medforge.client.data.slides.grid import TILE_OPTIONS, Tiling, choose_tiles, read_tiling
from medforge.client.data.slides.slide import SUFFIXES, opened_slide, slide_digest
from medforge.client.data.slides.tiles import SlideTiles
from medforge.client.data.tables.labels import LABEL_OPTIONS
from medforge.client.data.tables.named_files import NamedFiles
from medforge.client.data.tables.roles import asked_column
from medforge.client.data.tables.table import Table, read_table
from medforge.errors import InvalidInput

if TYPE_CHECKING:
    from medforge.client.data.task import Task


READS = """
SVS, NDPI, SCN, BIF, MRXS and pyramidal TIFF, as tiffslide reads them (`pip install 'medforge[slides]'`) or OpenSlide,
which is used where it is installed. Labels, patients and how-to are as for [`dicom`](#dicom):

- `labels=FILE`: a table with a column of slides (names, with or without ending, or paths), one of labels and, where it
  says them, patients and splits; its options mean the same as for [`table`](#table). Without it: class folders.
- `mpp=0.5` (micrometres per pixel) or `magnification=20` (10 divided by it): the resolution of the tiles, 0.5 by
  default. `slide_mpp=0.25` says it of slides that do not state their own.
- `tile=224`: a tile's side in pixels at that resolution. `tiles=100`: at most so many of a slide, drawn from the seed.
- `tissue=0.5`: the least share of tissue of a tile. Tissue is where an overview, of 8 × 8 pixels a tile, has a
  saturation (HSV) above Otsu's threshold for the slide, held between 0.05 and 0.25, and is not nearly black.

Slides of one patient are in one split, and a score is of slides: the mean of their tiles' answers. Names of slides and
patients become digests as for `dicom`. A slide's label and overview pictures, which may show a name, are never read.
"""
REFUSES = """slides that do not state their resolution without `slide_mpp`, that are coarser than `mpp`, smaller than
one tile, without tissue, or with more than 8 bits a colour.
"""


def _look(named: NamedSource) -> None:
    """Refuse what the table and the slides' own headers show to be wrong."""
    _listed(named, read_tiling(named))


@data_source(
    name="slides",
    about="whole slides (SVS, NDPI, pyramidal TIFF) in tiles, labels from a table (labels=FILE) or class folders",
    options=("labels", "image", *LABEL_OPTIONS, "group", "split", "prompt", "prompts", "missing", *TILE_OPTIONS),
    look=_look,
    files=("labels", "prompts"),
    reads=READS,
    refuses=REFUSES,
)
def open_slides(request: Request) -> Task:
    """Open the tiles of tissue of every slide below a folder that has a label (see `Tiling` and `tissue_shares`).

    Option `labels` names a table whose rows mean slides by name or path; without it the first folder below the named
    one is the class (the second, where the first is a split). Slides of one group, a patient by the table, stay on one
    side of every split; a score is of slides. Names of tiles and groups are pseudonyms (`Pseudonyms`).

    Raises SourceProblems with everything that is wrong, InvalidInput for a slide without tissue.
    """
    tiling = read_tiling(request)
    paths, said = _listed(request, tiling)
    digests = [slide_digest(path) for path in paths]
    pseudonyms = Pseudonyms(digests)
    names = [pseudonyms.of("slide", path.relative_to(request.path).as_posix()) for path in paths]
    tiles, owners = [], []
    for place, path in enumerate(paths):
        with opened_slide(path) as slide:
            own = choose_tiles(path, slide, tiling, request.seed, names[place])
            if not own:
                raise InvalidInput(
                    f"has no tile with {tiling.tissue:.0%} of tissue; lower the share with tissue=0.2, or leave it out"
                )
        tiles += own
        owners += [place] * len(own)
    groups = [pseudonyms.of("group", one) for one in said.groups] if said.groups else names
    listing = Listing(
        name=task_name(request.path.resolve().name),
        classes=said.classes,
        prompts=said.prompts,
        labels=said.labels[owners],
        ids=[f"{digests[owner]} {tile.left:.0f} {tile.top:.0f}" for owner, tile in zip(owners, tiles, strict=True)],
        groups=[groups[owner] for owner in owners],
        unit=said.unit if said.groups else "slide",
        splits=said.splits and [said.splits[owner] for owner in owners],
        negatives=said.negatives,
        notes=said.notes,
        slides=[names[owner] for owner in owners],
    )
    tile_names = [
        f"{names[owner]}/{round(tile.left)}-{round(tile.top)}" for owner, tile in zip(owners, tiles, strict=True)
    ]
    return task_of(request, listing, SlideTiles(tiles, tile_names, tiling.side))


def _listed(named: NamedSource, tiling: Tiling) -> tuple[list[Path], Described]:
    """Return the slides that are used and what is said of them."""
    root = named.folder()
    problems = Problems()
    files = list(walk(root))
    paths = [path for path in files if path.suffix.lower() in SUFFIXES]
    if not paths:
        raise InvalidInput(f"{named.name}: {root} holds no slide ({', '.join(sorted(SUFFIXES))}); name another folder")
    if "labels" in named.options:
        said = _of_table(named, root, paths, problems)
    else:
        said = class_folders(named, root, paths, problems, str)
    used = [paths[place] for place in said.used] if said else []
    for path in used:
        try:
            with opened_slide(path) as slide:
                tiling.extent(slide)
        except InvalidInput as error:
            problems.note(path, error)
    problems.refuse()
    assert said is not None
    if not used:
        raise InvalidInput(f"{named.name}: no slide below {root} has a label; check the table")
    return used, said


def _of_table(named: NamedSource, root: Path, paths: Sequence[Path], problems: Problems) -> Described | None:
    file = named.beside(named.options["labels"])
    if not file.is_file():
        raise InvalidInput(f"{named.name}: the table {named.options['labels']} does not exist; check option labels")
    table = read_table(file)
    return describe(table, named, _match(table, root, paths, named.options.get("image")), "slide", problems, True)


def _match(table: Table, root: Path, paths: Sequence[Path], asked: str | None) -> list[list[int]]:
    """Return the rows that mean each slide, by the column whose cells mean the most of them."""
    files = NamedFiles(root, SUFFIXES)
    place = {path: index for index, path in enumerate(paths)}
    best: list[list[int]] = []
    for column in [asked_column(table, asked, "image")] if asked else [name for name in table.columns if name]:
        rows: list[list[int]] = [[] for _ in paths]
        for row, cell in enumerate(table.column(column)):
            meant = files.find(cell) if cell else []
            if len(meant) == 1 and meant[0] in place:
                rows[place[meant[0]]].append(row)
        if sum(map(len, rows)) > sum(map(len, best)):
            best = rows
    if not best:
        raise InvalidInput(
            f"{table.path} has no column in which these slides' names or paths stand; name the column with "
            "image=COLUMN, or check that the table belongs to these slides"
        )
    return best
