"""A hospital's path, in real processes over mutual TLS: invited, doctor, push, signed receipt, folded; and refusals."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.identity.authority import Authority
from medforge.aggregator.identity.invite import invite
from medforge.aggregator.ledger.records import Contributor
from medforge.base_module import BaseModule
from medforge.errors import InvalidInput, MedForgeError
from medforge.proto.certificates import digest_of
from medforge.proto.connection import Connection
from medforge.proto.errors import NotAllowed
from medforge.proto.kit import Kit
from medforge.proto.receipt import Receipt
from medforge.proto.remote import RemoteForge
from medforge.proto.signing import public_bytes
from tests.aggregator.serving import START_SECONDS, serving, upload
from tests.client.tasks import write_folder
from tests.e2e.networks import Network, loopback, namespaces
from tests.kits import make_kit
from tests.making import make_branch
from tests.programs import Program

SMALL = {
    "train.plugin.rank": 4, "train.plugin.alpha": 8, "train.epochs": 3, "train.batch": 8, "train.optimiser": "adamw",
    "train.lr": 0.01, "distill.ipc": 2, "distill.steps": 8, "distill.real_batch": 6, "distill.candidates": 1,
    "distill.score_steps": 4,
}  # fmt: skip
ENVIRONMENT = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}


def start(*arguments: object, on: tuple[str, ...] = ()) -> "subprocess.Popen[str]":
    command = [*on, sys.executable, "-m", "medforge", *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT | {"OMP_NUM_THREADS": "1"}
    )


def medforge(*arguments: object, on: tuple[str, ...] = (), code: int = 0) -> str:
    """Run a command to its end; gives what it printed, or what it complained of where it should fail.

    In a network of its own it is typed as a person would; on this machine's own network it is forked from a process
    that has imported everything.
    """
    if on:
        process = start(*arguments, on=on)
        said, complained = process.communicate(timeout=200)
        ended = process.returncode
    else:
        with TemporaryDirectory() as name:
            printed, log = Path(name) / "printed", Path(name) / "log"
            ended = Program(arguments, log, printed=printed).wait(200)
            said, complained = printed.read_text(), log.read_text()
    assert ended == code, said + complained
    return said if code == 0 else complained


class Server:
    """`medforge serve` on the forge's side of a network."""

    def __init__(self, directory: Path, spec: str, network: Network) -> None:
        ready = directory.parent / "ready"
        # the examination of what a plugin of three epochs can do has tests of its own
        self.process = start(
            "serve", "--forge", directory, "--base", spec, "--listen", network.listen, "--ready-file", ready,
            "--threads", 1, "--policy", "admission.behaviour=false", "--open-tasks", on=network.on_forge,
        )  # fmt: skip
        end = time.monotonic() + START_SECONDS
        while not ready.exists():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < end
            time.sleep(0.05)

    def stop(self) -> None:
        self.process.terminate()
        self.process.communicate(timeout=60)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, tiny_spec: str) -> Path:
    """A workspace with a branch of Centre A that is ready to be pushed, made the way a hospital makes it."""
    place = tmp_path_factory.mktemp("work")
    images = write_folder(place / "shades")
    settings = [part for name, value in SMALL.items() for part in ("--recipe-set", f"{name}={value}")]
    medforge(
        "contribute", f"folder:{images}", "--workspace", place / "centre", "--contributor", "Centre A", "--no-push",
        "--base", tiny_spec, "--threads", 1, *settings,
    )  # fmt: skip
    return place / "centre"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("place", [loopback, namespaces])
def test_from_invitation_to_receipt(prepared: Path, tmp_path: Path, tiny_spec: str, place: Any) -> None:
    workspace, forge, kit = tmp_path / "work", tmp_path / "forge", tmp_path / "kit"
    shutil.copytree(prepared, workspace)
    before = {path: path.read_bytes() for path in (workspace / "branch").rglob("*") if path.is_file()}
    with place() as network:
        server = Server(forge, tiny_spec, network)
        try:
            said = medforge(
                "invite", "Centre A", "--forge", forge, "--address", network.address, "--out", kit, on=network.on_forge
            )
            assert "the kit of Centre A is in" in said
            checks = json.loads(
                medforge("doctor", "--kit", kit, "--workspace", workspace, "--json", on=network.on_site)
            )
            assert {one["check"]: one["state"] for one in checks if one["state"] != "ok"} == {"DNS": "skipped"}

            said = medforge("contribute", "--workspace", workspace, "--kit", kit, "--override", "Data Protection",
                            "--threads", 1, on=network.on_site)  # fmt: skip
            assert f"pushed: arrival 1 at {network.address}" in said
            receipt = Receipt.load(workspace / "receipt.json")
            receipt.verify()
            assert receipt.key == Kit.load(kit).card.key
            assert {path: path.read_bytes() for path in before} == before

            assert fate(workspace, kit, network)["state"] == "folded"
            log = json.loads(medforge("log", "--kit", kit, "--json", on=network.on_site))
            assert [commit["branch"] for commit in log["commits"]] == [receipt.branch]
        finally:
            server.stop()


def fate(workspace: Path, kit: Path, network: Network) -> dict[str, Any]:
    """What `medforge status` says of the branch at the forge, once it waits no more."""
    end = time.monotonic() + 60
    while True:
        told = json.loads(medforge("status", "--workspace", workspace, "--kit", kit, "--json", on=network.on_site))
        if told["forge"]["state"] != "received":
            return dict(told["forge"])
        assert time.monotonic() < end, told


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, tiny_spec: str) -> Iterator[tuple[Forge, str]]:
    """A forge in a process of its own, on every address of this machine."""
    place = tmp_path_factory.mktemp("served")
    with loopback() as network:
        server = Server(place / "forge", tiny_spec, network)
        forge = Forge.open(place / "forge")
        yield forge, network.address
        forge.close()
        server.stop()


class TestRefusals:
    """Each caller that must not get in, and what it is told."""

    @pytest.fixture
    def kit(self, served: tuple[Forge, str], tmp_path: Path) -> Kit:
        return invite(served[0], "Centre A", served[1], tmp_path / "kit")

    def refused(self, at: str, kit: Kit | None, plaintext: bool = False) -> MedForgeError:
        with (
            pytest.raises(MedForgeError) as raised,
            RemoteForge(Connection(at, kit, plaintext=plaintext), 20) as remote,
        ):
            remote.describe()
        return raised.value

    def test_a_caller_without_a_certificate(self, served: tuple[Forge, str]) -> None:
        error = self.refused(served[1], None)
        assert isinstance(error, InvalidInput)
        assert "speaks TLS and knows its callers; give your kit with --kit DIR" in str(error)

    def test_a_caller_who_insists_on_plaintext(self, served: tuple[Forge, str], kit: Kit) -> None:
        assert "speaks TLS" in str(self.refused(served[1], kit, plaintext=True))

    def test_the_kit_of_another_forge(self, served: tuple[Forge, str], tmp_path: Path) -> None:
        other = make_kit(Authority.of(tmp_path / "other", "another-forge"), tmp_path / "kit", address=served[1])
        error = self.refused(served[1], other)
        assert isinstance(error, InvalidInput)
        assert "is not the kit's forge another-forge" in str(error)

    def test_a_revoked_kit(self, served: tuple[Forge, str], kit: Kit) -> None:
        with RemoteForge(Connection(served[1], kit)) as remote:
            remote.describe()
            medforge("revoke", "Centre A", "--forge", served[0].directory)
            with pytest.raises(NotAllowed, match="was revoked on"):
                remote.describe()

    def test_a_branch_under_another_name(
        self, served: tuple[Forge, str], kit: Kit, tmp_path: Path, tiny_base: BaseModule
    ) -> None:
        branch = make_branch(tiny_base, contributor="Centre B")
        with RemoteForge(Connection(served[1], kit)) as remote:
            upload(remote, branch, tmp_path / "branch")
            with pytest.raises(NotAllowed, match="is Centre B's, but the call came under the certificate of Centre A"):
                remote.submit(branch.manifest.to_bytes(), kit.sign_submit(branch.digest))

    def test_a_signed_submit_that_is_played_again(
        self, served: tuple[Forge, str], kit: Kit, tmp_path: Path, tiny_base: BaseModule
    ) -> None:
        """At its own forge it changes nothing; another one, though it knows the same key, takes it for none of its."""
        branch = make_branch(tiny_base, contributor="Centre A")
        manifest, signature = branch.manifest.to_bytes(), kit.sign_submit(branch.digest)
        with RemoteForge(Connection(served[1], kit)) as remote:
            upload(remote, branch, tmp_path / "branch")
            first = remote.submit(manifest, signature)
            assert remote.submit(manifest, signature) == first
        assert len(served[0].ledger.arrivals()) == 1
        with serving(tmp_path / "forge", tiny_base, tls=True) as (other, at):
            theirs = invite(other, "Centre A", at, tmp_path / "theirs")
            other.ledger.invite(
                Contributor("Centre A", public_bytes(kit.signing_key), digest_of(theirs.x509), "2026-01-01T00:00:00Z")
            )
            with RemoteForge(Connection(at, theirs)) as remote:
                upload(remote, branch, tmp_path / "again")
                with pytest.raises(NotAllowed, match="the signature of this submit is not by the key it should be"):
                    remote.submit(manifest, signature)
            assert other.ledger.arrivals() == []
