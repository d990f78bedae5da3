"""Many centres in the place of a few: who they are, what is scored of them, and what is said."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from medforge.client.data.catalogue import names, open_task
from medforge.errors import InvalidInput
from medforge.simulation.centre_run import CentreRun, Stage
from medforge.simulation.centres import Centre, check_names, parse_centres
from medforge.simulation.checks import check_inputs, check_reviewing
from medforge.simulation.crowd import DEFAULT_CROWD, SCORED, Crowd, few_names, scored, worth_scoring
from medforge.simulation.crowd_words import Pace, fates_counted, summary
from medforge.simulation.live import LiveTable
from medforge.simulation.result import CentreResult, Score, SimulationResult, TaskResult
from medforge.simulation.tables import task_table


def made(*texts: str, count: int) -> list[str]:
    return [centre.spell() for centre in Crowd.make(parse_centres(texts, list(names())), count).centres()]


def test_each_centre_draws_its_own_images_or_has_its_part() -> None:
    assert made("a=lung@tissue:lung,train=24", "b=brain@folder:x", count=5) == [
        "a-1=lung@tissue:lung,train=24,draw=1",
        "b-1=brain@folder:x,by=iid,part=1/2",
        "a-2=lung@tissue:lung,train=24,draw=2",
        "b-2=brain@folder:x,by=iid,part=2/2",
        "a-3=lung@tissue:lung,train=24,draw=3",
    ]
    assert made("b=folder:x", count=1) == ["b-1=b@folder:x"]


@pytest.mark.parametrize(
    "source", ["tissue:lung,train=6,validation=3,test=3", "findings:chest,train=8,validation=4,test=4"]
)
def test_two_draws_have_no_image_in_common_and_one_is_always_the_same(source: str) -> None:
    plain, first, again, other = (
        open_task(source + draw, 64).train.images for draw in ("", ",draw=1", ",draw=1", ",draw=2")
    )
    pictures = [{picture.numpy().tobytes() for picture in images[:]} for images in (plain, first, again, other)]
    assert pictures[1] == pictures[2]
    assert not pictures[0] & pictures[1]
    assert not pictures[1] & pictures[3]
    assert len({images.bank.source.key() for images in (plain, first, again, other)}) == 3


def test_ten_thousand_names_are_told_apart() -> None:
    centres = Crowd.make(DEFAULT_CROWD, 1000).centres()
    check_names(centres)
    assert len({centre.source for centre in centres}) == 1000


@pytest.mark.parametrize(
    ("texts", "count", "sentence"),
    [
        (["a=tissue:lung", "b=tissue:colon"], 1, "--centres 1 is fewer than the 2 centres"),
        (["a=tissue:lung,draw=3"], 10_000, "at most 9999 centres"),
        (["a=folder:x"], 10_000, "--centres 10000: the images of a are divided among at most 9999 centres"),
        (["a=tissue:lung,part=1/4"], 10, "--centre a has a part of its source already"),
        (["a=tissue:lung,draw=x"], 10, "option draw=x must be a whole number"),
    ],
)
def test_what_no_crowd_can_be_made_of_is_refused(texts: list[str], count: int, sentence: str) -> None:
    def make() -> None:
        given = parse_centres(texts, list(names()))
        Crowd.make(given, count)
        check_inputs(given, "medforge-tiny", "cpu", "fp32")

    with pytest.raises(InvalidInput) as caught:
        make()
    assert sentence in str(caught.value)


def test_a_crowd_does_not_review() -> None:
    few, many = (Crowd.make(DEFAULT_CROWD, count) for count in (30, 31))
    check_reviewing(few, review=True)
    check_reviewing(many, review=False)
    with pytest.raises(InvalidInput, match="too much for --centres 31; leave it out"):
        check_reviewing(many, review=True)


def test_fewer_and_fewer_arrivals_are_scored_on_the_first_centres() -> None:
    assert [number for number in range(1, 1001) if worth_scoring(number)] == [
        1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 300, 500, 1000
    ]  # fmt: skip
    centres = Crowd.make(DEFAULT_CROWD, 100).centres()
    assert scored(centres) == centres[: len(DEFAULT_CROWD) * SCORED]


def test_pace_is_of_the_last_minutes() -> None:
    pace = Pace()
    assert pace.left(10) is None
    for second in range(0, 1001, 10):
        # slow at first, then one a second
        pace.note(second, max(0, second - 600))
    assert pace.left(50) == pytest.approx(50, rel=0.05)


def test_what_a_run_that_goes_on_finds_is_no_pace() -> None:
    pace = Pace()
    for second, done in ((0, 0), (20, 855), (30, 855), (40, 857)):
        pace.note(second, done)
    assert pace.left(143) == 10 * 143


def run_of(count: int, stage: Stage, tmp_path: Path) -> list[CentreRun]:
    return [
        CentreRun(f"c-{number}", "c", "tissue:lung", 0.0, tmp_path, tmp_path / "log", stage)
        for number in range(1, count + 1)
    ]


def test_many_centres_are_counted_and_not_listed(tmp_path: Path) -> None:
    centres = (
        run_of(70, Stage.ARRIVED, tmp_path) + run_of(2, Stage.PUSHING, tmp_path) + run_of(28, Stage.WAITING, tmp_path)
    )
    said = summary(centres, 64, 80.0)
    assert said == "70 of 100 arrived, 64 of them merged or held; 2 pushing, 28 to begin; about 80 s left"
    view = LiveTable(Console(file=io.StringIO(), width=200))
    view._told -= 60
    view.show(centres, [], 64)
    assert "70 of 100 arrived" in view.console.file.getvalue()  # type: ignore[attr-defined]
    assert "c-1" not in view.console.file.getvalue()  # type: ignore[attr-defined]


def test_who_did_not_come_is_counted_by_reason() -> None:
    def fate(number: int, held: str | None = None, why_not: str | None = None) -> CentreResult:
        name = f"lung-{number}"
        arrived = held is None and why_not is None
        return CentreResult(name=name, task="lung", source="s", arrived=arrived, held=held, why_not=why_not)

    centres = [fate(number, held=f"it classifies {number} of 24") for number in range(1, 13)]
    centres += [fate(20), fate(21, why_not="it ended with status 2")]
    held, gone = fates_counted(centres)
    assert held.startswith("the forge holds 12 branches back, for example: it classifies 1 of 24 (lung-1, lung-2, ")
    assert held.endswith("lung-10 and 2 others)")
    assert gone == "1 centres did not arrive, for example: it ended with status 2 (lung-21)"
    assert few_names(["a", "b"]) == "a, b"


def test_the_table_of_a_crowd_fits_a_terminal() -> None:
    score = Score(acc=0.9, auc=0.95)
    task = TaskResult(name="lung", prompts=("a", "b"), centres=("lung-1",), test_images=24, zero_shot=score)
    there = CentreResult(name="lung-1", task="lung", source="s", arrived=True, individual=score)
    made = SimulationResult.model_construct(centres=(there,), tasks=(task,))
    gone = there.model_copy(update={"name": "lung-2", "arrived": False})
    for centres, absent in (((there,), False), ((there, gone), True)):
        console = Console(file=io.StringIO(), width=80)
        console.print(task_table(made.model_copy(update={"centres": centres})))
        said = console.file.getvalue()  # type: ignore[attr-defined]
        assert "…" not in said
        assert ("absent" in said) == absent
        assert all(head in said for head in ("centres", "merged", "held", "tested"))


def test_a_centre_of_a_crowd_is_one_that_can_be_named(tmp_path: Path) -> None:
    (centre,) = Crowd.make((Centre(name="lung", source="tissue:lung"),), 1).centres()
    assert parse_centres([centre.spell()], list(names())) == (centre,)
