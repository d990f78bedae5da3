"""One question a task, and no two tasks alike: looked at before a run writes anything."""

import shutil
from pathlib import Path

import pytest

from medforge.client.data.catalogue import names
from medforge.errors import InvalidInput
from medforge.simulation.centres import parse_centres
from medforge.simulation.questions import check_questions, same_images
from tests.client.tasks import write_folder


def check(*centres: str, divide: tuple[str, ...] = ()) -> None:
    check_questions(parse_centres(centres, list(names()), divide), 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "north", 24, 8)


def reworded(folder: Path, dark: str, bright: str) -> Path:
    """Copy a folder, with other prompts."""
    other = folder.with_name(f"{folder.name} again")
    shutil.copytree(folder, other)
    (other / "prompts.txt").write_text(f"dark_tissue: {dark}\nbright_tissue: {bright}\n")
    return other


def test_tasks_that_differ_and_centres_that_ask_alike_are_let_be(folder: Path) -> None:
    other = reworded(folder, "Dark  tissue", "bright tissue")
    check(f"a=shade@folder:{folder}", f"b=shade@folder:{other}", "lung=tissue:lung")
    check("lung=tissue:lung", "colon=tissue:colon", divide=("lung=3:missing-class", "colon=2:look"))


def test_two_tasks_that_share_a_prompt_are_refused(folder: Path) -> None:
    other = reworded(folder, "dark tissue", "pale tissue")
    with pytest.raises(InvalidInput, match="the prompts 'dark tissue' and 'dark tissue' of tasks 'a' and 'b' read the"):
        check(f"a=folder:{folder}", f"b=folder:{other}")


def test_two_centres_of_one_task_that_ask_differently_are_refused(folder: Path) -> None:
    other = reworded(folder, "dark tissue", "pale tissue")
    with pytest.raises(InvalidInput) as caught:
        check(f"a=shade@folder:{folder}", f"b=shade@folder:{other}")
    assert str(caught.value) == (
        "the centres a and b both answer task shade, but b asks 'pale tissue', and a 'bright tissue', 'dark "
        "tissue'; word their prompts alike, or name two tasks"
    )


def test_a_source_that_cannot_be_divided_is_refused_by_its_centre_s_name(folder: Path) -> None:
    with pytest.raises(InvalidInput, match="--centre a-1: missing-class needs at least 3 classes"):
        check(f"a=folder:{folder}", divide=("a=2:missing-class",))
    with pytest.raises(InvalidInput, match=r"--centre a-1: class .* too few for 3 sites to have 8 each"):
        check(f"a=folder:{folder}", divide=("a=3:iid",))


def test_tasks_whose_names_differ_by_case_alone_are_refused() -> None:
    with pytest.raises(InvalidInput, match="there is a task 'lung' already"):
        check("a=lung@tissue:lung", "b=Lung@tissue:colon")


@pytest.mark.parametrize(
    ("centres", "pairs"),
    [
        (["a=lung@tissue:lung", "b=lung@tissue:lung,threads=1"], 1),
        (["a=lung@tissue:lung", "b=lung@tissue:lung,part=1/2"], 1),
        (["a=lung@tissue:lung,part=1/2", "b=lung@tissue:lung,part=2/2,by=look"], 0),
        (["a=lung@tissue:lung,part=1/2", "b=lung@tissue:lung,part=2/3"], 1),
        (["a=lung@tissue:lung,part=1/2", "b=lung@tissue:lung,part=2/2,by=missing-class"], 1),
        (["a=lung@tissue:lung,part=1/2", "b=lung@tissue:lung,part=1/2"], 1),
        (["a=lung@tissue:lung,part=1/2", "b=lung@tissue:lung,part=2/2"], 0),
        (["a=lung@tissue:lung,train=90", "b=lung@tissue:lung"], 0),
        (["a=tissue:lung", "b=tissue:lung"], 0),
    ],
)
def test_centres_with_images_in_common_are_told(centres: list[str], pairs: int) -> None:
    assert len(same_images(parse_centres(centres, list(names())))) == pairs
