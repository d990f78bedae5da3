"""Task and Split: what they refuse, and the request that opens them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medforge.client.data.catalogue import names, open_task
from medforge.client.data.pixels.store import PixelStore
from medforge.client.data.request import split_source
from medforge.client.data.task import Split, Task
from medforge.errors import InvalidInput


def split(*labels: int | list[int], groups: tuple[str, ...] | None = None) -> Split:
    pixels = torch.zeros(len(labels), 3, 4, 4, dtype=torch.uint8)
    return Split(PixelStore.of_tensor(pixels), torch.tensor(labels), groups)


def test_by_class_gives_the_positions_of_each_class() -> None:
    assert [part.tolist() for part in split(1, 0, 1).by_class()] == [[1], [0, 2]]
    assert [part.tolist() for part in split(1, 0, 1).by_class(3)] == [[1], [0, 2], []]


def test_groups_are_for_scoring_only_where_slides_are_scored() -> None:
    parts = [split(0, 1, groups=("s", "t")) for _ in range(3)]
    by_patch = Task("x", ("a", "b"), *parts, split="grouped")
    by_slide = Task("x", ("a", "b"), *parts, split="patient", score_by="slide")
    assert by_patch.scoring_groups(by_patch.test) is None
    assert by_slide.scoring_groups(by_slide.test) == ("s", "t")


def test_a_class_missing_from_a_split_is_an_error() -> None:
    with pytest.raises(InvalidInput, match="x has no image of class 'b' in its validation split; add images"):
        Task("x", ("a", "b"), split(0, 1), split(0, 0), split(0, 1), split="random")


def test_labels_and_prompts_must_match() -> None:
    with pytest.raises(InvalidInput, match="x has 2 prompts but its test split holds label 2; give one prompt per"):
        Task("x", ("a", "b"), split(0, 1), split(0, 1), split(0, 1, 2), split="random")
    with pytest.raises(InvalidInput, match="at least two"):
        Task("x", ("a",), split(0), split(0), split(0), split="random")


FULL = ([0, 1], [1, 0], [0, 0])


def findings(*labels: list[int], **changes: Any) -> Task:
    """A task of two findings whose training split has these labels."""
    parts = {"validation": split(*FULL), "test": split(*FULL)} | changes
    return Task("x", ("mass", "edema"), split(*labels), split="random", negatives=("no mass", "no edema"), **parts)


def test_several_labels_an_image() -> None:
    task = findings(*FULL)
    assert task.multi_label
    assert task.texts == ("mass", "edema", "no mass", "no edema")
    one = Task("x", ("a", "b"), split(0, 1), split(0, 1), split(0, 1), split="random")
    assert not one.multi_label
    assert one.texts == one.prompts


def test_one_finding_is_enough() -> None:
    parts = [split([0], [1]) for _ in range(3)]
    assert Task("x", ("mass",), *parts, split="random", negatives=("no mass",)).multi_label


def test_a_rare_finding_may_be_absent_from_validation_and_test_but_not_from_training() -> None:
    assert len(findings(*FULL, validation=split([0, 0]), test=split([1, 1])).test) == 1
    with pytest.raises(InvalidInput, match="x: no image of the train split is 'edema', so it cannot be learned; leave"):
        findings([0, 0], [1, 0])
    with pytest.raises(InvalidInput, match="x: every image of the train split is 'edema', so it cannot be learned"):
        findings([0, 1], [1, 1])
    with pytest.raises(InvalidInput, match="x has no image in its test split; add images or choose another split"):
        findings(*FULL, test=Split(split(0, 0).images.select(np.array([], dtype=np.int64)), torch.zeros(0, 2).long()))


def test_labels_findings_and_prompts_must_match() -> None:
    with pytest.raises(InvalidInput, match=r"2 findings but the labels of its test split are \[2, 3\]; give each"):
        findings(*FULL, test=split([0, 1, 0], [0, 0, 0]))
    with pytest.raises(InvalidInput, match=r"2 findings but the labels of its validation split are \[2\]; give each"):
        findings(*FULL, validation=split(0, 1))
    with pytest.raises(InvalidInput, match="labels of its test split are neither 0 .* nor 1"):
        findings(*FULL, test=split([0, 2]))
    with pytest.raises(InvalidInput, match="x has 2 labels for each image of its train split; give it negatives"):
        Task("x", ("a", "b"), split(*FULL), split(*FULL), split(*FULL), split="random")
    parts = [split(*FULL) for _ in range(3)]
    with pytest.raises(InvalidInput, match="x has 2 prompts and 1 negatives; give each finding one of both"):
        Task("x", ("a", "b"), *parts, split="random", negatives=("no a",))
    with pytest.raises(InvalidInput, match="x: 'b' stands for the finding and for its absence; word them differently"):
        Task("x", ("a", "b"), *parts, split="random", negatives=("no a", "b"))


def test_slide_score_needs_slides() -> None:
    with pytest.raises(InvalidInput, match="x is scored by slide but its images name no slides"):
        Task("x", ("a", "b"), split(0, 1), split(0, 1), split(0, 1), split="patient", score_by="slide")


def test_labels_and_groups_must_be_one_per_image() -> None:
    store = PixelStore.of_tensor(torch.zeros(2, 3, 4, 4, dtype=torch.uint8))
    with pytest.raises(InvalidInput, match=r"labels must be int64 \[2\], or have one column for .* torch.int64 \[3\]"):
        Split(store, torch.tensor([0, 1, 0]))
    with pytest.raises(InvalidInput, match="1 groups for 2 images"):
        Split(store, torch.tensor([0, 1]), ("s",))


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("folder:/a/b", ("folder", "/a/b", {})),
        ("x:/a,threads=2", ("x", "/a", {"threads": "2"})),
        ("x:/a,b=c/d", ("x", "/a", {"b": "c/d"})),
        ("x:C:/a b,split=random,groups=/g.csv", ("x", "C:/a b", {"split": "random", "groups": "/g.csv"})),
        ("x:/with,comma/dir", ("x", "/with,comma/dir", {})),
    ],
)
def test_options_are_cut_off_from_the_right(source: str, parts: tuple[str, str, dict[str, str]]) -> None:
    assert split_source(source) == parts


def test_an_existing_path_is_never_mistaken_for_options(tmp_path: Path) -> None:
    odd = tmp_path / "scans,split=random"
    odd.mkdir()
    assert split_source(f"folder:{odd}") == ("folder", str(odd), {})
    assert split_source(f"folder:{odd},threads=2") == ("folder", str(odd), {"threads": "2"})


@pytest.mark.parametrize("source", ["folder", "folder:", ":path", ""])
def test_a_source_without_name_or_path_is_an_error(source: str) -> None:
    with pytest.raises(InvalidInput, match="is not of the form NAME:PATH"):
        open_task(source, 16)


def test_an_option_given_twice_is_an_error() -> None:
    with pytest.raises(InvalidInput, match="option split is given twice"):
        open_task("lc25000-lung:/nowhere,split=random,split=grouped", 16)


def test_an_unknown_source_lists_the_names() -> None:
    with pytest.raises(
        InvalidInput,
        match="data source 'breakhiss' is not known; choose one of breakhis, dicom, findings, .*tissue",
    ):
        open_task("breakhiss:/data", 16)


def test_an_unknown_option_lists_the_options(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidInput, match="breakhis: there is no option 'zoom' .* it takes magnification, by, part, threads"
    ):
        open_task(f"breakhis:{tmp_path},zoom=40X", 16)


@pytest.mark.parametrize("value", ["0", "-1", "many", ""])
def test_threads_must_be_a_number(tmp_path: Path, value: str) -> None:
    with pytest.raises(InvalidInput, match="option threads=.* must be a whole number of at least 1"):
        open_task(f"folder:{tmp_path},threads={value}", 16)


@pytest.mark.parametrize("name", [name for name in names() if name not in ("tissue", "findings", "medmnist", "table")])
def test_a_missing_folder_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match=f"{name}: the folder .*/gone does not exist; check the path"):
        open_task(f"{name}:{tmp_path / 'gone'}", 16)
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInput, match=f"{name}: .*/file is not a folder"):
        open_task(f"{name}:{tmp_path / 'file'}", 16)


def test_a_negative_budget_or_size_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="budget is -1 bytes; give 0 or more"):
        open_task(f"folder:{tmp_path}", 16, budget=-1)
