"""`contribute --epsilon` as a real process: what the branch says, and what a forge that demands a bound makes of it."""

import json
from pathlib import Path

import pytest

from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.client.doctor.examination import examine
from medforge.privacy_facts import PrivacyBound, PrivacyFacts
from medforge.proto.connection import Connection
from medforge.proto.remote import RemoteForge
from tests.aggregator.serving import serving, wait_until_folded
from tests.client.tasks import write_folder
from tests.e2e.test_invitation import SMALL, medforge

OPTIONS = [word for name, value in SMALL.items() for word in ("--recipe-set", f"{name}={value}")]
CLAIM = PrivacyFacts(epsilon=8.0, delta=1e-6, unit="image")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, tiny_spec: str) -> Path:
    place = tmp_path_factory.mktemp("centre")
    images, directory = write_folder(place / "images"), place / "clinic"
    asked = ("--epsilon", 8, "--delta", 1e-6, "--no-push", "--override", "test")
    medforge(
        "contribute", f"folder:{images}", "--workspace", directory, "--base", tiny_spec, "--task", "shades", "--device",
        "cpu", *OPTIONS, *asked
    )  # fmt: skip
    return directory


def test_a_private_branch_claims_its_epsilon_and_tells_nothing_else_of_the_images(workspace: Path) -> None:
    branch = Branch.load(workspace / "branch")
    manifest = branch.manifest
    assert manifest.privacy == CLAIM
    assert (manifest.validation, manifest.distances, manifest.temperature, manifest.leaks) == ({}, None, None, None)
    plan = json.loads((workspace / "privacy" / "plan.json").read_bytes())
    assert list(manifest.class_counts or ()) == plan["counts"]
    assert manifest.training_images == sum(plan["counts"])
    assert json.loads((workspace / "audit" / "audit.json").read_bytes())["privacy"] == CLAIM.model_dump()
    assert "ε = 8, δ = 1e-06, per image" in (workspace / "audit" / "report.html").read_text()
    # the key of the training's noise is nowhere once the plugin is made
    assert not list(workspace.rglob("checkpoint*"))


def test_the_workspace_keeps_to_what_it_was_begun_with(workspace: Path) -> None:
    complaint = medforge("distill", "--workspace", workspace, "--epsilon", 2, code=2)
    assert "was begun with epsilon 8.0, not 2.0; give 8.0 again, or use another --workspace" in complaint


def test_another_branch_of_the_same_images_spends_again(workspace: Path, tiny_spec: str, tmp_path: Path) -> None:
    images, directory = write_folder(tmp_path / "images"), tmp_path / "second"
    again = (
        "train", f"folder:{images}", "--workspace", directory, "--base", tiny_spec, "--task", "shades", "--device",
        "cpu", *OPTIONS, "--epsilon", 4, "--earlier", workspace, "--epsilon-total"
    )  # fmt: skip
    refusal = medforge(*again, 5, code=2)
    assert "over 2 branches, where --epsilon-total allows 5; ask for a smaller --epsilon" in refusal
    medforge(*again, 12)
    assert "per image, over 2 branches" in medforge("status", "--workspace", directory)


def test_a_bound_that_will_not_be_kept_is_told_before_training(tiny_base: BaseModule, tmp_path: Path) -> None:
    images, directory = write_folder(tmp_path / "images"), tmp_path / "clinic"
    with serving(tmp_path / "forge", tiny_base) as (forge, address):
        forge.policy = forge.policy.model_copy(update={"privacy": PrivacyBound(max_epsilon=4.0)})
        refusal = medforge(
            "contribute", f"folder:{images}", "--workspace", directory, "--base", tiny_base.spec, "--device", "cpu",
            *OPTIONS, "--epsilon", 8, "--at", address, code=2
        )  # fmt: skip
    assert "claims an epsilon of 8, where the forge admits 4 at most; give --epsilon 4" in refusal
    assert not (directory / "settings.json").exists()


def test_a_forge_that_demands_a_bound_takes_what_keeps_it(
    workspace: Path, tiny_base: BaseModule, tmp_path: Path
) -> None:
    with serving(tmp_path / "forge", tiny_base) as (forge, address):
        push = ("push", "--workspace", workspace, "--at", address, "--override", "test")
        doctor = ("doctor", "--at", address, "--workspace", workspace)
        forge.policy = forge.policy.model_copy(update={"privacy": PrivacyBound(max_epsilon=4.0, unit="image")})
        refusal = medforge(*push, code=2)
        assert "claims an epsilon of 8, where the forge admits 4 at most; begin another workspace with --epsilon 4" in (
            refusal
        )
        assert not any(forge.blobs.has(one.digest) for one in Branch.load(workspace / "branch").manifest.files.values())
        found = {one.check: one for one in examine(Connection(address), workspace)}["epsilon"]
        assert (found.state, found.fix) == ("problem", "begin another workspace with --epsilon 4")
        forge.policy = forge.policy.model_copy(update={"privacy": PrivacyBound(unit="group")})
        assert "protects single images, where the forge demands it for patients" in medforge(*push, code=2)
        forge.policy = forge.policy.model_copy(update={"privacy": PrivacyBound(max_epsilon=8.0, max_delta=1e-5)})
        assert "which the forge admits" in medforge(*doctor)
        medforge(*push)
        wait_until_folded(forge, 1)
        digest = Branch.load(workspace / "branch").digest
        assert forge.ledger.privacy_claims() == {digest: CLAIM}
        assert "ε = 8, δ = 1e-06, per image" in medforge("log", "--at", address)
        shown = json.loads(medforge("show", "--at", address, "--json"))
        assert shown["branches"][0]["privacy"] == CLAIM.model_dump()
        medforge("checkout", "--at", address, "--out", tmp_path / "model")
        assert "ε = 8, δ = 1e-06, per image" in (tmp_path / "model" / "README.md").read_text()
        medforge("page", "--forge", tmp_path / "forge", "--out", tmp_path / "site")
        assert "ε = 8, δ = 1e-06, per image" in (tmp_path / "site" / "branch" / "1.html").read_text()
        with RemoteForge(Connection(address)) as remote:
            assert PrivacyBound.model_validate_json(remote.describe().privacy).max_epsilon == 8
