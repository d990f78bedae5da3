"""DICOM images as an archive keeps them: any tree of files, or a DICOMDIR, with labels from a table or from folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from medforge.client.data.described import Described, class_folders, describe
from medforge.client.data.dicom.content import is_dicom
from medforge.client.data.dicom.header import IDENTITY, DicomHeader
from medforge.client.data.dicom.images import DicomImages, Frame
from medforge.client.data.dicom.matching import PATH, match_rows
from medforge.client.data.dicom.naming import names_a_person
from medforge.client.data.dicom.reading import HEADER, DicomReading, parse_dicom_window
from medforge.client.data.dicom.tree import DicomTree, read_tree
from medforge.client.data.frame_choice import spread
from medforge.client.data.listing import Listing, task_of
from medforge.client.data.pixels.files import content_ids
from medforge.client.data.pixels.reading import MEGAPIXELS
from medforge.client.data.problems import Problems
from medforge.client.data.pseudonyms import Pseudonyms
from medforge.client.data.registration import data_source
from medforge.client.data.request import READING_OPTIONS, NamedSource, Request, task_name, whole_number
from medforge.client.data.tables.labels import LABEL_OPTIONS
from medforge.client.data.tables.named_files import NamedFiles
from medforge.client.data.tables.table import read_table
from medforge.errors import InvalidInput
from medforge.files import sha256_file

if TYPE_CHECKING:
    from medforge.client.data.task import Task

READS = """
Any tree of DICOM files, whatever they are called, or a DICOMDIR (needs `pip install 'medforge[dicom]'`). What a file
is, its content says; a step by step is in [how to use DICOM and slides](how-to-use-dicom-and-slides.md).

- `labels=FILE`: a table, in the folder or elsewhere, whose rows mean images by SOPInstanceUID, SeriesInstanceUID,
  StudyInstanceUID or PatientID, the narrowest that is there, or by a file's path; the column is found, or named by
  `image=COLUMN`. Its other columns and options mean the same as for [`table`](#table). Images without a row are left
  out, and so, with `missing=drop`, are rows without an image.
- Without a table: class folders, `CLASS/…` or `SPLIT/CLASS/…`.
- All images of a patient (PatientID, else the study) stay in one split. `group=study`, `series`, `none` or a column
  of the table says otherwise.
- `window=…`: what of grey values is shown, after the modality's rescale or lookup table. `header` (when nothing is
  said): the VOI lookup table or else the first window, by its function (LINEAR, LINEAR_EXACT, SIGMOID), of each frame
  where it has its own. A number: that one of them. A word: the one whose explanation holds it (`lung`). `CENTRE,WIDTH`,
  `auto` and `full` as for [image files](#image-files); `full` is all that the stored bits can hold. Several,
  parted by `|`, are tried in order: `window=lung|header|auto`. Images of at most 8 bits have their whole range where
  the header offers nothing; deeper ones are refused, as nothing else would be right for all.
- `frames=all`, `first`, `middle` or N (the middle of each of N runs): of files with several.
- `burned_in=allow`: also images that say that text is burned into them.
- Colours: RGB, YBR, palettes; 8 to 32 bits, scaled from all that the stored bits can hold. MONOCHROME1 is inverted.
- Codings: none, deflated, RLE, JPEG, JPEG-LS, JPEG 2000 and HTJ2K, with or without a table of offsets. JPEG of 12 bits
  and lossless JPEG need a codec under the GPL: `pip install 'medforge[dicom-gpl]'`.
  [What becomes of each of pydicom's test files](results/dicom-test-files.md).

Of a header nothing is kept, and no sentence shows a part of a path that holds a value of it. Names of images and groups
are digests (HMAC-SHA256) under a salt made of all images' identifiers: the same data give the same names and splits
everywhere, and who lacks the data cannot try out which patient a name stands for.
"""
REFUSES = """pixels that are cut off, of another size than the header says, or in an unknown coding; videos; deep grey
without a window; text that is burned in; class folders called after patients. All of these are named at once. Reports,
presentation states, plans, doses and other objects that are no pictures are left out and counted, and so are
segmentations, unless a row means one itself.
"""

GROUPS = {"patient": 3, "study": 2, "series": 1}
"""Values of option `group` that are an identifier of the header, by its place in `IDENTITY`."""

NONE = "none"


def _look(named: NamedSource) -> None:
    """Refuse what headers and table show to be wrong."""
    _listed(named)


@data_source(
    name="dicom",
    about="DICOM files, any tree or a DICOMDIR, with labels from a table (labels=FILE) or from class folders",
    options=(
        "labels",
        "image",
        *LABEL_OPTIONS,
        "group",
        "split",
        "prompt",
        "prompts",
        "missing",
        "frames",
        "burned_in",
        *READING_OPTIONS,
    ),
    look=_look,
    files=("labels", "prompts"),
    reads=READS,
    refuses=REFUSES,
)
def open_dicom(request: Request) -> Task:
    """Open the pictures below a folder, or of a DICOMDIR; what is no picture is left out, by its SOP class.

    Option `labels` names a table whose rows mean SOP instances, series, studies, patients or paths (`match_rows`);
    without it the first folder below the named one is the class (the second, where the first is a split). All images
    of a patient stay on one side of every split, unless option `group` says `study`, `series`, `none` or a column.

    Grey values are shown through the window that option `window` names (`parse_dicom_window`). Of a header nothing is
    kept: names of images and groups are pseudonyms (`Pseudonyms`), and sentences hide it (`FilePlaces`). Raises
    SourceProblems with everything that is wrong.
    """
    listing, images = _listed(request)
    return task_of(request, listing, images)


def _listed(named: NamedSource) -> tuple[Listing, DicomImages]:
    reading = _reading(named)
    problems = Problems()
    start = named.path if named.path.is_file() else named.folder()
    if start.is_file() and not is_dicom(start):
        raise InvalidInput(f"{named.name}: {start} is not a folder, nor a DICOMDIR; name one of these")
    tree = read_tree(start, reading, problems, all_used="labels" not in named.options)
    files = tree.pictures + tree.masks
    said = _said(named, tree, files, problems)
    said = said and _without_spare(said, files)
    for place in said.used if said else ():
        _refuse_unreadable(named, tree, files[place], problems)
    problems.refuse()
    assert said is not None
    if not said.used:
        raise InvalidInput(f"{named.name}: no picture below {tree.root} has a label; check the table")
    used = [files[place] for place in said.used]
    pseudonyms, contents = Pseudonyms(_secrets(used)), content_ids([one.path for one in used])
    taken = [(place, frame) for place, one in enumerate(used) for frame in spread(_frames(named), one.frames)]
    groups = said.groups or _groups(named, used)
    listing = Listing(
        name=task_name(tree.root.resolve().name),
        classes=said.classes,
        prompts=said.prompts,
        labels=said.labels[[place for place, _ in taken]],
        ids=[f"{contents[place]} {frame}" for place, frame in taken],
        groups=groups and [pseudonyms.of("group", groups[place]) for place, _ in taken],
        unit=said.unit if said.groups else named.options.get("group", "patient"),
        splits=said.splits and [said.splits[place] for place, _ in taken],
        negatives=said.negatives,
        notes=(*said.notes, *tree.notes()),
    )
    frames = [Frame(used[place].path, frame) for place, frame in taken]
    names = [_name(pseudonyms, tree.root, used[place], frame) for place, frame in taken]
    return listing, DicomImages(frames, names, reading, tree.places)


def _reading(named: NamedSource) -> DicomReading:
    most = whole_number(named.name, "megapixels", named.options.get("megapixels", str(MEGAPIXELS)), 1)
    named.choice("burned_in", ("allow", "refuse"), "refuse")
    try:
        return parse_dicom_window(named.options.get("window", HEADER), most)
    except InvalidInput as error:
        raise InvalidInput(f"{named.name}: {error}") from error


def _frames(named: NamedSource) -> str:
    asked = named.options.get("frames", "all")
    if asked not in ("all", "first", "middle"):
        whole_number(named.name, "frames", asked, 1)
    return asked


def _said(named: NamedSource, tree: DicomTree, files: Sequence[DicomHeader], problems: Problems) -> Described | None:
    """Return what the table says, or the folders; a mask is used only where a row means it alone."""
    if "labels" not in named.options:
        said = class_folders(named, tree.root, [one.path for one in tree.pictures], problems, tree.places.of)
        examples = {said.classes[label]: one.path for label, one in zip(said.labels, tree.pictures, strict=True)}
        if any(names_a_person(name, path) for name, path in examples.items()):
            raise InvalidInput(
                f"{named.name}: folders of {tree.root} are called after patients or studies, and would be classes; "
                "give a table of labels with labels=FILE, or put class folders above them"
            )
        return said
    file = named.beside(named.options["labels"])
    if not file.is_file():
        raise InvalidInput(f"{named.name}: the table {named.options['labels']} does not exist; check option labels")
    table = read_table(file)
    found = match_rows(table, files, NamedFiles(tree.root), named.options.get("image"))
    narrow = found.level in (0, PATH)
    rows = [own if narrow or place < len(tree.pictures) else [] for place, own in enumerate(found.rows)]
    column = named.options.get("group", "patient") not in (*GROUPS, NONE)
    return describe(table, named, rows, "image", problems, grouped=column)


def _without_spare(said: Described, files: Sequence[DicomHeader]) -> Described:
    """Leave out what cannot be read where another file of the same instance and patient can, as in other codings."""
    good = {(files[place].identity[0], files[place].identity[3]) for place in said.used if not files[place].refusal}
    kept = [
        index
        for index, place in enumerate(said.used)
        if not files[place].refusal
        or not files[place].identity[0]
        or (files[place].identity[0], files[place].identity[3]) not in good
    ]
    spare = len(said.used) - len(kept)
    if not spare:
        return said
    return said.only(kept, f"{spare} unreadable copies of images that can be read from other files are left out")


def _refuse_unreadable(named: NamedSource, tree: DicomTree, one: DicomHeader, problems: Problems) -> None:
    if one.refusal is not None:
        problems.add(tree.places.of(one.path), *one.refusal)
    if one.burned_in and named.options.get("burned_in") != "allow":
        problems.add(
            tree.places.of(one.path),
            "says that text is burned into its pixels",
            "leave it out, or use it all the same with burned_in=allow",
        )


def _groups(named: NamedSource, used: Sequence[DicomHeader]) -> list[str] | None:
    """Return whose each file is: the patient's, or as option `group` says; by the next narrower name that is there."""
    asked = named.options.get("group", "patient")
    if asked == NONE:
        return None
    if asked not in GROUPS:
        raise InvalidInput(
            f"{named.name}: option group={asked} is a column of a table; name one with labels=FILE, or choose "
            f"{', '.join(GROUPS)} or none"
        )
    groups = []
    for one in used:
        level = next((level for level in range(GROUPS[asked], -1, -1) if one.identity[level]), None)
        groups.append(one.path.name if level is None else f"{IDENTITY[level]} {one.identity[level]}")
    return groups


def _secrets(used: Sequence[DicomHeader]) -> list[str]:
    """Return what only who has the files knows: their identifiers, or their bytes where they have none."""
    return [" ".join(one.identity[:3]) if one.identity[0] else sha256_file(one.path) for one in used]


def _name(pseudonyms: Pseudonyms, root: Path, one: DicomHeader, frame: int) -> str:
    name = pseudonyms.of("file", one.path.relative_to(root).as_posix())
    return f"{name}/{frame + 1:04d}" if one.frames > 1 else name
