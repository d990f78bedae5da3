"""A site's own folders become the classes of a declared task: by a map, or because they are called so."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from medforge.client.data.catalogue import open_task
from medforge.client.data.class_map import read_map
from medforge.client.data.declared import declare
from medforge.client.data.pixels.store import PixelStore
from medforge.client.data.task import Split, Task
from medforge.declared_task import DeclaredTask
from medforge.errors import InvalidInput
from tests.client.tasks import make_findings_task, write_folder

LUNG = DeclaredTask.make(
    "lung",
    [("aca", "lung adenocarcinoma"), ("scc", "lung squamous cell carcinoma"), ("benign", "benign lung tissue")],
    "histology",
)


def site(*folders: str, prompts: tuple[str, ...] = ()) -> Task:
    """A task of one image a class in each split."""
    count = len(folders)
    pixels = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 4, 4)
    split = Split(PixelStore.of_tensor(pixels.contiguous()), torch.arange(count))
    texts = prompts or tuple(name.replace("_", " ") for name in folders)
    return Task("archive", texts, split, split, split, "published", folders=folders)


def test_a_map_gives_the_sites_folders_the_tasks_prompts_in_the_sites_order() -> None:
    task = declare(site("normal", "adeno"), LUNG, {"adeno": "aca", "normal": "benign"})
    assert task.prompts == ("benign lung tissue", "lung adenocarcinoma")
    assert (task.name, task.classes, task.modality) == ("lung", ("benign", "aca"), "histology")
    assert task.folders == ("normal", "adeno")
    assert task.train.labels.tolist() == [0, 1]


def test_several_folders_may_be_one_class() -> None:
    table = {"grade 1": "aca", "healthy": "benign", "grade 2": "aca", "elsewhere": "scc"}
    task = declare(site("grade 1", "healthy", "grade 2"), LUNG, table)
    assert task.classes == ("aca", "benign")
    assert task.folders == ("grade 1, grade 2", "healthy")
    for split in task.splits.values():
        assert split.labels.tolist() == [0, 1, 0]


@given(st.permutations(range(3)), st.integers(2, 3))
def test_every_image_keeps_its_class_whatever_the_order_of_the_folders(order: list[int], count: int) -> None:
    names = ("acinar", "scaly", "normal")
    keys = dict(zip(names, LUNG.keys, strict=True))
    folders = tuple(names[at] for at in order[:count])
    task = declare(site(*folders), LUNG, keys)
    assert [task.classes[label] for label in task.train.labels.tolist()] == [keys[name] for name in folders]
    assert [dict(zip(LUNG.keys, LUNG.prompts, strict=True))[key] for key in task.classes] == list(task.prompts)


@pytest.mark.parametrize("names", [("SCC", "Benign"), ("Lung_squamous_cell_carcinoma", "benign  lung tissue")])
def test_without_a_map_folders_must_be_keys_or_prompts(names: tuple[str, str]) -> None:
    assert declare(site(*names), LUNG).classes == ("scc", "benign")


def test_without_a_map_the_sentence_prints_the_map_to_write(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as refused:
        declare(site("100 % adeno", "benign"), LUNG)
    assert str(refused.value) == (
        "the folder '100 % adeno' is no class of task lung, which has aca, scc, benign; say which class it is with "
        r"--map FILE, written by: printf 'folder,class\n100 %% adeno,KEY\nbenign,benign\n' > FILE"
    )


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"adeno": "aca"}, "the map lacks the folder 'normal'; add a line for it, or take its images away"),
        (
            {"adeno": "aca", "normal": "healthy"},
            "the map gives the folder 'normal' the class 'healthy', which task lung does not have; choose one of aca, "
            "scc, benign",
        ),
    ],
)
def test_what_a_map_must_not_say(table: dict[str, str], sentence: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        declare(site("normal", "adeno"), LUNG, table)
    assert str(refused.value) == sentence


def test_one_class_alone_is_no_task() -> None:
    with pytest.raises(InvalidInput, match="lung has 1 class; a task needs at least two"):
        declare(site("a", "b"), LUNG, {"a": "aca", "b": "aca"})


def test_several_findings_an_image_are_no_declared_task() -> None:
    with pytest.raises(InvalidInput, match="tints may have several findings an image, and a declared task has one"):
        declare(make_findings_task(), LUNG)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_map_is_read(tmp_path: Path) -> None:
    table = read_map(write(tmp_path / "map.csv", '﻿folder,class\n"a, b",aca\nsta\u0308dte,scc\n\n'))
    assert table == {"a, b": "aca", "städte": "scc"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("folder,class\na,aca\na,scc\n", "names the folder 'a' twice; keep one of the lines"),
        ("folder,class\na,\n", "has a line that is not 'FOLDER,CLASS'; mend it"),
        ("folder,class\na\n", "has a line that is not 'FOLDER,CLASS'; mend it"),
        ("folder,class\na,b,c\n", "line 2, has 3 cells for 2 columns; put a cell that holds the delimiter in"),
        ("a,aca\n", "must have the columns folder and class, and no others; mend its first line"),
        ("", "is empty; give one with a line of column names"),
        ('folder,class\n"a,aca\n', "line 2, is no line of a table"),
    ],
)
def test_a_map_that_is_none(text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_map(write(tmp_path / "map.csv", text))
    assert sentence in str(refused.value)
    assert str(refused.value).startswith(f"the map {tmp_path / 'map.csv'}")


def test_a_missing_map_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"the map .*none.csv"):
        read_map(tmp_path / "none.csv")


def test_sources_know_their_folders(tmp_path: Path) -> None:
    task = open_task(f"folder:{write_folder(tmp_path / 'shades')}", 16)
    assert task.own_names == task.folders == ("bright_tissue", "dark_tissue")
    drawn = open_task("tissue:breast,train=12,validation=4,test=4", 16)
    assert drawn.own_names == drawn.prompts
