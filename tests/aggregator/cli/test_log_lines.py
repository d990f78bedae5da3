import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st

from medforge.aggregator.cli.log_lines import commit_lines, journal_lines, outside_lines, replay_lines
from medforge.aggregator.coefficients.task_score import TaskScore
from medforge.aggregator.ledger.commit import Commit
from medforge.aggregator.ledger.log_page import LogPage, LogTable
from medforge.aggregator.ledger.records import Arrival, JournalEntry, State
from medforge.aggregator.main_branch.replay import ReplayResult
from medforge.aggregator.merge import choose_settings
from medforge.cli import build_app
from medforge.cli.lines import flow

WIDTHS = (60, 80, 110)
NAMES = {"University Hospital of Somewhere": "Universitätsklinikum Irgendwo", "clinic": "Klinik für Radiologie"}
TASKS = ("lung and colon tissue, four classes", "brain")


def arrival(number: int, state: State = State.FOLDED, reason: str = "") -> Arrival:
    who = "University Hospital of Somewhere" if number == 1 else "clinic"
    at = "2026-11-25T14:03:27.123Z"
    return Arrival(number, f"{number:x}" * 64, who, TASKS[number % 2], 1, at, state, reason)


def commit(number: int, kind: str = "fold") -> Commit:
    about = arrival(number)
    return Commit(
        kind=kind,  # type: ignore[arg-type]
        parent=None,
        arrival=number,
        members=(1, 2),
        contributor=about.contributor,
        task=about.task,
        branch=about.branch,
        method=choose_settings(),
        coefficients={},
        metrics={task: TaskScore(loss=0.1, acc=0.5 * place + 0.25) for place, task in enumerate(TASKS)},
        seed=0,
        software={},
        base="0" * 64,
        compute="cpu",
        item="0" * 64,
        item_files={},
    )


def test_a_commit_stands_on_one_line_where_there_is_room_and_on_two_where_not() -> None:
    commits, known = [commit(2), commit(2, "remove")], {2: arrival(2)}
    head, wide, removed = commit_lines(commits, known, {}, 120)
    assert head.split()[0] == "arrival"
    assert wide.split() == [
        *("2", "2026-11-25", "14:03", commits[0].digest[:8], "clinic:", *TASKS[0].split()),
        *("0.250,", "mean", "of", "2", "tasks", "0.500"),
    ]
    assert "removed" in removed
    narrow = list(commit_lines(commits, known, {}, 60))
    assert all(line.startswith("  ") for line in narrow[1:])
    assert " ".join(narrow).split() == " ".join([head, wide, removed]).split()


def test_no_line_is_wider_than_the_terminal() -> None:
    reason = "merging it lowers the accuracy on the distilled images of task 'brain' from 1.000 to 0.500; check labels"
    said = {"arrival": 3, "branch": "ab" * 32, "was": "held", "reason": "", "erase": True}
    entry = JournalEntry(7, "2026-11-25T14:03:27.123Z", "maintainer", "accepted", json.dumps(said), "")
    for width in WIDTHS:
        lines = [
            *commit_lines([commit(1), commit(2)], {1: arrival(1), 2: arrival(2)}, NAMES, width),
            *outside_lines([arrival(3, State.HELD, reason), arrival(4, State.RECEIVED)], NAMES, width),
            *journal_lines([entry], NAMES, width),
        ]
        assert max(map(len, lines)) <= width
        # nobody reads one word a line
        assert all(len(line.split()) > 1 for line in lines)
        said_all = " ".join(" ".join(lines).split())
        assert f"held: {reason}" in said_all
        assert "waits for its turn" in said_all
        assert "Klinik für Radiologie (clinic): brain" in said_all
        assert "maintainer: accepted arrival 3, branch abababab, was held, erase" in said_all


def test_a_replay_says_what_many_commits_share_once_and_in_whole_words() -> None:
    why = "made by a version that did not record its processor, and depended on its threads"
    found = [ReplayResult(number, commit(number), "within tolerance", why) for number in (1, 2)]
    found.append(ReplayResult(3, commit(3), "identical"))
    for width in WIDTHS:
        lines = list(replay_lines(found, width))
        assert max(map(len, lines)) <= width
        assert all(len(line.split()) > 1 for line in lines)
        head, *rest = " ".join(" ".join(lines).split()).split("rebuilt ")
        assert head == "commit item round: members "
        first, second, third = (f"{one.commit.digest[:8]} 00000000 fold {one.number}: 1, 2" for one in found)
        assert rest == [f"{first} within tolerance: {why} {second} within tolerance {third} identical"]


@example(parts=["a" * 39, " "], width=40)
@given(parts=st.lists(st.text("ab c", max_size=40), max_size=6), width=st.integers(40, 100))
def test_nothing_is_lost_and_no_word_is_broken(parts: list[str], width: int) -> None:
    words = [word for part in parts for word in part.split() if len(word) < 20]
    lines = list(flow(parts, width, 9))
    assert max(map(len, lines), default=0) <= width
    if all(len(word) < 20 for part in parts for word in part.split()):
        assert " ".join(lines).split() == words


def test_a_terminal_is_told_nothing_that_it_would_obey() -> None:
    (line,) = flow(["\x1b[31mred"], 80, 9)
    assert "\x1b" not in line


def test_a_branch_that_is_folded_between_two_looks_is_not_lost(eventful: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def log(*words: str) -> str:
        return CliRunner().invoke(build_app(), ["log", "--forge", str(eventful), *words], catch_exceptions=False).stdout

    def outside() -> set[int]:
        return {one["number"] for one in json.loads(log("--json"))["outside"]}

    def three(table: LogTable, *_: object) -> LogPage:
        page = whole(table, None, 4)
        return replace(page, length=3, head=page.commits[-1])

    settled, whole = outside(), LogTable.page
    # as if arrival 4's commit, and those after it, had come after the commits were read
    monkeypatch.setattr(LogTable, "page", three)
    assert outside() == settled | {4}
    assert "comes in just now" in log()
