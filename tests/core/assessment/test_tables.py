"""Tables and figures of an assessment say what is in it, whatever the classes are called."""

import csv
import io
import re
import xml.etree.ElementTree as ET

import pytest
import torch

from medforge.assessment.assess import assess
from medforge.assessment.figures import charts_of
from medforge.assessment.files import files_of
from medforge.assessment.latex import escape, latex_tables
from medforge.assessment.result import Assessment
from medforge.assessment.tables import class_rows, interval_note, numbers_csv, whole_rows

NAMES = ("benign_1 & 2", "50 % <b>$x$", "Übergang")


@pytest.fixture(scope="module")
def three() -> Assessment:
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    logits = torch.randn(60, 3, generator=random) + 2 * torch.nn.functional.one_hot(labels, 3)
    return assess(logits, labels, NAMES)


@pytest.fixture(scope="module")
def findings() -> Assessment:
    random = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 2, (40, 2), generator=random)
    return assess(torch.randn(40, 2, generator=random) + labels, labels, ("nodule", "effusion"))


def test_latex_tables_have_as_many_cells_as_columns(three: Assessment, findings: Assessment) -> None:
    for found, tables in ((three, 3), (findings, 2)):
        text = latex_tables(found)
        bodies = re.findall(r"\\begin\{tabular\}\{(l?r*)\}\n(.*?)\\end\{tabular\}", text, re.DOTALL)
        assert len(bodies) == tables
        for columns, body in bodies:
            lines = [line for line in body.splitlines() if line != r"\hline"]
            assert all(len(re.findall(r"(?<!\\)&", line)) == len(columns) - 1 for line in lines)
            assert all(line.endswith(r" \\") for line in lines)


def test_latex_prints_every_letter_as_it_is() -> None:
    assert escape("a_b & 5 % {x} #1 $2") == r"a\_b \& 5 \% \{x\} \#1 \$2"
    assert escape("\\~^") == r"\textbackslash{}\textasciitilde{}\textasciicircum{}"
    assert escape("0.7 (0.6–0.8)\n<") == "0.7 (0.6--0.8) $<$"


def test_rows_say_what_there_is(three: Assessment, findings: Assessment) -> None:
    assert [name for name, _ in whole_rows(three)] == [
        "accuracy", "balanced accuracy", "AUC, mean over classes", "Brier score, 0 to 2", "calibration error, 10 bins",
    ]  # fmt: skip
    assert "balanced accuracy" not in dict(whole_rows(findings))
    assert [row[:2] for row in class_rows(three)] == [(name, "20") for name in NAMES]
    assert re.fullmatch(r"\d\.\d\d \(0\.\d\d–\d\.\d\d\)", class_rows(three)[0][2])
    assert interval_note(three).endswith("each image counts as independent")


def test_the_csv_has_every_digit(three: Assessment) -> None:
    rows = list(csv.DictReader(io.StringIO(numbers_csv(three))))
    (accuracy,) = (row for row in rows if row["measure"] == "accuracy")
    assert [float(accuracy[name]) for name in ("value", "low", "high")] == [
        three.accuracy.value, three.accuracy.low, three.accuracy.high,
    ]  # fmt: skip
    assert {row["class"] for row in rows} == {"", *NAMES}
    assert sum(row["measure"] == "sensitivity" for row in rows) == 3


def test_figures_are_drawn_with_words_and_the_same_twice(three: Assessment) -> None:
    assert charts_of(three)[0].files() == charts_of(three)[0].files()
    for chart in charts_of(three):
        shown = "".join(ET.fromstring(chart.svg).itertext())
        assert len(chart.alt) > 20
        if chart.name != "reliability":
            assert all(name.replace(" ", "") in shown.replace(" ", "").replace("\n", "") for name in NAMES)


def test_findings_have_no_confusion_matrix_and_files_may_have_a_prefix(findings: Assessment) -> None:
    names = set(files_of(findings, "chest-"))
    assert "chest-roc.svg" in names
    assert not any("confusion" in name for name in names)
    assert all(name.startswith("chest-") for name in names)


def test_one_image_can_be_drawn() -> None:
    found = assess(torch.tensor([[1.0, 0.0]]), torch.tensor([0]), ("a", "b"))
    assert all(ET.fromstring(chart.svg).tag.endswith("svg") for chart in charts_of(found))
