import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from click.testing import CliRunner
from grpc_health.v1 import health_pb2, health_pb2_grpc

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.ledger.commit import Commit
from medforge.aggregator.main_branch.main_branch import MainBranch
from medforge.aggregator.merge import built_in, choose_settings, listing_of
from medforge.aggregator.server.server import ForgeServer
from medforge.base_module import BaseModule
from medforge.cli import build_app
from medforge.errors import InvalidInput, MedForgeError
from medforge.forge_item import ForgeItem
from medforge.proto import forge_pb2 as pb
from medforge.proto.connection import Connection
from medforge.proto.remote import RemoteForge
from tests.aggregator.forges import UNEXAMINED, branches, fold_all
from tests.aggregator.serving import Served, serving, upload, wait_until_folded

MODE = ("--merge", "mixture", "--level", "output", "--coefficients", "joint")
SETTINGS = choose_settings(method="mixture", level="output", coefficients="joint")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, tiny_base: BaseModule) -> list[str]:
    """The commits of a forge to which nothing ever happened."""
    main = MainBranch(
        Forge.establish(tmp_path_factory.mktemp("undisturbed"), tiny_base, SETTINGS, policy=UNEXAMINED), tiny_base
    )
    fold_all(main, branches(tiny_base))
    main.forge.close()
    return [commit.digest for commit in main.log()]


@pytest.fixture
def processes() -> Iterator[list[Served]]:
    """Servers that are killed when the test ends, however it ends."""
    started: list[Served] = []
    yield started
    for served in started:
        if served.process.alive:
            served.kill()


def test_a_server_killed_again_and_again_ends_with_the_undisturbed_head(
    tmp_path: Path, tiny_base: BaseModule, tiny_spec: str, undisturbed: list[str], processes: list[Served]
) -> None:
    first, second, third = branches(tiny_base)
    served = Served(tmp_path / "forge", tiny_spec, "127.0.0.1:0", *MODE)
    processes.append(served)
    address = served.wait_ready()
    with RemoteForge(Connection(address)) as remote:
        receipts = []
        for name, branch in (("one", first), ("two", second)):
            upload(remote, branch, tmp_path / name)
            receipts.append(remote.submit(branch.manifest.to_bytes()))
        # killed right after the receipt, with the fold at most begun, and with half an upload of the third branch
        third.save(tmp_path / "three")
        entry = third.manifest.files["distilled.safetensors"]
        half = remote.upload(entry.digest, tmp_path / "three" / "distilled.safetensors", 0, 5000)
        assert next(half) == 5000
        served.kill()

    again = Served(tmp_path / "forge", tiny_spec, address)
    processes.append(again)
    assert again.wait_ready() == address
    with RemoteForge(Connection(address)) as remote:
        assert remote.missing([entry.digest])[entry.digest] >= 5000
        assert [remote.submit(b.manifest.to_bytes()) for b in (first, second)] == receipts
        for name, one in third.manifest.files.items():
            offset = remote.missing([one.digest]).get(one.digest, one.size)
            list(remote.upload(one.digest, tmp_path / "three" / name, offset, 5000))
        assert remote.submit(third.manifest.to_bytes()).arrival == 3
        seen = [next(commits) for commits in [remote.watch()] for _ in range(3)]
    assert again.stop() == 0
    forge = Forge.open(tmp_path / "forge")
    assert [commit.digest for _, commit in forge.ledger.commits()] == undisturbed
    assert [content for _, content in seen] == [commit.content for _, commit in forge.ledger.commits()]
    assert forge.ledger.outside() == []


KILLED_AT = """
import os, signal, sys
from pathlib import Path
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.ledger.ledger import Ledger
from medforge.aggregator.main_branch.main_branch import MainBranch
from medforge.aggregator.merge import built_in, choose_settings, listing_of
from medforge.aggregator.forge.policy import Admission, Policy
from medforge.base import load_base
from medforge.branch import Branch

directory, spec, branch, *points = sys.argv[1:]

def fold_and_die(method, when):
    real = getattr(Ledger, method)

    def die(*arguments, **options):
        if when == "after":
            real(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(Ledger, method, die)
    base = load_base(spec, "cpu")
    settings = choose_settings(method="mixture", level="output", coefficients="joint")
    unexamined = Policy(admission=Admission(behaviour=False))
    forge = Forge.establish(Path(directory) / f"{method}-{when}", base, settings, policy=unexamined)
    arrival = forge.admit(Branch.load(Path(branch)), base)
    MainBranch(forge, base).fold(arrival.number)

# the imports take seconds, so each death is died by a fork, made before torch has computed anything
for point in points:
    if (child := os.fork()) == 0:
        fold_and_die(*point.split("-"))
        os._exit(1)
    print(os.WTERMSIG(os.waitpid(child, 0)[1]))
"""
KILL_POINTS = {
    "add_arrivals-before": (0, 0),
    "add_arrivals-after": (1, 0),
    "add_commit-before": (1, 0),
    "add_commit-after": (1, 1),
}


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory, tiny_base: BaseModule, tiny_spec: str) -> Path:
    """Forges whose process was killed while it took in and folded a branch, one for each point."""
    directory = tmp_path_factory.mktemp("killed")
    branches(tiny_base)[0].save(directory / "branch")
    command = [sys.executable, "-c", KILLED_AT, directory, tiny_spec, directory / "branch", *KILL_POINTS]
    done = subprocess.run(command, check=True, timeout=200, capture_output=True, text=True)
    assert done.stdout.split() == ["9"] * len(KILL_POINTS)
    return directory


@pytest.mark.parametrize("point", KILL_POINTS)
def test_killed_at_any_step_nothing_is_lost_or_folded_twice(
    tmp_path: Path, tiny_base: BaseModule, undisturbed: list[str], killed: Path, point: str
) -> None:
    arrivals, commits = KILL_POINTS[point]
    forge = Forge.open(killed / point)
    assert forge.ledger.counts() == (arrivals, commits)
    forge.close()
    with serving(killed / point, tiny_base, settings=SETTINGS) as (again, at), RemoteForge(Connection(at)) as remote:
        wait_until_folded(again, arrivals)
        for number, branch in enumerate(branches(tiny_base), start=1):
            upload(remote, branch, tmp_path / str(number))
            assert remote.submit(branch.manifest.to_bytes()).arrival == number
        wait_until_folded(again, 3)
        assert [commit.digest for _, commit in again.ledger.commits()] == undisturbed


def test_a_fold_in_progress_does_not_block_calls(
    tmp_path: Path, tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, fold = threading.Event(), threading.Event(), MainBranch.fold

    def long_fold(main: MainBranch, arrival: int) -> Commit:
        begun.set()
        assert go_on.wait(60)
        return fold(main, arrival)

    monkeypatch.setattr(MainBranch, "fold", long_fold)
    with (
        serving(tmp_path / "forge", tiny_base, settings=SETTINGS) as (forge, at),
        RemoteForge(Connection(at)) as remote,
    ):
        for number, branch in enumerate(branches(tiny_base), start=1):
            upload(remote, branch, tmp_path / str(number))
            assert remote.submit(branch.manifest.to_bytes()).arrival == number
            assert begun.wait(60)
            assert remote.status(branch.digest).state == pb.BRANCH_STATE_RECEIVED
        assert (remote.describe().arrivals, remote.describe().commits) == (3, 0)
        assert [a.number for a in remote.log()[1]] == [1, 2, 3]
        go_on.set()
        wait_until_folded(forge, 3)


def test_a_port_in_use_gets_a_sentence(tmp_path: Path, tiny_spec: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        served = Served(tmp_path / "forge", tiny_spec, f"127.0.0.1:{port}")
        assert served.process.wait(120) == 2
    said = served.errors.read_text()
    assert f"port {port} on 127.0.0.1 is in use; stop what listens there, or choose another with --listen" in said
    assert "Traceback" not in said
    assert not served.ready.exists()


def test_two_servers_never_share_a_port(tmp_path: Path, tiny_base: BaseModule) -> None:
    with serving(tmp_path / "one", tiny_base) as (_, at):
        other = Forge.establish(tmp_path / "two", tiny_base, SETTINGS, policy=UNEXAMINED)
        with pytest.raises(InvalidInput, match="is in use; stop what listens there"):
            ForgeServer(other, tiny_base, at).start()


@pytest.mark.parametrize(
    ("listen", "sentence"),
    [
        ("nonsense", "'nonsense' is not an address; write HOST:PORT"),
        ("127.0.0.1:99999", "is not an address; write HOST:PORT"),
        ("203.0.113.7:0", "cannot listen on 203.0.113.7:0 .*; choose another with --listen"),
    ],
)
def test_an_address_that_cannot_be_had_gets_a_sentence(
    tmp_path: Path, tiny_base: BaseModule, listen: str, sentence: str
) -> None:
    forge = Forge.establish(tmp_path, tiny_base, SETTINGS, policy=UNEXAMINED)
    with pytest.raises(InvalidInput, match=sentence):
        ForgeServer(forge, tiny_base, listen).start()


def test_health_says_when_nothing_is_folded_any_more(tmp_path: Path, tiny_base: BaseModule) -> None:
    forge = Forge.establish(tmp_path, tiny_base, SETTINGS, policy=UNEXAMINED)
    server = ForgeServer(forge, tiny_base, "127.0.0.1:0")
    with grpc.insecure_channel(server.start()) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest()
        assert stub.Check(request).status == health_pb2.HealthCheckResponse.SERVING
        server._worker.stop()
        server._worker.join(30)
        assert stub.Check(request).status == health_pb2.HealthCheckResponse.NOT_SERVING
    assert server.stop()


@pytest.fixture(scope="module")
def folded(tmp_path_factory: pytest.TempPathFactory, tiny_base: BaseModule) -> Path:
    """A forge with a main branch of two commits and a held arrival."""
    directory = tmp_path_factory.mktemp("commands") / "forge"
    main = MainBranch(Forge.establish(directory, tiny_base, SETTINGS, policy=UNEXAMINED), tiny_base)
    arriving = branches(tiny_base)
    fold_all(main, arriving[:2])
    held = main.forge.admit(arriving[2], tiny_base)
    main.forge.ledger.hold(held.number, "its outputs overflow [sic]")
    main.forge.close()
    return directory


class TestCommands:
    """What a person types."""

    def say(self, *arguments: object) -> str:
        result = CliRunner().invoke(build_app(), [str(a) for a in arguments], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    def test_log_shows_commits_and_what_is_held(self, folded: Path) -> None:
        said = self.say("log", "--forge", folded)
        assert "centre 0" in said
        assert "centre 1" in said
        assert "centre 2: task 2 held: its outputs overflow [sic]" in " ".join(said.split())

    def test_log_is_the_same_from_directory_and_address(self, folded: Path, tiny_base: BaseModule) -> None:
        here = json.loads(self.say("log", "--forge", folded, "--json"))
        with serving(folded, tiny_base, settings=SETTINGS) as (_, at):
            there = json.loads(self.say("log", "--at", at, "--json"))
        assert here == there
        assert [c["arrival"] for c in here["commits"]] == [1, 2]
        assert here["commits"][1]["parent"] == here["commits"][0]["digest"]
        assert [(w["number"], w["state"]) for w in here["outside"]] == [(3, "held")]

    def test_checkout_writes_a_model_that_loads(self, folded: Path, tiny_base: BaseModule, tmp_path: Path) -> None:
        first, head = (c["digest"] for c in json.loads(self.say("log", "--forge", folded, "--json"))["commits"])
        forge = Forge.open(folded)
        self.say("checkout", "--forge", folded, "--out", tmp_path / "head")
        self.say("checkout", "--forge", folded, "--commit", first[:8], "--out", tmp_path / "first")
        with serving(folded, tiny_base, settings=SETTINGS) as (_, at):
            self.say("checkout", "--at", at, "--out", tmp_path / "remote")
        for name, digest in (("head", head), ("first", first), ("remote", head)):
            commit = forge.ledger.commit(digest)
            assert commit is not None
            assert ForgeItem.load(tmp_path / name).digest == commit.item

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["log"], "give either its directory with --forge or its address with --at"),
            (["log", "--forge", "x", "--at", "y:1"], "give either its directory with --forge or its address with --at"),
            (["log", "--forge", "/nonexistent"], "/nonexistent is not a forge"),
            (["log", "--at", "127.0.0.1:1"], "the forge at 127.0.0.1:1 cannot be reached"),
            (
                ["checkout", "--forge", "FORGE", "--out", "OUT", "--commit", "abc"],
                "no commit is called 'abc'; `medforge log` lists",
            ),
            (
                ["checkout", "--forge", "FORGE", "--out", "OUT", "--commit", "zzzzzz"],
                "no commit is called 'zzzzzz'",
            ),
            (
                ["checkout", "--forge", "FORGE", "--out", "FORGE"],
                "is not an empty directory; give a new one with --out",
            ),
            (["serve", "--forge", "NEW"], "is a new forge; say on which base module it stands with --base"),
            (
                ["serve", "--forge", "NEW", "--base", "medforge-tiny", "--merge", "average"],
                "'average' is not known; choose one of",
            ),
            (
                ["serve", "--forge", "FORGE", "--seed", "5"],
                "was made with seed=0 (not 5); serve it with these settings",
            ),
            (
                ["serve", "--forge", "FORGE", "--objective", "reference"],
                "the published scripts have no objective for mixture output joint",
            ),
        ],
    )
    def test_mistakes_get_a_sentence(
        self, folded: Path, tmp_path: Path, tiny_spec: str, arguments: list[str], sentence: str
    ) -> None:
        places = {"FORGE": str(folded), "OUT": str(tmp_path / "out"), "NEW": str(tmp_path / "new")}
        with pytest.raises(MedForgeError) as error:
            CliRunner().invoke(build_app(), [places.get(a, a) for a in arguments], catch_exceptions=False)
        assert sentence in str(error.value)

    def test_methods_lists_every_method(self) -> None:
        said = self.say("methods")
        for name in built_in():
            assert name in said
            assert all(" + ".join(mode) in said for mode in listing_of(name).modes)
