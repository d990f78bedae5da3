"""The public API: lazy, typed, complete, and equal to what a forge does."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch

import medforge
from medforge.aggregator.merge import choose_settings
from medforge.base_module import BaseModule
from medforge.errors import MedForgeError
from tests.aggregator.forges import fold_all, open_main
from tests.conftest import TINY_CONFIG
from tests.making import make_branch, make_plugin

HEAVY = ("torch", "numpy", "pydantic", "grpc", "flwr", "sqlalchemy", "open_clip", "typer")
FREE = tuple(name for name, listing in medforge.merge_methods().items() if not listing.distilled)
RECORDED = Path(__file__).parents[1] / "recorded"


def test_import_loads_nothing_heavy() -> None:
    code = f"import sys, medforge; dir(medforge); print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_importtime_shows_no_torch() -> None:
    command = [sys.executable, "-X", "importtime", "-c", "import medforge"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "medforge" in done.stderr
    assert "torch" not in done.stderr


def test_every_public_name_is_there_and_comes_from_the_api() -> None:
    api = import_module("medforge.api")
    assert sorted(api.__all__) == sorted(set(medforge.__all__) - {"__version__"})
    for name in api.__all__:
        assert getattr(medforge, name) is getattr(api, name)
        assert getattr(api, name).__doc__
    assert set(medforge.__all__) <= set(dir(medforge))


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'predict'"):
        medforge.predict  # type: ignore[attr-defined]  # noqa: B018


def test_version_stands_in_one_place_and_is_the_installed_one() -> None:
    from importlib.metadata import version

    from medforge.manifest import software_versions

    assert version("medforge") == medforge.__version__ == software_versions()["medforge"]


@pytest.mark.parametrize("method", FREE)
def test_plugins_merge_as_the_branches_that_carry_them_weigh(method: str, tiny_base: BaseModule) -> None:
    branches = [make_branch(tiny_base, seed, task=f"task {seed}") for seed in range(2)]
    plugins = [branch.plugin for branch in branches]
    alone = medforge.merge(plugins, method=method, base=tiny_base)
    assert alone.digest == medforge.merge(plugins[::-1], method=method, base=tiny_base).digest
    whole = medforge.merge(branches, method=method, base=tiny_base)
    if method != "dare":  # its masks are drawn for each branch's digest
        for site, change in whole.weight_change(tiny_base).items():
            torch.testing.assert_close(alone.weight_change(tiny_base)[site], change)


@pytest.mark.parametrize("method", ["mixture", "fusion", "ties"])
def test_branches_merge_to_the_item_that_a_forge_makes(method: str, tiny_base: BaseModule, tmp_path: Path) -> None:
    branches = [make_branch(tiny_base, seed, task=f"task {seed}", contributor=f"centre {seed}") for seed in range(3)]
    main = open_main(tmp_path / "forge", tiny_base, choose_settings(method=method))
    fold_all(main, branches)
    main.forge.close()
    log = medforge.read_log(tmp_path / "forge")
    assert [commit.arrival for commit in log] == [1, 2, 3]
    assert medforge.merge(branches, method=method, base=tiny_base).digest == log[-1].item


def test_a_parameter_reaches_the_method(tiny_base: BaseModule) -> None:
    plugins = [make_plugin(tiny_base, seed) for seed in range(2)]
    whole, half = (
        medforge.merge(plugins, method="task-arithmetic", base=tiny_base, parameters={"scale": scale})
        for scale in (1.0, 0.5)
    )
    for site, change in whole.weight_change(tiny_base).items():
        torch.testing.assert_close(half.weight_change(tiny_base)[site], change / 2)


def test_what_was_saved_loads_again(tiny_base: BaseModule, tmp_path: Path) -> None:
    branch = make_branch(tiny_base)
    branch.save(tmp_path / "branch")
    assert medforge.load_branch(str(tmp_path / "branch")).digest == branch.digest
    assert medforge.load_plugin(tmp_path / "branch" / "plugin").digest == branch.plugin.digest
    item = medforge.merge([branch], method="mixture", base=tiny_base)
    item.save(tmp_path / "item")
    assert medforge.load_item(tmp_path / "item").digest == item.digest


def test_the_log_of_a_forge_of_0_1_0_reads() -> None:
    log = medforge.read_log(RECORDED / "forge-0.1.0")
    assert [commit.software["medforge"] for commit in log] == ["0.1.0"] * len(log) != []


def test_a_task_is_scored_with_and_without_a_model() -> None:
    base = medforge.load_base("medforge-tiny", device="cpu")
    task = medforge.open_task("tissue:colon,train=16,validation=8,test=16", base)
    assert task.test.images[0:1].shape == (1, 3, base.image_size, base.image_size)
    plugin = make_plugin(base, size=0.05)
    item = medforge.merge([plugin], method="model-soup", base=base)
    assert medforge.score(item, base, task).loss == pytest.approx(medforge.score(plugin, base, task).loss, abs=1e-5)
    assert medforge.score(None, base, task).loss != medforge.score(plugin, base, task).loss


class TestMistakes:
    def test_each_is_a_sentence(self, tiny_base: BaseModule, tmp_path: Path) -> None:
        plugin, branch = make_plugin(tiny_base), make_branch(tiny_base)
        for sentence, parts, method in (
            ("merge method 'nosuch' is not known", [plugin], "nosuch"),
            ("'fusion' searches on distilled data; give branches, or choose one of .*ties", [plugin], "fusion"),
            ("one or more plugins, or one or more branches", [], "ties"),
            ("one or more plugins, or one or more branches", [plugin, branch], "ties"),
            ("one or more plugins, or one or more branches", branch, "ties"),
        ):
            with pytest.raises(medforge.MedForgeError, match=sentence):
                medforge.merge(parts, method=method, base=tiny_base)  # type: ignore[arg-type]

    def test_nothing_there(self, tmp_path: Path) -> None:
        for load in (medforge.load_plugin, medforge.load_branch, medforge.load_item, medforge.read_log):
            with pytest.raises(MedForgeError):
                load(tmp_path / "nothing")

    def test_another_base(self, tiny_base: BaseModule) -> None:
        other = medforge.load_base("medforge-tiny", device="cpu")
        assert TINY_CONFIG["embed_dim"] != other.embed_dim
        for parts in ([make_plugin(other)], [make_branch(other)]):
            with pytest.raises(MedForgeError, match="base module"):
                medforge.merge(parts, method="ties", base=tiny_base)
