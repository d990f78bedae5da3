"""The drill: a forge of 0.1.0 is upgraded while centres push; every old receipt is accounted for, and it goes back."""

import json
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.fsck import check_forge
from medforge.aggregator.identity.invite import invite
from medforge.aggregator.ledger.records import State
from medforge.aggregator.main_branch.replay import replay
from medforge.base import load_base
from medforge.proto.receipt import Receipt
from tests.drills.test_restore import wait_for
from tests.e2e.test_invitation import medforge
from tests.faults.sites import workspace
from tests.making import make_branch
from tests.programs import Program, Server
from tests.recorded.items import HERE

SPEC = "medforge-tiny"
OLD = HERE / "served-0.1.0"
REVOKED = "south"
# random plugins classify nothing, and change small weights much
POLICY = ("--policy", "admission.behaviour=false", "--policy", "admission.weight_change=100")


def copied(source: Path, target: Path) -> Path:
    """Copy a part of the fixture, as its owner would have it."""
    shutil.copytree(source, target)
    for path in (target, *target.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return target


def free_address() -> str:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{found.getsockname()[1]}"


def old_kits(place: Path, address: str) -> dict[str, Path]:
    """Copy the kits, whose forge is served elsewhere now."""
    kits = {}
    for one in sorted((OLD / "kits").iterdir()):
        kits[one.name] = copied(one, place / f"kit-{one.name}")
        file = kits[one.name] / "kit.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"address": address}))
    return kits


def pushing(place: Path, name: str, task: str, seed: int, kit: Path) -> Program:
    made = workspace(place / f"{name}-{task}", make_branch(load_base(SPEC, "cpu"), seed, task, name), SPEC)
    words = ["push", "--workspace", made.path, "--kit", kit, "--patience", 3]
    return Program(words, place / f"{name}-{task}.log")


def accounted(forge: Forge, receipts: list[Receipt]) -> None:
    """See that the forge has what it acknowledged: each branch under its number, there unless it was erased."""
    for receipt in receipts:
        receipt.verify()
        arrival = forge.ledger.arrival(receipt.arrival)
        assert arrival is not None
        assert (arrival.branch, forge.receipt(arrival)) == (receipt.branch, receipt)
        assert forge.blobs.has(receipt.branch) is not arrival.erased


def sound(directory: Path) -> tuple[list[str], dict[int, State]]:
    """Check a forge; return the digests of its commits, oldest first, and the states of its arrivals."""
    forge = Forge.open(directory)
    assert [problem for check in check_forge(forge) for problem in check.problems] == []
    states = {one.number: one.state for one in forge.ledger.arrivals()}
    chain = [commit.digest for _, commit in forge.ledger.commits()]
    forge.close()
    return chain, states


@pytest.mark.timeout(600)
def test_a_forge_of_0_1_0_is_upgraded_under_traffic_and_goes_back(tmp_path: Path) -> None:
    directory = copied(OLD / "forge", tmp_path / "forge")
    address = free_address()
    kits = old_kits(tmp_path, address)
    old = [Receipt.model_validate_json(one.read_bytes()) for one in sorted((OLD / "receipts").iterdir())]
    before, states = sound(directory)
    assert len(old) == len(states) == 6

    server = Server(directory, SPEC, "--tls", *POLICY)
    server.at = address
    # it knocks until somebody answers, who then has another version
    first = pushing(tmp_path, "north", "knee", 11, kits["north"])
    with server:
        assert "is upgraded from schema 2" in server.up().said()
        forge = Forge.open(directory)
        invite(forge, "west", address, tmp_path / "kit-west")
        forge.close()
        later = [
            pushing(tmp_path, "west", "nose", 12, tmp_path / "kit-west"),
            pushing(tmp_path, "clinic", "toe", 13, kits["clinic"]),
        ]
        for push in (first, *later):
            assert push.wait(180) == 0, push.said()
        assert "was revoked" in medforge("status", "--kit", kits[REVOKED], code=4)
        told: Any = json.loads(medforge("status", "--kit", kits["clinic"], "--json"))
        assert {old[0].branch, old[1].branch} <= {one["branch"] for one in told["branches"]}
        wait_for(server, 9)
        server.stop()

    after, now = sound(directory)
    assert after[: len(before)] == before
    assert {number: now[number] for number in states} == states
    assert {now[number] for number in (7, 8, 9)} == {State.FOLDED}
    forge = Forge.open(directory)
    accounted(forge, old)
    assert forge.settings.forge == old[0].forge
    assert "different" not in {one.outcome for one in replay(forge, load_base(SPEC, "cpu"))}
    forge.close()

    # what was kept is the forge before, whole, and is upgraded as that was
    (kept,) = (directory / "before-upgrade").iterdir()
    directory.rename(tmp_path / "upgraded")
    shutil.move(tmp_path / "upgraded" / "before-upgrade" / kept.name, directory)
    assert sound(directory) == (before, states)
    medforge("upgrade", "--forge", directory)
    assert sound(directory) == (before, states)
    forge = Forge.open(directory)
    accounted(forge, old)
    forge.close()
