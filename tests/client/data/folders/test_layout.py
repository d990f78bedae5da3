"""Trees of folders as hospitals and data sets lay them out, and what each of their levels means."""

import unicodedata
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medforge.client.data.catalogue import check_source, open_task
from medforge.client.data.task import Task
from medforge.errors import InvalidInput

COUNT = iter(range(1 << 20))


def lay_out(root: Path, paths: Iterable[str]) -> Path:
    """Write a small image, unlike all others, at each path."""
    for name in paths:
        place = next(COUNT)
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shade = np.array([place % 256, place // 256 % 256, 7], dtype=np.uint8)
        Image.fromarray(np.broadcast_to(shade, (3, 3, 3))).save(path)
    return root


def classes(prefix: str = "", count: int = 12) -> list[str]:
    return [f"{prefix}{name}/{number}.png" for name in ("ill", "well") for number in range(count)]


def sizes(task: Task) -> list[int]:
    return [len(split) for split in task.splits.values()]


def groups_apart(task: Task) -> set[str]:
    groups = [set(split.groups or ()) for split in task.splits.values()]
    assert len(set.union(*groups)) == sum(map(len, groups))
    return set.union(*groups)


def labels_follow(task: Task, level: int) -> None:
    for split in task.splits.values():
        for name, label in zip(split.images.names, split.labels.tolist(), strict=True):
            assert name.split("/")[level] == task.folders[label]


def refusal(source: str) -> str:
    with pytest.raises(InvalidInput) as error:
        open_task(source, 8)
    return str(error.value)


def test_class_folders_without_splits_are_divided_here(tmp_path: Path) -> None:
    task = open_task(f"folder:{lay_out(tmp_path, classes(count=20))}", 8)
    assert (task.prompts, task.split, sizes(task)) == (("ill", "well"), "look-alikes", [24, 4, 12])
    labels_follow(task, 0)


@pytest.mark.parametrize(
    "names",
    [
        "train,val,test",
        "Training,Validation,Testing",
        "Train,valid,Test",
        "TRAIN,dev,TEST",
        "train_set,val-set,testset",
    ],
)
def test_splits_in_any_usual_spelling(tmp_path: Path, names: str) -> None:
    for name in names.split(","):
        lay_out(tmp_path, classes(f"{name}/", 3))
    task = open_task(f"folder:{tmp_path}", 8)
    assert (task.split, sizes(task)) == ("published", [6, 6, 6])
    labels_follow(task, 1)


def test_splits_below_the_classes(tmp_path: Path) -> None:
    lay_out(tmp_path, [f"{label}/{split}/{n}.png" for label in "ab" for split in ("Train", "Test") for n in range(8)])
    task = open_task(f"folder:{tmp_path}", 8)
    assert (task.split, sizes(task), task.folders) == ("published", [14, 2, 16], ("a", "b"))


def test_train_and_validation_alone_get_a_test_split_which_is_said(tmp_path: Path) -> None:
    root = lay_out(tmp_path, classes("train/", 20) + classes("val/", 3))
    task = open_task(f"folder:{root}", 8)
    assert (task.split, sizes(task)) == ("look-alikes", [28, 6, 12])
    assert task.notes[0] == (
        "no test split is declared: 12 images of the train split are held out as one, by look-alike"
    )


def test_a_test_split_alone_can_be_scored_and_not_trained_on(tmp_path: Path) -> None:
    root = lay_out(tmp_path, classes("Test/", 2))
    assert sizes(open_task(f"folder:{root}", 8, scoring="test")) == [0, 0, 4]
    assert f"{root} has no train split, so it can only score a model; put class folders into" in refusal(
        f"folder:{root}"
    )
    with pytest.raises(InvalidInput, match="has no validation split to score; choose --split test"):
        open_task(f"folder:{root}", 8, scoring="validation")


def test_one_folder_too_high(tmp_path: Path) -> None:
    inner = lay_out(tmp_path / "archive" / "Brain Tumor" / "data", classes("Training/") + classes("Testing/"))
    task = open_task(f"folder:{tmp_path / 'archive'}", 8)
    assert task.name == "archive"
    assert "holds one folder alone: the images are those of Brain Tumor/data" in task.notes[0]
    assert sizes(task) == sizes(open_task(f"folder:{inner}", 8))
    lay_out(tmp_path / "archive" / "another", classes("Training/") + classes("Testing/"))
    lay_out(tmp_path / "archive" / "third", classes("train/") + classes("test/"))
    sentence = refusal(f"folder:{tmp_path / 'archive'}")
    assert "is no data set, but" in sentence
    assert "another has splits and classes of its own; name that folder" in sentence


@pytest.mark.parametrize("splits", [("",), ("train/", "test/")])
@pytest.mark.parametrize("layout", ["class/patient", "patient/class"])
def test_patients_folders_are_told_and_never_divided(tmp_path: Path, splits: tuple[str, ...], layout: str) -> None:
    for part, split in enumerate(splits):
        for patient in range(10):
            who, label = f"P{part}{patient}", ("ill", "well")[patient % 2]
            above = f"{label}/{who}" if layout == "class/patient" else f"{who}/{label}"
            lay_out(tmp_path, [f"{split}{above}/{n}.png" for n in range(3)])
    task = open_task(f"folder:{tmp_path}", 8)
    assert task.folders == ("ill", "well")
    assert len(groups_apart(task)) == 10 * len(splits)
    assert task.split == ("patient" if splits == ("",) else "published")
    assert f"folders are read as {layout}" in task.notes[0]
    labels_follow(task, (layout == "patient/class") + (len(splits) > 1))


def test_patients_with_images_of_several_classes(tmp_path: Path) -> None:
    for patient in range(9):
        lay_out(tmp_path, [f"case {patient}/{label}/0.png" for label in ("left", "right", "both")[: 2 + patient % 2]])
    task = open_task(f"folder:{tmp_path},layout=patient/class", 8)
    assert groups_apart(task) == {f"case {patient}" for patient in range(9)}
    assert task.folders == ("both", "left", "right")


def test_folders_that_may_be_either_are_refused_with_the_option_that_decides(tmp_path: Path) -> None:
    lay_out(
        tmp_path, [f"{a}/{b}/{n}.png" for a in ("a", "b", "c", "d") for b in ("w", "x", "y", "z") for n in range(3)]
    )
    sentence = refusal(f"folder:{tmp_path}")
    assert "holds a, b, c and 1 more, and in these w, x, y and 1 more; say which are the classes with" in sentence
    assert open_task(f"folder:{tmp_path},layout=patient/class", 8).folders == ("w", "x", "y", "z")
    assert open_task(f"folder:{tmp_path},layout=class/patient", 8).folders == ("a", "b", "c", "d")
    plain = open_task(f"folder:{tmp_path},layout=class", 8)
    assert (plain.folders, plain.split) == (("a", "b", "c", "d"), "look-alikes")


def test_a_patient_in_two_splits_is_refused(tmp_path: Path) -> None:
    for split, first in (("train", 0), ("test", 9)):
        lay_out(tmp_path, [f"{split}/{'ab'[n % 2]}/P{n}/{k}.png" for n in range(first, first + 10) for k in range(2)])
    assert "are of one group in two splits" in refusal(f"folder:{tmp_path}")
    assert open_task(f"folder:{tmp_path},split=anew", 8).split == "patient"
    assert open_task(f"folder:{tmp_path},layout=class", 8).train.groups is None


def test_folders_below_a_class_that_come_again_in_every_split_mean_nothing(tmp_path: Path) -> None:
    lay_out(
        tmp_path,
        [
            f"{split}/{a}/{b}/{n}.png"
            for split in ("train", "test")
            for a in "ab"
            for b in ("T1", "T2")
            for n in range(4)
        ],
    )
    task = open_task(f"folder:{tmp_path}", 8)
    assert (task.folders, task.train.groups, task.notes) == (("a", "b"), None, task.notes)


def test_classes_called_like_splits_need_a_word(tmp_path: Path) -> None:
    lay_out(tmp_path, [f"{name}/{n}.png" for name in ("valid", "invalid") for n in range(10)])
    assert "invalid is none of train, validation, test; move that folder elsewhere or rename it, or say split=none" in (
        refusal(f"folder:{tmp_path}")
    )
    assert open_task(f"folder:{tmp_path},split=none", 8).folders == ("invalid", "valid")


def test_a_pattern_over_the_names_gives_groups(tmp_path: Path) -> None:
    root = lay_out(tmp_path, [f"{label}/IM-{n // 2:04}-{n % 2}{label}.png" for label in "ab" for n in range(24)])
    for pattern in (r"IM-(\d+)-", r"(IM)-(?P<group>\d{4,4})-"):
        task = open_task(f"folder:{root},group={pattern}", 8)
        assert groups_apart(task) == {f"{n:04}" for n in range(12)}
    assert "and 47 more of 48 names hold no group" in refusal(f"folder:{root},group=case(\\d)")
    assert "write (?:…) for those that do not matter" in refusal(f"folder:{root},group=(IM)-(\\d+)")


@pytest.mark.parametrize("header", ["path,group", "image_path;patient_id", "File\tlesion"])
def test_a_table_of_groups_is_found_by_itself(tmp_path: Path, header: str) -> None:
    root = lay_out(tmp_path / "set", classes(count=20))
    mark = next(mark for mark in ",;\t" if mark in header)
    rows = [f"set/{name}{mark}P{n % 20 // 2}{name[0]}" for n, name in enumerate(classes(count=20))]
    (root / "groups.csv").write_text("\n".join([header, *rows]))
    task = open_task(f"folder:{root}", 8)
    assert len(groups_apart(task)) == 20
    assert task.split == ("patient" if "patient" in header else "grouped")
    assert open_task(f"folder:{root},groups=none", 8).split == "look-alikes"
    (root / "groups.csv").write_text("\n".join([header, *rows[1:]]))
    assert "names no group for ill/0.png; add it or say groups=none" in refusal(f"folder:{root}")


def test_names_in_either_form_of_unicode_are_the_same(tmp_path: Path) -> None:
    forms = [unicodedata.normalize(form, "Größe") for form in ("NFC", "NFD")]
    for split, form in zip(("train", "test"), forms, strict=True):
        lay_out(tmp_path, [f"{split}/{label}/{form} {split}{n}.png" for label in (form, "other") for n in range(8)])
    task = open_task(f"folder:{tmp_path}", 8)
    assert task.folders == (forms[0], "other")
    rows = [
        f"{split}/{label}/{other} {split}{n}.png,{split}{label}{n}"
        for split, other in zip(("train", "test"), reversed(forms), strict=True)
        for label in (other, "other")
        for n in range(8)
    ]
    (tmp_path / "groups.csv").write_text("\n".join(["path,group", *rows]), encoding="utf-8")
    assert len(groups_apart(open_task(f"folder:{tmp_path}", 8))) == 32


@pytest.mark.parametrize("names", [("no tumor", "no_tumor"), ("Benign", "benign"), ("0", "1"), ("class_1", "class_2")])
def test_classes_whose_prompts_say_nothing_or_the_same(tmp_path: Path, names: tuple[str, str]) -> None:
    root = lay_out(tmp_path, [f"{name}/{n}.png" for name in names for n in range(10)])
    assert "; write a line 'CLASS: what it shows' for each class into prompts.txt" in refusal(f"folder:{root}")
    (root / "words.txt").write_text(
        "".join(f"{name}: text {letter}\n" for name, letter in zip(names, "ab", strict=True))
    )
    assert open_task(f"folder:{root},prompts=words.txt", 8).prompts[0].startswith("text ")
    check_source(f"folder:{root}")
    assert open_task(f"folder:{root}", 8, prompted=False).folders == tuple(sorted(names))


@pytest.mark.parametrize(
    ("prompts", "fault"),
    [
        (("c\u200bat", "dog"), r"the class prompt 'c\u200bat' holds U+200B, which nobody sees"),
        (("c\u0430t", "cat"), "are the same to a reader"),
    ],
)
def test_prompts_that_no_branch_may_have_are_refused_before_anything_is_trained(
    tmp_path: Path, prompts: tuple[str, str], fault: str
) -> None:
    root = lay_out(tmp_path, [f"{name}/{n}.png" for name in "ab" for n in range(10)])
    (root / "prompts.txt").write_text("".join(f"{k}: {v}\n" for k, v in zip("ab", prompts, strict=True)), "utf-8")
    assert f"{fault}; write a line 'CLASS: what it shows'" in refusal(f"folder:{root}")


REAL = {
    "actualmed_chest_covid": True,
    "bccd_blood_cells": True,
    "brain_mri": False,
    "brain_mri_yes_no": True,
    "busi_breast_ultrasound": True,
    "ham10000_skin": True,
    "kermany_chest_pneumonia": True,
    "nih_chest_pneumonia": True,
    "odir_fundus_cataract": True,
}


@pytest.mark.parametrize("name", REAL)
def test_the_real_sets_open_and_divide_no_patient(shared_data: Path, name: str) -> None:
    task = open_task(f"folder:{shared_data / name}", 8)
    assert task.split == "published"
    assert all(sizes(task))
    assert (task.train.groups is not None) == REAL[name]
    if REAL[name]:
        groups_apart(task)
