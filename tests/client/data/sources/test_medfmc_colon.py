"""MedFMC colon: the published folder with its split files."""

from collections.abc import Callable
from pathlib import Path

import pytest

from medforge.client.data.catalogue import open_task
from medforge.client.data.sources.medfmc_colon import region
from medforge.client.data.task import Task
from medforge.errors import InvalidInput

Rows = list[tuple[str, int]]


def rows(prefix: str, regions: int, patches: int = 3) -> Rows:
    """Names as published, with a space: `…_2019-05-28 17_55_39-lv1-47692-11609-5464-5695p0026.png`."""
    return [
        (
            f"2019-{prefix}{index:02d}-1-1-1_2019-05-28 17_55_39-lv1-476{index:02d}-11609-5464-5695p{patch:04d}.png",
            label,
        )
        for label in (0, 1)
        for index in range(label * regions, (label + 1) * regions)
        for patch in range(patches)
    ]


def write_list(path: Path, listed: Rows) -> None:
    path.write_text("".join(f"{name} {label}\n" for name, label in listed))


def lay_out(tmp_path: Path, write_image: Callable[..., Path]) -> Path:
    train, test = rows("103", 6), rows("204", 3)
    for seed, (name, _) in enumerate(train + test):
        write_image(tmp_path / "images" / name, seed)
    write_list(tmp_path / "trainval.txt", train)
    write_list(tmp_path / "train_20.txt", train[::2])
    write_list(tmp_path / "val_20.txt", train[1::2])
    write_list(tmp_path / "test_WithLabel.txt", test)
    (tmp_path / "test_WithoutLabel.txt").write_text("".join(f"{name}\n" for name, _ in test))
    return tmp_path


@pytest.fixture
def root(tmp_path: Path, write_image: Callable[..., Path]) -> Path:
    return lay_out(tmp_path, write_image)


def pairs(task: Task, part: str) -> set[tuple[str, int]]:
    split = task.splits[part]
    return set(zip(split.images.names, split.labels.tolist(), strict=True))


def test_the_published_files_decide(root: Path) -> None:
    task = open_task(f"medfmc-colon:{root}", 16)
    assert task.prompts == ("negative colon tumor", "positive colon tumor")
    assert (task.split, task.score_by, task.flip) == ("published", "patch", True)
    assert pairs(task, "test") == set(rows("204", 3))
    assert pairs(task, "train") | pairs(task, "validation") == set(rows("103", 6))
    kept, held = set(task.train.groups or ()), set(task.validation.groups or ())
    assert not kept & held
    assert len(held) == 2
    assert task.train.images[:].float().std() > 10


def test_the_published_fifth(root: Path) -> None:
    task = open_task(f"medfmc-colon:{root},split=20", 16)
    assert pairs(task, "train") == set(rows("103", 6)[::2])
    assert pairs(task, "validation") == set(rows("103", 6)[1::2])
    assert pairs(task, "test") == set(rows("204", 3))


def test_other_files_can_be_named(root: Path, tmp_path: Path) -> None:
    (root / "images").rename(root / "pictures")
    (root / "trainval.txt").rename(root / "colon_train.txt")
    listed = rows("204", 3)
    (root / "colon_test.csv").write_text("img_id,study_id,tumor\n" + "".join(f"{n},s,{t}\n" for n, t in listed))
    task = open_task(f"medfmc-colon:{root},images=pictures,train=colon_train.txt,test=colon_test.csv", 16)
    assert pairs(task, "test") == set(listed)
    (root / "colon_test.csv").write_text("name,tumor\n")
    with pytest.raises(InvalidInput, match=r"colon_test\.csv must have the columns img_id and tumor"):
        open_task(f"medfmc-colon:{root},images=pictures,train=colon_train.txt,test=colon_test.csv", 16)


def test_a_region_is_a_name_without_its_patch() -> None:
    assert region("2019-1_2019-05-28 17_55-lv1-4-1-5-9p0026.png") == "2019-1_2019-05-28 17_55-lv1-4-1-5-9"
    assert region("odd.png") == "odd"


def test_missing_files_are_named(root: Path) -> None:
    gone = root / "images" / rows("204", 3)[0][0]
    gone.unlink()
    with pytest.raises(InvalidInput, match="p0000.png is in a split file but does not exist; restore the image"):
        open_task(f"medfmc-colon:{root}", 16)
    (root / "test_WithLabel.txt").unlink()
    with pytest.raises(
        InvalidInput, match=r"split file .*test_WithLabel\.txt does not exist; copy it there or name it"
    ):
        open_task(f"medfmc-colon:{root}", 16)
    (root / "images").rename(root / "pictures")
    with pytest.raises(InvalidInput, match="the folder .*/images does not exist; give its place as option images"):
        open_task(f"medfmc-colon:{root}", 16)


@pytest.mark.parametrize("line", ["one.png", "one.png 2", "one.png,1", " 1"])
def test_a_line_without_a_label_is_named(root: Path, line: str) -> None:
    with (root / "trainval.txt").open("a") as file:
        file.write(f"\n{line}\n")
    with pytest.raises(InvalidInput, match=r"trainval\.txt, line 38 is not 'NAME 0' or 'NAME 1'; mend that line"):
        open_task(f"medfmc-colon:{root}", 16)


def test_an_image_in_two_splits_is_an_error(root: Path) -> None:
    write_list(root / "test_WithLabel.txt", rows("204", 3) + rows("103", 1)[:1])
    with pytest.raises(InvalidInput, match=r"p0000\.png is listed in train and again in test; list it once"):
        open_task(f"medfmc-colon:{root}", 16)
