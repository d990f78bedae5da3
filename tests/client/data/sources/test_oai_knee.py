"""OAI knees: grades as folders, patients from names, and what happens to patients in two of the published folders."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from medforge.client.data.catalogue import open_task
from medforge.client.data.task import Task
from medforge.errors import InvalidInput

KNEES = {"train": 6, "val": 2, "test": 3}  # patients of each grade, two knees each


def name(part: str, grade: int, patient: int, side: str) -> str:
    return f"9{list(KNEES).index(part)}{grade}{patient:04d}{side}.png"


def lay_out(tmp_path: Path, write_image: Callable[..., Path]) -> Path:
    seed = 0
    for part, patients in KNEES.items():
        for grade in range(5):
            for patient in range(patients):
                for side in "LR":
                    seed += 1
                    write_image(tmp_path / part / str(grade) / name(part, grade, patient, side), seed)
    write_image(tmp_path / "auto_test" / "0" / "9003175_1.png")
    return tmp_path


@pytest.fixture
def root(tmp_path: Path, write_image: Callable[..., Path]) -> Path:
    return lay_out(tmp_path, write_image)


def patients(task: Task) -> list[set[str]]:
    return [set(part.groups or ()) for part in task.splits.values()]


def share(root: Path) -> None:
    """Put the right knee of a training patient into the test folder."""
    (root / "train" / "0" / name("train", 0, 1, "R")).rename(root / "test" / "0" / name("train", 0, 1, "R"))


def test_the_published_folders_are_the_splits(root: Path) -> None:
    task = open_task(f"oai-knee:{root}", 16)
    assert (task.split, task.score_by, task.flip) == ("published", "patch", True)
    assert task.prompts[0] == "knee x-ray without osteoarthritis"
    assert task.prompts[4] == "knee x-ray with severe osteoarthritis"
    assert [len(part) for part in task.splits.values()] == [60, 20, 30]
    for folder, part in zip(KNEES, task.splits.values(), strict=True):
        for path, label, group in zip(part.images.names, part.labels.tolist(), part.groups or (), strict=True):
            assert path.startswith(f"{folder}/{label}/{group}")
            assert len(group) == 7
    assert task.train.images[:].float().std() > 10


@pytest.mark.parametrize("outer", ["kneeKL224", "ClsKLData/kneeKL224", "KneeXrayData/ClsKLData/kneeKL224"])
def test_the_published_outer_folders_may_be_there(
    root: Path, tmp_path_factory: pytest.TempPathFactory, outer: str
) -> None:
    place = tmp_path_factory.mktemp("outer")
    shutil.copytree(root, place / outer)
    assert len(open_task(f"oai-knee:{place}", 16).train) == 60


def test_a_patient_in_two_folders_must_be_decided_about(root: Path) -> None:
    share(root)
    with pytest.raises(
        InvalidInput,
        match=r"patient 9000001 has knees in train and in test \(1 such patients\); give split=patient .*, or split=p",
    ):
        open_task(f"oai-knee:{root}", 16)
    published = open_task(f"oai-knee:{root},split=published", 16)
    assert [len(part) for part in published.splits.values()] == [59, 20, 31]
    assert published.split == "published"


@pytest.mark.parametrize("seed", range(4))
def test_divided_anew_no_patient_is_in_two_splits(root: Path, seed: int) -> None:
    share(root)
    task = open_task(f"oai-knee:{root},split=patient", 16, seed)
    assert task.split == "patient"
    assert sum(map(len, task.splits.values())) == 110
    train, validation, test = patients(task)
    assert len(train | validation | test) == len(train) + len(validation) + len(test) == 55


def test_what_is_not_as_published_is_named(root: Path, write_image: Callable[..., Path]) -> None:
    with pytest.raises(InvalidInput, match="option split=random is unknown; choose published or patient"):
        open_task(f"oai-knee:{root},split=random", 16)
    odd = write_image(root / "val" / "2" / "knee.png")
    with pytest.raises(InvalidInput, match=r"knee\.png is not named like a knee \(9003175L\.png\); move or rename it"):
        open_task(f"oai-knee:{root}", 16)
    odd.rename(root / "val" / "2" / name("train", 2, 0, "L"))
    for option in ("", ",split=patient", ",split=published"):
        with pytest.raises(InvalidInput, match=r"/train/2/.* and .*/val/2/.* are the same knee; remove one of them"):
            open_task(f"oai-knee:{root}{option}", 16)


def test_folders_that_are_not_grades_are_named(root: Path) -> None:
    (root / "test" / "3").rename(root / "test" / "3Moderate")
    with pytest.raises(InvalidInput, match="3Moderate is none of the grades 0, 1, 2, 3, 4; move or rename it"):
        open_task(f"oai-knee:{root}", 16)
    shutil.rmtree(root / "test" / "3Moderate")
    with pytest.raises(InvalidInput, match="the folder .*/test/3 does not exist; restore it"):
        open_task(f"oai-knee:{root}", 16)
    shutil.rmtree(root / "val")
    with pytest.raises(InvalidInput, match="the folder .*/val does not exist; restore it"):
        open_task(f"oai-knee:{root}", 16)
    shutil.rmtree(root / "train")
    with pytest.raises(InvalidInput, match="holds no folder train; name the folder that holds train, val and test"):
        open_task(f"oai-knee:{root}", 16)


def test_a_real_copy_opens(shared_data: Path) -> None:
    place = shared_data / "oai"
    if not place.is_dir():
        pytest.skip("the OAI knees are not among the real images of this machine")
    assert len(open_task(f"oai-knee:{place},split=patient", 32).prompts) == 5


@pytest.mark.parametrize("ending", [".PNG", ".jpg", ".jpeg", ".tif"])
def test_copies_with_other_endings_are_the_same_set(root: Path, ending: str) -> None:
    whole = open_task(f"oai-knee:{root}", 16)
    for path in [*root.rglob("*.png")]:
        path.rename(path.with_suffix(ending))
    copy = open_task(f"oai-knee:{root}", 16)
    for part in whole.splits:
        stems = [[Path(name).stem for name in task.splits[part].images.names] for task in (whole, copy)]
        assert stems[0] == stems[1]
