"""Erasure and copies over mutual TLS: taken from the public item, held with both names, accepted, and erased."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from medforge.aggregator.forge import maintenance
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.policy import Policy
from medforge.aggregator.identity.invite import invite
from medforge.aggregator.ledger.records import State
from medforge.aggregator.merge import choose_settings
from medforge.aggregator.server.server import ForgeServer
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.forge_item import FusedPlugin
from medforge.manifest import DISTILLED_FILE
from medforge.plugin import Plugin
from medforge.proto import forge_pb2 as pb
from medforge.proto.checkout import download_item
from medforge.proto.connection import Connection
from medforge.proto.kit import Kit
from medforge.proto.remote import RemoteForge
from tests.aggregator.serving import upload
from tests.faults.checks import wait_for as wait_until
from tests.making import branch_around, make_branch, make_plugin


class Hospitals:
    """A served forge that examines what comes, and three hospitals with kits."""

    def __init__(self, forge: Forge, at: str, base: BaseModule, place: Path) -> None:
        self.forge, self.at, self.base, self.place = forge, at, base, place
        self.kits: dict[str, Kit] = {name: invite(forge, f"Centre {name}", at, place / name) for name in "ABC"}

    def remote(self, name: str) -> RemoteForge:
        return RemoteForge(Connection(self.at, self.kits[name]))

    def push(self, name: str, branch: Branch) -> int:
        with self.remote(name) as remote:
            upload(remote, branch, self.place / f"branch-{branch.digest[:8]}")
            receipt = remote.submit(branch.manifest.to_bytes(), self.kits[name].sign_submit(branch.digest))
        self.wait(receipt.arrival, State.HELD, State.FOLDED)
        return receipt.arrival

    def wait(self, number: int, *states: State) -> str:
        def there() -> bool:
            entry = self.forge.ledger.arrival(number)
            return entry is not None and entry.state in states

        wait_until(there, 60)
        entry = self.forge.ledger.arrival(number)
        assert entry is not None
        return entry.reason

    def accept(self, number: int) -> None:
        """Random plugins show nothing, and copies are alike: the maintainer takes both."""
        maintenance.accept(self.forge, str(number))
        self.wait(number, State.FOLDED)

    def erase(self, name: str, branch: Branch) -> pb.WithdrawReply:
        with self.remote(name) as remote:
            reply = remote.withdraw(branch.digest, True)
        wait_until(lambda: branch.digest not in set(self.forge.blobs.present()), 60)
        return reply

    def merged(self) -> Plugin | None:
        """What anybody who is invited gets."""
        with self.remote("C") as remote:
            head = self.forge.ledger.head()
            assert head is not None
            if head.item is None:
                return None
            item = download_item(remote, head.digest, head.item)
        assert isinstance(item, FusedPlugin)
        return item.plugin

    def taken(self, by: str, noise: float = 0.0) -> Branch:
        """What somebody makes of the public item, with noise for images."""
        plugin = self.merged()
        assert plugin is not None
        random = torch.Generator().manual_seed(5)
        factors = {
            site: replace(of, up=of.up + noise * of.up.std() * torch.randn(of.up.shape, generator=random))
            for site, of in plugin.factors.items()
        }
        return branch_around(self.base, replace(plugin, factors=factors), 5, "lung", f"Centre {by}")

    def holds(self, branch: Branch) -> bool:
        """Whether any blob of the forge is the branch's plugin or images, or the head's change is the plugin's."""
        digests = {branch.manifest.files[path].digest for path in branch.manifest.files if "config" not in path}
        return bool(digests & set(self.forge.blobs.present()))


@pytest.fixture
def hospitals(tmp_path: Path, tiny_base: BaseModule) -> Iterator[Hospitals]:
    forge = Forge.establish(tmp_path / "forge", tiny_base, choose_settings(method="fusion"), policy=Policy())
    server = ForgeServer(forge, tiny_base, "127.0.0.1:0", True)
    try:
        yield Hospitals(forge, server.start(), tiny_base, tmp_path)
    finally:
        server.stop()
        forge.close()


@pytest.mark.parametrize("noise", [0.0, 0.15], ids=["byte for byte", "noisy"])
def test_what_was_taken_from_the_public_item_leaves_with_its_origin(hospitals: Hospitals, noise: float) -> None:
    original = make_branch(hospitals.base, 1, "lung", "Centre B")
    hospitals.accept(hospitals.push("B", original))
    copy = hospitals.taken("A", noise)
    number = hospitals.push("A", copy)
    with hospitals.remote("A") as remote:
        said = remote.status(copy.digest)
    assert said.state == pb.BRANCH_STATE_HELD
    assert said.reason.startswith("arrival 2 (Centre A) and arrival 1 (Centre B) are alike: their plugins ")
    hospitals.accept(number)
    reply = hospitals.erase("B", original)
    assert [(one.number, one.contributor) for one in reply.copies] == [(2, "Centre A")]
    assert hospitals.wait(2, State.WITHDRAWN).startswith("it is a copy of arrival 1 (Centre B), which was withdrawn")
    wait_until(lambda: not hospitals.holds(copy) and not hospitals.holds(original), 60)
    assert hospitals.merged() is None
    # nor does it come back under a third name
    again = hospitals.push("C", copy.renamed(hospitals.kits["C"].card.name))
    assert "arrival 1 (Centre B) are alike" in hospitals.wait(again, State.HELD)


def test_who_copies_a_branch_cannot_erase_it(hospitals: Hospitals) -> None:
    original = make_branch(hospitals.base, 1, "lung", "Centre B")
    hospitals.accept(hospitals.push("B", original))
    copy = original.renamed(hospitals.kits["A"].card.name)
    number = hospitals.push("A", copy)
    before = hospitals.merged()
    assert before is not None
    # the maintainer took it for a second name of one site
    hospitals.accept(number)
    update = Branch.build(
        make_plugin(hospitals.base, 7), original.distilled, contributor="Centre B", task="lung", base=hospitals.base,
        training_images=10, recipe="test", seed=7, validation={"acc": 0.5},
    )  # fmt: skip
    hospitals.accept(hospitals.push("B", update))
    reply = hospitals.erase("A", copy)
    assert not reply.copies
    entry = hospitals.forge.ledger.arrival(3)
    assert entry is not None
    assert entry.state is State.FOLDED
    assert hospitals.forge.blobs.has(update.manifest.files[DISTILLED_FILE].digest)
    merged = hospitals.merged()
    assert merged is not None


def test_a_held_copy_that_is_erased_takes_nothing_and_says_who_learned_from_it(hospitals: Hospitals) -> None:
    original = make_branch(hospitals.base, 1, "lung", "Centre B")
    hospitals.accept(hospitals.push("B", original))
    copy = hospitals.taken("A", 0.1)
    hospitals.push("A", copy)
    head = hospitals.forge.ledger.head()
    assert head is not None
    begun = make_branch(hospitals.base, 9, "skin", "Centre C")
    begun = replace(begun, manifest=begun.manifest.model_copy(update={"start": head.item}))
    hospitals.push("C", begun)
    assert not hospitals.erase("A", copy).copies
    assert hospitals.holds(original)
    # the contributor is told by the forge itself who carries on what it withdraws
    with hospitals.remote("B") as remote:
        reply = remote.withdraw(original.digest, False)
    assert [(one.number, one.contributor, one.task) for one in reply.descendants] == [(3, "Centre C", "skin")]
