"""An erasure takes with it all that was cached of a branch, and nothing that was cached of the others."""

import threading
from pathlib import Path

import pytest

from medforge.aggregator.forge import maintenance
from medforge.aggregator.forge.content_check import ContentCheck
from medforge.aggregator.forge.retention import erase
from medforge.aggregator.ledger.item_table import ItemTable
from medforge.aggregator.ledger.ledger import Ledger
from medforge.aggregator.ledger.order import LedgerConflict
from medforge.aggregator.ledger.records import State
from medforge.aggregator.main_branch.main_branch import MainBranch
from medforge.aggregator.merge import MethodSettings, choose_settings
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.files import sha256_file
from medforge.manifest import DISTILLED_FILE
from medforge.proto.errors import MissingBlob
from tests.aggregator.forges import MODES, branches, fold_all, open_main, settings_of
from tests.making import make_branch

DEFAULT = choose_settings()
OUTPUTS = settings_of("mixture", "output", "sequential")
# one mode of each method
SETTINGS = {"default": DEFAULT} | {mode[0]: settings_of(*mode) for mode in MODES}


def made_of(directory: Path, base: BaseModule, arriving: list[Branch], settings: MethodSettings) -> MainBranch:
    main = open_main(directory, base, settings)
    fold_all(main, arriving)
    return main


def cached(main: MainBranch) -> set[tuple[str, str]]:
    """Name and content of every tensor file in the cache."""
    place = main.forge.cache
    files = [path for path in place.rglob("*") if path.is_file() and path.name != "verdicts.jsonl"]
    return {(str(path.relative_to(place)), sha256_file(path)) for path in files}


def erase_first(main: MainBranch) -> None:
    maintenance.withdraw(main.forge, "1", "consent was withdrawn", erase=True)
    main.settle()
    entry = main.forge.ledger.arrival(1)
    assert entry is not None
    assert entry.erased


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_what_is_cached_after_an_erasure_is_what_a_forge_that_never_saw_the_branch_has_cached(
    tmp_path: Path, tiny_base: BaseModule, settings: MethodSettings
) -> None:
    arriving = branches(tiny_base, 3)
    never = cached(made_of(tmp_path / "never", tiny_base, arriving[1:], settings))
    main = made_of(tmp_path / "one", tiny_base, arriving, settings)
    before = cached(main)
    # what 0.1.0 left here says by no name whose it is
    (main.forge.cache / f"{'0' * 64}.safetensors").write_bytes(b"0.1.0")
    erase_first(main)
    assert cached(main) <= never
    assert before & never <= cached(main)


def test_an_erasure_of_the_last_branch_of_a_task_leaves_nothing(tmp_path: Path, tiny_base: BaseModule) -> None:
    only = make_branch(tiny_base, 1, task="lung", contributor="north")
    main = made_of(tmp_path, tiny_base, [only], DEFAULT)
    assert cached(main)
    erase_first(main)
    assert cached(main) == set()


def test_an_erasure_computes_nothing_of_the_others_anew(tmp_path: Path, tiny_base: BaseModule) -> None:
    arriving = branches(tiny_base, 4)
    main = made_of(tmp_path, tiny_base, arriving[:3], OUTPUTS)
    cache = main.probabilities
    maintenance.withdraw(main.forge, "1", "", erase=False)
    main.settle()
    asked = cache.image_forwards
    erase_first(main)
    fold_all(main, arriving[3:])
    # the new plugin on three datasets, two other plugins on the new dataset
    images = sum(len(arriving[place].distilled.labels) for place in (1, 2, 3, 3, 3))
    assert main.probabilities is cache
    assert cache.image_forwards - asked == images


def test_erasures_that_are_due_together_read_the_commits_once(
    tmp_path: Path, tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = made_of(tmp_path, tiny_base, branches(tiny_base, 3), DEFAULT)
    for number in "12":
        maintenance.withdraw(main.forge, number, "", erase=True)
    main._settle()
    assert main.forge.ledger.erased() == {1, 2}
    reads: list[int] = []
    check = ItemTable.check

    def counted(table: ItemTable) -> int:
        reads.append(check(table))
        return reads[-1]

    def parsed(*_: object) -> None:
        raise AssertionError("commits are parsed")

    monkeypatch.setattr(ItemTable, "check", counted)
    monkeypatch.setattr(Ledger, "commits", parsed)
    erase(main.forge, main.forge.ledger.arrivals(State.WITHDRAWN))
    assert reads == [main.forge.ledger.counts()[1]]


def test_what_is_in_the_main_branch_is_not_erased(tmp_path: Path, tiny_base: BaseModule) -> None:
    main = made_of(tmp_path, tiny_base, branches(tiny_base, 2), DEFAULT)
    held = [main._entry(number) for number in (1, 2)]
    with pytest.raises(LedgerConflict, match="arrival 1 is in the main branch; withdraw it before erasing it"):
        erase(main.forge, held)
    assert all(main.forge.blobs.has(entry.branch) for entry in held)


def test_an_erasure_waits_for_nobody_whose_branch_is_checked(tmp_path: Path, tiny_base: BaseModule) -> None:
    main = made_of(tmp_path, tiny_base, branches(tiny_base, 2), DEFAULT)
    with main.forge.turns.turn("somebody", 1 << 28):
        erasing = threading.Thread(target=lambda: erase_first(main), daemon=True)
        erasing.start()
        erasing.join(20)
        assert not erasing.is_alive()
    assert main.forge.ledger.erased() == {1}


def test_a_branch_that_comes_during_an_erasure_keeps_the_files_that_it_names(
    tmp_path: Path, tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, theirs = (make_branch(tiny_base, 1, task="lung", contributor=name) for name in ("mine", "theirs"))
    main = made_of(tmp_path, tiny_base, [mine], DEFAULT)
    maintenance.withdraw(main.forge, "1", "", erase=False)
    main.settle()
    check = ItemTable.check

    def meanwhile(table: ItemTable) -> int:
        monkeypatch.undo()
        main.forge.admit(theirs, tiny_base)
        return check(table)

    monkeypatch.setattr(ItemTable, "check", meanwhile)
    erase(main.forge, [main._entry(1)])
    assert not main.forge.blobs.has(mine.digest)
    assert main.forge.load_branch(2).digest == theirs.digest


def test_a_file_that_goes_while_it_is_checked_is_missing_and_no_fault(
    tmp_path: Path, tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = open_main(tmp_path, tiny_base, DEFAULT)
    branch = make_branch(tiny_base)
    for data in branch.blobs().values():
        main.forge.blobs.put(data)
    run = ContentCheck.run

    def erased_meanwhile(check: ContentCheck) -> None:
        main.forge.blobs.remove(branch.manifest.files[DISTILLED_FILE].digest)
        run(check)

    monkeypatch.setattr(ContentCheck, "run", erased_meanwhile)
    with pytest.raises(MissingBlob, match="was deleted while it was checked; push it again"):
        main.forge.accept(branch.manifest, tiny_base)
    monkeypatch.undo()
    # it is not remembered as the branch's fault
    assert main.forge.admit(branch, tiny_base).number == 1
