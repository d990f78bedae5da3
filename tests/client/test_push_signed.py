"""Pushing with a kit: what is signed, whose receipt counts, and that nothing is lost before it does."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.identity.authority import Authority
from medforge.aggregator.identity.invite import invite
from medforge.aggregator.ledger.records import State
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.cli import build_app
from medforge.client.naming import rename
from medforge.client.push import Patience, push
from medforge.client.recipes import recipe_for
from medforge.client.settings import make_settings
from medforge.client.workspace import Workspace
from medforge.errors import ForgeUnavailable, InvalidInput
from medforge.proto import forge_pb2 as pb
from medforge.proto.connection import Connection
from medforge.proto.errors import NotAllowed
from medforge.proto.kit import Kit
from medforge.proto.receipt import Receipt
from medforge.proto.signing import new_key
from tests.aggregator.serving import serving, wait_until_folded
from tests.client.tasks import write_folder
from tests.client.test_cli import options
from tests.kits import FORGE, make_kit
from tests.making import make_branch
from tests.proto.test_remote_tls import Service, listening

IMPATIENT = Patience(minutes=0.05, silence=20, first_pause=0.05, longest_pause=0.2)


@pytest.fixture
def served(tmp_path: Path, tiny_base: BaseModule) -> Iterator[tuple[Forge, str]]:
    with serving(tmp_path / "forge", tiny_base, tls=True) as both:
        yield both


@pytest.fixture
def kit(served: tuple[Forge, str], tmp_path: Path) -> Kit:
    return invite(served[0], "Centre A", served[1], tmp_path / "kit")


def run(*arguments: object) -> str:
    result = CliRunner().invoke(build_app(), [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_kit_that_ends_soon_is_said_on_stderr(served: tuple[Forge, str], tmp_path: Path) -> None:
    for days, said in ((12, "the certificate of Soon ends in 11 days, on "), (40, "")):
        kit = invite(served[0], "Soon", served[1], tmp_path / str(days), days)
        result = CliRunner().invoke(build_app(), ["status", "--kit", str(kit.directory), "--json"])
        assert result.exit_code == 0
        assert json.loads(result.stdout)["branches"] == []
        assert result.stderr.startswith(said)
        assert result.stderr.count("\n") == bool(said)


def files(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_the_forge_keeps_the_signature_and_the_centre_the_verified_receipt(
    served: tuple[Forge, str], kit: Kit, tmp_path: Path, tiny_base: BaseModule
) -> None:
    forge, at = served
    branch = make_branch(tiny_base, contributor="Centre A")
    branch.save(tmp_path / "branch")
    before = files(tmp_path / "branch")
    receipt = push(tmp_path / "branch", Connection(at, kit), tmp_path / "receipt.json", patience=IMPATIENT)
    assert Receipt.load(tmp_path / "receipt.json") == receipt
    assert receipt.key == kit.card.key
    assert files(tmp_path / "branch") == before
    arrival = forge.ledger.arrival(1)
    assert arrival is not None
    assert arrival.signature == kit.sign_submit(branch.digest)


def test_a_branch_of_another_name_does_not_leave_the_house(
    served: tuple[Forge, str], kit: Kit, tmp_path: Path, tiny_base: BaseModule
) -> None:
    make_branch(tiny_base, contributor="Centre B").save(tmp_path / "branch")
    with pytest.raises(InvalidInput, match="the branch is Centre B's, but the kit .* is Centre A's; use the kit of"):
        push(tmp_path / "branch", Connection(served[1], kit), tmp_path / "r", patience=IMPATIENT)
    assert files(tmp_path / "forge" / "blobs") == {}


def test_a_receipt_by_another_key_is_none(tmp_path: Path, tiny_base: BaseModule) -> None:
    """Whatever sits at the address has the forge's certificate, but not the key that the kit names."""
    branch = make_branch(tiny_base, contributor="Centre A")
    branch.save(tmp_path / "branch")
    before = files(tmp_path / "branch")
    authority = Authority.of(tmp_path / "authority", FORGE)

    class Impostor(Service):
        def Describe(self, request: object, context: object) -> pb.DescribeReply:  # noqa: N802
            return pb.DescribeReply(forge=FORGE, key=b"k" * 32, base=tiny_base.fingerprint)

        def FindMissing(self, request: object, context: object) -> pb.FindMissingReply:  # noqa: N802
            return pb.FindMissingReply()

    kit = make_kit(authority, tmp_path / "kit", forge_key=new_key())
    with (
        listening(authority, service=Impostor()) as at,
        pytest.raises(NotAllowed, match="is not signed by the forge's key .*; keep the branch"),
    ):
        push(tmp_path / "branch", Connection(at, kit), tmp_path / "receipt.json", patience=IMPATIENT)
    assert not (tmp_path / "receipt.json").exists()
    assert files(tmp_path / "branch") == before


def test_a_refusal_is_not_tried_again(
    served: tuple[Forge, str], kit: Kit, tmp_path: Path, tiny_base: BaseModule
) -> None:
    served[0].ledger.revoke("Centre A")
    make_branch(tiny_base, contributor="Centre A").save(tmp_path / "branch")
    waits: list[str] = []
    with pytest.raises(NotAllowed, match="was revoked on"):
        push(tmp_path / "branch", Connection(served[1], kit), tmp_path / "r", patience=IMPATIENT, on_wait=waits.append)
    assert waits == []


class TestCommands:
    @pytest.fixture
    def workspace(self, tmp_path: Path, tiny_base: BaseModule, tiny_spec: str) -> Workspace:
        place = Workspace(tmp_path / "work")
        recipe = recipe_for("tiny").model_dump(mode="json")
        place.create(
            make_settings({"source": "folder:x", "contributor": "Centre A", "recipe": recipe, "base": tiny_spec})
        )
        make_branch(tiny_base, contributor="Centre A").save(place.branch)
        return place

    def test_status_says_what_the_forge_made_of_it(
        self, served: tuple[Forge, str], kit: Kit, workspace: Workspace
    ) -> None:
        forge, at = served
        asked = ("status", "--workspace", workspace.path, "--kit", kit.directory)
        unknown = json.loads(run(*asked, "--json"))["forge"]
        assert unknown["next"].startswith("push it")
        assert {name for name, value in unknown.items() if value is not None} == {"branch", "state", "next"}
        assert unknown["state"] == "unknown"
        push(workspace.branch, Connection(at, kit), workspace.receipt_file, patience=IMPATIENT)
        wait_until_folded(forge, 1)
        head, at_the_forge = forge.ledger.head(), forge.ledger.arrival(1)
        assert head is not None
        assert at_the_forge is not None
        assert json.loads(run(*asked, "--json"))["forge"] == {
            "branch": at_the_forge.branch, "task": "task", "state": "folded", "reason": None,
            "arrival": 1, "arrived_at": at_the_forge.accepted_at, "commit": head.digest, "number": 1,
            "acc_before": None, "acc": head.metrics["task"].acc,
            "head": head.digest, "head_number": 1, "acc_now": head.metrics["task"].acc,
            "stable": None, "stable_number": None, "standing": None,
            "next": f"fetch the merged model: medforge checkout --kit {kit.directory} --out merged",
        }  # fmt: skip
        said = run(*asked)
        assert "at the forge is in the main branch" in said
        assert f"arrival      1, {at_the_forge.accepted_at[:10]}" in said
        acc = f"{head.metrics['task'].acc:.3f}"
        assert f"commit       1 ({head.digest[:8]})\nits task     not answered before, {acc} with it (accuracy" in said
        assert "\nnext         fetch the merged model" in said
        assert "at the forge" not in run("status", "--workspace", workspace.path)

    def test_a_kit_alone_tells_of_every_branch_that_its_owner_sent(
        self, served: tuple[Forge, str], kit: Kit, workspace: Workspace, tmp_path: Path, tiny_base: BaseModule
    ) -> None:
        forge, at = served
        assert run("status", "--kit", kit.directory, "--at", at) == f"no branches of Centre A at the forge at {at}\n"
        push(workspace.branch, Connection(at, kit), workspace.receipt_file, patience=IMPATIENT)
        wait_until_folded(forge, 1)
        for seed, task in ((1, "other"), (2, "third")):
            make_branch(tiny_base, seed, contributor="Centre A", task=task).save(tmp_path / task)
            push(tmp_path / task, Connection(at, kit), tmp_path / f"{task}.json", patience=IMPATIENT)
        wait_until_folded(forge, 3)
        forge.ledger.change(2, State.HELD, "task 'other' is not declared; the maintainer declares it")
        forge.ledger.change(3, State.WITHDRAWN, "withdrawn by its contributor", "Centre A")
        told = json.loads(run("status", "--kit", kit.directory, "--at", at, "--json"))
        assert (told["contributor"], told["at"]) == ("Centre A", at)
        first, held, withdrawn = told["branches"]
        assert [(one["arrival"], one["task"], one["state"]) for one in (first, held, withdrawn)] == [
            (1, "task", "folded"),
            (2, "other", "held"),
            (3, "third", "withdrawn"),
        ]
        assert first["acc_now"] is not None
        assert (held["commit"], held["acc"]) == (None, None)
        assert held["next"] == "ask the maintainer to declare the task; the branch is folded then"
        said = run("status", "--kit", kit.directory, "--at", at)
        assert "3 branches of Centre A" in said
        assert "at the forge is held: task 'other' is not declared" in " ".join(said.split())
        assert "at the forge is withdrawn: withdrawn by its contributor" in " ".join(said.split())

    def test_somebody_must_be_asked_about(self, served: tuple[Forge, str]) -> None:
        with pytest.raises(InvalidInput, match="whose branches are asked for is not said; give your kit with --kit"):
            run("status", "--at", served[1])
        with pytest.raises(InvalidInput, match="nothing is named to look at; give --workspace DIR, --kit DIR, or both"):
            run("status")

    def test_status_says_what_is_known_here_where_no_forge_answers(self, workspace: Workspace) -> None:
        asked = ["status", "--workspace", str(workspace.path), "--at", "127.0.0.1:1"]
        result = CliRunner().invoke(build_app(), asked)
        assert f"committed    {workspace.committed}" in result.stdout
        assert isinstance(result.exception, ForgeUnavailable)

    def test_the_kits_name_is_the_contributor(self, kit: Kit, workspace: Workspace, tmp_path: Path) -> None:
        with pytest.raises(InvalidInput, match="the kit says contributor 'Centre A', not 'Centre B'; leave --contrib"):
            run("contribute", "--workspace", workspace.path, "--kit", kit.directory, "--contributor", "Centre B")

    def test_a_branch_of_another_name_is_committed_again_in_the_kits(
        self, served: tuple[Forge, str], kit: Kit, workspace: Workspace, tiny_base: BaseModule
    ) -> None:
        make_branch(tiny_base, contributor="Centre B").save(workspace.branch)
        old = Branch.load(workspace.branch)
        assert rename(workspace, kit) == "the branch is committed again as Centre A's, which was Centre B's"
        new = Branch.load(workspace.branch)
        assert new.manifest.contributor == "Centre A"
        assert new.manifest.files == old.manifest.files
        assert rename(workspace, kit) is None
        push(workspace.branch, Connection(served[1], kit), workspace.receipt_file, patience=IMPATIENT)
        assert [one.contributor for one in served[0].ledger.arrivals()] == ["Centre A"]

    def test_a_pushed_branch_keeps_its_name_where_it_is(
        self, served: tuple[Forge, str], kit: Kit, workspace: Workspace, tmp_path: Path
    ) -> None:
        push(workspace.branch, Connection(served[1], kit), workspace.receipt_file, patience=IMPATIENT)
        before = workspace.receipt_file.read_bytes()
        theirs = invite(served[0], "Centre B", served[1], tmp_path / "b")
        with pytest.raises(InvalidInput, match="was pushed as Centre A's already, as arrival 1; go on under that name"):
            rename(workspace, theirs)
        elsewhere = replace(theirs, card=theirs.card.model_copy(update={"forge": "another"}))
        assert rename(workspace, elsewhere) is not None
        assert workspace.pushed is None
        assert [kept.read_bytes() for kept in workspace.path.glob("receipt-*.json")] == [before]

    def test_whoever_trained_without_a_name_contributes_in_the_kits(
        self, served: tuple[Forge, str], kit: Kit, tiny_spec: str, tmp_path: Path
    ) -> None:
        place = Workspace(tmp_path / "somewhere")
        source = f"folder:{write_folder(tmp_path / 'shades')}"
        site = tmp_path / "site.toml"
        site.write_text("near_copies = 100\ndistilled_auc = 1.0\nplugin_auc = 1.0\n")
        settings = ["--base", tiny_spec, "--site", site, *options()]
        run("contribute", source, "--workspace", place.path, "--no-push", *settings)
        assert Branch.load(place.branch).manifest.contributor == "somewhere"
        trained = (place.plugin / "adapter_model.safetensors").stat().st_mtime_ns
        run("push", "--workspace", place.path, "--kit", kit.directory, "--override", "test")
        assert Branch.load(place.branch).manifest.contributor == "Centre A"
        assert (place.plugin / "adapter_model.safetensors").stat().st_mtime_ns == trained
        assert [one.contributor for one in served[0].ledger.arrivals()] == ["Centre A"]

    def test_another_base_module_is_told_before_any_training(
        self, kit: Kit, workspace: Workspace, tmp_path: Path
    ) -> None:
        card = kit.card.model_copy(update={"base": "d" * 64})
        moved = Kit(tmp_path / "moved", card, kit.ca, kit.certificate, kit.certificate_key, kit.signing_key)
        moved.save()
        with pytest.raises(
            InvalidInput, match="but the kit's forge stands on dddddddddddd .*; begin another workspace"
        ):
            run("contribute", "--workspace", workspace.path, "--kit", moved.directory)
        assert not workspace.training.exists()

    @pytest.mark.parametrize(
        "arguments", [["contribute"], ["contribute", "--no-push", "--at", "127.0.0.1:1"], ["push"]]
    )
    def test_where_to_must_be_said(self, workspace: Workspace, arguments: list[str]) -> None:
        with pytest.raises(
            InvalidInput, match=r"^no forge is named; (say where to push with|give your kit with) --kit DIR"
        ):
            run(*arguments, "--workspace", workspace.path)
