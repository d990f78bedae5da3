"""Replay on the kind of processor that made a forge, and on another."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.main_branch import comparison
from medforge.aggregator.main_branch.main_branch import MainBranch
from medforge.aggregator.main_branch.replay import ReplayResult, replay
from medforge.aggregator.merge.method import FoldResult
from medforge.base_module import BaseModule
from medforge.forge_item import Mixture
from medforge.processor import processor_kind
from tests.aggregator.forges import branches, fold_all, open_main, settings_of

OTHER = {"vendor": "another"}


def replayed(forge: Forge, base: BaseModule) -> list[ReplayResult]:
    return list(replay(forge, base))


@pytest.fixture
def main(tmp_path: Path, tiny_base: BaseModule) -> MainBranch:
    opened = open_main(tmp_path / "forge", tiny_base, settings_of("mixture", "output", "joint"))
    fold_all(opened, branches(tiny_base, 2))
    return opened


def test_a_commit_says_what_kind_of_processor_made_it(main: MainBranch) -> None:
    head = main.head()
    assert head is not None
    assert head.processor == processor_kind()
    assert head.processor["threads"] == "1"
    assert {"torch", "numpy", "scipy", "nevergrad"} <= head.software.keys()


def test_a_commit_without_a_processor_keeps_its_digest(main: MainBranch) -> None:
    head = main.head()
    assert head is not None
    old = head.model_copy(update={"processor": {}})
    assert b"processor" not in old.content
    assert type(head).parse(old.content, old.digest) == old


def moved(folded: FoldResult, by: float) -> FoldResult:
    return FoldResult(folded.item, {name: value + by for name, value in folded.coefficients.items()}, folded.metrics)


@pytest.mark.parametrize(
    ("processor", "by", "outcome"),
    [
        (None, 1e-6, "different"),
        (OTHER, 1e-6, "within tolerance"),
        (OTHER, 0.01, "unproven"),
        (OTHER, 0.0, "identical"),
    ],
)
def test_what_a_rebuilt_commit_is_depends_on_the_processor(
    main: MainBranch, monkeypatch: pytest.MonkeyPatch, processor: dict[str, str] | None, by: float, outcome: str
) -> None:
    from medforge.aggregator.main_branch import replay as module

    if processor is not None:
        monkeypatch.setattr(comparison, "processor_kind", lambda: processor)
    honest = module.fold_round
    monkeypatch.setattr(module, "refold", lambda *a: moved(_refold(*a), by))
    monkeypatch.setattr(module, "fold_round", lambda *a: moved(honest(*a), by))
    found = replayed(main.forge, main.base)
    assert {one.outcome for one in found} == {outcome}
    if outcome == "within tolerance":
        assert all("another kind of processor" in one.detail for one in found)


@pytest.mark.parametrize("processor", [None, OTHER])
def test_an_item_that_is_not_what_its_commit_says_is_found_on_every_kind(
    tmp_path: Path, tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch, processor: dict[str, str] | None
) -> None:
    """A forge that folds honestly and records a model in which the plugins' weights are exchanged."""
    from medforge.aggregator.main_branch import main_branch as module

    opened = open_main(tmp_path / "forge", tiny_base, settings_of("mixture", "output", "joint"))
    honest = module.fold_round

    def exchanged(*arguments: Any) -> FoldResult:
        folded = honest(*arguments)
        item = folded.item
        assert isinstance(item, Mixture)
        weights = [member.coefficient + 0.5 * (-1) ** place for place, member in enumerate(item.members)]
        members = tuple(replace(one, coefficient=weight) for one, weight in zip(item.members, weights, strict=True))
        coefficients = {member.branch: member.coefficient for member in members}
        return FoldResult(replace(item, members=members), coefficients, folded.metrics)

    with monkeypatch.context() as lying:
        lying.setattr(module, "fold_round", exchanged)
        fold_all(opened, branches(tiny_base, 2))
    if processor is not None:
        monkeypatch.setattr(comparison, "processor_kind", lambda: processor)
    assert replayed(opened.forge, tiny_base)[-1].outcome == "different"


def test_a_search_that_ended_elsewhere_proves_nothing_where_the_item_is_not_kept(
    main: MainBranch, monkeypatch: pytest.MonkeyPatch
) -> None:
    from medforge.aggregator.main_branch import replay as module

    first = main.log()[0]
    kept = {digest for one in main.log()[1:] for digest in one.item_files.values()}
    dropped = set(first.item_files.values()) - kept
    assert dropped
    for digest in dropped:
        main.forge.blobs.path(digest).unlink()
    monkeypatch.setattr(comparison, "processor_kind", lambda: OTHER)
    honest = module.fold_round
    monkeypatch.setattr(module, "refold", lambda *a: moved(_refold(*a), 0.01))
    monkeypatch.setattr(module, "fold_round", lambda *a: moved(honest(*a), 0.01))
    found = replayed(main.forge, main.base)[0]
    assert found.outcome == "unproven"
    assert "its forge item is not kept" in found.detail


def _refold(*arguments: object) -> FoldResult:
    from medforge.aggregator.merge.folding import refold

    return refold(*arguments)  # type: ignore[arg-type]
