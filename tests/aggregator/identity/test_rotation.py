"""Another CA for a forge that is served: who holds which kit can call until when, over real TLS of gRPC and Python."""

import json
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from click.testing import CliRunner

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.identity.authority import Authority
from medforge.aggregator.identity.invite import invite
from medforge.aggregator.identity.kept import authority_of, check_authority
from medforge.aggregator.identity.rotation import overlapping, rotate_authority
from medforge.aggregator.merge import choose_settings
from medforge.base_module import BaseModule
from medforge.cli import build_app
from medforge.client.doctor.examination import examine
from medforge.errors import CorruptFile, InvalidInput, MedForgeError
from medforge.proto import forge_pb2 as pb
from medforge.proto.authority_succession import AuthoritySuccession
from medforge.proto.certificates import digest_of, now, server_name, spell_time
from medforge.proto.connection import Connection
from medforge.proto.errors import NotAllowed
from medforge.proto.forge_pb2_grpc import ForgeStub
from medforge.proto.handshake import handshake
from medforge.proto.kit import Kit
from medforge.proto.kit_authorities import AUTHORITIES_FILE
from medforge.proto.remote import RemoteForge
from tests.aggregator.serving import serving
from tests.kits import DAY, make_kit


@pytest.fixture
def served(tmp_path: Path, tiny_base: BaseModule) -> Iterator[tuple[Forge, str]]:
    with serving(tmp_path / "forge", tiny_base, tls=True) as both:
        yield both


@pytest.fixture
def forge(tmp_path: Path, tiny_base: BaseModule) -> Forge:
    return Forge.establish(tmp_path / "forge", tiny_base, choose_settings())


def call(kit: Kit) -> None:
    """Call as this version does, and meet the forge by Python's own TLS too."""
    at = kit.card.address
    with RemoteForge(Connection(at, kit), 20) as remote:
        remote.describe()
    handshake(at, kit, 20)


def earlier_client(kit: Kit) -> None:
    """Call as 0.1.0 does, which knows of no other CA than the kit's first file."""
    credentials = grpc.ssl_channel_credentials(kit.ca, kit.certificate_key, kit.certificate)
    named = (("grpc.ssl_target_name_override", server_name(kit.card.forge)),)
    with grpc.secure_channel(kit.card.address, credentials, named) as channel:
        ForgeStub(channel).Describe(pb.DescribeRequest(), timeout=20)  # type: ignore[no-untyped-call]


def wait_until(moment: object) -> None:
    while now() <= moment:  # type: ignore[operator]
        time.sleep(0.05)


def test_kits_of_both_call_during_the_overlap_without_a_restart(served: tuple[Forge, str], tmp_path: Path) -> None:
    forge, at = served
    old = invite(forge, "Old", at, tmp_path / "old")
    unaware = invite(forge, "Unaware", at, tmp_path / "unaware")
    call(old)
    link = rotate_authority(forge, 90 * DAY)
    for kit in (old, Kit.load(old.directory)):
        call(kit)
    earlier_client(unaware)
    new = Kit.load(invite(forge, "New", at, tmp_path / "new").directory)
    call(new)
    earlier_client(new)
    assert not (unaware.directory / AUTHORITIES_FILE).exists()
    remembered = Kit.load(old.directory)
    assert remembered.links == (link,)
    assert remembered.ends == link.until
    # what is trusted once the overlap is over
    later = link.until + timedelta(seconds=1)
    assert remembered.roots(later) == new.roots(later) == authority_of(forge).pem
    assert remembered.roots(now()).count(b"BEGIN") == 2
    found = {one.check: one for one in examine(Connection(at, remembered))}
    assert found["CA"].state == "ok"
    assert "the kit knows both" in found["CA"].what
    assert f"until {spell_time(link.until)}" in found["certificate"].what
    forge.ledger.revoke("Old")
    for kit in (old, remembered):
        with pytest.raises(NotAllowed, match="was revoked"):
            call(kit)


def test_after_the_overlap_the_old_one_is_retired(served: tuple[Forge, str], tmp_path: Path) -> None:
    forge, at = served
    aware, unaware = (invite(forge, name, at, tmp_path / name) for name in ("Aware", "Unaware"))
    link = rotate_authority(forge, timedelta(seconds=4))
    new = invite(forge, "New", at, tmp_path / "new")
    Kit.load(aware.directory).learn([link])
    wait_until(link.until)
    call(Kit.load(new.directory))
    with pytest.raises(InvalidInput, match=r"the certificate of Aware ended on .*; ask whoever runs the forge"):
        call(Kit.load(aware.directory))
    with pytest.raises(InvalidInput, match=r"its certificate was not issued by the kit's CA"):
        call(unaware)
    with pytest.raises(grpc.RpcError):
        earlier_client(unaware)
    assert overlapping(forge, now()) is None
    assert check_authority(forge).problems == ()


def test_no_overlap_ends_every_kit_at_once(served: tuple[Forge, str], tmp_path: Path) -> None:
    forge, at = served
    old = invite(forge, "Old", at, tmp_path / "old")
    call(old)
    told = CliRunner().invoke(build_app(), ["rotate-ca", "--forge", str(forge.directory), "--overlap", "0", "--json"])
    assert json.loads(told.stdout)["to_renew"] == ["Old"]
    time.sleep(1.1)
    with pytest.raises(InvalidInput, match="was not issued by the kit's CA"):
        call(old)
    renewed = invite(forge, "Old", at, tmp_path / "renewed")
    call(Kit.load(renewed.directory))


def test_a_new_ca_that_the_old_one_did_not_sign_is_refused(served: tuple[Forge, str], tmp_path: Path) -> None:
    forge, at = served
    kit = invite(forge, "Centre", at, tmp_path / "kit")
    own, stranger = authority_of(forge), Authority.create(forge.settings.forge, 2)
    valid = (now(), now() + DAY)
    forged = stranger.succeed(Authority.create(forge.settings.forge, 3), valid)
    stolen = forged.model_copy(update={"authority": own.pem.decode()})
    moved = own.succeed(stranger, valid).model_copy(update={"until": now() + 900 * DAY})
    other = Authority(f"{forge.settings.forge[:-1]}x", own._key, own._certificate).succeed(stranger, valid)
    twice = [own.succeed(stranger, valid), own.succeed(Authority.create(forge.settings.forge, 3), valid)]
    for links, sentence in (
        ([forged], "which the kit's did not sign; ask whoever runs it"),
        ([stolen], "did not sign the one that is said to follow it"),
        ([moved], "did not sign the one that is said to follow it"),
        ([other], "is another forge's"),
        (twice, "two CAs that follow one"),
    ):
        with pytest.raises(NotAllowed, match=sentence):
            kit.learn(links)
    # a server certificate of the forge's is no authority
    leaf = AuthoritySuccession.issue(own._key, forge.settings.forge, own._certificate, kit.x509, valid)
    with pytest.raises(NotAllowed, match="did not sign"):
        kit.learn([leaf])
    assert not (kit.directory / AUTHORITIES_FILE).exists()
    # the same, put into the kit's directory by hand
    (kit.directory / AUTHORITIES_FILE).write_text(json.dumps([stolen.model_dump(mode="json")]))
    with pytest.raises(CorruptFile, match=r"is not what the forge said of its CAs; delete it"):
        Kit.load(kit.directory)


def test_a_kit_that_cannot_be_written_goes_on_and_doctor_says_so(served: tuple[Forge, str], tmp_path: Path) -> None:
    forge, at = served
    kit = invite(forge, "Centre", at, tmp_path / "kit")
    rotate_authority(forge, 90 * DAY)
    # root writes everywhere, but not a file where a directory is
    (kit.directory / AUTHORITIES_FILE).mkdir()
    (kit.directory / AUTHORITIES_FILE / "held").touch()
    call(kit)
    found = {one.check: one for one in examine(Connection(at, kit))}["CA"]
    assert found.state == "warning"
    assert "which the kit cannot remember" in found.what


def test_one_overlap_at_a_time_and_the_next_leads_on(forge: Forge, tmp_path: Path) -> None:
    kit = invite(forge, "Centre", "localhost:1", tmp_path / "kit")
    first = rotate_authority(forge, timedelta(0))
    second = rotate_authority(forge, DAY)
    with pytest.raises(InvalidInput, match="is trusted until .*; renew the kits until then, and rotate after it"):
        rotate_authority(forge, DAY)
    assert kit.learn([second, first])
    assert Kit.load(kit.directory).links == (first, second)
    assert check_authority(forge).problems == ()
    assert check_authority(forge).count == 3


@pytest.mark.parametrize("lost", ["overlap.pem", "overlap.key", "overlap-ca.pem", "ca.key"])
def test_fsck_misses_what_the_overlap_needs(forge: Forge, lost: str) -> None:
    rotate_authority(forge, DAY)
    assert check_authority(forge).problems == ()
    (forge.directory / "keys" / lost).unlink()
    assert "backup" in check_authority(forge).problems[0] or "cannot read" in check_authority(forge).problems[0]


@pytest.mark.parametrize("moment", ["before a new authority", "after a new authority"])
def test_a_rotation_that_was_killed_has_happened_or_not(
    forge: Forge, tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = invite(forge, "Centre", "localhost:1", tmp_path / "kit")
    before = authority_of(forge)

    class Killed(BaseException):
        pass

    def reached(name: str) -> None:
        if name == moment:
            raise Killed

    monkeypatch.setattr("medforge.aggregator.identity.rotation.reached", reached)
    with pytest.raises(Killed):
        rotate_authority(forge, DAY)
    assert check_authority(forge).problems == ()
    after = authority_of(forge)
    assert (after.fingerprint == before.fingerprint) == moment.startswith("before")
    assert check_authority(forge).problems == ()
    monkeypatch.undo()
    if moment.startswith("before"):
        assert old.learn([rotate_authority(forge, DAY)])
    keys = forge.directory / "keys"
    assert not list(keys.glob("*.next"))
    assert all(file.stat().st_mode & 0o077 == 0 for file in keys.iterdir())


def test_contributors_shows_kits_of_both(forge: Forge, tmp_path: Path) -> None:
    invite(forge, "Old", "localhost:1", tmp_path / "old", days=400)
    link = rotate_authority(forge, 90 * DAY)
    new = invite(forge, "New", "localhost:1", tmp_path / "new", days=400)
    forge.close()
    told = CliRunner().invoke(build_app(), ["contributors", "--forge", str(forge.directory), "--json"])
    ends = {one["contributor"]: (one["expires"], one["ca_until"]) for one in json.loads(told.stdout)}
    assert ends == {"Old": (spell_time(link.until),) * 2, "New": (new.card.expires, None)}
    shown = CliRunner().invoke(build_app(), ["contributors", "--forge", str(forge.directory)], env={"COLUMNS": "200"})
    lines = {line.split()[0]: line for line in shown.stdout.splitlines()}
    assert lines["Old"].endswith(f"kit ends {spell_time(link.until)[:10]}  by the CA before")
    assert "CA before" not in lines["New"]


def test_another_forges_kit_learns_nothing_here(forge: Forge, tmp_path: Path) -> None:
    other = make_kit(Authority.of(tmp_path / "other", forge.settings.forge), tmp_path / "kit")
    link = rotate_authority(forge, DAY)
    with pytest.raises(MedForgeError, match="which the kit's did not sign"):
        other.learn([link])
    assert digest_of(link.after) == authority_of(forge).fingerprint
