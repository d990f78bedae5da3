"""What the terminal shows is whole at every width that a terminal has."""

import re
from io import StringIO

import pytest
import torch
from rich.console import Console
from torch.nn.functional import one_hot

from medforge.assessment.assess import assess
from medforge.assessment.result import Assessment
from medforge.assessment.screen import screen
from medforge.assessment.tables import class_rows, whole_rows

NAMES = ("benign-lung-tissue", "lung-adenocarcinoma", "lung-squamous-cell-carcinoma")


@pytest.fixture(scope="module")
def assessment() -> Assessment:
    chance = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (300,), generator=chance)
    return assess(torch.randn(300, 3, generator=chance) + 2 * one_hot(labels, 3), labels, NAMES, None, None)


def shown(assessment: Assessment, width: int) -> str:
    console = Console(width=width, file=StringIO())
    for part in screen(assessment, width):
        console.print(part)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [32, 40, 60, 72, 80, 120])
def test_no_number_and_no_name_is_broken_or_cut(assessment: Assessment, width: int) -> None:
    text = shown(assessment, width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in text
    for _, value in whole_rows(assessment):
        assert value in text
    for name, images, *estimates in class_rows(assessment):
        assert name in text
        assert re.search(rf"\b{images}\b", text)
        for estimate in estimates:
            # a number may stand above its limits, and neither is broken
            assert all(part in text for part in estimate.split(" "))
    assert assessment.confusion is not None
    assert all(re.search(rf"\b{count}\b", text) for row in assessment.confusion for count in row)


def test_a_narrow_terminal_has_the_classes_one_below_the_other(assessment: Assessment) -> None:
    lines = [line.rstrip() for line in shown(assessment, 40).splitlines()]
    rows = class_rows(assessment)
    for name, images, sensitivity, specificity, auc in rows:
        at = lines.index(name)
        found = [tuple(re.split(r"\s{2,}", line)) for line in lines[at + 1 : at + 5]]
        expected = (("images", images), ("sensitivity", sensitivity), ("specificity", specificity), ("AUC", auc))
        assert found == list(expected)
    assert assessment.confusion is not None
    at = lines.index("lung-adenocarcinoma, answered as")
    counts = [int(line.split()[-1]) for line in lines[at + 1 : at + 4]]
    assert counts == list(assessment.confusion[1])
    # as many columns as before where they fit
    assert "class                         images   sensitivity" in shown(assessment, 80)
