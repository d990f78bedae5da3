"""What the columns of a table are for, told by the names that published tables give them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Literal

from medforge.client.data.tables.table import Table
from medforge.errors import InvalidInput

Role = Literal["image", "label", "group", "split", "prompt"]

ROLES: dict[Role, tuple[str, ...]] = {
    "image": (
        "image, images, path, paths, file, files, filename, filenames, filepath, filepaths, file name, file path, "
        "image path, image file, image filename, image name, image index, imagename, imagepath, imagefile, "
        "imagefilename, img, img path, img name, imgpath, imgname, fname, picture, x ray image name",
        "image id, imageid, img id, imgid, isic id, id code, dicom id, sop instance uid, sopinstanceuid",
        "id, name",
    ),
    "label": (
        "label, labels, class, classes, target, targets, category, categories, class name, classname, label name, "
        "labelname, image label, y",
        "dx, diagnosis, diagnoses, finding, findings, finding label, finding labels, pathology, disease, diseases, "
        "condition, benign malignant, level, grade, kl, kl grade, retinopathy grade, adjudicated dr grade, birads, "
        "bi rads, tumor, tumour",
        "class id, classid, class index, class number, label id, labelid",
    ),
    "group": (
        "group, groups, group id, groupid",
        "patient, patients, patient id, patientid, patient number, patient code, pid, subject, subject id, subjectid, "
        "participant, participant id, person id, case, case id, caseid, eid, mrn",
        "lesion, lesion id, lesionid, slide, slide id, slideid, smear, tile, source tile",
    ),
    "split": (
        "split, splits, subset, partition, data split, dataset split, set, phase, usage, part, train test, "
        "train val test",
    ),
    "prompt": ("prompt, prompts, class prompt",),
}
"""Names (in lower case, words parted by a space) for each role, in ranks: a rank counts where no earlier one is there.

A patient's column comes before a lesion's, for all lesions of a patient then stay together.
"""


def find_column(
    table: Table, role: Role, asked: str | None = None, fits: Callable[[list[str]], bool] | None = None
) -> str | None:
    """Return the column that has a role: the one that is `asked` for, else the one whose name says so; None if none.

    Where two names of a rank are there, the one whose cells `fit` counts. Raises InvalidInput, naming the columns,
    where there is no column as asked for, or several names say so.
    """
    if asked is not None:
        return asked_column(table, asked, role)
    for rank in ROLES[role]:
        named = [name for name in table.columns if plain(name) in rank.split(", ")]
        if len(named) > 1 and fits is not None:
            named = [name for name in named if fits(table.column(name))] or named
        if len(named) > 1:
            raise InvalidInput(
                f"{table.path} has several columns that may be the {role}: {', '.join(named)}; choose with "
                f"{role}={named[0]}"
            )
        if named:
            return named[0]
    return None


def asked_column(table: Table, asked: str, role: str) -> str:
    """Return the column that is asked for, in any case; raises InvalidInput, naming the columns, if there is none."""
    exact = [name for name in table.columns if name == asked]
    alike = exact or [name for name in table.columns if plain(name) == plain(asked)]
    if len(alike) != 1:
        raise InvalidInput(
            f"{table.path} has {'several columns' if alike else 'no column'} '{asked}' for {role}; choose one of "
            f"{table.known}"
        )
    return alike[0]


def plain(name: str) -> str:
    """Spell a column's name as `ROLES` does: lower case, words parted by one space, without marks."""
    return " ".join(re.split(r"[\W_]+", unicodedata.normalize("NFC", name).casefold().replace("#", " number "))).strip()
