"""BreakHis: published names and folders, patients apart, slides as groups."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medforge.client.data.catalogue import open_task
from medforge.client.data.sources.breakhis import NAME
from medforge.client.data.task import Task
from medforge.errors import InvalidInput

BENIGN = ["22549AB", "22549CD", "22549G", "9133", "25197", "3411F"]
MALIGNANT = ["2980", "4372", "3909", "2523"]


def lay_out(tmp_path: Path, write_image: Callable[..., Path]) -> Path:
    """A small data set in the published layout: two images a slide at 40×, one at 100×."""
    breast = tmp_path / "BreaKHis_v1" / "histology_slides" / "breast"
    seed = 0
    for folder, kind, slides in (("benign/SOB/adenosis", "B_A", BENIGN), ("malignant/SOB/ductal", "M_DC", MALIGNANT)):
        for slide in slides:
            for zoom, number in ((40, 1), (40, 2), (100, 1)):
                seed += 1
                name = f"SOB_{kind}-14-{slide}-{zoom}-{number:03d}.png"
                write_image(breast / folder / f"SOB_{kind}_14-{slide}" / f"{zoom}X" / name, seed, 70, 46)
    (breast / "README.txt").write_text("about")
    return tmp_path


@pytest.fixture
def root(tmp_path: Path, write_image: Callable[..., Path]) -> Path:
    return lay_out(tmp_path, write_image)


def patients(task: Task) -> list[set[str]]:
    """Each split's patients, from the published names alone."""
    found = []
    for part in task.splits.values():
        matches = [NAME.fullmatch(Path(name).name) for name in part.images.names]
        found.append({match["number"] for match in matches if match is not None})
    return found


def check(task: Task) -> None:
    train, validation, test = patients(task)
    assert len(train | validation | test) == len(train) + len(validation) + len(test)
    assert (task.split, task.score_by, task.flip) == ("patient", "slide", False)
    assert task.prompts == ("benign breast tissues", "malignant breast tumors")
    for part in task.splits.values():
        assert set(part.labels.tolist()) == {0, 1}
        for name, label, group in zip(part.images.names, part.labels.tolist(), part.groups or (), strict=True):
            assert ("/malignant/" in f"/{name}") == bool(label)
            assert f"-{group}-" in name


@pytest.mark.parametrize("seed", range(5))
def test_patients_are_in_one_split_and_slides_are_the_groups(root: Path, seed: int) -> None:
    task = open_task(f"breakhis:{root}", 16, seed)
    check(task)
    assert sum(map(len, task.splits.values())) == 2 * (len(BENIGN) + len(MALIGNANT))
    assert sum(map(len, patients(task))) == 4 + 4
    assert {"14-22549AB", "14-22549CD", "14-22549G"} < {g for part in task.splits.values() for g in part.groups or ()}


def test_the_magnification_is_an_option(root: Path) -> None:
    task = open_task(f"breakhis:{root / 'BreaKHis_v1'},magnification=100X", 16)
    assert sum(map(len, task.splits.values())) == len(BENIGN) + len(MALIGNANT)
    assert all("/100X/" in name for name in task.train.images.names)
    with pytest.raises(InvalidInput, match="magnification=50X is unknown; choose 40X or 100X or 200X or 400X"):
        open_task(f"breakhis:{root},magnification=50X", 16)
    with pytest.raises(InvalidInput, match="holds no 400X image; name the folder BreaKHis_v1 or another magnification"):
        open_task(f"breakhis:{root},magnification=400X", 16)


def test_the_centre_of_the_image_is_kept(root: Path) -> None:
    pixels = np.zeros((460, 700, 3), dtype=np.uint8)
    pixels[:, 120:580] = 90
    for path in root.rglob("*.png"):
        Image.fromarray(pixels).save(path)
    assert (open_task(f"breakhis:{root}", 23).train.images[:] == 90).all()


def test_an_image_of_another_name_is_an_error(root: Path, write_image: Callable[..., Path]) -> None:
    write_image(root / "extra" / "tumour.png")
    with pytest.raises(InvalidInput, match=r"tumour\.png is not named like a BreakHis image .*; move or rename it"):
        open_task(f"breakhis:{root}", 16)


def test_too_few_patients_is_an_error(root: Path) -> None:
    for path in root.rglob("SOB_M_*.png"):
        if "-2980-" not in path.name:
            path.unlink()
    with pytest.raises(InvalidInput, match="class 'malignant breast tumors' has 1 patient, too few to divide"):
        open_task(f"breakhis:{root}", 16)


def test_the_real_images(shared_data: Path) -> None:
    task = open_task(f"breakhis:{shared_data / 'breakhis'}", 32)
    check(task)
    assert sum(map(len, task.splits.values())) == 41
    assert task.train.images[:].float().std() > 10


@pytest.mark.parametrize("ending", [".PNG", ".jpg", ".jpeg", ".tif"])
def test_copies_with_other_endings_are_the_same_set(root: Path, ending: str) -> None:
    whole = open_task(f"breakhis:{root}", 16)
    for path in [*root.rglob("*.png")]:
        path.rename(path.with_suffix(ending))
    copy = open_task(f"breakhis:{root}", 16)
    for part in whole.splits:
        stems = [[Path(name).stem for name in task.splits[part].images.names] for task in (whole, copy)]
        assert stems[0] == stems[1]
