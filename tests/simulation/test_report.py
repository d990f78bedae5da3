"""The report of a run, whatever the method: under a gate it says where images go, and otherwise it does not."""

import re
from pathlib import Path

import pytest

from medforge.simulation.report import render
from medforge.simulation.result import CentreResult, Means, RoundResult, Score, SimulationResult

SCORE = Score(acc=0.75, auc=0.8)
ROUTING = "Where the gate sends each task"


def result(method: str, routing: dict[str, dict[str, float]]) -> SimulationResult:
    centre = CentreResult(
        name="north",
        task="lung",
        source="tissue:lung",
        prompts=("benign", "malignant"),
        test_images=20,
        arrived=True,
        arrival=1,
        branch="a" * 64,
        individual=SCORE,
        merged=SCORE,
    )
    only = RoundResult(
        arrival=1,
        centre="north",
        branch="a" * 64,
        commit="b" * 64,
        item="c" * 64,
        coefficients={"north": 1.0},
        routing=routing,
        metrics={"north": SCORE},
        mean=SCORE,
    )
    return SimulationResult(
        centres=(centre,),
        rounds=(only,),
        mean=Means(individual=SCORE, merged=SCORE),
        zero_shot={"north": SCORE},
        method=method,
        level="layer",
        coefficients="uniform",
        base="medforge-tiny",
        base_fingerprint="d" * 64,
        recipe="demo",
        changes=(),
        seed=0,
        order=("north",),
        arrivals=None,
        device="cpu",
        dtype="fp32",
        head="b" * 64,
        restarts=0,
        seconds=1.0,
        command="medforge simulate",
        versions={},
        warnings=(),
    )


@pytest.mark.parametrize(("method", "routing"), [("med-lego", {}), ("mixture", {"north": {"north": 1.0}})])
def test_only_a_gate_has_a_table_of_where_images_go(
    tmp_path: Path, method: str, routing: dict[str, dict[str, float]]
) -> None:
    page = render(result(method, routing), [], tmp_path)
    assert (ROUTING in page) == bool(routing)
    assert "0.750" in page


def test_a_method_that_searches_on_nothing_is_not_said_to(tmp_path: Path) -> None:
    uniform = result("med-lego", {})
    for coefficients, searched in (("uniform", False), ("joint", True), ("sequential", True)):
        page = render(uniform.model_copy(update={"coefficients": coefficients}), [], tmp_path)
        assert ("found on the distilled datasets alone" in page) == searched
        assert ("searched on no data" in page) != searched


def test_the_contents_lead_to_every_section(tmp_path: Path) -> None:
    page = render(result("mixture", {"north": {"north": 1.0}}), [], tmp_path)
    links = re.findall(r'<a href="#([^"]+)"', page)
    ids = re.findall(r'id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(links) <= set(ids)
    assert set(re.findall(r'<section id="([^"]+)"', page)) <= set(links)


def test_contents_name_no_section_that_is_not_there(tmp_path: Path) -> None:
    nobody = result("mixture", {}).model_copy(update={"rounds": (), "head": None})
    page = render(nobody, [], tmp_path)
    assert set(re.findall(r'<a href="#([^"]+)"', page)) <= set(re.findall(r'id="([^"]+)"', page))


def test_it_has_a_dark_look_and_no_table_wider_than_the_page(tmp_path: Path) -> None:
    page = render(result("mixture", {}), [], tmp_path)
    assert "@media (prefers-color-scheme: dark)" in page
    # a table scrolls in a frame of its own, or becomes lines on a narrow page
    for before in re.split(r"<table", page)[:-1]:
        following = page[page.index(before) + len(before) :]
        assert before.endswith('<div class="scroll">') or following.startswith('<table class="facts">')
