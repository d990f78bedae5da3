"""PixelStore: what it decodes, how often, where it keeps it, and what it says of a file it cannot read."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

from medforge.client.data.pixels.backing import FileBacking
from medforge.client.data.pixels.decode import read_image, to_pixels
from medforge.client.data.pixels.files import ImageFiles
from medforge.client.data.pixels.store import PixelBank, PixelStore, Storage
from medforge.errors import CorruptFile, InvalidInput
from medforge.image_geometry import ImageGeometry

SIZE = 8


class Counted:
    """An image source that counts how often each image is decoded."""

    def __init__(self, count: int) -> None:
        self.names = tuple(str(index) for index in range(count))
        self.decoded = np.zeros(count, dtype=np.int64)

    def key(self) -> str:
        return "counted"

    def fill(
        self,
        wanted: NDArray[np.int64],
        room: NDArray[np.uint8],
        geometry: ImageGeometry,
        workers: ThreadPoolExecutor,
    ) -> NDArray[np.int64]:
        self.decoded[wanted] += 1
        room[wanted] = wanted[:, None, None, None].astype(np.uint8)
        return wanted


@pytest.fixture
def files(tmp_path: Path, write_image: Callable[..., Path]) -> ImageFiles:
    root = tmp_path / "images"
    return ImageFiles([write_image(root / f"{index}.png", index, 10 + index, 14) for index in range(9)], root)


@pytest.mark.parametrize("shape", [(13, 9), (9, 13), (16, 16), (8, 8), (8, 31), (5, 7), (700, 460)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_pixels_are_those_of_the_clip_transform(shape: tuple[int, int], mode: str) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).convert(mode)
    transform = Compose([Resize(SIZE, interpolation=InterpolationMode.BICUBIC, antialias=True), CenterCrop(SIZE)])
    expected = np.asarray(transform(image).convert("RGB")).transpose(2, 0, 1)
    np.testing.assert_array_equal(to_pixels(image, SIZE), expected)


def test_the_crop_comes_before_the_resize() -> None:
    pixels = np.zeros((460, 700, 3), dtype=np.uint8)
    pixels[:, 120:580] = 200
    assert (to_pixels(Image.fromarray(pixels), SIZE, crop=460) == 200).all()
    assert (to_pixels(Image.fromarray(pixels[:456]), SIZE, crop=460) == 200).all()
    wide = to_pixels(Image.fromarray(pixels[:, 100:]), 460, crop=None)
    assert (wide == 0).any()


def test_palette_and_transparency_become_rgb(tmp_path: Path) -> None:
    pixels = np.full((10, 10, 3), (10, 200, 30), dtype=np.uint8)
    Image.fromarray(pixels).quantize(4).save(tmp_path / "palette.png")
    Image.fromarray(np.dstack([pixels, np.full((10, 10), 255, dtype=np.uint8)])).save(tmp_path / "alpha.png")
    for name in ("palette.png", "alpha.png"):
        np.testing.assert_array_equal(read_image(tmp_path / name, 4)[:, 0, 0], [10, 200, 30])


def test_each_image_is_decoded_once_and_only_when_asked_for() -> None:
    source = Counted(20)
    store = PixelStore(PixelBank(source, SIZE, Storage()))
    half = store.select(np.arange(10, 20))
    assert source.decoded.sum() == 0
    assert half[[0, 0, 3]][:, 0, 0, 0].tolist() == [10, 10, 13]
    assert np.flatnonzero(source.decoded).tolist() == [10, 13]
    seen: list[tuple[int, int]] = []
    half.prepare(lambda done, total: seen.append((done, total)))
    assert seen == [(10, 10)]
    _ = store[:], half[:]
    assert (source.decoded == 1).all()


def test_indexing_takes_tensors_lists_slices_and_masks(files: ImageFiles) -> None:
    store = PixelStore(PixelBank(files, SIZE, Storage()))
    everything = store[:]
    assert everything.dtype == torch.uint8
    assert everything.shape == (9, 3, SIZE, SIZE)
    order = torch.tensor([4, 0, 4])
    torch.testing.assert_close(store[order], everything[order])
    torch.testing.assert_close(store[[8, 2]], everything[[8, 2]])
    torch.testing.assert_close(store[np.array([8, 2])], everything[[8, 2]])
    torch.testing.assert_close(store[-3:], everything[-3:])
    torch.testing.assert_close(store[[-1]], everything[[-1]])
    mask = torch.arange(9) % 2 == 0
    torch.testing.assert_close(store[mask], everything[mask])
    assert store[[]].shape == (0, 3, SIZE, SIZE)
    assert store.names[4] == "4.png"
    with pytest.raises(IndexError):
        store[[9]]


def test_what_is_returned_may_be_changed_without_changing_the_store(files: ImageFiles, tmp_path: Path) -> None:
    for storage in (Storage(), Storage(tmp_path / "cache", budget=0)):
        store = PixelStore(PixelBank(files, SIZE, storage))
        before = store[:].clone()
        store[:].zero_()
        store[0:3].zero_()
        torch.testing.assert_close(store[:], before)


@pytest.mark.parametrize("named", [True, False], ids=["cache folder", "no cache folder"])
def test_beyond_the_budget_the_pixels_are_the_same(files: ImageFiles, tmp_path: Path, named: bool) -> None:
    whole = 9 * 3 * SIZE * SIZE
    inside = PixelBank(files, SIZE, Storage(budget=whole))
    beyond = PixelBank(files, SIZE, Storage(tmp_path / "cache" if named else None, budget=whole - 1))
    assert (inside.in_memory, beyond.in_memory) == (True, False)
    torch.testing.assert_close(PixelStore(inside)[:], PixelStore(beyond)[:])
    assert isinstance(beyond._ensure(np.arange(9)), np.memmap)


def cached(folder: Path) -> list[str]:
    return sorted(path.suffix for path in folder.iterdir())


def test_a_whole_cache_file_is_used_again(files: ImageFiles, tmp_path: Path) -> None:
    storage = Storage(tmp_path / "cache", budget=0)
    first = PixelStore(PixelBank(files, SIZE, storage))
    _ = first[0:8]
    assert cached(tmp_path / "cache") == [".unfinished"]
    _ = first[:]
    assert cached(tmp_path / "cache") == [".pixels"]
    file = next((tmp_path / "cache").iterdir())
    file.write_bytes(bytes(255 - value for value in file.read_bytes()))
    decoded = PixelStore(PixelBank(files, SIZE, Storage()))[:]
    torch.testing.assert_close(PixelStore(PixelBank(files, SIZE, storage))[:], 255 - decoded)


@pytest.mark.parametrize("change", ["content", "time", "size", "crop", "truncated"])
def test_a_cache_file_of_other_pixels_is_not_used(files: ImageFiles, tmp_path: Path, change: str) -> None:
    storage = Storage(tmp_path / "cache", budget=0)
    _ = PixelStore(PixelBank(files, SIZE, storage))[:]
    file = next((tmp_path / "cache").iterdir())
    file.write_bytes(bytes(len(file.read_bytes())))
    size, again = SIZE, files
    if change == "content":
        Image.new("RGB", (50, 50), (1, 2, 3)).save(files.paths[0])
    elif change == "time":
        os.utime(files.paths[3], (1, 1))
    elif change == "size":
        size = SIZE + 1
    elif change == "crop":
        again = ImageFiles(files.paths, files.paths[0].parent, crop=6)
    else:
        file.write_bytes(file.read_bytes()[:-1])
    expected = PixelStore(PixelBank(again, size, Storage()))[:]
    assert expected.any()
    torch.testing.assert_close(PixelStore(PixelBank(again, size, storage))[:], expected)


def test_an_unfinished_cache_file_leaves_with_its_owner(files: ImageFiles, tmp_path: Path) -> None:
    store = PixelStore(PixelBank(files, SIZE, Storage(tmp_path / "cache", budget=0)))
    _ = store[0:1]
    left = next((tmp_path / "cache").iterdir())
    del store
    assert not left.exists()


def test_what_a_killed_process_left_is_swept_and_a_living_one_is_spared(tmp_path: Path) -> None:
    room = FileBacking((1, 3, 2, 2), tmp_path, "key")
    assert room.path is not None
    dead = tmp_path / f"{room.path.stem}.999999999.abc.unfinished"
    dead.touch()
    other = FileBacking((1, 3, 2, 2), tmp_path, "key")
    assert not dead.exists()
    assert len(list(tmp_path.iterdir())) == 2
    for one in (room, other):
        one.pixels[:] = 7
        one.finish()
    assert FileBacking((1, 3, 2, 2), tmp_path, "key").complete


def test_a_disk_that_is_too_small_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidInput, match=r"need .* GiB in .*No space left.* free some space, name another cache folder"
    ):
        FileBacking((1 << 26, 3, 2048, 2048), tmp_path, "key")
    assert list(tmp_path.iterdir()) == []


def test_a_text_file_named_like_an_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "scan.png").write_text("not an image")
    store = PixelStore(PixelBank(ImageFiles([tmp_path / "scan.png"], tmp_path), SIZE, Storage()))
    with pytest.raises(CorruptFile, match=r"scan\.png is not a readable image; replace or remove it"):
        store.prepare()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_a_truncated_image_is_named(tmp_path: Path, write_image: Callable[..., Path], suffix: str) -> None:
    path = write_image(tmp_path / f"scan{suffix}", width=64, height=64)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CorruptFile, match=rf"scan\{suffix}.*replace or remove it"):
        read_image(path, SIZE)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"gone\.png cannot be read \(No such file or directory\); check the path"):
        read_image(tmp_path / "gone.png", SIZE)


def test_more_than_eight_bits_are_refused_instead_of_clipped(tmp_path: Path) -> None:
    Image.fromarray(np.full((9, 9), 40000, dtype=np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(InvalidInput, match=r"deep\.png has more than 8 bits a channel; give window=CENTRE,WIDTH"):
        read_image(tmp_path / "deep.png", SIZE)


def test_several_pictures_in_one_file_are_refused(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (9, 9), (index, 0, 0)) for index in range(3)]
    frames[0].save(tmp_path / "stack.tif", save_all=True, append_images=frames[1:])
    with pytest.raises(InvalidInput, match=r"stack\.tif holds 3 pictures; save each as a file of its own"):
        read_image(tmp_path / "stack.tif", SIZE)


def test_decoded_tensors_can_be_held_as_they_are() -> None:
    pixels = torch.randint(0, 256, (5, 3, SIZE, SIZE), dtype=torch.uint8)
    store = PixelStore.of_tensor(pixels)
    torch.testing.assert_close(store[[3, 1]], pixels[[3, 1]])
    assert (len(store), store.image_size) == (5, SIZE)
    with pytest.raises(InvalidInput, match=r"must be uint8 \[n, 3, S, S\]; these are torch.float32"):
        PixelStore.of_tensor(pixels.float())


def test_threads_do_not_change_the_pixels(files: ImageFiles) -> None:
    one, many = (PixelStore(PixelBank(files, SIZE, Storage(threads=threads)))[:] for threads in (1, 7))
    torch.testing.assert_close(one, many)
