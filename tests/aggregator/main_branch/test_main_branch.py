import shutil
from pathlib import Path

import pytest
import torch

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.ledger.order import LedgerConflict
from medforge.aggregator.main_branch.main_branch import MainBranch
from medforge.base import load_base
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.errors import BaseMismatch, InvalidBranch
from medforge.plugin import Factors, Plugin
from medforge.proto.errors import NotFound
from tests.aggregator.forges import MODES, UNEXAMINED, branches, fold_all, open_main, settings_of, smuggle
from tests.making import make_branch

every_mode = pytest.mark.parametrize("mode", MODES, ids="-".join)


def undisturbed(directory: Path, base: BaseModule, mode: tuple[str, str, str]) -> list[str]:
    main = open_main(directory, base, settings_of(*mode))
    fold_all(main, branches(base))
    main.forge.close()
    return [commit.digest for commit in main.log()]


def overflowing(base: BaseModule) -> Branch:
    plugin = make_branch(base, 7).plugin
    huge = {s: Factors(down=p.down * 1e30, up=p.up * 1e30) for s, p in plugin.factors.items()}
    return Branch.build(
        Plugin(plugin.settings, plugin.base_fingerprint, huge),
        make_branch(base, 7).distilled,
        contributor="wild",
        task="wild",
        base=base,
        training_images=1,
        recipe="test",
        seed=0,
        validation={},
    )


@every_mode
def test_the_same_arrivals_in_another_forge_give_the_same_chain(
    tmp_path: Path, tiny_base: BaseModule, mode: tuple[str, str, str]
) -> None:
    assert undisturbed(tmp_path / "one", tiny_base, mode) == undisturbed(tmp_path / "two", tiny_base, mode)


@every_mode
def test_a_restart_before_every_fold_gives_the_same_chain(
    tmp_path: Path, tiny_base: BaseModule, tiny_spec: str, mode: tuple[str, str, str]
) -> None:
    expected = undisturbed(tmp_path / "undisturbed", tiny_base, mode)
    directory = tmp_path / "restarted"
    for branch in branches(tiny_base):
        main = open_main(directory, load_base(tiny_spec, "cpu"), settings_of(*mode))
        fold_all(main, [branch])
        main.forge.close()
    assert [commit.digest for commit in main.log()] == expected


@every_mode
def test_a_lost_cache_gives_the_same_chain(tmp_path: Path, tiny_base: BaseModule, mode: tuple[str, str, str]) -> None:
    expected = undisturbed(tmp_path / "undisturbed", tiny_base, mode)
    directory = tmp_path / "lossy"
    for branch in branches(tiny_base):
        main = open_main(directory, tiny_base, settings_of(*mode))
        fold_all(main, [branch])
        main.forge.close()
        shutil.rmtree(directory / "cache", ignore_errors=True)
    assert [commit.digest for commit in main.log()] == expected


def test_another_seed_gives_another_chain(tmp_path: Path, tiny_base: BaseModule) -> None:
    heads = set()
    for seed in range(2):
        settings = settings_of("mixture", "output", "joint").model_copy(update={"seed": seed})
        main = open_main(tmp_path / str(seed), tiny_base, settings)
        fold_all(main, branches(tiny_base))
        heads.add(main.log()[-1].digest)
    assert len(heads) == 2


@every_mode
def test_commits_form_a_chain_that_says_what_was_folded(
    tmp_path: Path, tiny_base: BaseModule, mode: tuple[str, str, str]
) -> None:
    main = open_main(tmp_path, tiny_base, settings_of(*mode))
    arriving = branches(tiny_base)
    fold_all(main, arriving)
    commits = main.log()
    assert [c.parent for c in commits] == [None, commits[0].digest, commits[1].digest]
    assert [c.arrival for c in commits] == [1, 2, 3]
    assert [c.branch for c in commits] == [b.digest for b in arriving]
    assert [sorted(c.metrics) for c in commits] == [["task 0"], ["task 0", "task 1"], ["task 0", "task 1", "task 2"]]
    # either the commit says what each branch counts, or the forge item does
    said = [set(commits[-1].coefficients), set(main.checkout().shares)]
    assert sorted(said, key=len) == [set(), {b.digest for b in arriving}]
    assert commits[-1].base == tiny_base.fingerprint
    assert main.head() == commits[-1]
    for commit in commits:
        assert main.checkout(commit.digest).digest == commit.item


def test_folding_an_arrival_twice_gives_the_commit_it_has(tmp_path: Path, tiny_base: BaseModule) -> None:
    main = open_main(tmp_path, tiny_base, settings_of("mixture", "output", "joint"))
    fold_all(main, branches(tiny_base, 2))
    assert main.fold(1) == main.log()[0]
    assert len(main.log()) == 2


def test_an_arrival_cannot_overtake(tmp_path: Path, tiny_base: BaseModule) -> None:
    main = open_main(tmp_path, tiny_base, settings_of("mixture", "output", "joint"))
    for branch in branches(tiny_base, 2):
        main.forge.admit(branch, tiny_base)
    with pytest.raises(LedgerConflict, match="arrival 1 comes before arrival 2; fold that first"):
        main.fold(2)
    assert main.head() is None


def test_an_arrival_that_is_not_there_is_named(tmp_path: Path, tiny_base: BaseModule) -> None:
    main = open_main(tmp_path, tiny_base, settings_of("mixture", "output", "joint"))
    with pytest.raises(NotFound, match="arrival 4 is not in this forge"):
        main.fold(4)
    with pytest.raises(NotFound, match="has no commit yet"):
        main.checkout()


def test_a_forge_refuses_another_base(tmp_path: Path, tiny_base: BaseModule) -> None:
    forge = Forge.establish(tmp_path, tiny_base, settings_of("mixture", "output", "joint"), policy=UNEXAMINED)
    other = load_base("medforge-tiny", "cpu")
    with pytest.raises(BaseMismatch, match="give the forge's base"):
        MainBranch(forge, other)


class Crash(BaseException):
    """The process ends here."""


@every_mode
def test_a_crash_before_the_commit_leaves_the_main_branch_as_it_was(
    tmp_path: Path, tiny_base: BaseModule, mode: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = undisturbed(tmp_path / "undisturbed", tiny_base, mode)
    main = open_main(tmp_path / "crashed", tiny_base, settings_of(*mode))
    arriving = branches(tiny_base)
    fold_all(main, arriving[:2])
    number = main.forge.admit(arriving[2], tiny_base).number

    def crash(commit: object) -> int:
        raise Crash

    monkeypatch.setattr(main.forge.ledger, "add_commit", crash)
    with pytest.raises(Crash):
        main.fold(number)
    main.forge.close()
    monkeypatch.undo()
    reopened = open_main(tmp_path / "crashed", tiny_base, settings_of(*mode))
    assert [c.digest for c in reopened.log()] == expected[:2]
    assert reopened.checkout().digest == reopened.log()[-1].item
    assert [c.digest for c in reopened.fold_waiting()] == expected[2:]


@every_mode
def test_a_branch_that_cannot_be_merged_is_held_and_the_next_one_folded(
    tmp_path: Path, tiny_base: BaseModule, mode: tuple[str, str, str]
) -> None:
    main = open_main(tmp_path, tiny_base, settings_of(*mode))
    first, last = branches(tiny_base, 2)
    main.forge.admit(first, tiny_base)
    smuggle(main.forge, overflowing(tiny_base))
    main.forge.admit(last, tiny_base)
    assert [commit.arrival for commit in main.fold_waiting()] == [1, 3]
    assert "not finite" in main.forge.ledger.holds()[2].reason
    assert {first.digest, last.digest} in [set(main.log()[-1].coefficients), set(main.checkout().shares)]
    with pytest.raises(InvalidBranch, match="arrival 2 is held"):
        main.fold(2)


def test_what_a_layer_method_leaves_behind_can_be_used_with_gradients(tmp_path: Path, tiny_base: BaseModule) -> None:
    main = open_main(tmp_path, tiny_base, settings_of("mixture", "layer", "sequential"))
    fold_all(main, branches(tiny_base, 2))
    images = torch.randn(1, 3, 32, 32, requires_grad=True)
    tiny_base.logits(tiny_base.embed(images), ("benign task 0", "malignant task 0")).sum().backward()
    assert images.grad is not None
