"""LC25000: grouped and random splits of the published folders."""

from collections.abc import Callable
from pathlib import Path

import pytest

from medforge.client.data.catalogue import open_task
from medforge.client.data.task import Task
from medforge.errors import CorruptFile, InvalidInput

CLASSES = {"lung": ("lung_scc", "lung_aca", "lung_n"), "colon": ("colon_aca", "colon_n")}


def lay_out(tmp_path: Path, write_image: Callable[..., Path]) -> Path:
    """Both organs in the published layout, eight tiles a class, three copies of each, with a groups file."""
    lines = ["path,group"]
    for organ, names in CLASSES.items():
        for name in names:
            for index in range(24):
                path = f"{organ}_image_sets/{name}/{name}{index}.jpeg"
                write_image(tmp_path / "lung_colon_image_set" / path, index, 20, 20)
                lines.append(f"{path},{name}-{index // 3}")
    (tmp_path / "groups.csv").write_text("\n".join(lines))
    return tmp_path / "lung_colon_image_set"


@pytest.fixture
def root(tmp_path: Path, write_image: Callable[..., Path]) -> Path:
    return lay_out(tmp_path, write_image)


def groups(task: Task) -> list[set[str]]:
    return [set(part.groups or ()) for part in task.splits.values()]


def check_grouped(task: Task) -> None:
    train, validation, test = groups(task)
    assert train
    assert validation
    assert test
    assert len(train | validation | test) == len(train) + len(validation) + len(test)
    for part in task.splits.values():
        for name, group in zip(part.images.names, part.groups or (), strict=True):
            assert name.startswith(group.split("-")[0])


@pytest.mark.parametrize("organ", ["lung", "colon"])
@pytest.mark.parametrize("place", [".", "..", "inner"])
def test_the_split_is_grouped_where_groups_are_known(root: Path, organ: str, place: str) -> None:
    path = root / (f"{organ}_image_sets" if place == "inner" else place)
    task = open_task(f"lc25000-{organ}:{path}", 16)
    assert (task.split, task.score_by) == ("grouped", "patch")
    assert sum(map(len, task.splits.values())) == 24 * len(CLASSES[organ])
    check_grouped(task)
    for part in task.splits.values():
        for name, label in zip(part.images.names, part.labels.tolist(), strict=True):
            assert name.startswith(f"{CLASSES[organ][label]}/")


def test_the_prompts_follow_the_classes(root: Path) -> None:
    lung = open_task(f"lc25000-lung:{root}", 16)
    colon = open_task(f"lc25000-colon:{root}", 16)
    assert lung.prompts == ("lung squamous cell carcinomas", "lung adenocarcinomas", "benign lung tissues")
    assert colon.prompts == ("colon adenocarcinomas", "benign colon tissues")


def test_the_random_split_is_the_papers(root: Path) -> None:
    task = open_task(f"lc25000-lung:{root},split=random", 16)
    assert task.split == "random"
    assert len(task.test) == 3 * round(0.3 * 24)
    names = [set(part.images.names) for part in task.splits.values()]
    assert len(set.union(*names)) == sum(map(len, names)) == 72


def test_without_groups_the_split_is_random_and_grouped_is_an_error(root: Path) -> None:
    (root.parent / "groups.csv").rename(root.parent / "elsewhere.csv")
    assert open_task(f"lc25000-lung:{root}", 16).split == "random"
    with pytest.raises(InvalidInput, match=r"split=grouped needs a groups\.csv; give groups=FILE or split=random"):
        open_task(f"lc25000-lung:{root},split=grouped", 16)
    check_grouped(open_task(f"lc25000-lung:{root},groups={root.parent / 'elsewhere.csv'}", 16))
    with pytest.raises(InvalidInput, match=r"the groups file .*none\.csv does not exist"):
        open_task(f"lc25000-lung:{root},groups=none.csv", 16)


def test_a_groups_file_that_forgets_an_image_is_an_error(root: Path, write_image: Callable[..., Path]) -> None:
    write_image(root / "lung_image_sets" / "lung_n" / "new.jpeg")
    with pytest.raises(InvalidInput, match=r"groups\.csv names no group for lung_image_sets/lung_n/new\.jpeg"):
        open_task(f"lc25000-lung:{root}", 16)
    (root.parent / "groups.csv").write_text("scan,whose\n")
    with pytest.raises(InvalidInput, match=r"groups\.csv must have the columns path and group"):
        open_task(f"lc25000-lung:{root}", 16)


def test_missing_and_empty_classes_are_named(root: Path) -> None:
    for path in (root / "colon_image_sets" / "colon_n").iterdir():
        path.unlink()
    with pytest.raises(InvalidInput, match="class folder .*colon_image_sets/colon_n is empty; add images"):
        open_task(f"lc25000-colon:{root}", 16)
    (root / "colon_image_sets" / "colon_n").rmdir()
    with pytest.raises(InvalidInput, match="class folder .*colon_image_sets/colon_n is missing; restore it"):
        open_task(f"lc25000-colon:{root}", 16)
    with pytest.raises(InvalidInput, match="holds no folder lung_image_sets with lung_scc, lung_aca, lung_n"):
        open_task(f"lc25000-lung:{root / 'colon_image_sets'}", 16)


def test_a_file_that_is_no_image_is_named(root: Path) -> None:
    folder = root / "lung_image_sets" / "lung_n"
    (folder / "Thumbs.db").touch()
    (folder / "._lung_n1.jpeg").touch()
    task = open_task(f"lc25000-lung:{root}", 16)
    assert sum(map(len, task.splits.values())) == 72
    (folder / "lung_n0.jpeg").write_bytes(b"")
    broken = next(part for part in task.splits.values() if "lung_n/lung_n0.jpeg" in part.images.names)
    with pytest.raises(CorruptFile, match=r"lung_n0\.jpeg is (not a readable image|empty)"):
        broken.images.prepare()
    (folder / "notes.txt").touch()
    with pytest.raises(InvalidInput, match=r"notes\.txt is not an image .*; move or remove it"):
        open_task(f"lc25000-lung:{root}", 16)


def test_the_seed_decides(root: Path) -> None:
    names = [open_task(f"lc25000-lung:{root}", 16, seed).test.images.names for seed in (0, 0, 1)]
    assert names[0] == names[1] != names[2]


@pytest.mark.parametrize("organ", ["lung", "colon"])
def test_the_real_images(shared_data: Path, organ: str) -> None:
    task = open_task(f"lc25000-{organ}:{shared_data / 'lc25000' / 'lung_colon_image_set'}", 16, seed=3)
    assert task.split == "grouped"
    check_grouped(task)
    total = sum(map(len, task.splits.values()))
    assert total == 650 * len(task.prompts)
    assert 0.25 < len(task.test) / total < 0.35
    some = task.test.images[::40]
    assert some.shape[1:] == (3, 16, 16)
    assert some.float().std() > 10
