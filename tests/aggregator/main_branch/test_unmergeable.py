"""Who cannot come back, or stay without one who leaves, is held; the forge goes on, also after a restart."""

from dataclasses import replace
from pathlib import Path

from click.testing import CliRunner

from medforge.aggregator.forge import maintenance
from medforge.aggregator.forge.fsck import check_forge
from medforge.aggregator.ledger.records import Arrival, State
from medforge.aggregator.main_branch.main_branch import MainBranch
from medforge.aggregator.main_branch.replay import replay
from medforge.aggregator.merge import MethodSettings, choose_settings
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.cli import build_app
from medforge.errors import InvalidBranch
from medforge.plugin import Plugin
from tests.aggregator.forges import fold_all, fold_in_memory, open_main, settings_of, smuggle
from tests.making import branch_around, make_branch, make_plugin

PEM = settings_of("pem", "layer", "uniform")


def state(main: MainBranch, number: int) -> Arrival:
    entry = main.forge.ledger.arrival(number)
    assert entry is not None
    return entry


def members(main: MainBranch) -> tuple[int, ...]:
    head = main.head()
    return head.members if head else ()


def is_sound(main: MainBranch) -> bool:
    outcomes = {one.outcome for one in replay(main.forge, main.base)}
    return outcomes <= {"identical", "empty"} and not any(check.problems for check in check_forge(main.forge))


def lora_that_left_a_forge_of_svd_loras(directory: Path, base: BaseModule) -> MainBranch:
    """A lora branch came and left, an svd-lora branch came; now the maintainer wants the first one back."""
    main = open_main(directory, base, PEM)
    fold_all(main, [make_branch(base, 0, task="task 0", contributor="centre 0")])
    maintenance.withdraw(main.forge, "1", "", erase=False)
    (gone,) = main.settle()
    fold_all(main, [make_branch(base, 1, task="task 1", contributor="centre 1", kind="svd-lora")])
    maintenance.revert(main.forge, gone.digest, "it was right")
    return main


def test_who_does_not_fit_any_more_is_held_and_the_forge_goes_on(tmp_path: Path, tiny_base: BaseModule) -> None:
    main = lora_that_left_a_forge_of_svd_loras(tmp_path, tiny_base)
    third = make_branch(tiny_base, 2, task="task 2", contributor="centre 2", kind="svd-lora")
    main.forge.admit(third, tiny_base)
    assert [(commit.kind, commit.members) for commit in main.fold_waiting()] == [("fold", (2, 3))]
    assert main.settle() == []
    held = state(main, 1)
    assert held.state is State.HELD
    assert "cannot come back" in held.reason
    assert "plugins of kind lora and svd-lora cannot be combined" in held.reason
    last = [entry for entry in main.forge.ledger.journal() if entry.what == "held"][-1]
    assert (last.actor, "cannot come back" in last.about) == ("forge", True)
    assert is_sound(main)
    said = CliRunner().invoke(build_app(), ["log", "--held", "--forge", str(tmp_path)])
    assert "centre 0: task 0 held: it cannot come back" in " ".join(said.stdout.split())


def test_accept_tries_again_and_holds_again(tmp_path: Path, tiny_base: BaseModule) -> None:
    main = lora_that_left_a_forge_of_svd_loras(tmp_path, tiny_base)
    main.settle()
    maintenance.accept(main.forge, "1")
    assert main.fold_waiting() == []
    assert state(main, 1).state is State.HELD
    assert members(main) == (2,)
    maintenance.withdraw(main.forge, "2", "", erase=False)
    maintenance.accept(main.forge, "1")
    assert [commit.kind for commit in main.fold_waiting()] == ["remove", "fold"]
    assert members(main) == (1,)
    assert is_sound(main)


def test_a_restart_goes_on_where_the_forge_stood(tmp_path: Path, tiny_base: BaseModule) -> None:
    lora_that_left_a_forge_of_svd_loras(tmp_path, tiny_base).forge.close()
    again = open_main(tmp_path, tiny_base, PEM)
    assert again.fold_waiting() == []
    assert state(again, 1).state is State.HELD
    again.forge.close()
    once_more = open_main(tmp_path, tiny_base, PEM)
    fold_all(once_more, [make_branch(tiny_base, 2, task="task 2", contributor="centre 2", kind="svd-lora")])
    assert members(once_more) == (2, 3)
    assert state(once_more, 1).state is State.HELD


def test_a_revert_asks_again_for_the_place_that_it_had(tmp_path: Path, tiny_base: BaseModule) -> None:
    main = lora_that_left_a_forge_of_svd_loras(tmp_path, tiny_base)
    main.settle()
    maintenance.withdraw(main.forge, "2", "", erase=False)
    maintenance.revert(main.forge, main.log()[1].digest, "now it fits")
    assert [commit.kind for commit in main.settle()] == ["remove", "restore"]
    assert members(main) == (1,)


def test_damaged_files_hold_who_comes_back_alone(tmp_path: Path, tiny_base: BaseModule) -> None:
    main = open_main(tmp_path, tiny_base, PEM)
    fold_all(main, [make_branch(tiny_base, seed, task=f"task {seed}") for seed in range(2)])
    maintenance.withdraw(main.forge, "1", "", erase=False)
    (gone,) = main.settle()
    main.forge.blobs.path(main.forge.manifest(1).files["plugin/adapter_model.safetensors"].digest).write_bytes(b"x")
    maintenance.revert(main.forge, gone.digest, "")
    main.forge.close()
    again = open_main(tmp_path, tiny_base, PEM)
    assert again.settle() == []
    assert state(again, 1).state is State.HELD
    assert members(again) == (2,)


def scaled(base: BaseModule, factor: float, task: str, contributor: str) -> Branch:
    """A branch whose weight change is a multiple of one and the same."""
    plugin = make_plugin(base, 0)
    parts = {site: replace(part, up=factor * part.up) for site, part in plugin.factors.items()}
    return branch_around(base, Plugin(plugin.settings, plugin.base_fingerprint, parts), 0, task, contributor)


def largest_factor(base: BaseModule, settings: MethodSettings) -> float:
    """The largest power of two at which the scaled branch can be merged alone."""
    factor = 1.0
    while True:
        try:
            fold_in_memory(base, settings, [scaled(base, 2 * factor, "task", "centre")])
        except InvalidBranch:
            return factor
        factor *= 2


def test_who_cannot_stay_without_one_who_leaves_is_held(tmp_path: Path, tiny_base: BaseModule) -> None:
    """Branches past the bound of the default policy: the second overflows but for the first, which it takes back."""
    settings = choose_settings(method="task-arithmetic", parameters={"scale": 10.0})
    factor = largest_factor(tiny_base, settings)
    small = [make_branch(tiny_base, seed, task=f"task {seed}", contributor=f"centre {seed}") for seed in (1, 2)]
    main = open_main(tmp_path / "one", tiny_base, settings)
    fold_all(main, small[:1])
    smuggle(main.forge, scaled(tiny_base, factor, "huge", "wild"))
    smuggle(main.forge, scaled(tiny_base, -2 * factor, "opposite", "wilder"))
    main.fold_waiting()
    fold_all(main, small[1:])
    assert members(main) == (1, 2, 3, 4)
    maintenance.withdraw(main.forge, "2", "patients objected", erase=True)
    main.forge.close()
    again = open_main(tmp_path / "one", tiny_base, settings)
    (commit,) = again.settle()
    assert (commit.kind, commit.arrival, commit.members) == ("remove", 2, (1, 4))
    assert state(again, 2).erased
    assert state(again, 3).state is State.HELD
    assert "cannot stay without arrival 2: merged by task-arithmetic" in state(again, 3).reason
    never = open_main(tmp_path / "other", tiny_base, settings)
    fold_all(never, small)
    head = never.head()
    assert head is not None
    assert (commit.item, commit.coefficients, commit.metrics) == (head.item, head.coefficients, head.metrics)
    assert again.settle() == []
    # what was smuggled in is known to the ledger with another size
    wrong = {check.name for check in check_forge(again.forge) if check.problems}
    assert wrong == {"arrivals are numbered without gaps, and are what their manifests say"}
    assert [one.outcome for one in replay(again.forge, tiny_base)][-1] == "identical"
