"""A folder of images: classes, prompts, links, validation out of train, and what must not be there."""

import shutil
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medforge.client.data.catalogue import check_source, open_task, resolve_source
from medforge.client.data.litter import LITTER
from medforge.client.data.problems import SourceProblems
from medforge.client.data.task import Task
from medforge.errors import InvalidInput

CLASSES = ("no_tumor", "glioma_tumor")
WriteImage = Callable[..., Path]


def lay_out(tmp_path: Path, write_image: WriteImage) -> Path:
    root = tmp_path / "brain"
    seed = 0
    for part, count in (("train", 20), ("test", 5)):
        for name in CLASSES:
            for index in range(count):
                seed += 1
                write_image(root / part / name / f"{index}.png", seed)
    return root


@pytest.fixture
def root(tmp_path: Path, write_image: WriteImage) -> Path:
    return lay_out(tmp_path, write_image)


def check_apart(task: Task) -> None:
    names = [set(part.images.names) for part in task.splits.values()]
    assert len(set.union(*names)) == sum(map(len, names))


def test_validation_comes_out_of_train(root: Path) -> None:
    task = open_task(f"folder:{root}", 8)
    assert (task.name, task.split, task.prompts) == ("brain", "published", ("glioma tumor", "no tumor"))
    assert [[len(part) for part in split.by_class()] for split in task.splits.values()] == [[17, 17], [3, 3], [5, 5]]
    check_apart(task)
    assert all(name.startswith("train/") for name in task.validation.images.names)
    for split in task.splits.values():
        for name, label in zip(split.images.names, split.labels.tolist(), strict=True):
            assert name.split("/")[1] == sorted(CLASSES)[label]
    assert open_task(f"folder:{root}", 8).train.images.names == task.train.images.names
    assert open_task(f"folder:{root}", 8, seed=1).train.images.names != task.train.images.names


def patients(root: Path, of: Callable[[Path], str]) -> str:
    """Write a table of groups, and name the source that reads it."""
    files = sorted(root.rglob("*.png"))
    rows = [f"{path.relative_to(root).as_posix()},{of(path)}" for path in files]
    (root / "patients.csv").write_text("\n".join(["path,group", *rows]) + "\n")
    return f"folder:{root},groups=patients.csv"


def test_a_table_of_groups_keeps_a_patient_s_images_together(root: Path) -> None:
    source = patients(root, lambda path: f"{path.parts[-3]} {path.parent.name} {int(path.stem) // 2}")
    task = open_task(source, 8)
    groups = [set(split.groups or ()) for split in task.splits.values()]
    assert len(set.union(*groups)) == sum(map(len, groups)) == 2 * 10 + 2 * 3
    assert len(task.validation) == 8
    sites = [open_task(f"{source},part={number}/2", 8) for number in (1, 2)]
    there = [set(split.groups or ()) for site in sites for split in site.splits.values()]
    assert len(set.union(*there)) == sum(map(len, there)) == 26
    assert open_task(f"folder:{root}", 8).train.groups is None


def test_a_table_of_groups_that_does_not_fit_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="folder: the groups file none.csv does not exist; check option groups"):
        open_task(f"folder:{root},groups=none.csv", 8)
    source = patients(root, lambda path: path.stem)
    with pytest.raises(
        InvalidInput, match="are of one group in two splits .and 9 more problems in this data set.; remove one of them"
    ):
        open_task(source, 8)
    (root / "patients.csv").write_text("path,group\n")
    with pytest.raises(
        InvalidInput, match="patients.csv names no group for train/.*; add it or leave option groups out"
    ):
        open_task(source, 8)
    (tmp_path / "elsewhere.csv").write_text("scan,whose\n")
    with pytest.raises(InvalidInput, match="elsewhere.csv must have the columns path and group; mend its first line"):
        open_task(f"folder:{root},groups={tmp_path / 'elsewhere.csv'}", 8)


@pytest.mark.parametrize("name", ["val", "validation", "valid"])
def test_a_validation_folder_is_used_where_there_is_one(root: Path, write_image: WriteImage, name: str) -> None:
    for seed, label in enumerate(CLASSES):
        write_image(root / name / label / "own.png", 1000 + seed)
    task = open_task(f"folder:{root}", 8)
    assert [len(part) for part in task.splits.values()] == [40, 2, 10]
    assert all(image.startswith(f"{name}/") for image in task.validation.images.names)
    (root / ("val" if name != "val" else "valid")).mkdir()
    with pytest.raises(InvalidInput, match="are both there; keep one validation folder"):
        open_task(f"folder:{root}", 8)


def test_links_are_followed(root: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "test").symlink_to(root / "test")
    (linked / "train").mkdir()
    (linked / "train" / "no_tumor").symlink_to(root / "train" / "no_tumor")
    (linked / "train" / "glioma_tumor").mkdir()
    for index in range(4):
        target = root / "train" / "glioma_tumor" / f"{index}.png"
        (linked / "train" / "glioma_tumor" / f"case {index}.png").symlink_to(target)
    task = open_task(f"folder:{linked}", 8)
    assert [len(part) for part in task.splits.values()] == [20, 4, 10]
    assert task.train.images[:].float().std() > 10
    (linked / "train" / "no_tumor").unlink()
    (linked / "train" / "no_tumor").symlink_to(root / "gone")
    with pytest.raises(InvalidInput, match="no_tumor is a broken link or no regular file .*; mend or remove it"):
        open_task(f"folder:{linked}", 8)


def test_a_broken_link_and_a_loop_are_named(root: Path) -> None:
    link = root / "train" / "no_tumor" / "lost.png"
    link.symlink_to(root / "gone.png")
    with pytest.raises(InvalidInput, match=r"lost\.png is a broken link or no regular file; mend or remove it"):
        open_task(f"folder:{root}", 8)
    link.unlink()
    (root / "train" / "no_tumor" / "again").symlink_to(root / "train" / "no_tumor")
    with pytest.raises(InvalidInput, match="the link .*again leads back to a folder that contains it"):
        open_task(f"folder:{root}", 8)


def test_images_may_be_in_folders_below_the_class(root: Path, write_image: WriteImage) -> None:
    write_image(root / "test" / "no_tumor" / "patient 7" / "scan.png", 999)
    assert "test/no_tumor/patient 7/scan.png" in open_task(f"folder:{root}", 8).test.images.names


@pytest.mark.parametrize(
    "text",
    [
        "no_tumor: healthy brain MRI\nglioma_tumor: brain MRI with glioma: grade any\n",
        "brain MRI with glioma: grade any\nhealthy brain MRI\n",
        "\ufeffglioma_tumor : brain MRI with glioma: grade any\r\n\r\nno_tumor:healthy brain MRI",
    ],
)
def test_prompts_can_be_written_down(root: Path, text: str) -> None:
    (root / "prompts.txt").write_text(text, encoding="utf-8")
    assert open_task(f"folder:{root}", 8).prompts == ("brain MRI with glioma: grade any", "healthy brain MRI")


@pytest.mark.parametrize(
    "text", ["one prompt\n", "no_tumor: x\nglioma: y\n", "no_tumor: x\nno_tumor: y\n", "no_tumor:\nglioma_tumor: y\n"]
)
def test_prompts_that_do_not_match_the_classes_are_an_error(root: Path, text: str) -> None:
    (root / "prompts.txt").write_text(text)
    with pytest.raises(InvalidInput, match=r"prompts\.txt must give one prompt for each of glioma_tumor, no_tumor"):
        open_task(f"folder:{root}", 8)


def test_litter_is_ignored_and_anything_else_is_an_error(root: Path) -> None:
    for place in (root, root / "train", root / "train" / "no_tumor"):
        for name in (".DS_Store", "Thumbs.db", "desktop.ini", "._0.png"):
            (place / name).write_bytes(b"x")
    (root / "__MACOSX").mkdir()
    assert sum(map(len, open_task(f"folder:{root}", 8).splits.values())) == 50
    (root / "train" / "no_tumor" / "scan.dcm").write_bytes(b"DICM")
    with pytest.raises(InvalidInput, match=r"scan\.dcm is not an image .*; move or remove it"):
        open_task(f"folder:{root}", 8)


def test_every_file_that_is_no_image_is_named_at_once(root: Path) -> None:
    for place in ("train/no_tumor/a.dcm", "test/no_tumor/b.txt", "train/c.csv"):
        (root / place).write_bytes(b"x")
    (root / "LICENSE.txt").write_text("beside the splits a data set has its papers")
    with pytest.raises(SourceProblems) as error:
        open_task(f"folder:{root}", 8)
    assert [Path(one.place).name for one in error.value.problems] == ["b.txt", "c.csv", "a.dcm"]


@pytest.mark.parametrize("names", LITTER.values(), ids=LITTER)
def test_what_programs_leave_is_passed_over(root: Path, names: tuple[str, ...]) -> None:
    for place in (root, root / "train", root / "train" / "no_tumor"):
        for pattern in names:
            name = pattern.replace("*", "scan.png")
            (place / name.upper()).write_bytes(b"x")
            (place / name.lower()).mkdir(exist_ok=True)
            (place / name.lower() / "0-checkpoint.png").write_bytes(b"x")
    task = open_task(f"folder:{root}", 8)
    assert sum(map(len, task.splits.values())) == 50
    assert any("unfinished downloads are passed over" in note for note in task.notes) == ("*.part" in names)


def test_stray_files_and_folders_are_named(root: Path, write_image: WriteImage) -> None:
    stray = write_image(root / "train" / "stray.png")
    with pytest.raises(InvalidInput, match=r"stray\.png is not in a class folder; move or remove it"):
        open_task(f"folder:{root}", 8)
    stray.unlink()
    (root / "extra").mkdir()
    with pytest.raises(InvalidInput, match="extra is none of train, validation, test; move that folder elsewhere"):
        open_task(f"folder:{root}", 8)


def test_empty_missing_and_unmatched_classes_are_named(root: Path) -> None:
    for path in (root / "test" / "no_tumor").iterdir():
        path.unlink()
    with pytest.raises(InvalidInput, match="the class folder .*test/no_tumor is empty; add images to it or remove it"):
        open_task(f"folder:{root}", 8)
    (root / "test" / "no_tumor").rename(root / "test" / "other")
    with pytest.raises(InvalidInput, match="the class folder .*test/other has no match in train"):
        open_task(f"folder:{root}", 8)
    (root / "test" / "other").rmdir()
    (root / "train" / "no_tumor").rename(root / "test" / "no_tumor")
    for name in ("a", "b"):
        shutil.copytree(root / "train" / "glioma_tumor", root / "train" / name)
    with pytest.raises(InvalidInput, match="the class folder .*test/no_tumor has no match in train"):
        open_task(f"folder:{root}", 8)
    shutil.rmtree(root / "test" / "no_tumor")
    with pytest.raises(InvalidInput, match="the class folder .*test/a is missing .*; each class of train needs one"):
        open_task(f"folder:{root}", 8)


def test_missing_parts_and_single_classes_are_named(root: Path) -> None:
    (root / "train" / "no_tumor").rename(root / "no_tumor_kept_elsewhere")
    (root / "no_tumor_kept_elsewhere").rename(root.parent / "kept")
    with pytest.raises(InvalidInput, match="train has 1 class folders; a task needs at least two"):
        open_task(f"folder:{root}", 8)


def test_a_class_too_small_to_divide_is_an_error(root: Path) -> None:
    for index in range(1, 20):
        (root / "train" / "no_tumor" / f"{index}.png").unlink()
    with pytest.raises(InvalidInput, match="class 'no_tumor' has 1 image, too few to divide"):
        open_task(f"folder:{root}", 8)


@pytest.mark.parametrize("how", ["copy", "link", "hard link"])
def test_the_same_image_in_two_splits_is_an_error(root: Path, how: str) -> None:
    source, target = root / "train" / "no_tumor" / "3.png", root / "test" / "no_tumor" / "new.png"
    if how == "copy":
        target.write_bytes(source.read_bytes())
    elif how == "link":
        target.symlink_to(source)
    else:
        target.hardlink_to(source)
    with pytest.raises(InvalidInput, match=r"3\.png and .*new\.png are the same image in two splits; remove one"):
        open_task(f"folder:{root}", 8)


@pytest.mark.parametrize("seed", range(6))
def test_equal_images_of_train_stay_together(root: Path, seed: int) -> None:
    folder = root / "train" / "no_tumor"
    for index in range(10, 20):
        (folder / f"{index}.png").write_bytes((folder / f"{index - 10}.png").read_bytes())
    task = open_task(f"folder:{root}", 8, seed)
    content = [{(root / name).read_bytes() for name in part.images.names} for part in task.splits.values()]
    assert len(set.union(*content)) == sum(map(len, content))


def test_beyond_the_budget_the_pixels_are_the_same(root: Path, tmp_path: Path) -> None:
    inside = open_task(f"folder:{root}", 8)
    beyond = open_task(f"folder:{root},threads=1", 8, cache=tmp_path / "cache", budget=0)
    for part in inside.splits:
        assert (inside.splits[part].images[:] == beyond.splits[part].images[:]).all()
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".pixels"]


def test_the_real_images(shared_data: Path) -> None:
    task = open_task(f"folder:{shared_data / 'brain_mri'}", 16)
    assert task.prompts == ("glioma tumor", "meningioma tumor", "no tumor", "pituitary tumor")
    assert len(task.test) == 430
    assert len(task.train) + len(task.validation) == 1040
    check_apart(task)


def test_images_of_more_than_eight_bits_need_a_window_which_the_cache_knows(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for part, name, index in product(("train", "test"), CLASSES, range(4)):
        folder = tmp_path / "deep" / part / name
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 4096, (16, 16)).astype(np.uint16)).save(folder / f"{index}.png")
    source = f"folder:{tmp_path / 'deep'}"
    for opener in (check_source, lambda asked: open_task(asked, 8).train.images.prepare()):
        with pytest.raises(InvalidInput, match="more than 8 bits a channel.*; give window=CENTRE,WIDTH"):
            opener(source)
    means = {}
    for window in ("2048,4096", "1000,2000", "full"):
        check_source(f"{source},window={window}")
        task = open_task(resolve_source(f"{source},threads=1,window={window}"), 8, cache=tmp_path / "cache", budget=0)
        means[window] = float(task.train.images[:].float().mean())
        _ = task.test.images[:], task.validation.images[:]
    assert 120 < means["2048,4096"] < 135
    assert means["full"] < 10 < means["2048,4096"] < means["1000,2000"]
    assert len(list((tmp_path / "cache").iterdir())) == 3
    with pytest.raises(InvalidInput, match="megapixels=0 must be a whole number of at least 1"):
        check_source(f"{source},window=full,megapixels=0")
