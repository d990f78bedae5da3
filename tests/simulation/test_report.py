"""The report of a run, whatever the method: under a gate it says where images go, and otherwise it does not."""

import re
from pathlib import Path

import pytest

from medforge.look.heat_map import spell
from medforge.simulation.charts import accuracy_over_arrivals, coefficients_per_round
from medforge.simulation.material import ReportMaterial
from medforge.simulation.report import draw, render
from medforge.simulation.result import CentreResult, Means, RoundResult, Score, SimulationResult, TaskResult

SCORE = Score(acc=0.75, auc=0.8)
ROUTING = "Where the {} sends each"


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
        tasks={"lung": SCORE},
        mean=SCORE,
    )
    task = TaskResult(
        name="lung",
        prompts=("benign", "malignant"),
        centres=("north",),
        test_images=20,
        zero_shot=SCORE,
        merged=SCORE,
        home={"north": SCORE},
        away={"north": {"north": SCORE}},
        alone={"north": SCORE},
    )
    return SimulationResult(
        centres=(centre,),
        rounds=(only,),
        tasks=(task,),
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


def page_of(result: SimulationResult, out: Path, material: ReportMaterial | None = None) -> str:
    shown = material or ReportMaterial()
    return render(result, shown, draw(result, shown), out)


@pytest.mark.parametrize(
    ("method", "routing", "who"),
    [
        ("med-lego", {}, None),
        ("mixture", {"north": {"north": 1.0}}, "gate"),
        ("routed", {"lung": {"lung": 1.0}}, "router"),
    ],
)
def test_only_a_gate_or_a_router_has_a_table_of_where_images_go(
    tmp_path: Path, method: str, routing: dict[str, dict[str, float]], who: str | None
) -> None:
    page = page_of(result(method, routing), tmp_path)
    for one in ("gate", "router"):
        assert (ROUTING.format(one) in page) == (one == who)
    assert "0.75" in page


def test_what_a_router_calls_none_of_these_is_told(tmp_path: Path) -> None:
    routed = result("routed", {"lung": {"lung": 1.0}})
    assert "cannot say that an image belongs to none" in page_of(routed, tmp_path)
    told = routed.rounds[0].model_copy(update={"none_of_these": {"lung": 0.052}})
    page = page_of(routed.model_copy(update={"rounds": (told,)}), tmp_path)
    assert "5.2 % of the test images of lung" in page
    assert "cannot say that an image belongs to none" not in page


def test_home_and_away_is_shown_where_centres_share_a_task(tmp_path: Path) -> None:
    alone = result("routed", {"lung": {"lung": 1.0}})
    assert "Home and away" not in page_of(alone, tmp_path)
    north, task = alone.centres[0], alone.tasks[0]
    south = north.model_copy(update={"name": "south", "arrived": False, "held": "it tells nothing apart"})
    scores = {"north": Score(acc=0.811, auc=0.9), "south": Score(acc=0.422, auc=0.5)}
    shared = task.model_copy(update={"centres": ("north", "south"), "away": {"north": scores, "south": scores}})
    page = page_of(alone.model_copy(update={"centres": (north, south), "tasks": (shared,)}), tmp_path)
    (section,) = re.findall(r'<section id="home-and-away">.*?</section>', page, re.DOTALL)
    assert section.count(">0.81<") == section.count(">0.42<") == 2
    for row in ("plugin of north", "plugin of south", "base alone", "main branch", "all together"):
        assert row in section
    assert "held back by the forge: it tells nothing apart" in page
    assert "1 of 2 centres arrived, 1 held back" in page
    assert "On the test images of all centres of lung it has 0.75, the best of their plugins (north) 0.75." in page


def test_a_method_that_searches_on_nothing_is_not_said_to(tmp_path: Path) -> None:
    uniform = result("med-lego", {})
    for coefficients, searched in (("uniform", False), ("joint", True), ("sequential", True)):
        page = page_of(uniform.model_copy(update={"coefficients": coefficients}), tmp_path)
        assert ("found on the distilled datasets alone" in page) == searched
        assert ("searched on no data" in page) != searched


def test_the_contents_lead_to_every_section(tmp_path: Path) -> None:
    page = page_of(result("mixture", {"north": {"north": 1.0}}), tmp_path)
    links = re.findall(r'<a href="#([^"]+)"', page)
    ids = re.findall(r'id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(links) <= set(ids)
    assert set(re.findall(r'<section id="([^"]+)"', page)) <= set(links)


def test_contents_name_no_section_that_is_not_there(tmp_path: Path) -> None:
    nobody = result("mixture", {}).model_copy(update={"rounds": (), "head": None})
    page = page_of(nobody, tmp_path)
    assert set(re.findall(r'<a href="#([^"]+)"', page)) <= set(re.findall(r'id="([^"]+)"', page))


def test_a_thousand_arrivals_stand_apart_below_a_figure() -> None:
    few = result("routed", {"lung": {"lung": 1.0}})
    scored = [1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300, 500, 1000]
    rounds = [few.rounds[0].model_copy(update={"arrival": arrival}) for arrival in scored]
    axes = accuracy_over_arrivals(few.tasks, rounds).axes[0]
    assert [int(place) for place in axes.get_xticks()] == list(range(14))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["base\nalone", *map(str, scored)]
    axes = coefficients_per_round(["north"], few.rounds).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1\nnorth"]


@pytest.mark.parametrize(
    ("value", "said"), [(0.0, "0.00"), (0.002, "0.002"), (0.00005, "0.00"), (0.005, "0.01"), (-0.12, "-0.12")]
)
def test_a_small_coefficient_is_not_written_as_nothing(value: float, said: str) -> None:
    assert spell(value) == said


def test_it_has_a_dark_look_and_no_table_wider_than_the_page(tmp_path: Path) -> None:
    page = page_of(result("mixture", {}), tmp_path)
    assert "@media (prefers-color-scheme: dark)" in page
    # a table scrolls in a frame of its own, or becomes lines on a narrow page
    for before in re.split(r"<table", page)[:-1]:
        following = page[page.index(before) + len(before) :]
        assert before.endswith('<div class="scroll">') or following.startswith('<table class="facts">')
