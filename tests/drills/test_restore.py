"""The drill: a backup while centres push, a disaster, a restore elsewhere; nothing acknowledged is lost unnoticed."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.fsck import check_forge
from medforge.aggregator.identity.invite import invite
from medforge.aggregator.ledger.records import State
from medforge.base_module import BaseModule
from medforge.client.receipts import history_of
from medforge.client.workspace import Workspace
from medforge.proto.receipt import Receipt
from tests.e2e.test_invitation import medforge
from tests.faults.sites import workspace
from tests.making import make_branch
from tests.programs import Program, Server

OPTIONS = ("--tls", "--policy", "admission.behaviour=false")
PASSPHRASE = "a passphrase of the drill"


class Centre:
    """A centre with a kit, and a workspace for each of its tasks."""

    def __init__(self, name: str, place: Path, server: Server, base: BaseModule, spec: str, tasks: tuple[str, ...]):
        self.name, self.place, self.kit = name, place, place / f"kit-{name}"
        forge = Forge.open(server.directory)
        invite(forge, name, server.at, self.kit)
        forge.close()
        self.workspaces = {
            task: workspace(place / f"{name}-{task}", make_branch(base, len(task) + ord(name[0]), task, name), spec)
            for task in tasks
        }

    def pushing(self, task: str) -> Program:
        place = self.workspaces[task]
        arguments = ["push", "--workspace", place.path, "--kit", self.kit, "--patience", 1]
        return Program(arguments, self.place / f"{place.path.name}.log")

    def push(self, task: str) -> None:
        program = self.pushing(task)
        assert program.wait(120) == 0, program.said()

    def says(self, command: str, task: str, code: int = 0) -> Any:
        place = self.workspaces[task]
        return json.loads(medforge(command, "--workspace", place.path, "--kit", self.kit, "--json", code=code))


def receipts(place: Workspace) -> list[Receipt]:
    return [Receipt.model_validate_json(line) for line in history_of(place.receipt_file).read_bytes().splitlines()]


def wait_for(server: Server, arrivals: int) -> None:
    """Wait until so many arrivals have come and none waits, to be folded or to be erased."""
    forge, end = Forge.open(server.directory), time.monotonic() + 120
    while (
        forge.ledger.counts()[0] < arrivals
        or forge.ledger.unfolded()
        or forge.ledger.to_erase()
        or set(head.members if (head := forge.ledger.head()) else ()) != set(forge.ledger.numbers(State.FOLDED))
    ):
        assert time.monotonic() < end
        time.sleep(0.1)
    forge.close()


@pytest.mark.timeout(600)
def test_a_disaster_is_survived_and_every_receipt_accounted_for(
    tmp_path: Path, tiny_base: BaseModule, tiny_spec: str
) -> None:
    words = tmp_path / "passphrase"
    words.write_text(PASSPHRASE)
    with Server(tmp_path / "forge", tiny_spec, *OPTIONS) as server:
        server.up()
        makes = (tmp_path, server, tiny_base, tiny_spec)
        ada, bo, cy, di = (
            Centre(name, *makes, tasks)
            for name, tasks in (
                ("ada", ("brain", "lung")),
                ("bo", ("liver", "skin")),
                ("cy", ("eye",)),
                ("di", ("toe",)),
            )
        )
        cy.push("eye")
        ada.push("brain")

        # three push, and meanwhile the backup is made
        out = tmp_path / "forge.age"
        pushes = [ada.pushing("lung"), bo.pushing("liver"), di.pushing("toe")]
        said = json.loads(
            medforge("backup", "--forge", server.directory, "--out", out, "--passphrase-file", words, "--json")
        )
        assert [push.wait(120) for push in pushes] == [0, 0, 0]
        assert 2 <= said["arrivals"] <= 5

        # what the backup does not have: a branch, two that are erased, and a kit that is revoked
        bo.push("skin")
        medforge("withdraw", "brain", "--kit", ada.kit, "--erase", "--yes")
        medforge("withdraw", "toe", "--kit", di.kit, "--erase", "--yes")
        medforge("revoke", "cy", "--forge", server.directory, "--reason", "left")
        wait_for(server, 6)
        assert bo.says("status", "skin")["recovery"]["said"] == []
        assert server.program is not None
        server.program.kill()
        shutil.rmtree(server.directory)

    tombstones = tmp_path / "forge.tombstones"
    elsewhere = Server(tmp_path / "other" / "place", tiny_spec, *OPTIONS, files=tmp_path)
    restored = json.loads(
        medforge(
            "restore", out, "--forge", elsewhere.directory, "--passphrase-file", words, "--tombstones", tombstones,
            "--json",
        )
    )  # fmt: skip
    assert restored["revoked"] == ["cy"]
    assert len(restored["withdrawn"]) + len(restored["kept_out"]) == 2
    elsewhere.at = server.at
    with elsewhere:
        elsewhere.up()
        assert "was revoked" in medforge("status", "--kit", cy.kit, code=4)
        # at their next command, whichever it is, centres find what is gone and push it again
        found = bo.says("status", "skin")
        assert found["recovery"]["lost"]["branch"] == bo.workspaces["skin"].committed
        assert found["recovery"]["again"] == found["forge"]["arrival"] == found["pushed"]["arrival"]
        assert any("was restored on" in sentence for sentence in found["recovery"]["said"])
        assert {one["check"]: one["state"] for one in bo.says("doctor", "liver")}["receipt"] in ("ok", "warning")
        ada.push("lung")
        for centre, task in ((ada, "brain"), (di, "toe")):
            assert centre.says("status", task)["recovery"]["again"] is None
        wait_for(elsewhere, restored["arrivals"])
        elsewhere.stop()

    forge = Forge.open(elsewhere.directory)
    assert [problem for check in check_forge(forge) for problem in check.problems] == []
    given = [one for centre in (ada, bo, cy, di) for place in centre.workspaces.values() for one in receipts(place)]
    assert len({(one.epoch, one.arrival) for one in given}) == len(given) >= 7
    out_for_good = {str(ada.workspaces["brain"].committed), str(di.workspaces["toe"].committed)}
    for receipt in given:
        receipt.verify()
        arrival = forge.ledger.arrival_of(receipt.branch)
        if receipt.branch in out_for_good:
            assert receipt.branch in forge.kept_out if arrival is None else arrival.erased
        else:
            assert arrival is not None
            assert arrival.state is State.FOLDED
            assert forge.receipt(arrival) in given
    head = forge.ledger.head()
    assert head is not None
    assert {forge.ledger.arrivals()[number - 1].branch for number in head.members}.isdisjoint(out_for_good)
    assert not any(forge.blobs.has(branch) for branch in out_for_good)
    forge.close()
