"""show, blame and log --graph: what a commit is, who answers a task, and how the main branch grew."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from medforge.aggregator.forge.forge import Forge
from medforge.base_module import BaseModule
from medforge.cli import build_app
from medforge.errors import InvalidInput
from medforge.proto.errors import NotFound
from tests.aggregator.forges import branches, fold_all, open_main, settings_of
from tests.aggregator.serving import serving

RECORDED = Path(__file__).parents[2] / "recorded" / "forge-0.1.0"
WIDTHS = (60, 80, 140)
ROUTED = settings_of("routed", "output", "gated")


def run(*words: object, width: int = 140) -> str:
    typed = list(map(str, words))
    result = CliRunner().invoke(build_app(), typed, env={"COLUMNS": str(width)}, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def told(*words: object) -> Any:
    return json.loads(run(*words, "--json"))


@pytest.fixture(scope="module", params=["directory", "address"])
def source(
    request: pytest.FixtureRequest, eventful: Path, tmp_path_factory: pytest.TempPathFactory, tiny_base: BaseModule
) -> Iterator[tuple[str, str]]:
    """The same forge as its directory, and served."""
    if request.param == "directory":
        yield "--forge", str(eventful)
        return
    copied = tmp_path_factory.mktemp("served") / "forge"
    shutil.copytree(eventful, copied)
    with serving(copied, tiny_base, settings=ROUTED) as (_, at):
        yield "--at", at


def test_a_commit_is_shown_with_what_it_changed(source: tuple[str, str]) -> None:
    replaced = run("show", "4", *source)
    assert "+ arrival 4  north: lung" in replaced
    assert "- arrival 1  north: lung, replaced by arrival 4" in replaced
    assert "3: colon 1 (arrival 3), lung 2 (arrivals 2, 4)" in replaced
    assert "routed: a router chooses the task, and the task's expert the class; an expert is the mean of" in replaced
    newest = run("show", *source)
    assert "7 of 7 (head)" in newest
    assert "- arrival 3  Klinik Süd (south): colon, rejected: wrong labels" in newest
    assert "release     v1.0, since" in newest
    assert ": reviewed by three sites" in newest
    colon = next(line.split() for line in newest.splitlines() if line.startswith("colon"))
    assert (colon[1], colon[2]) != ("–", "–")
    assert colon[2] == "–"
    assert "tag         before-south" in run("show", "before-south", *source)


def test_what_is_shown_is_what_the_ledger_says(source: tuple[str, str], eventful: Path) -> None:
    forge = Forge.open(eventful)
    commits = [commit for _, commit in forge.ledger.commits()]
    forge.close()
    for number, commit in enumerate(commits, start=1):
        shown = told("show", commit.digest[:8], *source)
        before = commits[number - 2] if number > 1 else None
        assert (shown["number"], shown["digest"], shown["item"]) == (number, commit.digest, commit.item)
        assert set(shown["came"]) | set(shown["returned"]) == set(commit.members) - set(
            before.members if before else ()
        )
        assert set(shown["left"]) == set(before.members if before else ()) - set(commit.members)
        assert shown["metrics_before"].keys() == (before.metrics if before else {}).keys()
        assert [one["number"] for one in shown["branches"]] == list(commit.members)
    assert told("show", "v1.0", *source)["tags"][0]["release"] is True
    assert [told("show", one.digest, *source)["returned"] for one in commits[4:6]] == [[], [2]]


def test_blame_says_who_answers_a_task_and_who_does_not(source: tuple[str, str]) -> None:
    lung = told("blame", "lung", *source)
    found = {
        one["number"]: (one["contributor"], one["state"], one["answers"], one["share"]) for one in lung["branches"]
    }
    assert found[1] == ("north", "superseded", False, None)
    assert [found[number][:3] for number in (2, 4)] == [("south", "folded", True), ("north", "folded", True)]
    assert sum(found[number][3] for number in (2, 4)) == pytest.approx(1)
    said = run("blame", "lung", *source)
    assert "2 branches answer lung in commit" in said
    assert "Klinik Süd (south)" in said
    assert "superseded: arrival 4 took its place" in said
    then = run("blame", "lung", "--commit", "before-south", *source)
    assert "one branch answers lung in commit" in then
    assert "came later" in then
    assert "no branch answers brain" in run("blame", "brain", *source)
    assert "held: the plugin classifies its own images no better than chance" in run("blame", "brain", *source)


def test_the_graph_has_a_node_for_every_commit_and_what_never_came_in(source: tuple[str, str]) -> None:
    lines = run("log", "--graph", *source).splitlines()
    assert [line[0] for line in lines] == ["*"] * 7 + [" "]
    assert lines[0].endswith("[tag before-south]")
    assert "- arrival 1  north: lung, replaced by arrival 4" in lines[3]
    assert lines[5].endswith("+ arrival 2  Klinik Süd (south): lung, which came back")
    assert lines[6].endswith("rejected: wrong labels  [release v1.0]")
    assert lines[7].split()[0] == "o"
    graph = told("log", "--graph", *source)
    assert [one["left"] for one in graph["graph"]] == [[], [], [], [1], [2], [], [3]]
    assert [one["number"] for one in graph["never_in"]] == [5]
    assert "[release v1.0]" in run("log", *source)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    "words",
    [("show",), ("show", "4"), ("blame", "lung"), ("blame", "brain"), ("log", "--graph"), ("diff", "before-south")],
)
def test_it_fits_the_terminal_and_says_the_same_at_every_width(
    words: tuple[str, ...], width: int, eventful: Path
) -> None:
    narrow = run(*words, "--forge", eventful, width=width)
    long = [line for line in narrow.splitlines() if len(line) > width]
    assert [line.split()[0] for line in long] in ([], ["commit"])  # a whole digest is never broken
    assert all(len(line.split()) > 1 for line in narrow.splitlines() if len(line.strip()) > 12)
    assert plain(narrow) == plain(run(*words, "--forge", eventful, width=1000))


def plain(text: str) -> list[str]:
    return [word for word in text.split() if word != "|"]


def test_a_forge_of_0_1_0_is_shown_too() -> None:
    shown = told("show", "tissue-lung", "--forge", RECORDED)
    assert (shown["number"], shown["came"], shown["tags"]) == (2, [2], [])
    (one,) = told("blame", "tissue-lung", "--forge", RECORDED)["branches"]
    assert one["share"] == pytest.approx(1 / 3)
    assert "× 0.33" in run("blame", "tissue-lung", "--forge", RECORDED)
    assert len(run("log", "--graph", "--forge", RECORDED).splitlines()) == 3


@pytest.mark.parametrize(
    ("words", "error", "sentence"),
    [
        (("show", "nope"), NotFound, "no commit is called 'nope'"),
        (("show", "0123456"), NotFound, "no commit is called '0123456'"),
        (("show", "99999999999999999999"), NotFound, "no commit is called '9999"),
        (("show", "2"), InvalidInput, "'2' may be any of 3 commits: .*; give more of its digest"),
        (("blame", "lun"), NotFound, "no branch was sent for a task 'lun'; there is lung"),
        (("blame", "\x1b[31m"), NotFound, "no branch was sent for a task '�"),
        (("blame", "lung", "--commit", "v9"), NotFound, "no commit is called 'v9'"),
        (("log", "--graph", "--held"), InvalidInput, "--held, --journal and --graph are three different lists"),
    ],
)
def test_what_is_named_wrongly_gets_a_sentence(
    words: tuple[str, ...], error: type[Exception], sentence: str, eventful: Path
) -> None:
    with pytest.raises(error, match=sentence):
        run(*words, "--forge", eventful)


def test_an_empty_forge_and_one_whose_last_branch_left(tmp_path: Path, tiny_base: BaseModule) -> None:
    main = open_main(tmp_path / "forge", tiny_base, ROUTED)
    for words in (("show",), ("blame", "lung")):
        with pytest.raises(NotFound, match="main branch has no commit yet"):
            run(*words, "--forge", main.forge.directory)
    assert "no commit yet" in run("log", "--graph", "--forge", main.forge.directory)
    fold_all(main, branches(tiny_base, 1))
    run("withdraw", "1", "--forge", main.forge.directory, "--erase", "--yes")
    main.settle()
    main.forge.close()
    shown = run("show", "head", "--forge", main.forge.directory)
    assert "none, the main branch is empty" in shown
    assert "no task is answered" not in shown  # it says what was lost
    assert "members     none" in shown
    assert "(erased)" in run("blame", "task 0", "--forge", main.forge.directory)
    first = told("log", "--graph", "--forge", main.forge.directory)["graph"][0]["digest"]
    assert "one branch answers task 0" in run("blame", "task 0", "--commit", first, "--forge", main.forge.directory)
    with pytest.raises(NotFound, match="the main branch was empty; check out another commit"):
        run("release", "v1", "--forge", main.forge.directory)
    assert "tag gone names commit" in run("tag", "gone", "--forge", main.forge.directory)
    assert "gone" in run("tag", "--list", "--forge", main.forge.directory)
