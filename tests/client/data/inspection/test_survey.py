"""One look at every image: facts, problems, and the cache that makes the second look quick."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from medforge.client.data.inspection import looking
from medforge.client.data.inspection.cache import Cache
from medforge.client.data.inspection.relations import relations
from medforge.client.data.inspection.survey import survey
from medforge.client.data.pixels.files import ImageFiles
from medforge.client.data.pixels.store import PixelStore
from medforge.client.data.problems import SourceProblems
from tests.client.data.inspection.pictures import picture


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache" / "images.sqlite")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    root.mkdir()
    for seed in range(6):
        picture(seed, 100 + seed).save(root / f"{seed}.png")
    return root


def files(root: Path) -> ImageFiles:
    return ImageFiles(sorted(path for path in root.iterdir() if path.is_file()), root)


def test_sizes_modes_and_equal_bytes_are_known(folder: Path, cache: Cache) -> None:
    (folder / "copy.png").write_bytes((folder / "0.png").read_bytes())
    picture(9).convert("L").save(folder / "grey.jpg")
    found = survey(files(folder), 2, cache)
    facts = dict(zip(found.names, found.facts, strict=True))
    assert (facts["3.png"].width, facts["3.png"].height, facts["3.png"].mode) == (103, 103, "RGB")
    assert facts["grey.jpg"].mode == "L"
    assert facts["copy.png"].digest == facts["0.png"].digest != facts["1.png"].digest
    assert not found.problems


def test_every_image_that_cannot_be_used_is_named_at_once(folder: Path, cache: Cache) -> None:
    whole = (folder / "0.png").read_bytes()
    (folder / "0.png").write_bytes(whole[: len(whole) // 2])
    (folder / "1.png").write_bytes(b"no image at all, but longer than a header")
    Image.fromarray(np.zeros((8, 8), np.uint16)).save(folder / "2.png")
    found = survey(files(folder), 2, cache)
    assert [Path(problem.place).name for problem in found.problems.values()] == ["0.png", "1.png", "2.png"]
    assert "more than 8 bits" in found.problems[2].what
    with pytest.raises(SourceProblems, match=r"0\.png .* \(and 2 more problems"):
        found.refuse()


def test_the_second_look_opens_no_file(folder: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    first = survey(files(folder), 2, cache)
    monkeypatch.setattr(ImageFiles, "digest", None)
    assert survey(files(folder), 2, cache).facts == first.facts


def test_a_moved_image_is_known_by_its_bytes(folder: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    first = survey(files(folder), 2, cache)
    moved = folder.rename(folder.with_name("elsewhere"))
    monkeypatch.setattr(ImageFiles, "glance", None)
    assert survey(files(moved), 2, cache).facts == first.facts


def test_a_changed_image_is_looked_at_again(folder: Path, cache: Cache) -> None:
    before = survey(files(folder), 2, cache)
    picture(77, 64).save(folder / "0.png")
    after = survey(files(folder), 2, cache)
    assert after.facts[0] != before.facts[0]
    assert after.facts[1:] == before.facts[1:]


def test_an_image_that_cannot_be_used_is_not_remembered_as_one_that_can(folder: Path, cache: Cache) -> None:
    (folder / "0.png").write_bytes(b"")
    for _ in range(2):
        assert list(survey(files(folder), 2, cache).problems) == [0]


@pytest.mark.parametrize("damage", [b"", b"not a database" * 500, None])
def test_a_damaged_cache_costs_a_second_look_and_nothing_else(damage: bytes | None, folder: Path, cache: Cache) -> None:
    first = survey(files(folder), 2, cache)
    kept = bytearray(cache.path.read_bytes())
    if damage is None:
        kept[len(kept) // 2 :] = bytes(len(kept) - len(kept) // 2)
    cache.path.write_bytes(bytes(kept) if damage is None else damage)
    for _ in range(3):
        assert survey(files(folder), 2, cache).facts == first.facts


def test_a_cache_that_cannot_be_written_stops_nothing(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    nowhere = Cache(tmp_path / "file" / "images.sqlite")
    assert survey(files(folder), 2, nowhere).facts == survey(files(folder), 2, nowhere).facts


def test_two_runs_at_once_find_the_same(folder: Path, cache: Cache) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: survey(files(folder), 1, Cache(cache.path)).facts, range(8)))
    assert all(one == found[0] for one in found)


def test_a_source_without_a_glance_is_looked_at_through_its_pixels(cache: Cache) -> None:
    pixels = torch.from_numpy(np.stack([np.asarray(picture(seed, 64)).transpose(2, 0, 1) for seed in (0, 1, 0)]))
    found = survey(PixelStore.of_tensor(pixels).bank.source, 1, cache)
    first, second, third = found.facts
    assert None not in (first, second, third)
    assert first.digest == third.digest != second.digest
    assert (first.width, first.mode) == (0, "")
    assert not isinstance(looking.looker(PixelStore.of_tensor(pixels).bank.source, 64), looking._OneByOne)


@pytest.mark.parametrize(
    "again",
    [
        lambda image, to: image.save(to.with_suffix(".jpg"), quality=60),
        lambda image, to: image.resize((80, 80), Image.Resampling.LANCZOS).save(to.with_suffix(".png")),
        lambda image, to: image.resize((300, 300)).save(to.with_suffix(".webp"), quality=85),
        lambda image, to: image.save(to.with_suffix(".bmp")),
    ],
)
def test_a_picture_that_was_saved_again_is_a_copy(
    again: Callable[[Image.Image, Path], None], folder: Path, cache: Cache
) -> None:
    again(picture(0, 100), folder / "again")
    found = survey(files(folder), 2, cache)
    related = relations(found, np.zeros(len(found.names), np.int64), 2, cache)
    names = [{found.names[one].split(".")[0] for one in pair} for pair in related.copies.tolist()]
    assert names == [{"0", "again"}]
    assert len(related.equal) == 0
    first, last = found.names.index("0.png"), next(i for i, n in enumerate(found.names) if n.startswith("again"))
    assert related.groups[first] == related.groups[last]


def test_relations_are_remembered(folder: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "copy.png").write_bytes((folder / "0.png").read_bytes())
    found = survey(files(folder), 2, cache)
    kinds = np.zeros(len(found.names), np.int64)
    first = relations(found, kinds, 2, cache)
    monkeypatch.setattr("medforge.client.data.inspection.relations.candidates", None)
    second = relations(found, kinds, 2, cache)
    assert first.groups.tolist() == second.groups.tolist()
    assert [found.names[one] for one in first.equal[0]] == ["0.png", "copy.png"]
