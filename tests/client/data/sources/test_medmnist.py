"""MedMNIST: `.npz` files of any size and colour, read as a stream, and the files that cannot be used."""

import importlib.util
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from medforge.client.data.catalogue import open_task
from medforge.client.data.pixels.decode import to_pixels
from medforge.client.data.published.medmnist_prompts import PAIRS, PROMPTS, published_set
from medforge.errors import CorruptFile, InvalidInput

COUNTS = {"train": 300, "val": 12, "test": 9}


def arrays(shape: tuple[int, ...] = (28, 28), classes: int = 2) -> dict[str, NDArray[Any]]:
    random = np.random.default_rng(0)
    found: dict[str, NDArray[Any]] = {}
    for part, count in COUNTS.items():
        found[f"{part}_images"] = random.integers(0, 256, (count, *shape), dtype=np.uint8)
        found[f"{part}_labels"] = (np.arange(count) % classes).astype(np.uint8).reshape(-1, 1)
    return found


def write(path: Path, compressed: bool = True, **changes: NDArray[Any]) -> Path:
    (np.savez_compressed if compressed else np.savez)(path, **(arrays() | changes))  # type: ignore[operator]
    return path


def lay_out(root: Path) -> str:
    """A file of one's own, and the prompts that it needs."""
    (root / "words.txt").write_text("a thing\nanother thing\n")
    return f"{write(root / 'own.npz')},prompts=words.txt"


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 1), (28, 28, 3), (64, 64, 3), (20, 30)])
@pytest.mark.parametrize("compressed", [True, False])
def test_every_image_arrives_in_its_place(tmp_path: Path, shape: tuple[int, ...], compressed: bool) -> None:
    content = arrays(shape)
    task = open_task(f"medmnist:{write(tmp_path / 'own.npz', compressed, **content)}", 16, prompted=False)
    assert (task.split, task.name, task.prompts) == ("published", "own", ("class 0", "class 1"))
    for part, key in (("train", "train"), ("validation", "val"), ("test", "test")):
        split = task.splits[part]
        assert split.labels.tolist() == content[f"{key}_labels"].ravel().tolist()
        pixels = split.images[:].numpy()
        for row in (0, 8, COUNTS[key] - 1):
            picture = content[f"{key}_images"][row]
            expected = to_pixels(Image.fromarray(picture[..., 0] if shape[2:] == (1,) else picture), 16)
            np.testing.assert_array_equal(pixels[row], expected)


def test_a_file_beyond_the_budget_gives_the_same_pixels(tmp_path: Path) -> None:
    source = f"medmnist:{lay_out(tmp_path)}"
    inside, beyond = open_task(source, 16), open_task(source, 16, cache=tmp_path / "cache", budget=1000)
    for part in inside.splits:
        assert (inside.splits[part].images[:] == beyond.splits[part].images[:]).all()
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".pixels"]


def test_the_prompts_come_from_the_name_or_a_file(tmp_path: Path) -> None:
    assert len(PROMPTS) == 11
    for name, prompts in PROMPTS.items():
        assert len(set(prompts)) == len(prompts)
        content = {key: value for key, value in arrays(classes=len(prompts)).items() if key.endswith("labels")}
        if len(prompts) <= 9:
            assert open_task(f"medmnist:{write(tmp_path / f'{name}_64.npz', **content)}", 8).prompts == prompts
    texts = tmp_path / "prompts.txt"
    texts.write_text("first thing\n\nsecond thing\n")
    source = f"medmnist:{write(tmp_path / 'own.npz')},prompts={texts}"
    assert open_task(source, 8).prompts == ("first thing", "second thing")
    texts.write_text("only one\n")
    with pytest.raises(InvalidInput, match=r"prompts\.txt has 1 prompts for 2 classes; write one prompt on each line"):
        open_task(source, 8)
    texts.unlink()
    with pytest.raises(InvalidInput, match=r"cannot read the prompts file at .*prompts\.txt"):
        open_task(source, 8)


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("pneumoniamnist (1)", "pneumoniamnist"),
        ("PneumoniaMNIST_224", "pneumoniamnist"),
        ("copy of pneumoniamnist+128-v2", "pneumoniamnist"),
        ("organmnist_axial", "organamnist"),
        ("retinamnist and bloodmnist", ""),
        ("mypathmnist", ""),
        ("own", ""),
    ],
)
def test_a_set_is_known_whatever_stands_around_its_name(name: str, known: str) -> None:
    assert published_set(name) == known


def test_a_copied_or_renamed_file_has_the_prompts_of_its_set_or_none(tmp_path: Path) -> None:
    task = open_task(f"medmnist:{write(tmp_path / 'pneumoniamnist (1).npz')}", 8)
    assert (task.name, task.prompts) == ("pneumoniamnist-1", PROMPTS["pneumoniamnist"])
    with pytest.raises(InvalidInput, match="own: the prompt 'class 0' does not say what the images show; write a line"):
        open_task(f"medmnist:{write(tmp_path / 'own.npz')}", 8)


def test_more_classes_than_published_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "pneumoniamnist.npz", **arrays(classes=3))
    with pytest.raises(InvalidInput, match="has 3 classes but pneumoniamnist is published with 2; rename"):
        open_task(f"medmnist:{path}", 8)


def several(findings: int = 14) -> dict[str, NDArray[Any]]:
    """Labels of several findings an image; the last is rare and only in the training part."""
    random = np.random.default_rng(1)
    labels = {f"{part}_labels": random.integers(0, 2, (count, findings), np.uint8) for part, count in COUNTS.items()}
    for part in ("val", "test"):
        labels[f"{part}_labels"][:, -1] = 0
    return labels


@pytest.mark.parametrize("name", ["chestmnist", "chestmnist_64"])
def test_chestmnist_has_several_findings_an_image(tmp_path: Path, name: str) -> None:
    labels = several()
    task = open_task(f"medmnist:{write(tmp_path / f'{name}.npz', **labels)}", 8)
    assert task.multi_label
    assert task.prompts[0] == "positive atelectasis"
    assert (task.prompts[13], task.negatives[13]) == ("positive hernia", "negative hernia")
    assert tuple(zip(task.prompts, task.negatives, strict=True)) == PAIRS["chestmnist"]
    for part, key in (("train", "train"), ("validation", "val"), ("test", "test")):
        np.testing.assert_array_equal(task.splits[part].labels, labels[f"{key}_labels"])
    assert task.split == "published"


def test_every_published_2d_set_has_prompts() -> None:
    assert {*PROMPTS, *PAIRS} == {
        "pathmnist", "chestmnist", "dermamnist", "octmnist", "pneumoniamnist", "retinamnist", "breastmnist",
        "bloodmnist", "tissuemnist", "organamnist", "organcmnist", "organsmnist",
    }  # fmt: skip


def test_pairs_come_from_a_file_too(tmp_path: Path) -> None:
    path = write(tmp_path / "own.npz", **several(2))
    with pytest.raises(InvalidInput, match="the prompt 'with finding 0' does not say what the images show"):
        open_task(f"medmnist:{path}", 8)
    texts = tmp_path / "prompts.txt"
    texts.write_text("red spot | no red spot\nblue spot|no blue spot\n")
    task = open_task(f"medmnist:{path},prompts={texts}", 8)
    assert task.texts == ("red spot", "blue spot", "no red spot", "no blue spot")
    texts.write_text("red spot\nblue spot | no blue spot\n")
    with pytest.raises(InvalidInput, match=r"prompts\.txt must say 'WITH \| WITHOUT' on each line"):
        open_task(f"medmnist:{path},prompts={texts}", 8)


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (several(13), "has 13 labels for each image but chestmnist is published with 14; rename the file"),
        (several() | {"val_labels": np.zeros((12, 1), dtype=np.uint8)}, "has 14, 1, 14 labels for each image of its"),
        (several() | {"test_labels": np.full((9, 14), 2)}, r"'test_labels' must hold 0 \(absent\) or 1 \(present\)"),
        (several() | {"train_labels": np.zeros((300, 14), dtype=np.uint8)}, "no image of the train split is 'positive"),
    ],
)
def test_columns_that_cannot_be_used_are_named(tmp_path: Path, labels: dict[str, NDArray[Any]], sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        open_task(f"medmnist:{write(tmp_path / 'chestmnist.npz', **labels)}", 8)


def test_volumes_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "organmnist3d.npz", train_images=np.zeros((300, 28, 28, 28), dtype=np.uint8))
    with pytest.raises(InvalidInput, match=r"'train_images' has shape \[300, 28, 28, 28\]; only 2-D images"):
        open_task(f"medmnist:{path}", 8)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"val_images": np.zeros((12, 28, 28), dtype=np.float32)}, "'val_images' is not a row-major array of 8-bit"),
        ({"val_images": np.zeros((28, 28, 12), dtype=np.uint8).T}, "'val_images' is not a row-major array of 8-bit"),
        ({"val_labels": np.zeros((11, 1), dtype=np.uint8)}, "'val_labels' has 11 labels for 12 images"),
        ({"val_labels": np.full((12, 1), -1)}, "'val_labels' must hold class numbers from 0 on"),
        ({"val_labels": np.zeros((12, 1), dtype=np.float32)}, "'val_labels' must hold class numbers from 0 on"),
        ({"val_labels": np.zeros((12, 1), dtype=np.uint8)}, "no image of class 'class 1' in its validation split"),
        ({"val_labels": np.array([None] * 12)}, "the array 'val_labels' cannot be read"),
    ],
)
def test_arrays_that_cannot_be_used_are_named(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        open_task(f"medmnist:{write(tmp_path / 'own.npz', **changes)}", 8)


def test_missing_keys_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", images=np.zeros((3, 28, 28), dtype=np.uint8))
    with pytest.raises(InvalidInput, match=r"own\.npz has no array 'train_images'; a MedMNIST file holds train_images"):
        open_task(f"medmnist:{tmp_path / 'own.npz'}", 8)


def test_a_file_that_is_no_npz_or_cut_short_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "own.npz")
    whole = path.read_bytes()
    path.write_bytes(whole[:5000])
    with pytest.raises(CorruptFile, match=r"own\.npz is not a readable \.npz file"):
        open_task(f"medmnist:{path}", 8)


def test_a_damaged_array_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "own.npz")
    with zipfile.ZipFile(path) as archive:
        offset = archive.getinfo("test_images.npy").header_offset
    data = bytearray(path.read_bytes())
    data[offset + 1000 : offset + 1400] = bytes(400)
    path.write_bytes(data)
    task = open_task(f"medmnist:{path}", 8, prompted=False)
    with pytest.raises(CorruptFile, match=r"own\.npz: the array 'test_images' cannot be read .*; fetch the file again"):
        task.test.images.prepare()


def test_a_name_that_is_neither_file_nor_set_lists_the_names(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"no file .*gone\.npz; give a \.npz file or one of the names bloodmnist, "):
        open_task(f"medmnist:{tmp_path / 'gone.npz'}", 8)


@pytest.mark.skipif(importlib.util.find_spec("medmnist") is not None, reason="the package medmnist is installed")
def test_a_name_needs_the_package() -> None:
    with pytest.raises(InvalidInput, match="fetching bloodmnist by its name needs the package medmnist; install it"):
        open_task("medmnist:bloodmnist", 8)
    with pytest.raises(InvalidInput, match="option size=99 is unknown; choose 28 or 64 or 128 or 224"):
        open_task("medmnist:bloodmnist,size=99", 8)


def test_the_real_file(shared_data: Path) -> None:
    task = open_task(f"medmnist:{shared_data / 'medmnist' / 'pneumoniamnist.npz'}", 32)
    assert [len(part) for part in task.splits.values()] == [4708, 524, 624]
    assert task.prompts == ("normal chest x-ray", "chest x-ray with pneumonia")
    assert task.test.labels.bincount().tolist() == [234, 390]
    images = task.test.images[::50]
    assert (images[:, 0] == images[:, 2]).all()
    assert images.float().std() > 10
