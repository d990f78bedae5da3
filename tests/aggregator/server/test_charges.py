"""What callers' work costs is charged to them, dwindles, survives a restart, and may be bounded."""

import stat
import time
from pathlib import Path

import pytest

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.policy import Limits
from medforge.aggregator.identity.invite import invite
from medforge.aggregator.server.charges import Charges
from medforge.base_module import BaseModule
from medforge.proto.connection import Connection
from medforge.proto.errors import OverLimit, TooFast
from medforge.proto.remote import RemoteForge
from tests.aggregator.serving import FAST, serving, upload, wait_until_folded
from tests.making import make_branch


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1e9

    def __call__(self) -> float:
        return self.now


def test_a_charge_halves_in_42_minutes_and_an_even_pace_costs_what_it_takes_in_an_hour(tmp_path: Path) -> None:
    clock = Clock()
    charges = Charges(tmp_path / "charges.json", Limits(), clock)
    charges.charge("a", 8, 1000)
    clock.now += 3600 * 0.6931471805599453
    assert charges.of("a").seconds == pytest.approx(4)
    assert charges.of("a").bytes == pytest.approx(500)
    for _ in range(24 * 60):
        clock.now += 60
        charges.charge("b", 1)
    assert charges.of("b").seconds == pytest.approx(60, rel=0.02)
    assert charges.of("nobody").seconds == 0
    assert [who for who, _ in charges.largest(1)] == ["b"]


def test_a_restart_forgives_nobody_and_a_damaged_file_hinders_nobody(tmp_path: Path) -> None:
    clock, path = Clock(), tmp_path / "charges.json"
    charges = Charges(path, Limits(), clock)
    charges.charge("a", 8, 1000)
    clock.now += 61
    charges.charge("b", 1e-9)  # written after a minute, without being asked
    assert Charges(path, Limits(), clock).of("a").seconds == pytest.approx(8, rel=0.02)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    clock.now += 30 * 3600
    charges.save()
    assert path.read_bytes() == b"{}"
    for damaged in (b"", b"[1]", b'{"a":[1]}', b"\xff"):
        path.write_bytes(damaged)
        assert Charges(path, Limits(), clock).of("a").seconds == 0


def test_the_policy_bounds_an_hours_work_and_says_until_when(tmp_path: Path) -> None:
    clock = Clock()
    charges = Charges(tmp_path / "charges.json", Limits(cpu_seconds_per_hour=10, bytes_per_hour=1 << 20), clock)
    charges.charge("a", 10)
    charges.check("a")
    charges.charge("a", 20)
    with pytest.raises(TooFast, match=r"a has cost this forge 30 CPU seconds of late where 10 .*try again in 66 minut"):
        charges.check("a")
    clock.now += 66 * 60
    charges.check("a")
    charges.check("b")
    charges.charge("b", 0, 3 << 20)
    with pytest.raises(TooFast, match="b has cost this forge 3 MiB of late where 1 MiB an hour are admitted"):
        charges.check("b")


def test_calls_and_folds_are_charged_to_who_brought_them(tmp_path: Path, tiny_base: BaseModule) -> None:
    branch = make_branch(tiny_base, contributor="north")
    limits = Limits(bytes_per_hour=branch.manifest.size - 1)
    with serving(tmp_path / "forge", tiny_base, limits, tls=True) as (forge, at):
        kits = {name: invite(forge, name, at, tmp_path / name) for name in ("north", "south")}
        with RemoteForge(Connection(at, kits["north"])) as remote:
            upload(remote, branch, tmp_path / "branch")
            with pytest.raises(TooFast, match=r"north has cost this forge 0.\d+ MiB of late where 0.\d+ MiB an hour"):
                list(remote.upload("a" * 64, tmp_path / "branch" / "manifest.json", 0, 1 << 16))
            # to ask is free
            assert remote.describe().forge == forge.settings.forge
        with RemoteForge(Connection(at, kits["south"])) as other:
            small = tmp_path / "small"
            small.write_bytes(b"x")
            with pytest.raises(Exception, match="digest"):
                list(other.upload("a" * 64, small, 0, 1 << 16))


def test_a_fold_is_charged(tmp_path: Path, tiny_base: BaseModule) -> None:
    with serving(tmp_path / "forge", tiny_base) as (forge, at), RemoteForge(Connection(at)) as remote:
        branch = make_branch(tiny_base)
        upload(remote, branch, tmp_path / "branch")
        remote.submit(branch.manifest.to_bytes())
        wait_until_folded(forge, 1)
        time.sleep(0.1)
    # over plaintext the address is charged, whatever name the branch bears
    charged = Charges(tmp_path / "forge" / "charges.json", Limits()).largest(5)
    assert [who for who, _ in charged] == ["127.0.0.1"]
    assert charged[0][1].seconds > 0
    assert charged[0][1].bytes >= branch.manifest.size


def test_who_has_many_that_wait_brings_no_more(tmp_path: Path, tiny_base: BaseModule) -> None:
    forge = Forge.establish(tmp_path, tiny_base, FAST)
    forge.policy = forge.policy.model_copy(update={"limits": Limits(waiting_per_contributor=2)})
    branches = [make_branch(tiny_base, seed, task=f"task {seed}") for seed in range(3)]
    for branch in branches:
        for data in branch.blobs().values():
            forge.blobs.put(data)
    for branch in branches[:2]:
        forge.accept(branch.manifest, tiny_base, payer="centre")
    with pytest.raises(TooFast, match="centre has 2 branches here that wait to be folded, and no more are taken unt"):
        forge.accept(branches[2].manifest, tiny_base, payer="centre")
    # the same again is no more, and neighbours are not hindered
    assert forge.accept(branches[0].manifest, tiny_base, payer="centre").number == 1
    forge.ledger.hold(1, "odd")
    assert forge.accept(branches[2].manifest, tiny_base, payer="centre").number == 3
    forge.close()


def test_uploads_that_are_never_submitted_fill_their_own_share(tmp_path: Path, tiny_base: BaseModule) -> None:
    one, other = make_branch(tiny_base, 1, contributor="north"), make_branch(tiny_base, 2, contributor="north")
    limits = Limits(partial=one.manifest.size + other.manifest.size // 2)
    forges = tmp_path / "forge"
    with serving(forges, tiny_base, limits, tls=True) as (forge, at):
        kits = {name: invite(forge, name, at, tmp_path / name) for name in ("north", "south")}
        with RemoteForge(Connection(at, kits["north"])) as remote:
            upload(remote, one, tmp_path / "one")
            with pytest.raises(OverLimit, match=r"north would have \d+ bytes in uploads that no branch names where"):
                upload(remote, other, tmp_path / "other")
            # the same again takes no more room
            upload(remote, one, tmp_path / "one again")
        with RemoteForge(Connection(at, kits["south"])) as neighbour:
            upload(neighbour, one, tmp_path / "south")
    # a restart counts what is there
    with serving(forges, tiny_base, limits, tls=True) as (forge, at):
        with RemoteForge(Connection(at, kits["north"])) as remote:
            with pytest.raises(OverLimit, match="north would have"):
                upload(remote, other, tmp_path / "other")
            remote.submit(one.manifest.to_bytes(), kits["north"].sign_submit(one.digest))
            upload(remote, other, tmp_path / "other")
        assert forge.ledger.counts()[0] == 1
