"""Packages that bring merge methods: what is broken gets a sentence, and a Listing, as packages for 0.1 have, works.

The decorated form folds in tests/examples.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.ledger.commit import Commit
from medforge.aggregator.main_branch.main_branch import MainBranch
from medforge.aggregator.main_branch.replay import replay
from medforge.aggregator.merge import (
    Listing,
    MethodSettings,
    Parameter,
    built_in,
    choose_settings,
    listings,
    names,
)
from medforge.aggregator.merge import merge_method as decorate
from medforge.aggregator.merge.catalogue import METHODS, listing_of, provider
from medforge.aggregator.merge.listing import DEFAULTABLE
from medforge.aggregator.merge.loading import method_of
from medforge.base_module import BaseModule
from medforge.cli import build_app
from medforge.errors import InvalidInput
from medforge.forge_item import FusedPlugin, WeightChange
from tests.aggregator.forges import branches, fold_all, open_main
from tests.third_parties import install, medforge, seen

MEDIAN = '''
"""The median of all weight changes, entry by entry."""

import torch

from medforge.aggregator.merge.training_free import TrainingFree
from medforge.aggregator.merge import merge_method as decorate
from medforge.forge_item import FusedPlugin, WeightChange


class Median(TrainingFree):
    def merge(self, plugins, base, settings):
        changes = {
            site: settings.parameters["scale"]
            * torch.stack([named.plugin.delta(site, base) for named in plugins]).median(dim=0).values
            for site in base.sites
        }
        return WeightChange.of(base, changes)


METHOD = Median()
'''
LISTING = """
from medforge.aggregator.merge import Listing, Parameter

MEDIAN = Listing(
    module="medianmerge.median",
    item="weights",
    summary="the median of all weight changes",
    source="somebody's thesis",
    modes=(("layer", "uniform"),),
    distilled=False,
    any_order=frozenset({("layer", "uniform")}),
    parameters={"scale": Parameter(1.0, 0.0, 2.0, "what the median is multiplied by")},
)
BROKEN_METHOD = Listing("medianmerge.nowhere", "weights", "", "", (("layer", "uniform"),), False)
WRONG_METHOD = Listing("medianmerge.wrong", "weights", "", "", (("layer", "uniform"),), False)
LEAVING_METHOD = Listing("medianmerge.leaving", "weights", "", "", (("layer", "uniform"),), False)
NO_LISTING = 7
"""
DECORATED = """
from medforge.aggregator.merge import merge_method
from medforge.aggregator.merge.methods.task_arithmetic import scaled_sum

@merge_method(name="soup", item="mixture", summary="", source="")
def soup(plugins, base, settings):
    return scaled_sum(plugins, 1 / len(plugins))

def plain(plugins, base, settings):
    return scaled_sum(plugins, 1 / len(plugins))
"""
UNDECORATABLE = """
from medforge.aggregator.merge import merge_method

@merge_method(name="no-method", item="mixture", summary="", source="")
class Nothing:
    pass
"""
PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "{name}"
version = "{version}"

[project.entry-points."medforge.merge_methods"]
{points}

[tool.setuptools]
packages = [{packages}]
"""
POINTS = """
median = "medianmerge:MEDIAN"
broken = "medianmerge.broken:MEDIAN"
leaving = "medianmerge.leaving:MEDIAN"
leaving-method = "medianmerge:LEAVING_METHOD"
broken-method = "medianmerge:BROKEN_METHOD"
wrong-method = "medianmerge:WRONG_METHOD"
no-listing = "medianmerge:NO_LISTING"
twice = "medianmerge:MEDIAN"
renamed = "medianmerge.decorated:soup"
undecorated = "medianmerge.decorated:plain"
no-method = "medianmerge.undecoratable:Nothing"
ties = "medianmerge:MEDIAN"
"""


def make(source: Path, target: Path, name: str, version: str, points: str, files: dict[str, str]) -> None:
    """Write a package and install it."""
    source.mkdir()
    packages = {Path(path).parent.name for path in files}
    text = PROJECT.format(name=name, version=version, points=points, packages=", ".join(map(repr, sorted(packages))))
    (source / "pyproject.toml").write_text(text)
    for path, content in files.items():
        (source / path).parent.mkdir(exist_ok=True)
        (source / path).write_text(content)
    install(target, source)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with two packages installed in it, which offer good methods and bad ones."""
    directory = tmp_path_factory.mktemp("third-parties")
    site = directory / "site"
    files = {
        "medianmerge/__init__.py": LISTING,
        "medianmerge/median.py": MEDIAN,
        "medianmerge/broken.py": "import a_module_that_nobody_has\n",
        "medianmerge/leaving.py": "raise SystemExit(3)\n",
        "medianmerge/wrong.py": "METHOD = 7\n",
        "medianmerge/decorated.py": DECORATED,
        "medianmerge/undecoratable.py": UNDECORATABLE,
    }
    make(directory / "one", site, "medforge-median", "1.2", POINTS, files)
    make(directory / "two", site, "medforge-twice", "0.1", 'twice = "twice:MEDIAN"', {"twice/__init__.py": LISTING})
    return site


@pytest.fixture
def installed(site: Path) -> Iterator[None]:
    """This process sees the packages."""
    with seen(site):
        yield


@pytest.mark.usefixtures("installed")
def test_a_forge_folds_by_it_and_says_where_it_came_from(tmp_path: Path, tiny_base: BaseModule) -> None:
    settings = choose_settings(method="median", parameters={"scale": 0.5})
    assert (settings.level, settings.coefficients, settings.parameters) == ("layer", "uniform", {"scale": 0.5})
    arriving = branches(tiny_base)
    main = open_main(tmp_path, tiny_base, settings)
    fold_all(main, arriving)
    item, head = main.checkout(), main.head()
    assert isinstance(item, WeightChange)
    for site_name in tiny_base.sites:
        stack = torch.stack([branch.plugin.delta(site_name, tiny_base) for branch in arriving])
        torch.testing.assert_close(item.changes[site_name], 0.5 * stack.median(dim=0).values)
    assert head is not None
    assert head.software["medforge-median"] == "1.2"
    assert [one.outcome for one in replay(main.forge, tiny_base)] == ["identical"] * 3


def test_a_commit_can_be_read_where_the_package_is_not_installed(
    tmp_path: Path, tiny_base: BaseModule, site: Path
) -> None:
    with seen(site):
        main = open_main(tmp_path, tiny_base, choose_settings(method="median"))
        fold_all(main, branches(tiny_base, 1))
        commit = main.head()
    assert commit is not None
    with pytest.raises(
        InvalidInput, match="'median' is not known; choose one of .*, or install the package that gives"
    ):
        choose_settings(method="median")
    read = Commit.parse(commit.content, commit.digest)
    assert (read.method.method, read.method.parameters) == ("median", {"scale": 1.0})
    assert read == commit
    with pytest.raises(InvalidInput, match="'median' is not known"):
        method_of(read.method.method)


def test_a_forge_whose_package_is_missing_is_read_and_decided_about_and_not_folded(
    tmp_path: Path, tiny_base: BaseModule, site: Path
) -> None:
    directory = tmp_path / "forge"
    with seen(site):
        main = open_main(directory, tiny_base, choose_settings(method="median"))
        fold_all(main, branches(tiny_base, 2))
        main.forge.close()

    def typed(*words: str) -> str:
        done = CliRunner().invoke(build_app(), [*words, "--forge", str(directory)], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    assert "median" in typed("log")
    assert "committed fold" in typed("log", "--journal")
    assert "BAD" not in typed("fsck")
    assert "is withdrawn" in typed("withdraw", "1")
    assert "centre 0: task 0 withdrawn: withdrawn by the maintainer" in " ".join(typed("log").split())
    typed("checkout", "--out", str(tmp_path / "item"))
    assert any((tmp_path / "item").iterdir())
    sentence = "merge method 'median', by which this forge folds, is not installed here; install the package"
    for command in (["serve", "--listen", "127.0.0.1:0"], ["serve", "--listen", "127.0.0.1:0", "--merge", "median"]):
        with pytest.raises(InvalidInput, match=sentence):
            typed(*command)
    with pytest.raises(InvalidInput, match=sentence):
        Forge.establish(directory, tiny_base, choose_settings(method="ties"))
    forge = Forge.open(directory)
    with pytest.raises(InvalidInput, match=sentence):
        list(replay(forge, tiny_base))
    with pytest.raises(InvalidInput, match=sentence):
        MainBranch(forge, tiny_base)
    forge.close()


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "broken",
            r"of medforge-median 1.2 cannot be used \(ModuleNotFoundError: No module named 'a_module_that_nobody",
        ),
        ("renamed", r"cannot be used \(medianmerge.decorated:soup calls itself 'soup'; name the entry point so\)"),
        ("undecorated", r"medianmerge.decorated:plain is no merge method; decorate it with merge_method\)"),
        ("no-method", r"cannot be used \(TypeError: Nothing is no MergeMethod\)"),
        ("leaving", r"of medforge-median 1.2 cannot be used \(SystemExit: 3\)"),
        (
            "no-listing",
            r"cannot be used \(medianmerge:NO_LISTING is no merge method; decorate it with merge_method\)",
        ),
        ("twice", r"of medforge-median 1.2 and medforge-twice 0.1 cannot be used \(more than one package gives"),
    ],
)
def test_a_package_that_cannot_be_used_gives_one_sentence_when_its_method_is_asked_for(
    name: str, sentence: str
) -> None:
    assert name in names()
    with pytest.raises(InvalidInput, match=sentence) as error:
        choose_settings(method=name)
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("broken-method", "cannot be used .ModuleNotFoundError: No module named 'medianmerge.nowhere'"),
        ("leaving-method", "cannot be used .SystemExit: 3"),
        ("wrong-method", "METHOD of medianmerge.wrong is no MergeMethod"),
    ],
)
def test_a_method_whose_module_is_wrong_gives_one_sentence_when_it_is_to_merge(name: str, sentence: str) -> None:
    assert listing_of(name).item == "weights"
    with pytest.raises(InvalidInput, match=sentence):
        method_of(name)


@pytest.mark.usefixtures("installed")
def test_a_built_in_name_cannot_be_taken() -> None:
    assert listing_of("ties").module == "medforge.aggregator.merge.methods.ties"
    assert provider("ties") == {}
    assert listings()["ties"] is listing_of("ties")
    assert method_of("ties") is METHODS.find("ties").load()
    assert "ties of medforge-median 1.2" in listings()


def test_the_command_lists_what_is_installed_and_what_is_broken(site: Path) -> None:
    done = medforge(site, "methods", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    entries = {entry["name"]: entry for entry in json.loads(done.stdout)}
    assert set(built_in()) <= set(entries)
    median = entries["median"]
    assert median["package"] == {"medforge-median": "1.2"}
    assert median["modes"] == [
        {
            "level": "layer",
            "coefficients": "uniform",
            "any_order": True,
            "withdrawal": "exact, one fold",
            "passes": "1",
            "reference_objective": False,
        }
    ]
    assert median["parameters"]["scale"]["high"] == 2.0
    assert "a_module_that_nobody_has" in entries["broken"]["broken"]
    assert entries["ties of medforge-median 1.2"] == {
        "name": "ties of medforge-median 1.2",
        "broken": "a merge method that is built in has this name",
    }
    table = medforge(site, "methods").stdout
    assert "somebody's thesis; from medforge-median 1.2" in " ".join(table.split())
    assert "cannot be used: ModuleNotFoundError" in table


def test_methods_say_what_an_arrival_costs() -> None:
    costs = {name: listing_of(name).arrival for name in built_in()}
    assert [name for name, cost in costs.items() if cost == "the same at every N"] == ["routed"]
    assert costs["ties"] == costs["med-lego"] == "more with N plugins"
    assert costs["fusion"] == costs["mixture"] == costs["regmean++"] == "more with N plugins and images"


def test_the_command_refuses_a_broken_method_with_a_sentence(site: Path, tmp_path: Path) -> None:
    done = medforge(site, "serve", "--forge", str(tmp_path / "forge"), "--base", "medforge-tiny", "--merge", "broken")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "merge method 'broken' of medforge-median 1.2 cannot be used" in " ".join(done.stderr.split())
    assert not (tmp_path / "forge").exists()


def test_a_decoration_must_fit_what_it_decorates() -> None:
    with pytest.raises(ValueError, match="cannot be named '-x'"):
        decorate(name="-x", item="weights", summary="", source="")
    several = decorate(name="x", item="weights", summary="", source="", modes=(("layer", "joint"),))
    with pytest.raises(TypeError, match="a function merges plugins in any order and has one mode"):
        several(lambda plugins, base, settings: FusedPlugin(plugins[0].plugin))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"modes": ()}, "its modes are not"),
        ({"modes": (("pixel", "uniform"),)}, "its modes are not"),
        ({"any_order": frozenset({("output", "joint")})}, "a mode that it does not have"),
        ({"item": "network"}, "no forge item of the kind 'network'"),
        ({"defaults": {"nosuch": 1.0}}, "there is no setting 'nosuch' to differ in; there are .*'bound', 'budget'"),
    ],
)
def test_a_listing_must_fit_together(change: dict[str, object], sentence: str) -> None:
    values = {"module": "m", "item": "weights", "summary": "", "source": "", "distilled": False}
    with pytest.raises(ValueError, match=sentence):
        Listing(**{**values, "modes": (("layer", "uniform"),), **change})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="the default 3 lies outside 0 to 1"):
        Parameter(3, 0, 1, "")


def test_what_methods_may_differ_in_are_settings() -> None:
    assert set(MethodSettings.model_fields) >= DEFAULTABLE
    defaults = dict.fromkeys(DEFAULTABLE, 4.0)
    listing = Listing("m", "weights", "", "", (("layer", "uniform"),), False, defaults=defaults)
    assert MethodSettings.model_validate(listing.defaults).model_dump().items() >= defaults.items()
