"""The pass before any work: every problem at once, leaks, masks, balance; and `medforge check`."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from medforge.cli.app import build_app
from medforge.client.data.catalogue import open_task
from medforge.client.data.inspection.inspect import inspect
from medforge.client.data.inspection.masks import masks_beside
from medforge.client.data.inspection.report import Inspection
from medforge.client.data.problems import SourceProblems
from medforge.errors import InvalidInput
from medforge.simulation.centres import Centre
from medforge.simulation.questions import check_centres
from tests.client.data.inspection.pictures import picture, turned


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes of eight training and four test images, all different pictures."""
    seed = 0
    for part, count in (("train", 8), ("test", 4)):
        for name in ("benign", "malignant"):
            (tmp_path / "scans" / part / name).mkdir(parents=True)
            for index in range(count):
                picture(seed, 96).save(tmp_path / "scans" / part / name / f"{index}.png")
                seed += 1
    return tmp_path / "scans"


def found_in(source: str) -> Inspection:
    return inspect(open_task(source, 32), "leaks=allowed" in source)


def places(found: Inspection) -> list[str]:
    return [one.place for one in found.problems]


def cut_short(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def test_a_sound_folder_has_no_problem_and_its_counts_are_right(root: Path) -> None:
    found = found_in(f"folder:{root}")
    assert found.problems == ()
    assert [(one.name, sum(one.images.values())) for one in found.classes] == [("benign", 12), ("malignant", 12)]
    assert [(one.width, one.height, one.mode, one.images) for one in found.sizes] == [(96, 96, "RGB", 24)]
    assert [one.pairs for one in found.related] == [0, 0, 0]
    assert any("fewer than 20" in one.what for one in found.warnings)


def test_five_bad_files_are_all_named_before_anything_is_trained(root: Path, tmp_path: Path) -> None:
    bad = sorted(root.rglob("*.png"))[::5]
    assert len(bad) == 5
    for path in bad:
        cut_short(path)
    with pytest.raises(SourceProblems) as refused:
        open_task(f"folder:{root}", 32)
    assert len(refused.value.problems) == 5
    done = CliRunner().invoke(build_app(), ["train", f"folder:{root}", "--workspace", str(tmp_path / "centre")])
    assert isinstance(done.exception, SourceProblems)
    said = [str(done.exception), *done.exception.details]
    assert all(any(path.name in line and path.parent.name in line for line in said) for path in bad)
    assert not (tmp_path / "centre").exists()


def test_a_truncated_test_image_stops_a_run_of_many_centres_at_once(root: Path, tmp_path: Path) -> None:
    cut_short(root / "test" / "benign" / "2.png")
    centres = [Centre(name="drawn", source="tissue:lung"), Centre(name="real", source=f"folder:{root}")]
    with pytest.raises(InvalidInput, match=r"--centre real: .*test/benign/2\.png"):
        check_centres(centres, 0)


@pytest.mark.parametrize(("part", "name"), [("test", "benign"), ("train", "malignant")])
def test_a_copy_in_another_split_or_class_is_refused_and_can_be_allowed(root: Path, part: str, name: str) -> None:
    again = root / part / name / "again.jpg"
    picture(0, 96).resize((70, 70)).save(again, quality=85)
    found = found_in(f"folder:{root}")
    assert [(one.place, "copies of one picture" in one.what) for one in found.problems] == [
        (f"train/benign/0.png and {part}/{name}/again.jpg", True)
    ]
    allowed = found_in(f"folder:{root},leaks=allowed")
    assert (allowed.problems, allowed.allowed_leaks, allowed.leaks) == ((), True, 1)


def test_copies_in_two_classes_are_refused_also_where_too_few_look_apart_to_divide_by_looks(tmp_path: Path) -> None:
    for name in ("benign", "malignant"):
        (tmp_path / "scans" / name).mkdir(parents=True)
        for seed in range(6):
            picture(seed, 96).save(tmp_path / "scans" / name / f"{seed}.png")
    found = found_in(f"folder:{tmp_path / 'scans'}")
    assert len(found.problems) == 6
    assert all("same bytes, in two classes" in one.what for one in found.problems)


def test_look_alikes_in_two_published_splits_are_said(root: Path) -> None:
    turned(picture(0, 96), 20).save(root / "test" / "benign" / "turned.png")
    found = found_in(f"folder:{root}")
    assert found.problems == ()
    assert any("look alike and are in two splits" in one.what for one in found.warnings)


def test_a_split_that_is_made_here_keeps_look_alikes_together(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    for tile in range(24):
        folder = tmp_path / "tiles" / ("tumour", "stroma")[tile % 2]
        folder.mkdir(parents=True, exist_ok=True)
        for version in range(3):
            turned(picture(tile, 96), chance.uniform(-25, 25), version == 1).save(folder / f"{tile}_{version}.png")
    task = open_task(f"folder:{tmp_path / 'tiles'}", 32)
    assert (task.split, task.together) == ("look-alikes", "look-alikes")
    sides = {}
    for part, split in task.splits.items():
        for name in split.images.names:
            sides.setdefault(Path(name).stem.split("_")[0], set()).add(part)
    assert all(len(parts) == 1 for parts in sides.values())
    assert {part for parts in sides.values() for part in parts} == {"train", "validation", "test"}


def test_a_mask_beside_its_image_is_refused(root: Path) -> None:
    picture(99, 96).convert("1").save(root / "train" / "benign" / "3_mask.png")
    assert places(found_in(f"folder:{root}")) == ["train/benign/3_mask.png"]


@pytest.mark.parametrize(
    ("name", "mask"),
    [
        ("benign (1).png", "benign (1)_mask.png"),
        ("benign (1).png", "benign (1)_mask_1.png"),
        ("x.jpg", "x-seg.png"),
        ("x.jpg", "mask_x.png"),
        ("X.JPG", "x_Segmentation.tif"),
        ("ISIC_1.jpg", "ISIC_1_segmentation.png"),
    ],
)
def test_names_of_masks(name: str, mask: str) -> None:
    assert list(masks_beside([f"a/{name}", f"a/{mask}", f"b/{mask}"])) == [(1, f"a/{name}")]


def test_a_name_alone_is_no_mask() -> None:
    assert list(masks_beside(["a/mask_1.png", "a/label_2.png", "a/2.png".replace("2", "3")])) == []


def test_a_class_that_is_most_of_the_images_is_said(root: Path) -> None:
    for seed in range(20):
        picture(1000 + seed, 96).save(root / "train" / "benign" / f"more{seed}.png")
    said = [one.what for one in found_in(f"folder:{root}").warnings if "out of balance" in one.what]
    assert len(said) == 1
    assert "'benign'" in said[0]


def test_the_command_says_everything_and_writes_a_page_that_loads_nothing(root: Path, tmp_path: Path) -> None:
    cut_short(root / "test" / "benign" / "2.png")
    picture(0, 96).save(root / "test" / "malignant" / "again.webp", quality=90)
    page = tmp_path / "check.html"
    done = CliRunner().invoke(build_app(), ["check", f"folder:{root}", "--json", "--html", str(page)])
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert len(found["problems"]) == 2
    assert found["classes"][0]["images"]["test"] == 4
    text = page.read_text()
    assert text.count("<img") == 2
    assert 'src="http' not in text
    assert "again.webp" in text
    for path in (root / "test" / "benign" / "2.png", root / "test" / "malignant" / "again.webp"):
        path.unlink()
    done = CliRunner().invoke(build_app(), ["check", f"folder:{root}"])
    assert done.exit_code == 0, done.output


def test_what_cannot_be_opened_is_a_problem_too(tmp_path: Path) -> None:
    done = CliRunner().invoke(build_app(), ["check", f"folder:{tmp_path / 'nowhere'}", "--json"])
    assert done.exit_code == 1
    assert "does not exist" in json.loads(done.stdout)["problems"][0]["what"]


def test_published_splits_of_authors_are_said_and_not_refused(tmp_path: Path) -> None:
    arrays = {}
    for place, part in enumerate(("train", "val", "test")):
        seeds = range(20 * place, 20 * place + 12)
        arrays[f"{part}_images"] = np.stack([np.asarray(picture(seed, 28).convert("L")) for seed in seeds])
        arrays[f"{part}_labels"] = np.arange(12).reshape(-1, 1) % 2
    arrays["test_images"][3] = arrays["train_images"][5]
    np.savez(tmp_path / "pneumoniamnist.npz", **arrays)
    found = found_in(f"medmnist:{tmp_path / 'pneumoniamnist.npz'}")
    assert (found.problems, found.leaks) == ((), 1)
    assert any("train_images/5 and test_images/3 have the same bytes" in one.sentence for one in found.warnings)


def test_tiles_of_lc25000_are_found_without_their_table(shared_data: Path, tmp_path: Path) -> None:
    import csv

    real = shared_data / "lc25000"
    with (real / "groups.csv").open() as stream:
        known = {row["path"]: row["group"] for row in csv.DictReader(stream)}
    link = tmp_path / "lung_colon_image_set"
    link.symlink_to(real / "lung_colon_image_set")
    task = open_task(f"lc25000-colon:{link}", 32)
    assert task.split == "look-alikes"
    names = [name for split in task.splits.values() for name in split.images.names]
    looks = [group for split in task.splits.values() for group in split.groups or ()]
    tiles = [known[f"colon_image_sets/{name}"] for name in names]

    def pairs(keys: list[object]) -> int:
        return sum(count * (count - 1) // 2 for count in Counter(keys).values())

    both = pairs(list(zip(tiles, looks, strict=True)))
    assert both / pairs(list(tiles)) > 0.78
    assert (pairs(list(looks)) - both) / pairs(list(looks)) < 0.02
