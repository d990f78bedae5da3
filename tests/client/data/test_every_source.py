"""What every data source promises; the source of the example package is one of them."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from medforge.client.data.catalogue import SOURCES, check_source, names, open_task
from medforge.client.data.task import Task
from medforge.errors import InvalidInput
from tests.client.data.sources import (
    test_breakhis,
    test_dicom,
    test_folder,
    test_lc25000,
    test_medfmc_colon,
    test_medmnist,
    test_nifti,
    test_nih_cxr14,
    test_oai_knee,
    test_shenzhen_tb,
    test_slides,
    test_table,
)

pytestmark = pytest.mark.usefixtures("with_examples")
WriteImage = Callable[..., Path]
SIDE = 24
READING = "window megapixels: said once, of all image files"


def table(root: Path, write_image: WriteImage) -> Path:
    """Three images of each of ten patients of a class."""
    lines = ["path,label,patient"]
    for place in range(60):
        path = write_image(root / "images" / f"{place}.png", place)
        lines.append(f"{path.relative_to(root)},{'healthy' if place < 30 else 'ill'},P{place // 3}")
    (root / "eyes.csv").write_text("\n".join(lines) + "\n")
    return root / "eyes.csv"


LAYOUTS: dict[str, Callable[[Path, WriteImage], str | Path]] = {
    "breakhis": test_breakhis.lay_out,
    "csvlabels": table,
    "dicom": test_dicom.lay_out,
    "findings": lambda _root, _write: "chest,train=40,validation=8,test=8",
    "folder": test_folder.lay_out,
    "lc25000-colon": test_lc25000.lay_out,
    "lc25000-lung": test_lc25000.lay_out,
    "medfmc-colon": test_medfmc_colon.lay_out,
    "medmnist": lambda root, _write: test_medmnist.lay_out(root),
    "nifti": test_nifti.lay_out,
    "nih-cxr14": test_nih_cxr14.lay_out,
    "oai-knee": test_oai_knee.lay_out,
    "shenzhen-tb": test_shenzhen_tb.lay_out,
    "slides": test_slides.lay_out,
    "table": test_table.lay_out,
    "tissue": lambda _root, _write: "lung,train=24,validation=9,test=9",
}
every_source = pytest.mark.parametrize("name", LAYOUTS)


@pytest.fixture
def source(name: str, tmp_path: Path, write_image: WriteImage) -> str:
    return f"{name}:{LAYOUTS[name](tmp_path, write_image)}"


def content(task: Task) -> list[tuple[tuple[str, ...], list[int], list[int]]]:
    """Names, labels and the first pixels of each split."""
    return [
        (tuple(part.images.names), part.labels.tolist(), part.images[:4].flatten().tolist())
        for part in task.splits.values()
    ]


def refusal(source: str, opener: Callable[[str], object]) -> str:
    with pytest.raises(InvalidInput) as error:
        opener(source)
    return str(error.value)


def check_sentence(sentence: str) -> None:
    """One line, no capital, no full stop, and what to do after a semicolon."""
    assert re.fullmatch(r"[a-z/‘'][^\n]*; [^\n]*[^.\n]", sentence), sentence


def test_every_source_that_can_be_had_is_here() -> None:
    assert set(names()) == set(LAYOUTS)


def test_every_built_in_source_says_what_it_reads_and_refuses() -> None:
    tables = SOURCES.find("table").reads
    for name in SOURCES.built_in():
        found = SOURCES.find(name)
        said = found.reads + READING + (tables if "`table" in found.reads else "")
        assert found.reads, name
        assert found.refuses, name
        for option in found.options:
            assert re.search(rf"\b{option}\b", said), f"{name} does not say what {option} is"


@every_source
@pytest.mark.parametrize("seed", [0, 3])
def test_splits_share_no_image_and_no_patient(source: str, seed: int) -> None:
    task = open_task(source, SIDE, seed)
    images = [set(part.images.names) for part in task.splits.values()]
    assert all(images)
    assert len(set.union(*images)) == sum(map(len, images)) == sum(map(len, task.splits.values()))
    if task.split in ("patient", "grouped"):
        groups = [set(part.groups or ()) for part in task.splits.values()]
        assert all(groups)
        assert len(set.union(*groups)) == sum(map(len, groups))


@every_source
def test_every_label_has_a_prompt_and_images_have_the_size_that_was_asked_for(source: str) -> None:
    task = open_task(source, SIDE)
    assert len(set(task.texts)) == len(task.texts) >= 2
    assert all(text.strip() == text != "" for text in task.texts)
    assert re.fullmatch(r"[A-Za-z0-9][\w.-]*", task.name)
    for part in task.splits.values():
        pixels = part.images[:]
        assert (pixels.dtype, pixels.shape) == (torch.uint8, (len(part), 3, SIDE, SIDE))
        assert pixels.float().std() > 1
        if task.multi_label:
            assert part.labels.shape == (len(part), len(task.prompts))
            assert set(part.labels.unique().tolist()) <= {0, 1}
        else:
            assert set(part.labels.tolist()) == set(range(len(task.prompts)))


@every_source
def test_the_seed_and_the_data_decide_and_nothing_else(source: str, tmp_path: Path) -> None:
    first = content(open_task(source, SIDE, 5))
    assert content(open_task(source, SIDE, 5)) == first
    assert content(open_task(f"{source},threads=1", SIDE, 5)) == first
    # beyond the budget the pixels go to a file, and come from it the next time
    for _ in range(2):
        assert content(open_task(source, SIDE, 5, cache=tmp_path / "cache", budget=0)) == first


@every_source
def test_an_option_that_does_not_exist_is_refused(name: str, source: str) -> None:
    for opener in (check_source, lambda asked: open_task(asked, SIDE)):
        sentence = refusal(f"{source},nosuch=1", opener)
        assert f"{name}: there is no option 'nosuch'" in sentence
        assert "it takes" in sentence
        check_sentence(sentence)


@every_source
def test_what_is_not_there_is_refused_by_name(name: str, tmp_path: Path) -> None:
    for opener in (check_source, lambda asked: open_task(asked, SIDE)):
        sentence = refusal(f"{name}:{tmp_path / 'nowhere'}", opener)
        assert sentence.startswith(f"{name}: ")
        assert "nowhere" in sentence
        check_sentence(sentence)


@every_source
def test_what_can_be_opened_passes_the_check(source: str) -> None:
    check_source(source)
