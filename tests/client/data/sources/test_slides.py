"""Whole slides: the real one and drawn ones; tissue, resolution, patients, and a score for each slide."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tiffslide
from PIL import Image

from medforge.client.data.catalogue import check_source, open_task
from medforge.client.data.problems import SourceProblems
from medforge.client.data.slides import slide as slide_file
from medforge.client.data.slides.slide import Slide, opened_slide
from medforge.client.data.slides.tissue import otsu, tissue_shares
from medforge.errors import InvalidInput
from tests.slide_files import MPP, drawn_slide, write_slide

SIDE = 32
STAINS = ((200, 90, 160), (120, 80, 190))


def lay_out(root: Path, write_image: object = None) -> str:
    """Two slides of each of eight patients, half of them benign, and a table of slides and patients."""
    lines = ["slide_id,patient,diagnosis"]
    for patient in range(8):
        for place in range(2):
            name = f"TCGA-{patient}A-{place}"
            drawn = drawn_slide(2 * patient + place, STAINS[patient % 2])
            write_slide(root / "scans" / f"{name}.tif", drawn)
            lines.append(f"{name},TCGA-{patient}A,{('benign', 'malignant')[patient % 2]}")
    (root / "scans" / "slides.csv").write_text("\n".join(lines))
    return f"{root / 'scans'},labels=slides.csv,tile=64,tiles=5"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"slides:{lay_out(tmp_path_factory.mktemp('slides'))}"


def refusal(source: str) -> str:
    with pytest.raises(InvalidInput) as error:
        open_task(source, SIDE)
    return str(error.value)


def test_tiles_of_tissue_by_patient_scored_by_slide(source: str) -> None:
    task = open_task(source, SIDE)
    assert (task.prompts, task.split, task.score_by) == (("benign", "malignant"), "patient", "slide")
    for part in task.splits.values():
        slides = set(part.groups or ())
        assert len(part) == 5 * len(slides)
        assert len(slides) % 2 == 0  # both slides of a patient are here
        for image, label in zip(part.images[:], part.labels.tolist(), strict=True):
            assert np.abs(image.float().mean((1, 2)).numpy() - STAINS[label]).max() < 12  # no glass
    said = repr([(part.groups, part.images.names) for part in task.splits.values()])
    assert "TCGA" not in said


def test_the_tiles_follow_the_seed(source: str) -> None:
    first, again, other = (set(open_task(source, SIDE, seed).train.images.names) for seed in (0, 0, 1))
    assert first == again != other
    everything = open_task(source.replace("tiles=5", "tiles=999"), SIDE)
    assert sum(map(len, everything.splits.values())) == 16 * 32  # the right half of 8 × 8 tiles


@pytest.mark.parametrize(("asked", "scale"), [("mpp=1.0", 2), ("magnification=10", 2), ("magnification=20x", 1)])
def test_the_resolution_is_what_was_asked_for(tmp_path: Path, asked: str, scale: int) -> None:
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:] = np.where(np.arange(512) // 8 % 2, 255, 40)[None, :, None]
    stripes[..., 1] = 0
    for place in range(8):
        write_slide(tmp_path / "set" / "ab"[place % 2] / f"{place}.tiff", stripes - place % 7 * np.uint8(1))
    task = open_task(f"slides:{tmp_path / 'set'},{asked},tile=64,tiles=2", 64)
    row = task.train.images[:1][0, 0, 32].numpy().astype(int)
    edges = np.flatnonzero(np.abs(np.diff(np.sign(row - 140))) > 0)
    assert np.median(np.diff(edges)) == 8 // scale


def test_a_slide_without_a_resolution_is_refused_with_the_option_that_gives_it(tmp_path: Path) -> None:
    for place in range(8):
        write_slide(tmp_path / "set" / "ab"[place % 2] / f"{place}.tif", drawn_slide(place, STAINS[0]), mpp=None)
    source = f"slides:{tmp_path / 'set'},tile=64,tiles=2"
    with pytest.raises(SourceProblems) as error:
        check_source(source)
    assert len(error.value.problems) == 8
    assert {(one.what, one.remedy) for one in error.value.problems} == {
        ("does not state its resolution", "give micrometres per pixel as slide_mpp=0.25")
    }
    assert len(open_task(f"{source},slide_mpp=0.5", SIDE).train)
    assert "coarser than 0.25" in refusal(f"{source},slide_mpp=0.5,mpp=0.25")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("mpp=0", "option mpp=0 must be a number above 0"),
        ("mpp=1,magnification=10", "say the same"),
        ("tile=9000", "more than 4096 pixels"),
        ("tile=2000", "smaller than one tile"),
        ("tissue=1", "no tile with 100% of tissue"),
        ("tissue=2", "at most 1"),
    ],
)
def test_options_that_are_wrong(tmp_path: Path, options: str, sentence: str) -> None:
    for place in range(2):
        noisy = np.random.default_rng(place).integers(0, 255, (256, 256, 3), np.uint8) // 2 * 2
        write_slide(tmp_path / "set" / "ab"[place % 2] / f"{place}.tif", noisy)
    assert sentence in refusal(f"slides:{tmp_path / 'set'},{options}")


def test_what_is_no_slide_is_named(tmp_path: Path) -> None:
    lay_out(tmp_path)
    (tmp_path / "scans" / "TCGA-0A-0.tif").write_bytes(b"II*\0" + bytes(99))
    assert "TCGA-0A-0.tif cannot be opened as a slide" in refusal(f"slides:{tmp_path / 'scans'},labels=slides.csv")
    (tmp_path / "none").mkdir()
    assert "holds no slide" in refusal(f"slides:{tmp_path / 'none'}")


def test_otsu_against_every_threshold() -> None:
    values = np.random.default_rng(0).beta(2, 5, 4000)
    values[:1500] = values[:1500] / 2 + 0.5
    steps = np.rint(values * 255)

    def between(threshold: int) -> float:
        low, high = steps[steps <= threshold], steps[steps > threshold]
        return len(low) * len(high) * float(low.mean() - high.mean()) ** 2 if len(low) and len(high) else 0

    assert round(otsu(values) * 255) == max(range(255), key=between)


def test_glass_alone_has_no_tissue(tmp_path: Path) -> None:
    glass = np.random.default_rng(0).integers(235, 245, (256, 256, 3), np.uint8)
    with opened_slide(write_slide(tmp_path / "glass.tif", glass)) as slide:
        assert tissue_shares(slide, (64, 64)).max() == 0
    black = write_slide(tmp_path / "black.tif", np.random.default_rng(0).integers(0, 20, (256, 256, 3), np.uint8))
    with opened_slide(black) as slide:
        assert tissue_shares(slide, (64, 64)).max() == 0


def test_both_libraries_give_the_same_pixels(shared_data: Path) -> None:
    openslide = pytest.importorskip("openslide")
    path = shared_data / "layouts" / "cmu-1-small-region.svs"
    with tiffslide.TiffSlide(path) as one, openslide.OpenSlide(path) as other:
        for place in ((0, 0, 224, 224), (500, 700, 448, 448), (1900, 2600, 300, 300)):
            pictures = [np.asarray(Slide(file).region(*place, (224, 224)), int) for file in (one, other)]
            assert np.abs(pictures[0] - pictures[1]).max() <= 1
        assert Slide(one).resolution == Slide(other).resolution == (0.499, 0.499)


def test_tiffslide_alone_reads_the_real_slide(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slide_file, "_library", lambda: tiffslide.TiffSlide)
    with opened_slide(shared_data / "layouts" / "cmu-1-small-region.svs") as slide:
        shares = tissue_shares(slide, (224 / 0.998, 224 / 0.998))
        # the tissue runs down the middle, and the left margin is glass
        assert shares[:, 0].max() < 0.1
        assert (shares[:, 4] > 0.5).sum() >= 10


def test_a_slide_in_a_folder_of_images_says_what_to_do(shared_data: Path, tmp_path: Path) -> None:
    for part in ("train", "test"):
        for name in ("a", "b"):
            (tmp_path / part / name).mkdir(parents=True)
            for place in range(3):
                Image.fromarray(np.full((9, 9, 3), place * 9 + len(part), np.uint8)).save(
                    tmp_path / part / name / f"{name}{place}.png"
                )
    svs = shared_data / "layouts" / "cmu-1-small-region.svs"
    for suffix in (".svs", ".tif"):
        copy = shutil.copyfile(svs, tmp_path / "train" / "a" / f"slide{suffix}")
        with pytest.raises(InvalidInput, match="slides:DIR"):
            check_source(f"folder:{tmp_path}")
        copy.unlink()


def test_the_drawn_slides_state_their_resolution(source: str) -> None:
    folder = Path(source.split(":", 1)[1].split(",")[0])
    with opened_slide(next(folder.glob("*.tif"))) as slide:
        assert slide.resolution == (MPP, MPP)
