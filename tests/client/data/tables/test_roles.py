"""Columns are found by the names that published tables give them, and never guessed between two."""

from pathlib import Path

import pytest

from medforge.client.data.tables.roles import ROLES, Role, find_column, plain
from medforge.client.data.tables.table import Table
from medforge.errors import InvalidInput


def table(*columns: str, row: tuple[str, ...] = ()) -> Table:
    rows = (row or tuple("x" for _ in columns),)
    return Table(Path("t.csv"), columns, rows, (2,))


@pytest.mark.parametrize(
    ("header", "found"),
    [
        # the published tables these come from: HAM10000, NIH, Kaggle's pneumonia, ISIC 2019, APTOS, IDRiD, Messidor
        (
            "lesion_id,image_id,dx,dx_type,age,sex,localization",
            {"image": "image_id", "label": "dx", "group": "lesion_id"},
        ),
        (
            "Image Index,Finding Labels,Patient ID",
            {"image": "Image Index", "label": "Finding Labels", "group": "Patient ID"},
        ),
        (",X_ray_image_name,Label,Dataset_type", {"image": "X_ray_image_name", "label": "Label", "group": None}),
        ("id_code,diagnosis", {"image": "id_code", "label": "diagnosis", "split": None}),
        ("Image name,Retinopathy grade,Risk of macular edema ", {"image": "Image name", "label": "Retinopathy grade"}),
        ("image_id,adjudicated_dr_grade,adjudicated_dme", {"image": "image_id", "label": "adjudicated_dr_grade"}),
        ("IMAGE-PATH,Class,Patient No,Set", {"image": "IMAGE-PATH", "label": "Class", "split": "Set"}),
        ("patientid,offset,finding,imagename", {"image": "imagename", "label": "finding", "group": "patientid"}),
        ("lesion_id,patient_id,image,label", {"group": "patient_id"}),
        ("id,path,label,prompt", {"image": "path", "prompt": "prompt"}),
    ],
)
def test_published_headers(header: str, found: dict[Role, str | None]) -> None:
    one = table(*(name.strip() for name in header.split(",")))
    assert {role: find_column(one, role) for role in found} == {
        role: name and name.strip() for role, name in found.items()
    }


def test_two_that_may_be_it_are_both_named() -> None:
    with pytest.raises(InvalidInput) as refused:
        find_column(table("image", "diagnosis", "benign_malignant"), "label")
    assert str(refused.value) == (
        "t.csv has several columns that may be the label: diagnosis, benign_malignant; choose with label=diagnosis"
    )
    one = table("image", "path", row=("7", "a.png"))
    assert find_column(one, "image", fits=lambda cells: cells[0].endswith(".png")) == "path"


def test_what_is_asked_for_is_found_in_any_case() -> None:
    one = table("Image Index", "tumour")
    assert find_column(one, "image", "image_index") == "Image Index"
    with pytest.raises(InvalidInput, match="t.csv has no column 'type' for label; choose one of Image Index, tumour"):
        find_column(one, "label", "type")


def test_names_are_listed_as_they_are_compared_and_once() -> None:
    for ranks in ROLES.values():
        names = [name for rank in ranks for name in rank.split(", ")]
        assert names == [plain(name) for name in names]
        assert len(names) == len(set(names))
