"""Images that a table names: headers of published tables, labels of every kind, and each thing that can be wrong."""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medforge.client.data.catalogue import check_source, open_task
from medforge.client.data.problems import SourceProblems
from medforge.client.data.task import Task
from medforge.errors import InvalidInput

WriteImage = Callable[..., Path]
Row = tuple[str, ...]


def lay_out(root: Path, write_image: WriteImage) -> Path:
    """Three images of each of twenty patients, healthy or ill, in two folders; identifiers without an ending."""
    rows = [("patient_id", "image_id", "dx")]
    for place in range(60):
        write_image(root / f"part {place % 2 + 1}" / f"ISIC_{place:04}.jpg", place)
        rows.append((f"P{place // 3}", f"ISIC_{place:04}", "ill" if place < 30 else "healthy"))
    return save(root / "scans.csv", rows)


def save(path: Path, rows: list[Row], delimiter: str = ",", encoding: str = "utf-8") -> Path:
    with path.open("w", newline="", encoding=encoding) as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path


def grid(tmp_path: Path, header: str, line: Callable[[int], Row], count: int = 24) -> Path:
    """A table of `count` rows, and a small image of its own for each name in the first column."""
    rows = [tuple(header.split(",")), *(line(place) for place in range(count))]
    for place, row in enumerate(rows[1:]):
        path = tmp_path / row[0].replace("\\", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((6, 6, 3), place * 7, dtype=np.uint8)).save(path)
    return save(tmp_path / "t.csv", rows)


def refusal(source: str) -> str:
    with pytest.raises(InvalidInput) as error:
        open_task(source, 8)
    return str(error.value)


def labels_by_name(task: Task) -> dict[str, Any]:
    return {
        name: label
        for split in task.splits.values()
        for name, label in zip(split.images.names, split.labels.tolist(), strict=True)
    }


def test_identifiers_in_two_folders_patients_together(tmp_path: Path, write_image: WriteImage) -> None:
    task = open_task(f"table:{lay_out(tmp_path, write_image)}", 8)
    assert (task.name, task.prompts, task.split) == ("scans", ("healthy", "ill"), "patient")
    groups = [set(split.groups or ()) for split in task.splits.values()]
    assert len(set.union(*groups)) == sum(map(len, groups)) == 20
    for name, label in labels_by_name(task).items():
        assert label == (int(name[-8:-4]) < 30), name
    assert {name.split("/")[0] for name in labels_by_name(task)} == {"part 1", "part 2"}


@pytest.mark.parametrize("word", ["train,val,test", "Training,Validation,Testing", "TRAIN,dev,test_set"])
def test_declared_splits_in_any_spelling(tmp_path: Path, word: str) -> None:
    words = word.split(",")
    source = grid(tmp_path, "file,label,split", lambda n: (f"{n}.png", "ab"[n % 2], words[n // 2 % 3]))
    task = open_task(f"table:{source}", 8)
    assert (task.split, [len(split) for split in task.splits.values()]) == ("published", [8, 8, 8])
    assert "2.png" in task.validation.images.names


def test_a_test_split_that_is_not_declared_is_cut_out_and_said(tmp_path: Path) -> None:
    source = grid(
        tmp_path, "file,label,split,patient", lambda n: (f"{n}.png", "ab"[n % 2], "val" if n < 4 else "train", str(n))
    )
    task = open_task(f"table:{source}", 8)
    assert [len(split) for split in task.splits.values()] == [14, 4, 6]
    assert task.notes[0].startswith("no test split is declared: 6 images of the train split are held out as one, by p")
    assert task.split == "patient"
    assert not any("test split" in note for note in open_task(f"table:{source},split=none", 8).notes)


def test_what_is_no_split_is_refused_and_can_be_set_aside(tmp_path: Path) -> None:
    source = grid(tmp_path, "file,label,split", lambda n: (f"{n}.png", "ab"[n % 2], "train" if n else "x"))
    assert "line 2 says 'x' in column split, which is no split; write train, validation" in refusal(f"table:{source}")
    assert open_task(f"table:{source},split=none", 8).split == "look-alikes"


def test_a_patient_in_two_declared_splits_is_refused(tmp_path: Path) -> None:
    source = grid(
        tmp_path, "file,label,split,pid", lambda n: (f"{n}.png", "ab"[n % 2], ("train", "test")[n // 12], f"P{n % 5}")
    )
    assert "of one group in two splits" in refusal(f"table:{source}")


def test_a_pattern_over_the_names_gives_patients(tmp_path: Path) -> None:
    source = grid(tmp_path, "file,label", lambda n: (f"p{n // 2}_{n}.png", "ab"[n // 2 % 2]))
    task = open_task(f"table:{source},group=/p(\\d+)_", 8)
    assert task.split == "grouped"
    groups = [set(split.groups or ()) for split in task.splits.values()]
    assert len(set.union(*groups)) == sum(map(len, groups)) == 12
    assert "and 23 more of 24 names hold no group (case" in refusal(f"table:{source},group=(case\\d)")
    assert "is no regular expression" in refusal(f"table:{source},group=((")


@pytest.mark.parametrize("way", ["hot", "columns", "bar", "semicolon", "comma"])
def test_several_labels_by_columns_or_a_separator(tmp_path: Path, way: str) -> None:
    """The same labels however they are written: finding A of even images, B of those that three divides."""
    sets = [({"A"} if n % 2 == 0 else set()) | ({"B"} if n % 3 == 0 else set()) for n in range(24)]
    joint = {"bar": "|", "semicolon": ";", "comma": ", "}.get(way)
    if joint:
        source = grid(tmp_path, "file,labels", lambda n: (f"{n}.png", joint.join(sorted(sets[n])) or "No Finding"))
        asked = f"table:{source}"
    else:
        yes, no = ("1", "0") if way == "hot" else ("Positive", "negative")
        source = grid(
            tmp_path, "file,A,B", lambda n: (f"{n}.png", *(yes if name in sets[n] else no for name in ("A", "B")))
        )
        asked = f"table:{source},label=A|B"
    task = open_task(asked, 8)
    assert (task.prompts, task.negatives) == (("positive A", "positive B"), ("negative A", "negative B"))
    assert labels_by_name(task) == {f"{n}.png": [int(name in sets[n]) for name in "AB"] for n in range(24)}


def test_one_hot_columns_are_classes(tmp_path: Path) -> None:
    source = grid(
        tmp_path,
        "image,MEL,NV,BCC,age",
        lambda n: (f"{n}.png", *("1.0" if n % 3 == k else "0.0" for k in range(3)), "7"),
    )
    task = open_task(f"table:{source}", 8)
    assert task.prompts == ("MEL", "NV", "BCC")
    assert labels_by_name(task) == {f"{n}.png": n % 3 for n in range(24)}
    several = open_task(f"table:{source},label=MEL|NV|BCC,several=yes", 8)
    assert several.negatives == ("negative MEL", "negative NV", "negative BCC")


def test_a_cell_that_may_be_one_label_or_several_is_not_guessed(tmp_path: Path) -> None:
    source = grid(tmp_path, "file,dx", lambda n: (f"{n}.png", ("carcinoma, in situ", "normal")[n % 2]))
    assert "'carcinoma, in situ' in column dx may be one label or several; say separator=comma" in refusal(
        f"table:{source}"
    )
    assert open_task(f"table:{source},separator=none", 8).prompts == ("carcinoma, in situ", "normal")


@pytest.mark.parametrize("blank", ["", "NaN", " "])
def test_rows_without_a_label_are_refused_or_left_out_by_an_option(tmp_path: Path, blank: str) -> None:
    source = grid(tmp_path, "file,finding", lambda n: (f"{n}.png", ("a", "b", blank)[n % 3]))
    assert "has 8 rows without a label in column finding (the first in line 4); fill them in" in refusal(
        f"table:{source}"
    )
    task = open_task(f"table:{source},empty=drop", 8)
    assert task.notes[0] == "8 of 24 rows of t.csv without a label are left out"
    assert sum(map(len, task.splits.values())) == 16
    filled = open_task(f"table:{source},empty=other", 8)
    assert filled.prompts == ("a", "b", "other")
    assert sum(map(len, filled.splits.values())) == 24


def test_findings_left_open_are_refused_or_decided_by_an_option(tmp_path: Path) -> None:
    cells = ("1.0", "0.0", "", "-1.0")
    source = grid(tmp_path, "Path,Edema,Mass", lambda n: (f"{n}.png", cells[n % 4], cells[n // 4 % 2]))
    sentence = refusal(f"table:{source},label=Edema|Mass")
    assert "has 6 empty cells among Edema, Mass …" in sentence
    assert "(and 1 more problem in this data set)" in sentence
    asked = f"table:{source},label=Edema|Mass,empty=none"
    assert labels_by_name(open_task(f"{asked},uncertain=present", 8))["3.png"] == [1, 1]
    assert labels_by_name(open_task(f"{asked},uncertain=absent", 8))["3.png"] == [0, 1]
    assert "3.png" not in labels_by_name(open_task(f"{asked},uncertain=drop", 8))


def test_missing_images_are_counted_and_named(tmp_path: Path) -> None:
    source = grid(tmp_path, "file,label", lambda n: (f"{n}.png", "ab"[n % 2]))
    for place in (3, 4, 5, 6):
        (tmp_path / f"{place}.png").unlink()
    sentence = refusal(f"table:{source}")
    assert "lacks 4 of 24 images that t.csv names: 3.png, 4.png, 5.png and 1 more; restore them" in sentence
    task = open_task(f"table:{source},missing=drop", 8)
    assert task.notes[0] == "4 of 24 images are missing and left out: 3.png, 4.png, 5.png and 1 more"
    assert sum(map(len, task.splits.values())) == 20


def test_every_problem_is_found_at_once(tmp_path: Path) -> None:
    source = grid(tmp_path, "file,label,split", lambda n: (f"{n}.png", "ab"[n % 2], "train" if n > 2 else "fold 1"))
    rows = list(csv.reader(source.read_text().splitlines()))
    save(source, [tuple(row) for row in (*rows, rows[5], ["gone.png", "a", "train"], ["7.png", "", "test"])])
    with pytest.raises(SourceProblems) as error:
        open_task(f"table:{source}", 8)
    whats = [one.sentence() for one in error.value.problems]
    assert len(whats) == 7, whats
    assert sum("which is no split" in what for what in whats) == 3
    for part in (
        "rows without a label",
        "names 4.png again, as line 6 does; keep one",
        "names 7.png again",
        "lacks 1 of 27 images",
    ):
        assert sum(part in what for what in whats) == 1, part


def test_prompts_of_a_column_or_a_file(tmp_path: Path) -> None:
    source = grid(tmp_path, "file,label,prompt", lambda n: (f"{n}.png", str(n % 2), ("no x", "an x")[n % 2]))
    assert open_task(f"table:{source}", 8).prompts == ("no x", "an x")
    (tmp_path / "words.txt").write_text("1: pneumonia\n0: healthy lungs\n")
    assert open_task(f"table:{source},prompts=words.txt", 8).prompts == ("healthy lungs", "pneumonia")
    assert "the prompts file no.txt does not exist" in refusal(f"table:{source},prompts=no.txt")
    source = grid(tmp_path, "file,label,prompt", lambda n: (f"{n}.png", str(n % 2), str(n)))
    assert "column prompt says '0' and '10' of class '0'; give each class one prompt" in refusal(f"table:{source}")


def test_prompts_that_are_alike_or_say_nothing_are_refused(tmp_path: Path) -> None:
    source = grid(tmp_path, "file,label", lambda n: (f"{n}.png", ("no tumor", "no_tumor")[n % 2]))
    assert "the classes 'no tumor' and 'no_tumor' would get one prompt, 'no tumor'; write a line" in refusal(
        f"table:{source}"
    )
    for one, other in (("0", "1"), ("class 1", "class-2"), ("1.0", "2.0"), ("Label_0", "Label_1")):
        source = grid(tmp_path, "file,label", lambda n, pair=(one, other): (f"{n}.png", pair[n % 2]))
        assert "does not say what the images show; write a line" in refusal(f"table:{source}"), one
    source = grid(tmp_path, "file,label", lambda n: (f"{n}.png", ("no", "yes")[n % 2]))
    assert "the prompts 'no', 'yes' say little of what the images show" in open_task(f"table:{source}", 8).notes[0]


def test_paths_from_another_machine_and_another_root(tmp_path: Path) -> None:
    source = grid(tmp_path / "pictures", "file,label", lambda n: (f"set\\{n}.png", "ab"[n % 2]))
    table = source.rename(tmp_path / "t.tsv")
    assert "lacks 24 of 24" not in str(open_task(f"table:{table}", 8))
    assert len(labels_by_name(open_task(f"table:{table},root=pictures,extension=png", 8))) == 24
    assert "option root=nowhere names no folder" in refusal(f"table:{table},root=nowhere")


def test_a_table_that_says_too_little_is_refused_with_its_columns(tmp_path: Path) -> None:
    source = grid(tmp_path, "file,kind", lambda n: (f"{n}.png", "ab"[n % 2]))
    assert "has no column that is called like a label, only file, kind; name it with label=COLUMN" in refusal(
        f"table:{source}"
    )
    assert open_task(f"table:{source},label=kind", 8).prompts == ("a", "b")
    source = grid(tmp_path, "scan,label", lambda n: (f"{n}.png", "ab"[n % 2]))
    assert "has no column of images, only scan, label; name it with image=COLUMN" in refusal(f"table:{source}")
    assert len(labels_by_name(open_task(f"table:{source},image=scan", 8))) == 24
    with pytest.raises(InvalidInput, match="no file"):
        check_source(f"table:{tmp_path}")


def test_without_a_line_of_names_columns_are_numbered(tmp_path: Path) -> None:
    source = grid(tmp_path, "nothing,here", lambda n: (f"{n}.png", "ab"[n % 2]))
    source.write_text("".join(source.read_text().splitlines(keepends=True)[1:]))
    assert "header=no" in refusal(f"table:{source}")
    assert len(labels_by_name(open_task(f"table:{source},header=no,image=1,label=2", 8))) == 24


@dataclass(frozen=True)
class Published:
    """What a published table's columns are, as a person reads it."""

    image: str
    label: str
    others: tuple[str, ...]
    """Classes that its first rows lack, or nearly."""
    split: str = "look-alikes"
    ending: str = ""
    options: str = ""


PUBLISHED = {
    "HAM10000_metadata.csv": Published("image_id", "dx", ("nv", "mel"), "grouped", ".jpg"),
    "actualmed_metadata.csv": Published(
        "imagename", "finding", ("COVID-19", "No finding"), "patient", "", ",empty=drop"
    ),
    "brain_images-labels.csv": Published("images", "labels", ()),
    "chest_image_path-target.csv": Published("image_path", "target", ("1",), options=",prompts=words.txt"),
    "odir_labels-filename.csv": Published("filename", "labels", ("N",)),
    "skin_file-label.csv": Published("file", "label", ("mel", "bkl", "nv")),
}


def complete(layouts: Path, root: Path, name: str) -> str:
    """Copy the first rows of a published table, add rows of the classes that they lack, and draw an image for each."""
    with (layouts / name).open(newline="") as file:
        rows = list(csv.DictReader(file))
    about = PUBLISHED[name]
    for label in about.others:
        rows += [
            {column: f"{cell}-{label}-{n}" if column != about.label else label for column, cell in rows[0].items()}
            | {about.image: f"{label}{n}{PurePosixPath(rows[0][about.image]).suffix}"}
            for n in range(5)
        ]
    for n, row in enumerate(rows):
        path = root / f"images {n % 2 if about.ending else ''}".strip() / f"{row[about.image]}{about.ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((6, 6, 3), n, dtype=np.uint8)).save(path)
    (root / "words.txt").write_text("0: normal chest x-ray\n1: chest x-ray with pneumonia\n")
    save(root / name, [tuple(rows[0]), *(tuple(row.values()) for row in rows)])
    return f"table:{root / name},root={root / 'images'}" if not about.ending else f"table:{root / name}"


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_tables_open_as_they_are(shared_data: Path, tmp_path: Path, name: str) -> None:
    about = PUBLISHED[name]
    source = complete(shared_data / "layouts", tmp_path, name)
    if about.options:
        assert "; " in refusal(source)
    task = open_task(source + about.options, 8)
    assert task.split == about.split
    with (tmp_path / name).open(newline="") as file:
        rows = {row[about.image] + about.ending: row[about.label] for row in csv.DictReader(file)}
    found = labels_by_name(task)
    kept = {image: label for image, label in rows.items() if label}
    assert len(found) == len(kept)
    for image, label in found.items():
        (own,) = [value for key, value in kept.items() if f"/{image}".endswith(f"/{PurePosixPath(key).name}")]
        assert task.folders[label] == own
