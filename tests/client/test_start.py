"""Training begins from a merged model: a commit of a forge, or a directory it was checked out into."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from medforge import svd_plugin
from medforge.aggregator.forge import maintenance
from medforge.aggregator.forge.lineage import descendants
from medforge.aggregator.forge.policy import Limits
from medforge.aggregator.forge.tagging import tag_commit
from medforge.aggregator.merge import choose_settings
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.client.start import _candidate, open_start
from medforge.client.train import train, trained_as
from medforge.client.workspace import Workspace
from medforge.errors import BaseMismatch, CorruptFile, InvalidInput
from medforge.forge_item import FusedPlugin, Member, Mixture, WeightChange
from medforge.manifest import Manifest
from medforge.plugin import Plugin
from medforge.proto.connection import Connection
from medforge.svd_plugin import START_RANKS, plugin_of, share_kept
from tests.aggregator.serving import serving, wait_until_folded
from tests.client.tasks import TRAIN, make_task, write_folder
from tests.client.test_cli import options, run
from tests.making import make_branch, make_plugin

LEGO = choose_settings(method="med-lego")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"folder:{write_folder(tmp_path_factory.mktemp('images') / 'shades')}"


def sized(source: str, place: Path, spec: str) -> list[object]:
    """`train` of a workspace whose plugin's size is left to what it begins from."""
    settings = [part for part in options() if part != "--recipe-set" and not part.startswith("train.plugin")]
    return ["train", source, "--workspace", place, "--base", spec, *(p for s in settings for p in ("--recipe-set", s))]


def test_a_new_task_is_trained_from_a_commit_and_its_branch_is_folded(
    tmp_path: Path, tiny_base: BaseModule, tiny_spec: str, source: str
) -> None:
    place = tmp_path / "centre"
    with serving(tmp_path / "forge", tiny_base, settings=LEGO) as (forge, at):
        for number in range(2):
            forge.admit(make_branch(tiny_base, number, f"task {number}", kind="svd-lora"), tiny_base)
        wait_until_folded(forge, 2)
        head = forge.ledger.head()
        assert head is not None
        merged = forge.load_item(head)
        assert isinstance(merged, FusedPlugin)
        run(*sized(source, place, tiny_spec), "--from", "head", "--at", at)
        assert Plugin.load(place / "start").digest == merged.plugin.digest
        trained = Plugin.load(place / "training" / "plugin")
        of = ("kind", "rank", "ranks")
        assert [getattr(trained.settings, n) for n in of] == [getattr(merged.plugin.settings, n) for n in of]
        assert trained.digest != merged.plugin.digest
        # a branch says what it began from; a run that goes on needs no --from
        run("contribute", "--workspace", place, "--at", at, "--override", "test")
        assert f"begun from   forge item {merged.digest}" in run("status", "--workspace", place)
        wait_until_folded(forge, 3)
        assert Branch.load(place / "branch").manifest.start == merged.digest
        # the head has moved on since; the same command goes on from the one that it began with
        run(*sized(source, place, tiny_spec), "--from", "head", "--at", at)
        with pytest.raises(InvalidInput, match="was begun from another merged model"):
            run(*sized(source, place, tiny_spec), "--from", forge.find_commit(None).digest, "--at", at)
        other = tmp_path / "other"
        run(*sized(source, other, tiny_spec), "--from", head.digest[:8], "--at", at)
        assert Workspace(other).settings.start == merged.digest
        # by any of the names that the other commands take
        tag_commit(forge, "v1.0", "2", release=True)
        assert {open_start(name, Connection(at)).digest for name in ("2", "task 1", "v1.0")} == {merged.digest}
        with pytest.raises(InvalidInput, match="is too short for a digest"):
            open_start(head.digest[:7], Connection(at))
        # and so a maintainer learns who carries on what is withdrawn
        withdrawn = maintenance.withdraw(forge, "1", "patients objected", erase=False)
        assert [other.number for other in descendants(forge, withdrawn)] == [3]
        # also of one that began from a main branch with that one in it, but no longer with the withdrawn
        wait_until_folded(forge, 4)
        later = forge.find_commit(None)
        assert later.members == (2, 3)
        plugin = make_branch(tiny_base, 9, "task 9", kind="svd-lora")
        manifest = plugin.manifest.model_copy(update={"start": later.item})
        forge.admit(replace(plugin, manifest=manifest), tiny_base)
        assert [other.number for other in descendants(forge, withdrawn)] == [3, 4]


def test_what_it_begins_from_is_part_of_the_work(
    tmp_path: Path, tiny_base: BaseModule, tiny_spec: str, source: str
) -> None:
    for name, seed in (("one", 0), ("two", 1)):
        FusedPlugin(make_plugin(tiny_base, seed, kind="svd-lora")).save(tmp_path / name)
    place = tmp_path / "centre"
    with pytest.raises(InvalidInput, match=r"--recipe-set train.plugin.rank=8 cannot be used with --from"):
        run("train", source, "--workspace", place, "--from", tmp_path / "one", "--recipe-set", "train.plugin.rank=8")
    run(*sized(source, place, tiny_spec), "--from", tmp_path / "one")
    with pytest.raises(InvalidInput, match="was begun from another merged model"):
        run(*sized(source, place, tiny_spec), "--from", tmp_path / "two")


def test_a_start_that_is_not_there_is_named(tmp_path: Path, tiny_base: BaseModule, tiny_spec: str, source: str) -> None:
    with pytest.raises(InvalidInput, match=r"no such directory, and to fetch a commit the forge must be known"):
        open_start("head", None)
    with serving(tmp_path / "forge", tiny_base) as (forge, at):
        with pytest.raises(InvalidInput, match="has no commit yet"):
            open_start("head", Connection(at))
        forge.admit(make_branch(tiny_base), tiny_base)
        wait_until_folded(forge, 1)
        with pytest.raises(InvalidInput, match="no such directory, and no commit is called 'abcdef'"):
            open_start("abcdef", Connection(at))
        # a gated mixture is several networks; the workspace is not begun with it
        with pytest.raises(InvalidInput, match="only a layer-level mixture without a gate folds"):
            run(*sized(source, tmp_path / "centre", tiny_spec), "--from", "head", "--at", at)
        assert not Workspace(tmp_path / "centre").exists
    FusedPlugin(make_plugin(tiny_base)).save(tmp_path / "fused")
    with pytest.raises(BaseMismatch, match="the forge item belongs to base module"):
        run("train", source, "--workspace", tmp_path / "centre", "--from", tmp_path / "fused")
    said = run(*sized(source, tmp_path / "centre", tiny_spec), "--from", tmp_path / "fused")
    assert "lora of rank 2, 100.0% of its weight change" in said


def test_a_commit_that_cannot_be_read_is_the_forges_fault() -> None:
    for commit in (b"[" * 200_000, b"{}", b"[]", b"\xff"):
        with pytest.raises(CorruptFile, match="sent a commit that cannot be read"):
            _candidate(commit, "forge:1")


def test_a_dense_change_is_kept_within_what_a_forge_admits(
    tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = WeightChange.of(tiny_base, make_plugin(tiny_base, kind="dora").deltas(tiny_base))
    whole = plugin_of(item, tiny_base)
    monkeypatch.setattr(svd_plugin, "START_RANKS", 3)
    cut = plugin_of(item, tiny_base)
    assert cut.settings.rank == 3 < whole.settings.rank
    kept = [share_kept(plugin, item, tiny_base) for plugin in (cut, whole)]
    assert 0 < kept[0] < kept[1] <= 1
    assert kept[1] > 0.999
    assert Limits().rank == START_RANKS


def test_every_single_network_becomes_a_plugin(tiny_base: BaseModule) -> None:
    dora, lora = make_plugin(tiny_base, 0, kind="dora"), make_plugin(tiny_base, 1)
    assert plugin_of(FusedPlugin(dora), tiny_base).digest == dora.digest
    mixture = Mixture((Member("a" * 64, dora, 0.3), Member("b" * 64, lora, 0.7)), "layer")
    for item in (mixture, WeightChange.of(tiny_base, mixture.weight_change(tiny_base))):
        plugin = plugin_of(item, tiny_base)
        assert plugin.settings.kind == "svd-lora"
        for site, change in mixture.weight_change(tiny_base).items():
            # what 99.7 % of the singular values' sum leaves out
            assert (plugin.delta(site, tiny_base) - change).norm() < 0.02 * change.norm()


def test_training_begins_where_the_merged_model_is(tiny_base: BaseModule) -> None:
    start = plugin_of(FusedPlugin(make_plugin(tiny_base, kind="svd-lora")), tiny_base)
    still = TRAIN.model_copy(update={"lr": 1e-12, "epochs": 1, "orthogonality": 0.0})
    trained = train(tiny_base, make_task(), still, seed=0, start=start)
    for site in tiny_base.sites:
        assert (trained.plugin.delta(site, tiny_base) - start.delta(site, tiny_base)).abs().max() < 1e-6
    fresh = train(tiny_base, make_task(), still, seed=0)
    assert fresh.plugin.digest != trained.plugin.digest


def test_whoever_trains_chooses_how_fast_e_learns(tiny_base: BaseModule) -> None:
    start = make_plugin(tiny_base, alpha=4.0, kind="svd-lora")
    settings = TRAIN.plugin.model_copy(update={"kind": "svd-lora", "rank": 4, "alpha": 40.0, "dropout": 0.25})
    sized = trained_as(start, settings)
    assert (sized.settings.scaling, sized.settings.rank, sized.settings.dropout) == (10, 2, 0.25)
    for site in tiny_base.sites:
        torch.testing.assert_close(sized.delta(site, tiny_base), start.delta(site, tiny_base))
    dora = make_plugin(tiny_base, kind="dora")
    assert trained_as(dora, settings).settings.scaling == dora.settings.scaling


def test_a_manifest_without_a_start_is_as_it_was(tiny_base: BaseModule) -> None:
    manifest = make_branch(tiny_base).manifest
    assert b'"start"' not in manifest.to_bytes()
    begun = manifest.model_copy(update={"start": "a" * 64})
    assert Manifest.parse(begun.to_bytes()).start == "a" * 64


def test_of_a_routed_model_training_begins_from_an_expert(
    tmp_path: Path, tiny_base: BaseModule, tiny_spec: str, source: str
) -> None:
    with serving(tmp_path / "forge", tiny_base, settings=choose_settings(method="routed")) as (forge, at):
        branches = {name: make_branch(tiny_base, seed, name) for seed, name in enumerate(("colon", "lung"))}
        for branch in branches.values():
            forge.admit(branch, tiny_base)
        wait_until_folded(forge, 2)
        new = [*sized(source, tmp_path / "new", tiny_spec), "--from", "head", "--at", at]
        for options_, sentence in (
            ([], "an expert for each of colon, lung, and which of them is not said; name one with --from-task NAME"),
            (["--from-task", "skin"], "an expert for each of colon, lung, and none for skin"),
        ):
            with pytest.raises(InvalidInput, match=sentence):
                run(*new, *options_)
        assert not Workspace(tmp_path / "new").exists
        said = run(*new, "--from-task", "lung")
        assert "its expert for lung: lora of rank 2, 100.0% of its weight change" in said
        assert Plugin.load(tmp_path / "new" / "start").digest == branches["lung"].plugin.digest
        # it goes on with its own, and with no other
        run(*new)
        with pytest.raises(InvalidInput, match="was begun from another task's expert"):
            run(*new, "--from-task", "colon")
        # the own task's needs no name
        own = tmp_path / "own"
        folders = tmp_path / "folders.csv"
        folders.write_text("folder,class\nbright_tissue,benign-colon\ndark_tissue,malignant-colon\n")
        of_own = [*sized(source, own, tiny_spec), "--task", "colon", "--map", folders]
        run(*of_own, "--from", "head", "--at", at)
        assert Plugin.load(own / "start").digest == branches["colon"].plugin.digest


def test_experts_are_of_routed_models_alone(tmp_path: Path, tiny_base: BaseModule, tiny_spec: str, source: str) -> None:
    FusedPlugin(make_plugin(tiny_base)).save(tmp_path / "fused")
    words = sized(source, tmp_path / "centre", tiny_spec)
    with pytest.raises(InvalidInput, match="the merged model has no experts, it is one for all tasks; leave it out"):
        run(*words, "--from", tmp_path / "fused", "--from-task", "lung")
    with pytest.raises(InvalidInput, match="no model is named; give --from too"):
        run(*words, "--from-task", "lung")
