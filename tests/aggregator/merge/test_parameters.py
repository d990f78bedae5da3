"""Parameters of merge methods: their defaults, their bounds, and that a forge keeps them for good."""

import re
from math import inf
from pathlib import Path

import pytest
from click.testing import CliRunner

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.settings import read_settings
from medforge.aggregator.ledger.commit import Commit
from medforge.aggregator.merge import MethodSettings, choose_settings
from medforge.aggregator.merge.choosing import parse_parameters
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.class_statistics import ClassStatistics
from medforge.cli import build_app
from medforge.errors import InvalidInput, MedForgeError
from medforge.site_facts import SiteFacts
from tests.aggregator.forges import LISTINGS, QUICK, branches, fold_all, fold_in_memory, open_main

# half of what is allowed would train for hours
MOST = {"steps": 5, "rank": 8, "mixtures": 64}


@pytest.mark.parametrize("method", LISTINGS)
def test_what_is_left_out_gets_the_methods_default(method: str) -> None:
    parameters = LISTINGS[method].parameters
    settings = choose_settings(method=method)
    assert settings.parameters == {name: parameter.default for name, parameter in parameters.items()}
    for name, parameter in parameters.items():
        changed = choose_settings(method=method, parameters={name: parameter.high})
        assert changed.parameters == {**settings.parameters, name: parameter.high}
        for outside in (parameter.low - 1e-6, parameter.high + 1e-6):
            with pytest.raises(
                InvalidInput, match=f"parameter {name} of {re.escape(method)} is .*; choose a number from"
            ):
                choose_settings(method=method, parameters={name: outside})
        with pytest.raises(InvalidInput, match="merge setting parameters"):
            choose_settings(method=method, parameters={name: float("nan")})


@pytest.mark.parametrize("method", LISTINGS)
def test_settings_survive_json_and_older_forges_keep_their_digests(method: str) -> None:
    settings = choose_settings(method=method)
    text = settings.model_dump_json()
    assert ("parameters" in text) == bool(LISTINGS[method].parameters)
    assert MethodSettings.model_validate_json(text) == settings


@pytest.mark.parametrize(
    ("method", "given", "sentence"),
    [
        ("ties", {"energy": 1.0}, "method 'ties' has no parameter 'energy'; its parameters are density, scale"),
        ("fusion", {"energy": 1.0}, "method 'fusion' has no parameter 'energy'; it has none"),
        ("ties", [1], "merge setting parameters"),
    ],
)
def test_mistakes_are_named(method: str, given: object, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        choose_settings(method=method, parameters=given)


@pytest.mark.parametrize("words", [["energy"], ["energy="], ["energy=much"], ["energy=1", "energy=1"]])
def test_what_is_no_parameter_is_refused(words: list[str]) -> None:
    with pytest.raises(InvalidInput, match="write it as in energy=0.99|is given twice; give it once"):
        parse_parameters(words)
    assert parse_parameters(["energy=0.9", "scale=-1e-3"]) == {"energy": 0.9, "scale": -0.001}


def informed(base: BaseModule) -> list[Branch]:
    """Branches with class statistics, without which the discriminant of a routed main branch says nothing."""
    made = branches(base)
    facts = [
        SiteFacts(statistics=ClassStatistics.of(base.embed_all(one.distilled.images), one.distilled.labels, 2))
        for one in made
    ]
    return [one.with_facts(fact, base) for one, fact in zip(made, facts, strict=True)]


def test_a_parameter_changes_what_is_folded(tiny_base: BaseModule) -> None:
    for method, listing in LISTINGS.items():
        for name, parameter in listing.parameters.items():
            quick = QUICK.get(method, {})
            other = min(parameter.high / 2, MOST.get(name, inf))
            ends = [
                fold_in_memory(tiny_base, choose_settings(method=method, parameters=given), informed(tiny_base))
                for given in (quick, {**quick, name: other})
            ]
            assert ends[0][-1].item.digest != ends[1][-1].item.digest, (method, name)


def test_the_seed_decides_what_dare_drops(tiny_base: BaseModule) -> None:
    settings = [choose_settings(method="dare", seed=seed) for seed in (0, 0, 1)]
    one, same, other = (fold_in_memory(tiny_base, each, branches(tiny_base))[-1].item.digest for each in settings)
    assert one == same != other


def test_a_forge_keeps_its_parameters_for_good(tmp_path: Path, tiny_base: BaseModule) -> None:
    settings = choose_settings(method="med-lego", parameters={"energy": 0.9})
    main = open_main(tmp_path, tiny_base, settings)
    fold_all(main, branches(tiny_base, 1))
    commit = main.head()
    assert commit is not None
    assert Commit.parse(commit.content, commit.digest).method.parameters == {"energy": 0.9}
    main.forge.close()
    assert read_settings(tmp_path).method == settings
    with pytest.raises(InvalidInput, match=r"was made with parameters={'energy': 0.9} \(not {'energy': 0.997}\)"):
        Forge.establish(tmp_path, tiny_base, choose_settings(method="med-lego"))
    runner = CliRunner()
    for words, sentence in (
        (["--parameter", "energy=0.8"], r"was made with parameters={'energy': 0.9} \(not {'energy': 0.8}\)"),
        (["--parameter", "scale=0.8"], "method 'med-lego' has no parameter 'scale'; its parameters are energy"),
        (["--parameter", "energy"], "'energy' is not NAME=NUMBER"),
        # without a word the forge's own parameters are taken, and then only the base is wrong
        (["--base", "medforge-tiny"], "stands on base module"),
        (["--base", "medforge-tiny", "--parameter", "energy=0.9"], "stands on base module"),
    ):
        arguments = ["serve", "--forge", str(tmp_path), "--listen", "127.0.0.1:0", *words]
        with pytest.raises(MedForgeError, match=sentence):
            runner.invoke(build_app(), arguments, catch_exceptions=False)
