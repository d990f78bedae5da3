"""Erasing cannot be undone, so it is asked for twice."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.ledger.records import State
from medforge.base_module import BaseModule
from medforge.cli import build_app
from medforge.errors import InvalidInput
from tests.aggregator.forges import branches, fold_all, open_main, settings_of
from tests.aggregator.serving import serving

SETTINGS = settings_of("mixture", "output", "gated")


@pytest.fixture
def directory(tmp_path: Path, tiny_base: BaseModule) -> Path:
    main = open_main(tmp_path / "forge", tiny_base, SETTINGS)
    fold_all(main, branches(tiny_base, 2))
    main.forge.close()
    return tmp_path / "forge"


def withdraw(*words: object, answer: str = "") -> str:
    result = CliRunner().invoke(build_app(), ["withdraw", *map(str, words)], input=answer, catch_exceptions=False)
    return result.output


def state(directory: Path, number: int) -> tuple[State, bool]:
    forge = Forge.open(directory)
    arrival = forge.ledger.arrival(number)
    forge.close()
    assert arrival is not None
    return arrival.state, arrival.erase


@pytest.fixture
def at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medforge.aggregator.cli.withdraw._can_ask", lambda: True)


def test_without_a_terminal_it_needs_yes(directory: Path) -> None:
    with pytest.raises(InvalidInput, match="erasing a branch cannot be undone; give --yes to erase it"):
        withdraw("1", "--forge", directory, "--erase")
    assert state(directory, 1) == (State.FOLDED, False)
    assert "is withdrawn and will be erased" in withdraw("1", "--forge", directory, "--erase", "--yes")
    assert state(directory, 1) == (State.WITHDRAWN, True)


@pytest.mark.usefixtures("at_a_terminal")
def test_at_a_terminal_it_asks(directory: Path) -> None:
    with pytest.raises(InvalidInput, match="nothing was withdrawn; leave --erase out"):
        withdraw("1", "--forge", directory, "--erase", answer="n\n")
    assert state(directory, 1) == (State.FOLDED, False)
    said = withdraw("1", "--forge", directory, "--erase", answer="y\n")
    assert "Delete the files of arrival 1 (centre 0: task 0) for good?" in said
    assert state(directory, 1) == (State.WITHDRAWN, True)


@pytest.mark.usefixtures("at_a_terminal")
def test_over_an_address_it_asks_by_the_name_for_people(tmp_path: Path, tiny_base: BaseModule) -> None:
    branch = branches(tiny_base, 1)[0]
    named = replace(branch, manifest=branch.manifest.model_copy(update={"display_name": "Klinik Süd"}))
    main = open_main(tmp_path / "named", tiny_base, SETTINGS)
    fold_all(main, [named])
    main.forge.close()
    with serving(tmp_path / "named", tiny_base, settings=SETTINGS) as (_, at):
        with pytest.raises(InvalidInput, match="nothing was withdrawn"):
            withdraw("1", "--at", at, "--erase", answer="n\n")
        said = withdraw("1", "--at", at, "--erase", answer="y\n")
    assert "Delete the files of arrival 1 (Klinik Süd (centre 0): task 0) for good?" in said
    assert "arrival 1 (Klinik Süd (centre 0): task 0) is withdrawn and will be erased" in said


@pytest.mark.usefixtures("at_a_terminal")
def test_what_keeps_the_files_is_not_asked(directory: Path) -> None:
    told = json.loads(withdraw("task 1", "--forge", directory, "--json"))
    assert (told["number"], told["state"], told["descendants"]) == (2, "withdrawn", [])
    with pytest.raises(InvalidInput, match="give --yes"):
        withdraw("1", "--forge", directory, "--erase", "--json")


def test_a_contributor_may_use_any_name(directory: Path, tiny_base: BaseModule) -> None:
    one, two = branches(tiny_base, 2)
    with serving(directory, tiny_base, settings=SETTINGS) as (_, at):
        assert "arrival 1 (centre 0: task 0) is withdrawn" in withdraw(one.digest, "--at", at)
        told = json.loads(withdraw("task 1", "--at", at, "--erase", "--yes", "--json"))
    assert told == {"branch": two.digest, "state": "withdrawn", "erase": True, "copies": [], "descendants": []}
    assert state(directory, 1) == (State.WITHDRAWN, False)
    assert state(directory, 2) == (State.WITHDRAWN, True)
