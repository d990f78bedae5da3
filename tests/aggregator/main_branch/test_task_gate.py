"""An arrival whose task is not declared is held, and released by the declaration; an open forge declares by arrival."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from medforge.aggregator.forge import maintenance
from medforge.aggregator.forge.declaring import declare
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.policy import Policy, Tasks, policy_to_serve
from medforge.aggregator.ledger.order import LedgerConflict
from medforge.aggregator.ledger.records import State
from medforge.aggregator.ledger.task_table import TaskTable
from medforge.aggregator.main_branch.main_branch import MainBranch
from medforge.aggregator.main_branch.replay import replay
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.declared_task import DeclaredTask
from medforge.errors import InvalidInput
from medforge.site_facts import SiteFacts
from tests.aggregator.forges import UNEXAMINED, settings_of
from tests.making import make_branch, make_distilled, make_plugin

SETTINGS = settings_of("fusion", "layer", "sequential")
CLOSED = UNEXAMINED.model_copy(update={"tasks": Tasks(open=False)})
LUNG = DeclaredTask.make("lung", [("n", "normal lung"), ("t", "lung tumor"), ("c", "lung cyst")], "CT")


def opened(directory: Path, base: BaseModule, policy: Policy) -> MainBranch:
    return MainBranch(Forge.establish(directory, base, SETTINGS, policy=policy), base)


@pytest.fixture
def closed(tmp_path: Path, tiny_base: BaseModule) -> Iterator[MainBranch]:
    main = opened(tmp_path / "forge", tiny_base, CLOSED)
    yield main
    main.forge.close()


@pytest.fixture
def free(tmp_path: Path, tiny_base: BaseModule) -> Iterator[MainBranch]:
    main = opened(tmp_path / "forge", tiny_base, UNEXAMINED)
    yield main
    main.forge.close()


def asks(
    base: BaseModule,
    task: str,
    *prompts: str,
    contributor: str = "centre",
    seed: int = 0,
    facts: SiteFacts | None = None,
) -> Branch:
    """A branch that answers a task with these prompts."""
    branch = Branch.build(
        make_plugin(base, seed),
        make_distilled(base, seed, prompts=prompts),
        contributor=contributor,
        task=task,
        base=base,
        training_images=10,
        recipe="test",
        seed=seed,
        validation={},
    )
    return branch if facts is None else branch.with_facts(facts, base)


def arrive(main: MainBranch, branch: Branch) -> tuple[State, str]:
    """Let a branch arrive and everything that waits be folded; gives what became of it."""
    main.forge.admit(branch, main.base)
    main.fold_waiting()
    arrival = main.forge.ledger.arrival_of(branch.digest)
    assert arrival is not None
    return arrival.state, arrival.reason


def declared(main: MainBranch) -> dict[str, tuple[str, ...]]:
    return {name: one.task.prompts for name, one in TaskTable(main.forge.ledger).declarations().items()}


def head(main: MainBranch) -> tuple[int, ...]:
    commit = main.head()
    return commit.members if commit else ()


def test_an_undeclared_task_is_held_with_the_command_that_declares_it(
    closed: MainBranch, tiny_base: BaseModule
) -> None:
    state, reason = arrive(closed, asks(tiny_base, "lung", "normal lung", "lung tumor"))
    assert state is State.HELD
    command = "`medforge task add lung --like 1 --modality MODALITY --forge DIR`"
    assert reason == f"task 'lung' is not declared; the maintainer declares it with {command}"
    knows = asks(tiny_base, "my lung", "clear", "not clear", facts=SiteFacts(modality="CT"))
    assert "`medforge task add 'my lung' --like 2 --forge DIR`" in arrive(closed, knows)[1]
    assert declared(closed) == {}
    assert head(closed) == ()


def test_the_declaration_releases_and_folds_it(closed: MainBranch, tiny_base: BaseModule) -> None:
    arrive(closed, asks(tiny_base, "lung", "normal lung", "lung tumor"))
    arrive(closed, asks(tiny_base, "lung", "lung cyst", "Normal  LUNG", contributor="other", seed=1))
    arrive(closed, asks(tiny_base, "skin", "naevus", "melanoma", contributor="third", seed=2))
    assert declare(TaskTable(closed.forge.ledger), LUNG, tiny_base) == 2
    closed.fold_waiting()
    assert head(closed) == (1, 2)
    assert [one.state for one in closed.forge.ledger.arrivals()] == [State.FOLDED, State.FOLDED, State.HELD]
    assert {one.outcome for one in replay(closed.forge, tiny_base)} == {"identical"}
    maintenance.withdraw(closed.forge, "1", "why", erase=False)
    closed.settle()
    assert head(closed) == (2,)
    maintenance.revert(closed.forge, closed.log()[-1].digest, "why")
    closed.settle()
    assert sorted(head(closed)) == [1, 2]
    assert {one.outcome for one in replay(closed.forge, tiny_base)} == {"identical"}


@pytest.mark.parametrize(
    ("prompts", "facts", "sentence"),
    [
        (
            ("normal lung", "lung tumour"),
            None,
            "task 'lung' has no class with the prompt 'lung tumour'; its prompts are",
        ),
        (
            ("normal lung", "lung tumor"),
            SiteFacts(classes=("t", "n")),
            "which task 'lung' calls 'n'; use the task's keys",
        ),
    ],
)
def test_classes_that_do_not_fit_are_held(
    closed: MainBranch, tiny_base: BaseModule, prompts: tuple[str, ...], facts: SiteFacts | None, sentence: str
) -> None:
    declare(TaskTable(closed.forge.ledger), LUNG, tiny_base)
    state, reason = arrive(closed, asks(tiny_base, "lung", *prompts, facts=facts))
    assert state is State.HELD
    assert sentence in reason
    with pytest.raises(LedgerConflict, match="arrival 1 cannot be accepted: .*lung"):
        maintenance.accept(closed.forge, "1")
    # a new push by the same centre is folded as ever
    assert arrive(closed, asks(tiny_base, "lung", "lung tumor", "normal lung", seed=3))[0] is State.FOLDED


def test_a_declared_task_under_another_name_is_named(closed: MainBranch, tiny_base: BaseModule) -> None:
    declare(TaskTable(closed.forge.ledger), LUNG, tiny_base)
    _, reason = arrive(closed, asks(tiny_base, "chest CT", "Lung Tumor", "normal lung"))
    assert reason.endswith("its prompts are those of task 'lung', so commit it again with --task lung")


def test_what_is_not_declared_cannot_be_accepted(closed: MainBranch, tiny_base: BaseModule) -> None:
    arrive(closed, asks(tiny_base, "lung", "normal lung", "lung tumor"))
    with pytest.raises(LedgerConflict, match="arrival 1 cannot be accepted: task 'lung' is not declared; the maint"):
        maintenance.accept(closed.forge, "1")
    closed.forge.ledger.hold(
        closed.forge.admit(asks(tiny_base, "lung", "lung cyst", "normal lung"), tiny_base).number, "?"
    )
    declare(TaskTable(closed.forge.ledger), LUNG, tiny_base)
    assert maintenance.accept(closed.forge, "2").state is State.RECEIVED


def test_an_open_forge_declares_by_first_arrival(free: MainBranch, tiny_base: BaseModule) -> None:
    first = asks(tiny_base, "lung", "normal lung", "lung tumor", facts=SiteFacts(modality="CT", classes=("n", "t")))
    assert arrive(free, first)[0] is State.FOLDED
    assert arrive(free, asks(tiny_base, "lung", "lung cyst", "NORMAL lung", contributor="b"))[0] is State.FOLDED
    assert arrive(free, asks(tiny_base, "lung", "lung cyst", "lung tumor", contributor="c"))[0] is State.FOLDED
    history = TaskTable(free.forge.ledger).history()
    assert [(one.arrival, one.task.modality, one.task.keys) for one in history] == [
        (1, "CT", ("n", "t")),
        (2, "CT", ("n", "t", "lung-cyst")),
    ]
    assert [entry.what for entry in free.forge.ledger.journal()] == [
        *("arrived", "declared", "committed fold"),
        *("arrived", "extended", "committed fold"),
        *("arrived", "committed fold"),
    ]


@pytest.mark.parametrize("spelling", ["lung\u00a0tumor", "LUNG  tumor", "ｌｕｎｇ tumor"])
def test_no_spelling_makes_another_tasks_prompt_ones_own(
    free: MainBranch, tiny_base: BaseModule, spelling: str
) -> None:
    arrive(free, asks(tiny_base, "lung", "normal lung", "lung tumor"))
    state, reason = arrive(free, asks(tiny_base, "skin", "naevus", spelling, contributor="b"))
    assert state is State.HELD
    assert "of tasks 'lung' and 'skin' read the same; word them differently" in reason
    arrive(free, asks(tiny_base, "skin", "naevus", "melanoma", contributor="b"))
    state, reason = arrive(free, asks(tiny_base, "skin", "naevus", spelling, contributor="c"))
    assert state is State.HELD
    assert "read the same" in reason
    assert declared(free) == {"lung": ("normal lung", "lung tumor"), "skin": ("naevus", "melanoma")}


def test_what_the_base_cannot_tell_apart_is_one_prompt(free: MainBranch, tiny_base: BaseModule) -> None:
    # the tiny base's context ends after 16 tokens
    long = "lung " * 20
    arrive(free, asks(tiny_base, "lung", "normal lung", long + "tumor"))
    state, reason = arrive(free, asks(tiny_base, "skin", "naevus", long + "cyst", contributor="b"))
    assert state is State.HELD
    assert "of tasks 'lung' and 'skin' are the same to the base module; word them differently" in reason
    with pytest.raises(InvalidInput, match="are the same to the base module"):
        declare(TaskTable(free.forge.ledger), DeclaredTask.make("x", [("a", long), ("b", long + "b")]), tiny_base)


def test_who_is_held_declares_nothing(tmp_path: Path, tiny_base: BaseModule) -> None:
    main = opened(tmp_path / "forge", tiny_base, Policy())
    state, reason = arrive(main, make_branch(tiny_base, 1, task="squatted", ipc=8))
    assert state is State.HELD
    assert "declared" not in reason
    assert declared(main) == {}
    main.forge.close()


def test_a_main_branch_from_before_is_declared_as_it_is(tmp_path: Path, tiny_base: BaseModule) -> None:
    main = opened(tmp_path / "forge", tiny_base, UNEXAMINED)
    arrive(main, asks(tiny_base, "lung", "normal lung", "lung tumor"))
    arrive(main, asks(tiny_base, "lung", "normal lung", "lung cyst", contributor="b"))
    main.forge.close()
    # as one is that was upgraded from a version that knew no declarations
    with sqlite3.connect(tmp_path / "forge" / "ledger.sqlite") as raw:
        raw.execute("DROP TRIGGER tasks_no_delete")
        raw.execute("DELETE FROM tasks")
    (tmp_path / "forge" / "policy.json").write_bytes(b'{"admission":{"behaviour":false},"format":1}')
    assert policy_to_serve(tmp_path / "forge", new=False).tasks.open
    again = MainBranch(Forge.establish(tmp_path / "forge", tiny_base, SETTINGS), tiny_base)
    again.settle()
    assert declared(again) == {"lung": ("normal lung", "lung tumor", "lung cyst")}
    assert arrive(again, asks(tiny_base, "skin", "naevus", "melanoma", contributor="c"))[0] is State.FOLDED
    assert {one.outcome for one in replay(again.forge, tiny_base)} == {"identical"}
    again.forge.close()


def test_a_new_forge_is_closed_where_it_is_served_and_keeps_what_it_was_told(tmp_path: Path) -> None:
    assert not policy_to_serve(tmp_path, new=True).tasks.open
    assert policy_to_serve(tmp_path, new=False).tasks.open
    Policy(tasks=Tasks(open=True)).save(tmp_path)
    assert policy_to_serve(tmp_path, new=True).tasks.open
