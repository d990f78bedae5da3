"""The log in pages: each is verified, says what it leaves out, and all together are the whole."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.log_view import LogView, Span
from medforge.aggregator.forge.reader import ForgeReader, open_reader
from medforge.aggregator.forge.rounds import round_of
from medforge.aggregator.ledger.commit import Commit
from medforge.aggregator.ledger.ledger import Ledger
from medforge.aggregator.ledger.log_page import LogPage, commit_of, page_bounds
from medforge.base_module import BaseModule
from medforge.cli import build_app
from medforge.errors import CorruptFile, InvalidInput
from medforge.proto.connection import Connection
from tests.aggregator.altering import alter
from tests.aggregator.forges import settings_of
from tests.aggregator.serving import serving

LENGTH = 7


@pytest.fixture(scope="module", params=["directory", "address"])
def reader(
    request: pytest.FixtureRequest, eventful: Path, tmp_path_factory: pytest.TempPathFactory, tiny_base: BaseModule
) -> Iterator[ForgeReader]:
    """The same forge as its directory, and served."""
    if request.param == "directory":
        with open_reader(eventful, None) as opened:
            yield opened
        return
    copied = tmp_path_factory.mktemp("served") / "forge"
    shutil.copytree(eventful, copied)
    with (
        serving(copied, tiny_base, settings=settings_of("routed", "output", "gated")) as (_, at),
        open_reader(None, Connection(at)) as opened,
    ):
        yield opened


def log(directory: Path, *words: str) -> str:
    typed = ["log", "--forge", str(directory), *words]
    result = CliRunner().invoke(build_app(), typed, env={"COLUMNS": "140"}, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def told(directory: Path, *words: str) -> Any:
    return json.loads(log(directory, *words, "--json"))


def may_be_called(commit: Commit, name: str) -> bool:
    begun = any(digest.startswith(name.lower()) for digest in (commit.digest, commit.branch))
    return begun or name in (commit.task, str(commit.arrival))


def test_what_a_name_may_mean_is_looked_up(reader: ForgeReader) -> None:
    commits = reader.commits()
    for one in commits:
        for name in (one.digest, one.digest[:8], one.branch, one.branch[:5].upper(), one.task, str(one.arrival)):
            assert reader.called(name) == [other for other in commits if may_be_called(other, name)]
        assert commit_of(reader, one.digest) == one
        assert round_of(one, reader) == LogView.read(reader, Span()).rounds[commits.index(one)]
    for name in ("none", "%", "lun_", "Lung", '"', "99", "0" * 64):
        assert reader.called(name) == []
    assert commit_of(reader, "0" * 64) is None


def test_all_at_once_is_the_chain(reader: ForgeReader) -> None:
    view = LogView.read(reader, Span())
    assert list(view.page.commits) == reader.commits()
    assert (view.page.first, view.page.length, view.page.before) == (1, LENGTH, None)
    assert view.page.head == reader.commits()[-1]
    known = {one.number: one for one in reader.arrivals()}
    assert dict(view.arrivals) == {number: known[number] for number in view.arrivals}
    assert [one.number for one in view.outside] == [1, 3, 5]
    assert [one.number for one in view.never_in] == [5]
    assert [one.returned for one in view.rounds] == [(), (), (), (), (), (2,), ()]


@given(limits=st.lists(st.integers(1, LENGTH), min_size=LENGTH, max_size=LENGTH))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_split_into_pages_is_the_whole(reader: ForgeReader, limits: list[int]) -> None:
    whole = LogView.read(reader, Span())
    pages: list[LogView] = []
    before: int | None = None
    for limit in limits:
        pages.insert(0, LogView.read(reader, Span(limit, before)))
        before = pages[0].page.first
        if before == 1:
            break
    assert [one for view in pages for one in view.page.commits] == list(whole.page.commits)
    assert [one for view in pages for one in view.rounds] == whole.rounds
    assert [one for view in pages for one in view.never_in] == whole.never_in
    assert {number: one for view in pages for number, one in view.changed.items()} == dict(whole.changed)
    for view in pages:
        assert view.page.older + len(view.page.commits) + view.page.newer == LENGTH
        assert (view.outside, view.older) == ([], 0) or not view.page.newer
        assert view.page.head == whole.page.head
    assert pages[-1].older + len(pages[-1].outside) == len(whole.outside)


@given(length=st.integers(0, 9), limit=st.none() | st.integers(0, 9), before=st.none() | st.integers(1, 12))
def test_a_page_is_what_a_slice_is(length: int, limit: int | None, before: int | None) -> None:
    first, last = page_bounds(length, limit, before)
    below = list(range(1, length + 1))[: None if before is None else before - 1]
    assert list(range(first, last + 1)) == (below if limit is None else below[len(below) - min(limit, len(below)) :])


def test_a_page_says_what_it_leaves_out_and_how_to_see_it(eventful: Path) -> None:
    lines = log(eventful, "--limit", "2").splitlines()
    assert lines[1] == "5 older commits are not listed; --before 6 lists the last of them, --all lists everything"
    assert "1 older arrivals are not listed; --all lists everything" in lines
    before = log(eventful, "--limit", "2", "--before", "6").splitlines()
    assert before[1].startswith("3 older commits are not listed; --before 4 lists")
    assert before[-1] == "2 newer commits are not listed; without --before the newest are"
    assert "not in the main branch" not in before
    assert "no commit comes before that one" in log(eventful, "--before", "1")
    graph = log(eventful, "--graph", "--limit", "2").splitlines()
    assert graph[0].startswith("5 older commits")
    assert graph[1].endswith("+ arrival 2  Klinik Süd (south): lung, which came back")
    journal = log(eventful, "--journal", "--limit", "3").splitlines()
    assert journal[0].endswith("lists the last of them, --all lists everything")
    assert "not listed" not in log(eventful) + log(eventful, "--all") + log(eventful, "--held", "--all")


def test_a_script_gets_everything_unless_it_asks_for_less_and_is_told_how_much(eventful: Path) -> None:
    whole = told(eventful)
    assert (len(whole["commits"]), whole["older"], whole["newer"], whole["older_outside"]) == (LENGTH, 0, 0, 0)
    page = told(eventful, "--limit", "2")
    assert page["commits"] == whole["commits"][-2:]
    assert (page["older"], page["newer"], page["older_outside"]) == (5, 0, 1)
    assert page["stable"] == whole["stable"] == whole["commits"][-1]["digest"]
    page = told(eventful, "--limit", "2", "--before", "4")
    assert page["commits"] == whole["commits"][1:3]
    assert (page["older"], page["newer"], page["stable"]) == (1, 4, whole["stable"])
    graph = told(eventful, "--graph", "--limit", "2")
    assert (graph["graph"], graph["older"]) == (told(eventful, "--graph")["graph"][-2:], 5)
    journal = told(eventful, "--journal")
    assert (journal["older"], journal["newer"]) == (0, 0)
    entries = told(eventful, "--journal", "--limit", "2", "--before", "4")
    assert (entries["journal"], entries["older"]) == (journal["journal"][1:3], 1)


def test_long_lists_are_cut_to_a_page_of_fifty(tmp_path: Path, eventful: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medforge.aggregator.cli.log._PAGE", 3)
    assert "4 older commits are not listed; --before 5 lists" in log(eventful)
    assert "not listed" not in log(eventful, "--held")


@pytest.mark.parametrize("words", [("--all", "--limit", "2"), ("--all", "--before", "2")])
def test_all_and_less_are_not_asked_for_together(eventful: Path, words: tuple[str, ...]) -> None:
    with pytest.raises(InvalidInput, match="--all lists what --limit and --before would leave out"):
        log(eventful, *words)


def test_only_the_page_is_read_and_it_is_verified(
    eventful: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = tmp_path / "forge"
    shutil.copytree(eventful, copied)
    altered(copied, "UPDATE commits SET content = CAST('{}' AS BLOB) WHERE number = 2")
    # what is older is not read, as the help says
    assert told(copied, "--limit", "4")["older"] == 3
    for words in (("--limit", "6"), ("--all",), ("--json",), ("--limit", "1", "--before", "3")):
        with pytest.raises(CorruptFile, match="restore it from a backup"):
            log(copied, *words)

    def read_all(*_: object) -> None:
        raise AssertionError("the whole chain was read")

    monkeypatch.setattr(Ledger, "commits", read_all)
    monkeypatch.setattr(Ledger, "arrivals", read_all)
    log(eventful, "--limit", "2")
    log(eventful, "--limit", "2", "--graph")


def test_a_page_is_verified_to_follow_the_commit_before_it(eventful: Path, tmp_path: Path) -> None:
    copied = tmp_path / "forge"
    shutil.copytree(eventful, copied)
    with open_reader(copied, None) as reader:
        third = reader.commits()[2]
    altered(copied, "DELETE FROM commits WHERE number = 3")
    fifth = "UPDATE commits SET digest = :digest, content = :content WHERE number = 5"
    altered(copied, fifth, digest=third.digest, content=third.content)
    with pytest.raises(CorruptFile, match="does not follow"):
        log(copied, "--limit", "2")


def altered(directory: Path, statement: str, **values: object) -> None:
    """Change commits as somebody with the database's password could."""
    forge = Forge.open(directory)
    alter(forge.ledger, statement, **values)
    forge.close()


def test_an_empty_page_has_no_commit() -> None:
    assert (LogPage().older, LogPage().newer) == (0, 0)
