"""A centre's whole way under a declared task, with class statistics, over gRPC; and what its options refuse."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.identity.authority import Authority
from medforge.base import load_base
from medforge.branch import Branch
from medforge.class_statistics import ClassStatistics
from medforge.client.audit.policy import SitePolicy
from medforge.client.declared_task import find_declared
from medforge.client.embeddings import embed_task
from medforge.client.facts import gather_facts
from medforge.client.release import release
from medforge.client.work import Work
from medforge.client.workspace import Workspace
from medforge.distilled import DistilledDataset
from medforge.errors import InvalidInput, MedForgeError
from medforge.manifest import LEVELS, STATISTICS_FILE
from medforge.plugin import Plugin
from medforge.proto.connection import Connection
from medforge.task_spread import STATISTICS_SHRINKAGE, TaskSpread, quantiles
from tests.client.tasks import write_folder
from tests.client.test_cli import options, run
from tests.kits import FORGE, make_kit
from tests.programs import Server

CLASSES = "key,prompt\ndark,a dark shade\nbright,a bright shade\ngrey,a grey shade\n"
MAP = "folder,class\ndark_tissue,dark\nbright_tissue,bright\n"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"folder:{write_folder(tmp_path_factory.mktemp('images') / 'archive', train=120)}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, tiny_spec: str) -> Iterator[Server]:
    """A forge that declares one task."""
    directory = tmp_path_factory.mktemp("forge") / "forge"
    classes = directory.parent / "classes.csv"
    classes.write_text(CLASSES)
    with Server(directory, tiny_spec, "--declared-tasks", "--policy", "admission.behaviour=false") as served:
        served.up()
        command = ("task", "add", "shades", "--classes", classes, "--modality", "pathology", "--forge", directory)
        run(*command, "--threads", 1)
        yield served


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("map") / "map.csv"
    path.write_text(MAP)
    return path


@pytest.fixture(scope="module")
def centre(tmp_path_factory: pytest.TempPathFactory, source: str, server: Server, table: Path, tiny_spec: str) -> Path:
    """A workspace that has pushed its branch."""
    place = tmp_path_factory.mktemp("work") / "centre"
    where = (source, "--workspace", place, "--at", server.at, "--task", "shades", "--map", table)
    # the random base tells next to nothing, so that a loud plugin is no fault here
    run("contribute", *where, "--base", tiny_spec, "--threads", 1, "--override", "Test", *options())
    return place


def again(work: Work) -> tuple[Plugin, DistilledDataset]:
    return Plugin.load(work.workspace.plugin), DistilledDataset.load(work.workspace.distilled_file)


def test_the_branch_has_the_tasks_classes_in_the_sites_order(centre: Path) -> None:
    manifest = Branch.load(centre / "branch").manifest
    assert manifest.task == "shades"
    assert manifest.prompts == ("a bright shade", "a dark shade")
    assert (manifest.classes, manifest.modality) == (("bright", "dark"), "pathology")
    assert manifest.class_counts == (51, 51)
    assert manifest.training_images == 102


def test_what_it_says_of_its_images_is_what_its_images_give(centre: Path) -> None:
    branch, work = Branch.load(centre / "branch"), Work(Workspace(centre), "cpu")
    embeddings = embed_task(work.base, work.task)
    assert branch.statistics is not None
    expected = ClassStatistics.of(embeddings.train, work.task.train.labels, 2)
    torch.testing.assert_close(branch.statistics.means, expected.means, rtol=1e-6, atol=1e-6)
    assert branch.statistics.counts.tolist() == [51, 51]
    spread = TaskSpread.of(branch.statistics, STATISTICS_SHRINKAGE)
    assert branch.manifest.distances == pytest.approx(quantiles(spread.nearest(embeddings.validation)), abs=1e-6)
    assert len(branch.manifest.distances or ()) == len(LEVELS)
    assert 0.05 <= (branch.manifest.temperature or 0) <= 20
    kept = embed_task(work.base, work.task, centre / "cache" / "embeddings.safetensors")
    assert torch.equal(kept.train, embeddings.train)
    assert torch.equal(kept.validation, embeddings.validation)


def test_it_came_to_the_forge_whole_and_was_folded(centre: Path, server: Server, tiny_spec: str) -> None:
    status = ("status", "--workspace", centre, "--at", server.at, "--json")
    end = time.monotonic() + 60
    while (found := json.loads(run(*status)))["forge"]["state"] == "received":
        assert time.monotonic() < end
        time.sleep(0.1)
    assert found["forge"]["state"] == "folded", found["forge"]
    assert STATISTICS_FILE in found["files"]
    assert found["declared"]["name"] == "shades"
    assert "statistics   of classes are in the branch\n" in run("status", "--workspace", centre)
    forge = Forge.open(server.directory)
    arrived = forge.load_branch(1)
    forge.close()
    own = Branch.load(centre / "branch")
    assert arrived.digest == own.digest
    assert arrived.statistics is not None
    assert own.statistics is not None
    assert arrived.statistics.to_bytes() == own.statistics.to_bytes()
    run("doctor", "--at", server.at, "--workspace", centre, "--disk-gib", 0)


def test_the_audit_page_shows_what_the_statistics_say(centre: Path) -> None:
    page = (centre / "audit" / "report.html").read_text()
    assert "What do the class statistics say?" in page
    assert "The training image nearest to the mean of a dark shade" in page
    record = json.loads((centre / "audit" / "audit.json").read_text())
    said = record["measured"]["statistics"]
    assert [one["counted"] for one in said["classes"]] == [51, 51]
    assert {one["target"] for one in record["measured"]["attacks"]} == {"distilled", "plugin", "statistics"}
    assert STATISTICS_FILE in record["files"]
    for one in said["classes"]:
        assert 0 < one["distance"] <= one["typical"]


def test_threads_change_no_byte_of_what_it_says(centre: Path) -> None:
    work = Work(Workspace(centre), "cpu")
    before, found = torch.get_num_threads(), []
    for count in (1, 2):
        torch.set_num_threads(count)
        embeddings = embed_task(work.base, work.task)
        sent = release(embeddings, work.task, SitePolicy()).statistics
        found.append(gather_facts(work.base, work.task, *again(work), embeddings.validation, sent))
    torch.set_num_threads(before)
    one, two = found
    assert one.statistics is not None
    assert two.statistics is not None
    assert one.statistics.to_bytes() == two.statistics.to_bytes()
    assert (one.distances, one.temperature) == (two.distances, two.temperature)
    assert one.distances == Branch.load(centre / "branch").manifest.distances


@pytest.fixture
def unpushed(centre: Path, tmp_path: Path) -> Path:
    place = tmp_path / "copy"
    shutil.copytree(centre, place)
    (place / "receipt.json").unlink()
    return place


def test_statistics_may_be_left_out_until_the_push(unpushed: Path) -> None:
    with_them = Branch.load(unpushed / "branch")
    run("commit", "--workspace", unpushed, "--no-statistics")
    without = Branch.load(unpushed / "branch")
    assert not (unpushed / "branch" / STATISTICS_FILE).exists()
    assert without.statistics is None
    assert without.manifest.distances != with_them.manifest.distances
    assert without.manifest.temperature == with_them.manifest.temperature
    assert Workspace(unpushed).audited is None
    # kept with the workspace
    run("commit", "--workspace", unpushed)
    assert Branch.load(unpushed / "branch").digest == without.digest
    assert json.loads(run("status", "--workspace", unpushed, "--json"))["statistics"] is False
    assert "statistics   of classes are not in the branch\n" in run("status", "--workspace", unpushed)
    run("commit", "--workspace", unpushed, "--statistics")
    back = Branch.load(unpushed / "branch").manifest
    # but for the name, which is the directory's
    assert back.model_copy(update={"contributor": with_them.manifest.contributor}) == with_them.manifest


def test_after_the_push_they_cannot_be_taken_back(centre: Path) -> None:
    with pytest.raises(InvalidInput, match=r"the branch was pushed already, as arrival 1; to change what it holds"):
        run("commit", "--workspace", centre, "--no-statistics")
    assert Branch.load(centre / "branch").statistics is not None


def test_a_stricter_site_sends_none(unpushed: Path, tmp_path: Path) -> None:
    limits = tmp_path / "site.toml"
    limits.write_text("statistics_images = 60\n")
    run("commit", "--workspace", unpushed, "--no-statistics")
    said = run("commit", "--workspace", unpushed, "--statistics", "--site", limits)
    assert "class 'a dark shade' has 51 training images, so it sends no class statistics; the site asks for at" in said
    assert Branch.load(unpushed / "branch").statistics is None


def test_a_task_may_be_given_as_the_forges_signed_file(
    server: Server, source: str, table: Path, tiny_spec: str, tmp_path: Path
) -> None:
    file = tmp_path / "shades.json"
    file.write_text(run("task", "show", "shades", "--forge", server.directory, "--json"))
    place = tmp_path / "w"
    where = (source, "--workspace", place, "--base", tiny_spec, "--threads", 1)
    run("train", *where, "--task-file", file, "--map", table, *options(train__epochs=1))
    settings = Workspace(place).settings
    assert settings.declared is not None
    assert settings.declared.keys == ("dark", "bright", "grey")
    assert (settings.task, settings.class_map) == ("shades", {"dark_tissue": "dark", "bright_tissue": "bright"})
    score = json.loads(run("evaluate", "--workspace", place, "--threads", 1, "--json"))
    assert score["task"] == "shades"
    mirrored = tmp_path / "mirrored.csv"
    mirrored.write_text("folder,class\ndark_tissue,bright\nbright_tissue,dark\n")
    for mapped, accuracy in ((table, score["acc"]), (mirrored, 1 - score["acc"])):
        again = run("evaluate", "--workspace", place, "--threads", 1, "--json", "--map", mapped)
        assert json.loads(again)["acc"] == pytest.approx(accuracy)
    other = tmp_path / "other.csv"
    other.write_text(MAP.replace("dark_tissue,dark", "dark_tissue,grey"))
    with pytest.raises(InvalidInput, match="was begun with another map of its folders, or with none; leave --map out"):
        run("train", *where, "--map", other)
    signed = json.loads(file.read_text())
    file.write_text(json.dumps(signed | {"modality": "radiology"}))
    with pytest.raises(MedForgeError, match="task 'shades' is not signed by the forge's key"):
        run("train", *where, "--task-file", file)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("--task", "shades"),
            "the folder 'bright_tissue' is no class of task shades, which has dark, bright, grey; say",
        ),
        (("--map", "MAP"), "--map says which classes of a declared task the folders are, but none is declared; give"),
        (("--task", "shades", "--map", "missing.csv"), "cannot read the map at missing.csv"),
    ],
)
def test_what_cannot_be_begun_leaves_nothing(
    server: Server, source: str, table: Path, tiny_spec: str, tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    place = tmp_path / "w"
    asked = [str(table) if one == "MAP" else one for one in arguments]
    with pytest.raises(InvalidInput) as refused:
        run("train", source, "--workspace", place, "--base", tiny_spec, "--at", server.at, "--threads", 1, *asked)
    assert str(refused.value).startswith(sentence)
    assert not place.exists()


def test_a_forge_that_cannot_be_asked_or_does_not_know_the_task_is_said(server: Server, tmp_path: Path) -> None:
    said: list[str] = []
    place = Workspace(tmp_path / "w")
    assert find_declared(place, "shades", None, Connection("127.0.0.1:9"), said.append) is None
    assert said[0].startswith("whether the forge declares task shades is not known (")
    assert said[0].endswith("); the source's own classes are used")
    assert find_declared(place, "hues", None, Connection(server.at), said.append) is None
    assert said[1:] == [
        "the forge does not declare task hues, so a branch of it waits until the maintainer does; it declares shades"
    ]
    found = find_declared(place, "shades", None, Connection(server.at), said.append)
    assert found is not None
    assert found.modality == "pathology"
    assert find_declared(place, None, None, Connection(server.at), said.append) is None
    assert len(said) == 2


def test_a_file_of_another_forge_is_not_the_kits(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "shades.json"
    file.write_text(run("task", "show", "shades", "--forge", server.directory, "--json"))
    kit = make_kit(Authority.of(tmp_path / "authority", FORGE), tmp_path / "kit")
    with pytest.raises(InvalidInput, match=r"shades.json is a task of forge .*, not of the kit's, .*; ask"):
        find_declared(Workspace(tmp_path / "w"), None, file, Connection(server.at, kit), print)


def test_the_embeddings_of_other_images_are_not_taken_from_the_cache(
    centre: Path, tiny_spec: str, tmp_path: Path
) -> None:
    work, kept = Work(Workspace(centre), "cpu"), tmp_path / "kept.safetensors"
    first = embed_task(work.base, work.task, kept)
    content = kept.read_bytes()
    other = load_base(tiny_spec, device="cpu", dtype="bf16")
    assert not torch.equal(embed_task(other, work.task, kept).train, first.train)
    kept.write_bytes(content[:-9])
    assert torch.equal(embed_task(work.base, work.task, kept).train, first.train)
    assert kept.read_bytes() == content
