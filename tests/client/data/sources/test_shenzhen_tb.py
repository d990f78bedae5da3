"""Shenzhen: the label in the published file name, readings beside, equal files together."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from medforge.client.data.catalogue import open_task
from medforge.errors import InvalidInput

COUNT = 20  # of each class


def lay_out(tmp_path: Path, write_image: Callable[..., Path]) -> Path:
    folder = tmp_path / "ChinaSet_AllFiles"
    (folder / "ClinicalReadings").mkdir(parents=True)
    for number in range(1, 2 * COUNT + 1):
        name = f"CHNCXR_{number:04d}_{int(number > COUNT)}"
        write_image(folder / "CXR_png" / f"{name}.png", number)
        (folder / "ClinicalReadings" / f"{name}.txt").write_text("male 45yrs\nnormal\n")
    (folder / "CXR_png" / "Thumbs.db").write_bytes(b"x")
    (folder / "NLM-ChinaCXRSet-ReadMe.docx").write_bytes(b"x")
    return tmp_path


@pytest.fixture
def root(tmp_path: Path, write_image: Callable[..., Path]) -> Path:
    return lay_out(tmp_path, write_image)


def test_labels_are_in_the_names(root: Path) -> None:
    task = open_task(f"shenzhen-tb:{root}", 16)
    assert task.prompts == ("normal chest x-ray", "chest x-ray with tuberculosis")
    assert (task.split, task.flip, task.multi_label) == ("random", False, False)
    assert [len(part) for part in task.splits.values()] == [24, 4, 12]
    names = [name for part in task.splits.values() for name in part.images.names]
    assert len(set(names)) == 2 * COUNT
    for part in task.splits.values():
        for name, label in zip(part.images.names, part.labels.tolist(), strict=True):
            assert name.endswith(f"_{label}.png")
    assert task.train.images[:].float().std() > 10
    assert open_task(f"shenzhen-tb:{root}", 16, seed=1).test.images.names != task.test.images.names


@pytest.mark.parametrize("inner", ["ChinaSet_AllFiles", "ChinaSet_AllFiles/CXR_png"])
def test_any_of_the_published_folders_can_be_named(root: Path, inner: str) -> None:
    whole, part = open_task(f"shenzhen-tb:{root}", 16), open_task(f"shenzhen-tb:{root / inner}", 16)
    assert whole.test.images.names == part.test.images.names


def test_readings_are_not_needed_and_a_doubled_folder_is_found(root: Path) -> None:
    shutil.rmtree(root / "ChinaSet_AllFiles" / "ClinicalReadings")
    (root / "ChinaSet_AllFiles").rename(root / "inner")
    (root / "ChinaSet_AllFiles").mkdir()
    (root / "inner").rename(root / "ChinaSet_AllFiles" / "ChinaSet_AllFiles")
    assert sum(map(len, open_task(f"shenzhen-tb:{root}", 16).splits.values())) == 2 * COUNT


@pytest.mark.parametrize("seed", range(4))
def test_equal_files_are_in_one_split(root: Path, seed: int) -> None:
    folder = root / "ChinaSet_AllFiles" / "CXR_png"
    shutil.copy(folder / "CHNCXR_0001_0.png", folder / "CHNCXR_0099_0.png")
    task = open_task(f"shenzhen-tb:{root}", 16, seed)
    both = {"CHNCXR_0001_0.png", "CHNCXR_0099_0.png"}
    assert sum(bool(both & set(part.images.names)) for part in task.splits.values()) == 1


def test_what_is_not_as_published_is_named(root: Path, write_image: Callable[..., Path]) -> None:
    folder = root / "ChinaSet_AllFiles" / "CXR_png"
    other = write_image(folder / "XYZCXR_0001_0.png")
    with pytest.raises(InvalidInput, match=r"XYZCXR_0001_0\.png is not named like a Shenzhen image .*; move or rename"):
        open_task(f"shenzhen-tb:{root}", 16)
    other.rename(folder / "CHNCXR_0003_1.png")
    with pytest.raises(InvalidInput, match=r"0003_0\.png and .*0003_1\.png have the same number; remove one of them"):
        open_task(f"shenzhen-tb:{root}", 16)
    (folder / "CHNCXR_0003_1.png").rename(folder / "mask.dcm")
    with pytest.raises(InvalidInput, match=r"mask\.dcm is not an image"):
        open_task(f"shenzhen-tb:{root}", 16)
    folder.rename(root / "elsewhere")
    with pytest.raises(InvalidInput, match=r"holds no CXR_png with images .*; name the folder ChinaSet_AllFiles"):
        open_task(f"shenzhen-tb:{root}", 16)


def test_montgomery_beside_it_is_passed_over_or_taken(root: Path, write_image: Callable[..., Path]) -> None:
    folder = root / "ChinaSet_AllFiles" / "CXR_png"
    for number in range(1, 11):
        write_image(folder / f"MCUCXR_{number:04d}_{number % 2}.png", 100 + number)
    task = open_task(f"shenzhen-tb:{root}", 16)
    assert sum(map(len, task.splits.values())) == 2 * COUNT
    assert task.notes == ("10 images of the other set are passed over; set=both takes them too",)
    assert sum(map(len, open_task(f"shenzhen-tb:{root},set=both", 16).splits.values())) == 2 * COUNT + 10
    away = root / "MontgomerySet" / "CXR_png"
    away.mkdir(parents=True)
    for path in folder.glob("MCUCXR_*"):
        path.rename(away / path.name.replace(".png", ".PNG"))
    assert sum(map(len, open_task(f"shenzhen-tb:{root},set=montgomery", 16).splits.values())) == 10


def test_a_class_of_its_own_is_an_error(root: Path) -> None:
    for path in (root / "ChinaSet_AllFiles" / "CXR_png").glob("*_1.png"):
        path.unlink()
    with pytest.raises(InvalidInput, match="class 'chest x-ray with tuberculosis' has 0 images, too few to divide"):
        open_task(f"shenzhen-tb:{root}", 16)


def test_a_real_copy_opens(shared_data: Path) -> None:
    place = shared_data / "shenzhen"
    if not place.is_dir():
        pytest.skip("the Shenzhen set is not among the real images of this machine")
    assert len(open_task(f"shenzhen-tb:{place}", 32).prompts) == 2
