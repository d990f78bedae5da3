"""A forge's log is fetched once: what was verified is kept, checked when it is read, and compared with what is told."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medforge.aggregator.identity.authority import Authority
from medforge.errors import CorruptFile
from medforge.files import canonical_json, sha256_bytes
from medforge.proto import forge_pb2 as pb
from medforge.proto.connection import Connection
from medforge.proto.epoch import Epoch, EpochFacts, epoch_to_message
from medforge.proto.errors import HistoryRewritten
from medforge.proto.kept_log import DamagedLog, KeptLog, Link
from medforge.proto.kit import Kit
from medforge.proto.remote import RemoteForge
from medforge.proto.signing import new_key, public_bytes
from medforge.proto.verified_log import VerifiedLog
from tests.kits import FORGE, make_kit
from tests.proto.test_remote_tls import Service, listening

AT = "2026-11-25T14:03:27.123Z"


def chain(length: int, salt: str = "", begin: Sequence[pb.CommitRecord] = ()) -> list[pb.CommitRecord]:
    """Commits that follow one another, as a forge tells them; with other bytes for another salt."""
    records = list(begin)
    for number in range(len(records) + 1, length + 1):
        parent = records[-1].digest if records else None
        said = {"parent": parent, "arrival": number, "contributor": "north", "salt": salt}
        content = canonical_json(said)
        about = {"content": content, "digest": sha256_bytes(content), "accepted_at": AT, "display_name": "Nord"}
        records.append(pb.CommitRecord(number=number, standing=pb.STANDING_WAITING, **about))
    return records


class Forge(Service):
    """A forge that tells what it is given; of an earlier version it says no names apart."""

    def __init__(self, key: Ed25519PrivateKey, knows_names: bool = True) -> None:
        self.key, self.knows_names = key, knows_names
        self.commits: list[pb.CommitRecord] = []
        self.epochs: list[Epoch] = []
        self.names = {"north": "Nord"}
        self.sent: list[int] = []

    def Describe(self, request: pb.DescribeRequest, context: grpc.ServicerContext) -> pb.DescribeReply:  # noqa: N802
        epochs = [epoch_to_message(epoch) for epoch in self.epochs]
        return pb.DescribeReply(forge=FORGE, key=public_bytes(self.key), epochs=epochs)

    def Log(self, request: pb.LogRequest, context: grpc.ServicerContext) -> Iterator[pb.LogEntry]:  # noqa: N802
        told = self.commits[request.after :]
        self.sent.append(len(told))
        if self.knows_names and request.names:
            said = [pb.DisplayName(contributor=who, display_name=name) for who, name in self.names.items()]
            yield pb.LogEntry(names=pb.DisplayNames(names=said))
        for record in told:
            yield pb.LogEntry(commit=record)
        yield pb.LogEntry(arrival=pb.Arrival(number=99, contributor="south", state=pb.BRANCH_STATE_HELD))

    def restored(self, commits: int) -> None:
        """As after a restore from a backup that had so many commits."""
        before = self.epochs[-1].digest if self.epochs else ""
        facts = EpochFacts(
            forge=FORGE, number=len(self.epochs) + 2, since=AT, made_at=AT, arrivals=commits, commits=commits,
            head=self.commits[commits - 1].digest if commits else "", before=before, nonce="0" * 32,
        )  # fmt: skip
        self.epochs.append(Epoch.issue(self.key, facts))
        self.commits = self.commits[:commits]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEDFORGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def key() -> Ed25519PrivateKey:
    return new_key()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.of(tmp_path_factory.mktemp("forge"), FORGE)


@pytest.fixture(scope="module")
def kit(authority: Authority, key: Ed25519PrivateKey, tmp_path_factory: pytest.TempPathFactory) -> Kit:
    return make_kit(authority, tmp_path_factory.mktemp("kits") / "kit", forge_key=key)


@pytest.fixture(scope="module", params=[True, False], ids=["now", "before"])
def served(request: pytest.FixtureRequest, authority: Authority, key: Ed25519PrivateKey) -> Iterator[tuple[Forge, str]]:
    """A forge, and its address."""
    forge = Forge(key, knows_names=request.param)
    with listening(authority, service=forge) as at:
        yield forge, at


@pytest.fixture
def forge(served: tuple[Forge, str]) -> Forge:
    forge = served[0]
    forge.commits, forge.epochs, forge.sent, forge.names = chain(5), [], [], {"north": "Nord"}
    return forge


def read(at: str, kit: Kit | None) -> tuple[list[str], list[str], VerifiedLog]:
    """The digests that a log holds, what it says, and the log, closed."""
    with RemoteForge(Connection(at, kit)) as remote, closing(VerifiedLog(remote)) as log:
        records = list(log.records())
        assert [one.number for one in records] == list(range(1, len(records) + 1))
        assert len(log) == len(records)
        assert [one.number for one in log.outside] == [99]
        assert log.display_names().get("north") == "Nord"
        return [one.digest for one in records], log.said, log


def digests(commits: Sequence[pb.CommitRecord]) -> list[str]:
    return [one.digest for one in commits]


def test_only_what_is_not_kept_is_fetched(forge: Forge, served: tuple[Forge, str], kit: Kit) -> None:
    at = served[1]
    for length, sent in ((5, 5), (5, 1), (9, 5), (9, 1)):
        forge.commits = chain(length)
        assert read(at, kit)[:2] == (digests(forge.commits), [])
        assert forge.sent[-1] == sent


@given(lengths=st.lists(st.integers(0, 12), max_size=6).map(sorted))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_however_it_grew_it_is_what_one_reads_at_once(
    lengths: list[int], served: tuple[Forge, str], kit: Kit, tmp_path_factory: pytest.TempPathFactory
) -> None:
    forge, at = served
    forge.epochs = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDFORGE_CACHE", str(tmp_path_factory.mktemp("grown")))
        for length in lengths:
            forge.commits = chain(length)
            if length:
                assert read(at, kit)[0] == digests(forge.commits)


def test_what_may_change_is_not_kept(forge: Forge, served: tuple[Forge, str], kit: Kit) -> None:
    read(served[1], kit)
    forge.names = {"north": "Norden", "south": "Süden"}
    with RemoteForge(Connection(served[1], kit)) as remote, closing(VerifiedLog(remote)) as log:
        assert log.display_names() == (
            {"north": "Norden", "south": "Süden"} if forge.knows_names else {"north": "Nord"}
        )
        assert {one.standing for one in log.records()} == {pb.STANDING_UNSPECIFIED}
        assert {one.accepted_at for one in log.records()} == {AT}


def test_over_plaintext_nothing_is_kept_as_nothing_proves_whose_it_is(
    forge: Forge, key: Ed25519PrivateKey, cache: Path
) -> None:
    with listening(None, service=forge) as at:
        assert read(at, None)[2].path is None
        assert read(at, None)[0] == digests(forge.commits)
    assert forge.sent == [5, 5]
    assert not cache.exists()


@pytest.mark.parametrize("length", [3, 5, 9])
def test_a_history_that_was_rewritten_is_told(
    forge: Forge, served: tuple[Forge, str], kit: Kit, length: int, cache: Path
) -> None:
    at = served[1]
    read(at, kit)
    forge.commits = chain(length, "other", chain(2))
    for _ in range(2):
        with pytest.raises(HistoryRewritten, match="its commit 5 is .*and says nothing of a restore; ask whoever runs"):
            read(at, kit)
    # as the sentence says, once it is explained
    (file,) = cache.rglob("*.sqlite")
    file.unlink()
    assert read(at, kit)[0] == digests(forge.commits)


@pytest.mark.parametrize("commits", [0, 2, 4])
@pytest.mark.parametrize("more", [0, 6])
def test_a_restored_forge_says_so_and_goes_on(
    forge: Forge, served: tuple[Forge, str], kit: Kit, commits: int, more: int
) -> None:
    at = served[1]
    read(at, kit)
    forge.restored(commits)
    begin = list(forge.commits)
    epoch = forge.epochs[-1].digest
    forge.commits = chain(commits + more, "after", begin)
    for one in forge.commits[commits:]:
        one.epoch = epoch
    if not forge.commits:
        return
    _, said, _ = read(at, kit)
    assert len(said) == 1
    assert f"restored on 2026-11-25 from a backup of {AT}, and {5 - commits} commits that were seen" in said[0]
    assert read(at, kit)[:2] == (digests(forge.commits), [])
    # a restore explains what was before it, and nothing after
    if more:
        forge.commits = chain(commits + more, "again", begin)
        with pytest.raises(HistoryRewritten):
            read(at, kit)


def test_a_restore_to_another_history_explains_nothing(forge: Forge, served: tuple[Forge, str], kit: Kit) -> None:
    read(served[1], kit)
    forge.commits = chain(5, "other")
    forge.restored(3)
    with pytest.raises(HistoryRewritten):
        read(served[1], kit)


@pytest.mark.parametrize("how", ["no database", "cut off", "a row altered", "a row gone", "a directory", "empty"])
def test_a_damaged_file_is_made_again(forge: Forge, served: tuple[Forge, str], kit: Kit, how: str, cache: Path) -> None:
    at = served[1]
    read(at, kit)
    (file,) = cache.rglob("*.sqlite")
    assert file.stat().st_mode & 0o77 == 0
    if how == "no database":
        file.write_bytes(b"x" * 5000)
    elif how == "cut off":
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    elif how == "empty":
        file.write_bytes(b"")
    elif how == "a directory":
        file.unlink()
        file.mkdir()
    else:
        with closing(sqlite3.connect(file)) as database, database:
            altered = "UPDATE commits SET record = record || x'00' WHERE number = 2"
            database.execute("DELETE FROM commits WHERE number = 3" if how == "a row gone" else altered)
    for sent in (5, 5 if how == "a directory" else 1):
        assert read(at, kit)[:2] == (digests(forge.commits), [])
        assert forge.sent[-1] == sent


def test_two_at_once_keep_one_history(forge: Forge, served: tuple[Forge, str], kit: Kit) -> None:
    forge.commits = chain(1200)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: read(served[1], kit)[0], range(8)))
    assert found == [digests(forge.commits)] * 8
    assert read(served[1], kit)[0] == digests(forge.commits)
    assert forge.sent[-1] == 1


def test_what_another_process_kept_of_another_history_is_not_mixed(tmp_path: Path) -> None:
    def links(salt: str, length: int) -> list[Link]:
        told = chain(length, salt)
        parents = ["", *digests(told)[:-1]]
        return [Link(one.number, one.digest, parent, 1, b"") for one, parent in zip(told, parents, strict=True)]

    path = tmp_path / "log.sqlite"
    with closing(KeptLog(path)) as kept, closing(KeptLog(path)) as other:
        other.add(links("other", 4))
        with pytest.raises(DamagedLog):
            kept.add(links("", 3))
        assert len(other) == 4
        kept.add(links("other", 6))
        assert len(other) == 6


@pytest.mark.parametrize("kept", [0, 3])
@pytest.mark.parametrize("how", ["gap", "parent", "content", "no json", "no commit"])
def test_a_commit_that_does_not_follow_is_refused(
    forge: Forge, served: tuple[Forge, str], kit: Kit, how: str, kept: int
) -> None:
    forge.commits = chain(kept)
    if kept:
        read(served[1], kit)
    good, bad = chain(5), chain(5)
    if how == "gap":
        del bad[3]
    elif how == "parent":
        bad[3:] = chain(5, "other")[3:]
    elif how == "content":
        bad[3].content += b" "
    else:
        content = b"{" if how == "no json" else b'{"parent": null, "arrival": -1, "contributor": ""}'
        bad[3].content, bad[3].digest = content, sha256_bytes(content)
    forge.commits = bad
    with pytest.raises(CorruptFile):
        read(served[1], kit)
    forge.commits = good
    assert read(served[1], kit)[0] == digests(good)
