"""A forge in which everything has happened that can happen to a branch."""

from dataclasses import replace
from pathlib import Path

import pytest

from medforge.aggregator.forge import maintenance
from medforge.aggregator.forge.tagging import tag_commit
from medforge.base_module import BaseModule
from medforge.branch import Branch
from tests.aggregator.forges import fold_all, open_main, settings_of
from tests.making import make_branch


def sent(base: BaseModule, seed: int, task: str, contributor: str, name: str | None = None) -> Branch:
    branch = make_branch(base, seed, task=task, contributor=contributor)
    return (
        branch if name is None else replace(branch, manifest=branch.manifest.model_copy(update={"display_name": name}))
    )


@pytest.fixture(scope="package")
def eventful(tmp_path_factory: pytest.TempPathFactory, tiny_base: BaseModule) -> Path:
    """Seven commits: four arrivals, of which the last replaces the first; one leaves and comes back, one is rejected.

    A fifth arrival is held, and two commits have names. Read it only, or copy it.
    """
    main = open_main(tmp_path_factory.mktemp("eventful") / "forge", tiny_base, settings_of("routed", "output", "gated"))
    forge = main.forge
    fold_all(
        main,
        [
            sent(tiny_base, 0, "lung", "north"),
            sent(tiny_base, 1, "lung", "south", "Klinik Süd"),
            sent(tiny_base, 2, "colon", "south", "Klinik Süd"),
            sent(tiny_base, 3, "lung", "north"),
        ],
    )
    held = forge.admit(sent(tiny_base, 4, "brain", "east"), tiny_base)
    forge.ledger.hold(held.number, "the plugin classifies its own images no better than chance")
    maintenance.withdraw(forge, "2", "patients objected", erase=False)
    (removed,) = main.settle()
    maintenance.revert(forge, removed.digest, "a mistake")
    main.settle()
    maintenance.reject(forge, "3", "wrong labels")
    main.settle()
    tag_commit(forge, "before-south", "1")
    tag_commit(forge, "v1.0", "head", release=True, notes="reviewed by three sites")
    forge.close()
    return forge.directory
