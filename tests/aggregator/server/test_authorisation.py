import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from grpc_health.v1 import health_pb2, health_pb2_grpc

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.identity.authority import Authority
from medforge.aggregator.identity.invite import invite
from medforge.aggregator.ledger.journal import MAINTAINER
from medforge.aggregator.ledger.ledger import Ledger
from medforge.aggregator.ledger.records import Contributor, State
from medforge.aggregator.server.authorisation import Caller, authorise_submit, authorise_withdraw
from medforge.aggregator.server.interceptor import ForgeInterceptor
from medforge.aggregator.server.server import ForgeServer
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.cli import build_app
from medforge.contributor_name import ContributorName
from medforge.errors import InvalidBranch, InvalidInput, MedForgeError
from medforge.files import sha256_bytes
from medforge.manifest import Manifest
from medforge.proto import forge_pb2 as pb
from medforge.proto.certificates import now, server_name, spell_time
from medforge.proto.connection import Connection
from medforge.proto.errors import NotAllowed
from medforge.proto.forge_pb2_grpc import ForgeStub
from medforge.proto.kit import Kit
from medforge.proto.remote import RemoteForge
from medforge.proto.signing import SUBMIT, WITHDRAW, new_key, public_bytes, sign, verify
from medforge.proto.statements import submit_statement, withdraw_statement
from tests.aggregator.serving import FAST, serving, upload, wait_until_folded
from tests.kits import make_kit
from tests.making import make_branch


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, tiny_base: BaseModule) -> Iterator[tuple[Forge, str]]:
    """A forge over TLS, and its address."""
    with serving(tmp_path_factory.mktemp("served") / "forge", tiny_base, tls=True) as both:
        yield both


@pytest.fixture
def kit(served: tuple[Forge, str], tmp_path: Path) -> Kit:
    return invite(served[0], "Centre A", served[1], tmp_path / "kit")


def medforge(*arguments: object) -> str:
    result = CliRunner().invoke(build_app(), [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def sent(remote: RemoteForge, branch: Branch, directory: Path) -> bytes:
    """Upload a branch; gives the manifest to submit."""
    upload(remote, branch, directory)
    return branch.manifest.to_bytes()


FIELDS = ("branch", "erase", "signature", "nonce", "signed_at")


def withdrawal(key: Ed25519PrivateKey, forge: str, branch: str, nonce: bytes, at: datetime) -> pb.WithdrawRequest:
    statement = withdraw_statement(forge, branch, False, nonce.hex(), spell_time(at))
    signature = sign(key, WITHDRAW, statement)
    return pb.WithdrawRequest(branch=branch, nonce=nonce, signed_at=spell_time(at), signature=signature)


class TestWhoMaySayWhat:
    """The rules themselves, on a real ledger."""

    key, forge = new_key(), "forge one"

    @pytest.fixture
    def branch(self, tiny_base: BaseModule) -> Branch:
        return make_branch(tiny_base, contributor="Centre A")

    @pytest.fixture
    def ledger(self) -> Ledger:
        ledger = Ledger("sqlite://")
        ledger.invite(Contributor("Centre A", public_bytes(self.key), "c" * 64, "2026-01-01T00:00:00Z"))
        return ledger

    def signature(self, branch: Branch, forge: str = "forge one") -> bytes:
        return sign(self.key, SUBMIT, submit_statement(forge, branch.digest))

    @pytest.mark.parametrize("caller", [Caller("Centre A"), Caller(None)])
    def test_the_contributor_may_submit_what_they_signed(self, ledger: Ledger, branch: Branch, caller: Caller) -> None:
        authorise_submit(caller, branch.manifest, self.signature(branch), ledger, self.forge)

    @pytest.mark.parametrize("caller", [Caller("Centre A"), Caller(None)])
    def test_unsigned_or_signed_for_something_else_is_refused(
        self, ledger: Ledger, branch: Branch, caller: Caller, tiny_base: BaseModule
    ) -> None:
        other = make_branch(tiny_base, 1, contributor="Centre A")
        for signature, sentence in [
            (b"", "must be signed; give the kit of Centre A with --kit DIR"),
            (self.signature(branch, "forge two"), "not by the key it should be"),
            (self.signature(other), "not by the key it should be"),
            (
                sign(new_key(), SUBMIT, submit_statement(self.forge, branch.digest)),
                "not by the key it should be; use the kit that belongs to this name and this forge",
            ),
        ]:
            with pytest.raises(NotAllowed, match=sentence):
                authorise_submit(caller, branch.manifest, signature, ledger, self.forge)

    def test_another_may_not_even_with_the_contributors_signature(self, ledger: Ledger, branch: Branch) -> None:
        with pytest.raises(NotAllowed, match="is Centre A's, but the call came under the certificate of Centre B"):
            authorise_submit(Caller("Centre B"), branch.manifest, self.signature(branch), ledger, self.forge)

    def test_a_revoked_name_is_closed_to_everybody(self, ledger: Ledger, branch: Branch) -> None:
        ledger.revoke("Centre A")
        for caller in (Caller("Centre A"), Caller(None)):
            with pytest.raises(NotAllowed, match="the invitation of Centre A was revoked on"):
                authorise_submit(caller, branch.manifest, self.signature(branch), ledger, self.forge)

    def test_a_name_nobody_was_given_is_free_over_plaintext(self, branch: Branch) -> None:
        authorise_submit(Caller(None), branch.manifest, b"", Ledger("sqlite://"), self.forge)

    def test_a_submit_is_no_withdrawal(self, ledger: Ledger, branch: Branch) -> None:
        request = pb.WithdrawRequest(branch=branch.digest, signature=self.signature(branch))
        with pytest.raises(NotAllowed, match="the signature of this withdraw"):
            authorise_withdraw(Caller("Centre A"), "Centre A", request, ledger, self.forge)

    @pytest.mark.parametrize(
        ("nonce", "hours", "sentence"),
        [
            (bytes(16), 25, "this forge's clock says .*; set the clock"),
            (bytes(16), -25, "this forge's clock says .*; set the clock"),
            (b"guess", 0, "a nonce of 5 bytes where 16 to 64 are due"),
            (bytes(65), 0, "a nonce of 65 bytes where 16 to 64 are due"),
        ],
    )
    def test_a_withdrawal_that_was_kept_back_or_can_be_guessed_is_refused(
        self, ledger: Ledger, branch: Branch, nonce: bytes, hours: int, sentence: str
    ) -> None:
        request = withdrawal(self.key, self.forge, branch.digest, nonce, now() - timedelta(hours=hours))
        with pytest.raises(NotAllowed, match=sentence):
            authorise_withdraw(Caller("Centre A"), "Centre A", request, ledger, self.forge)

    def test_nonce_and_time_are_signed(self, ledger: Ledger, branch: Branch) -> None:
        request = withdrawal(self.key, self.forge, branch.digest, bytes(16), now())
        authorise_withdraw(Caller("Centre A"), "Centre A", request, ledger, self.forge)
        for change in (
            {"nonce": bytes(15) + b"x"},
            {"signed_at": spell_time(now() + timedelta(hours=1))},
            {"nonce": b""},
        ):
            altered = pb.WithdrawRequest(**{name: getattr(request, name) for name in FIELDS} | change)
            with pytest.raises(NotAllowed, match="not by the key it should be"):
                authorise_withdraw(Caller("Centre A"), "Centre A", altered, ledger, self.forge)


def test_a_kit_goes_all_the_way(served: tuple[Forge, str], kit: Kit, tmp_path: Path, tiny_base: BaseModule) -> None:
    forge, at = served
    branch = make_branch(tiny_base, 50, contributor="Centre A", task="all the way")
    with RemoteForge(Connection(at, kit)) as remote:
        manifest = sent(remote, branch, tmp_path / "branch")
        receipt = remote.submit(manifest, kit.sign_submit(branch.digest))
    receipt.verify()
    assert receipt.key == kit.card.key == public_bytes(forge.key).hex()
    wait_until_folded(forge, receipt.arrival)


CALLS: dict[str, Callable[[Any], Any]] = {
    "Describe": lambda stub: stub.Describe(pb.DescribeRequest(), timeout=20),
    "Echo": lambda stub: stub.Echo(pb.EchoRequest(), timeout=20),
    "BaseFiles": lambda stub: stub.BaseFiles(pb.BaseFilesRequest(), timeout=20),
    "FindMissing": lambda stub: stub.FindMissing(pb.FindMissingRequest(), timeout=20),
    "Upload": lambda stub: next(stub.Upload(iter([pb.UploadChunk(digest="a" * 64, total=2, data=b"x")]), timeout=20)),
    "Submit": lambda stub: stub.Submit(pb.SubmitRequest(), timeout=20),
    "Status": lambda stub: stub.Status(pb.StatusRequest(branch="a" * 64), timeout=20),
    "Log": lambda stub: list(stub.Log(pb.LogRequest(), timeout=20)),
    "Watch": lambda stub: next(stub.Watch(pb.WatchRequest(), timeout=20)),
    "Withdraw": lambda stub: stub.Withdraw(pb.WithdrawRequest(branch="a" * 64), timeout=20),
    "Review": lambda stub: stub.Review(pb.ReviewRequest(), timeout=20),
    "Reviews": lambda stub: list(stub.Reviews(pb.ReviewsRequest(), timeout=20)),
    "Download": lambda stub: next(stub.Download(pb.DownloadRequest(blob="a" * 64), timeout=20)),
}


def channel(at: str, kit: Kit) -> grpc.Channel:
    credentials = grpc.ssl_channel_credentials(kit.ca, kit.certificate_key, kit.certificate)
    return grpc.secure_channel(at, credentials, (("grpc.ssl_target_name_override", server_name(kit.card.forge)),))


def test_there_is_a_refusal_below_for_every_call() -> None:
    assert set(CALLS) == set(pb.DESCRIPTOR.services_by_name["Forge"].methods_by_name)


@pytest.mark.parametrize("name", CALLS)
def test_every_call_is_refused_to_a_certificate_that_does_not_count(
    served: tuple[Forge, str], tmp_path: Path, name: str
) -> None:
    """Issued by the forge's own authority, so TLS lets it in; but the ledger has never heard of it."""
    forge, at = served
    stranger = make_kit(Authority.of(forge.directory, forge.settings.forge), tmp_path / "kit", "Stranger", at)
    with channel(at, stranger) as opened, pytest.raises(grpc.RpcError) as failure:
        CALLS[name](ForgeStub(opened))  # type: ignore[no-untyped-call]
    assert failure.value.code() is grpc.StatusCode.PERMISSION_DENIED  # type: ignore[attr-defined]
    assert "this forge knows no contributor 'Stranger'" in failure.value.details()  # type: ignore[attr-defined]


def test_health_is_no_side_door(served: tuple[Forge, str], kit: Kit, tmp_path: Path) -> None:
    forge, at = served
    stranger = make_kit(Authority.of(forge.directory, forge.settings.forge), tmp_path / "stranger", "Stranger", at)
    with channel(at, stranger) as opened, pytest.raises(grpc.RpcError, match="PERMISSION_DENIED"):
        health_pb2_grpc.HealthStub(opened).Check(health_pb2.HealthCheckRequest(), timeout=20)
    with channel(at, kit) as opened:
        assert health_pb2_grpc.HealthStub(opened).Check(health_pb2.HealthCheckRequest(), timeout=20).status == 1


def test_a_running_server_refuses_a_revoked_kit_at_the_next_call(served: tuple[Forge, str], tmp_path: Path) -> None:
    forge, at = served
    kit = invite(forge, "Short lived", at, tmp_path / "kit")
    with RemoteForge(Connection(at, kit)) as remote:
        remote.describe()
        said = medforge("revoke", "Short lived", "--forge", forge.directory, "--reason", "the laptop was stolen")
        assert "Short lived is revoked since" in said
        with pytest.raises(NotAllowed, match="the invitation of Short lived was revoked on .*; ask whoever runs"):
            remote.describe()
        with pytest.raises(NotAllowed, match="revoked"):
            list(remote.upload("a" * 64, kit.directory / "ca.pem", 0, 100))
    (revoked,) = [entry for entry in forge.ledger.journal() if "the laptop was stolen" in entry.about]
    assert (revoked.actor, revoked.what) == ("maintainer", "revoked")


def test_a_renewed_kit_ends_the_old_one(served: tuple[Forge, str], tmp_path: Path) -> None:
    forge, at = served
    arguments = ("invite", "Twice", "--forge", forge.directory, "--address", at, "--out")
    medforge(*arguments, tmp_path / "old")
    with pytest.raises(InvalidInput, match="Twice was invited already; give --renew to make a new kit"):
        medforge(*arguments, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    medforge(*arguments, tmp_path / "new", "--renew", "--days", 10, "--overlap", 0)
    with RemoteForge(Connection(at, Kit.load(tmp_path / "new"))) as remote:
        remote.describe()
    with (
        RemoteForge(Connection(at, Kit.load(tmp_path / "old"))) as remote,
        pytest.raises(NotAllowed, match="the certificate of Twice has been replaced by a newer one; use the newest"),
    ):
        remote.describe()


def test_a_stream_that_runs_ends_with_the_revocation(
    tmp_path: Path, tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guard that looks at every message: what a running upload may still do ends with the next one."""
    monkeypatch.setattr("medforge.aggregator.server.server.ForgeInterceptor", partial(ForgeInterceptor, recheck=0))
    data = tmp_path / "data"
    data.write_bytes(bytes(1000))
    with serving(tmp_path / "forge", tiny_base, tls=True) as (forge, at):
        kit = invite(forge, "Streamer", at, tmp_path / "kit")
        with RemoteForge(Connection(at, kit)) as remote:
            received = remote.upload(sha256_bytes(data.read_bytes()), data, 0, 1)
            assert next(received) == 1
            forge.ledger.revoke("Streamer")
            with pytest.raises(NotAllowed, match="was revoked"):
                list(received)


class TestSubmit:
    """What a valid certificate does not allow."""

    def test_under_another_name(
        self, served: tuple[Forge, str], kit: Kit, tmp_path: Path, tiny_base: BaseModule
    ) -> None:
        branch = make_branch(tiny_base, 60, contributor="Centre B")
        with RemoteForge(Connection(served[1], kit)) as remote:
            manifest = sent(remote, branch, tmp_path / "branch")
            with pytest.raises(NotAllowed, match="is Centre B's, but the call came under the certificate of Centre A"):
                remote.submit(manifest, kit.sign_submit(branch.digest))
        assert served[0].ledger.arrival_of(branch.digest) is None

    def test_unsigned(self, served: tuple[Forge, str], kit: Kit, tmp_path: Path, tiny_base: BaseModule) -> None:
        branch = make_branch(tiny_base, 61, contributor="Centre A")
        with RemoteForge(Connection(served[1], kit)) as remote:
            manifest = sent(remote, branch, tmp_path / "branch")
            with pytest.raises(NotAllowed, match="must be signed"):
                remote.submit(manifest)
        assert served[0].ledger.arrival_of(branch.digest) is None

    def test_with_a_signature_that_was_made_for_another_forge(
        self, served: tuple[Forge, str], kit: Kit, tmp_path: Path, tiny_base: BaseModule
    ) -> None:
        """The same key is known to both forges, so only the forge's name in the statement tells them apart."""
        branch = make_branch(tiny_base, 62, contributor="Centre A")
        caught = sign(kit.signing_key, SUBMIT, submit_statement("another-forge", branch.digest))
        with RemoteForge(Connection(served[1], kit)) as remote:
            manifest = sent(remote, branch, tmp_path / "branch")
            with pytest.raises(NotAllowed, match="the signature of this submit is not by the key it should be"):
                remote.submit(manifest, caught)


def test_only_the_contributor_withdraws_and_erasing_must_be_meant(
    served: tuple[Forge, str], kit: Kit, tmp_path: Path, tiny_base: BaseModule
) -> None:
    forge, at = served
    other = invite(forge, "Centre Z", at, tmp_path / "other")
    branch = make_branch(tiny_base, 70, contributor="Centre A", task="withdrawn")
    with RemoteForge(Connection(at, kit)) as mine, RemoteForge(Connection(at, other)) as theirs:
        mine.submit(sent(mine, branch, tmp_path / "branch"), kit.sign_submit(branch.digest))
        for remote, erase, signature in [
            (theirs, False, other.sign_withdraw(branch.digest, False)),
            (theirs, False, kit.sign_withdraw(branch.digest, False)),
            (mine, False, b""),
            (mine, True, kit.sign_withdraw(branch.digest, False)),
            (mine, False, kit.sign_submit(branch.digest)),
        ]:
            with pytest.raises(NotAllowed):
                remote.send_withdrawal(pb.WithdrawRequest(branch=branch.digest, erase=erase, signature=signature))
        with pytest.raises(NotAllowed):
            theirs.withdraw(branch.digest, False)
        arrival = forge.ledger.arrival_of(branch.digest)
        assert arrival is not None
        assert arrival.state is not State.WITHDRAWN
        assert mine.withdraw(branch.digest, False).state == pb.BRANCH_STATE_WITHDRAWN


def test_a_caught_withdrawal_counts_once(
    served: tuple[Forge, str], kit: Kit, tmp_path: Path, tiny_base: BaseModule
) -> None:
    """What the contributor signed is sent again after the maintainer has put the branch back."""
    forge, at = served
    branch = make_branch(tiny_base, 71, contributor="Centre A", task="comes back")
    fresh = withdrawal(kit.signing_key, forge.settings.forge, branch.digest, bytes(range(16)), now())
    old = pb.WithdrawRequest(branch=branch.digest, signature=kit.sign_withdraw(branch.digest, False))
    with RemoteForge(Connection(at, kit)) as remote:
        number = remote.submit(sent(remote, branch, tmp_path / "branch"), kit.sign_submit(branch.digest)).arrival
        while forge.ledger.arrivals_by_number([number])[number].state is not State.FOLDED:
            time.sleep(0.02)
        for request, sentence in ((old, "with a newer version of medforge"), (fresh, "withdraw it anew$")):
            assert remote.send_withdrawal(request).state == pb.BRANCH_STATE_WITHDRAWN
            assert remote.send_withdrawal(request).state == pb.BRANCH_STATE_WITHDRAWN  # an answer may get lost
            forge.ledger.change(number, State.FOLDED, "", MAINTAINER)
            with pytest.raises(InvalidInput, match=f"was used on .*, and the branch came back since; .*{sentence}"):
                remote.send_withdrawal(request)
            found = forge.ledger.arrival(number)
            assert found is not None
            assert found.state is State.FOLDED
        assert remote.withdraw(branch.digest, False).state == pb.BRANCH_STATE_WITHDRAWN


def test_a_forge_of_0_1_0_is_sent_a_withdrawal_that_it_can_read(
    served: tuple[Forge, str], kit: Kit, tmp_path: Path, tiny_base: BaseModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    forge, at = served
    branch = make_branch(tiny_base, 72, contributor="Centre A", task="old forge")
    with RemoteForge(Connection(at, kit)) as remote:
        remote.submit(sent(remote, branch, tmp_path / "branch"), kit.sign_submit(branch.digest))
        told = remote.describe()
        told.withdrawals_have_nonces = False
        asked: list[pb.WithdrawRequest] = []
        monkeypatch.setattr(remote, "describe", lambda: told)
        monkeypatch.setattr(remote, "send_withdrawal", lambda request: asked.append(request))
        remote.withdraw(branch.digest, True)
    assert [(one.nonce, one.signed_at) for one in asked] == [(b"", "")]
    statement = {"forge": forge.settings.forge, "branch": branch.digest, "erase": True}
    verify(public_bytes(kit.signing_key), WITHDRAW, statement, asked[0].signature)


def test_over_loopback_plaintext_an_invited_name_still_needs_its_signature(
    tmp_path: Path, tiny_base: BaseModule
) -> None:
    with serving(tmp_path / "forge", tiny_base) as (forge, at):
        kit = invite(forge, "Centre A", at, tmp_path / "kit")
        free, bound = make_branch(tiny_base, 0, contributor="Nobody"), make_branch(tiny_base, 1, contributor="Centre A")
        with RemoteForge(Connection(at)) as remote:
            assert remote.submit(sent(remote, free, tmp_path / "free")).arrival == 1
            manifest = sent(remote, bound, tmp_path / "bound")
            with pytest.raises(NotAllowed, match="must be signed"):
                remote.submit(manifest)
        with RemoteForge(Connection(at, kit, plaintext=True)) as remote:
            assert remote.submit(manifest, kit.sign_submit(bound.digest)).arrival == 2


@pytest.mark.parametrize(
    ("listen", "asked", "tls"),
    [
        ("127.0.0.1:0", None, False),
        ("127.0.0.2:0", None, False),
        ("localhost:0", None, False),
        ("[::1]:0", None, False),
        ("0.0.0.0:0", None, True),
        ("[::]:0", None, True),
        ("192.0.2.7:0", None, True),
        ("forge.example.org:0", None, True),
        ("127.0.0.1:0", True, True),
        ("0.0.0.0:0", False, False),
    ],
)
def test_whatever_others_can_reach_is_tls_unless_said_otherwise(
    tmp_path: Path, tiny_base: BaseModule, listen: str, asked: bool | None, tls: bool
) -> None:
    forge = Forge.establish(tmp_path / "forge", tiny_base, FAST)
    assert ForgeServer(forge, tiny_base, listen, asked).tls is tls
    forge.close()


class TestInvite:
    """What `medforge invite` makes, and what it refuses to make."""

    def test_the_kit_says_everything_a_hospital_needs(self, served: tuple[Forge, str], tmp_path: Path) -> None:
        forge, _ = served
        medforge("invite", "Centre K", "--forge", forge.directory, "--address", "forge.example.org:50051",
                 "--out", tmp_path / "kit", "--days", 100)  # fmt: skip
        kit = Kit.load(tmp_path / "kit")
        assert (kit.card.contributor, kit.card.forge, kit.card.address) == (
            "Centre K", forge.settings.forge, "forge.example.org:50051",
        )  # fmt: skip
        assert (kit.card.base, kit.card.key) == (forge.settings.base, public_bytes(forge.key).hex())
        left = kit.x509.not_valid_after_utc - kit.x509.not_valid_before_utc
        assert 100 <= left.days <= 101
        letter = (tmp_path / "kit" / "README.md").read_text()
        for word in ("forge.example.org, port 50051", "client.key", "signing.key", "medforge doctor --kit",
                     "medforge contribute", "medforge status", "Whom to ask", kit.card.expires):  # fmt: skip
            assert word in letter
        assert str(tmp_path) not in letter

    def test_a_name_for_people_is_in_kit_letter_and_branch(
        self, served: tuple[Forge, str], tiny_base: BaseModule, tmp_path: Path
    ) -> None:
        forge, _ = served
        kit = Kit.load(invite(forge, "Universitätsklinikum Köln", "forge.example.org:50051", tmp_path / "k").directory)
        assert (kit.card.contributor, kit.card.display_name) == (
            "Universitatsklinikum Koln", "Universitätsklinikum Köln",
        )  # fmt: skip
        assert "startup kit of Universitätsklinikum Köln\n" in (tmp_path / "k" / "README.md").read_text()
        assert "Universitatsklinikum Koln" in [one.name for one in forge.ledger.contributors()]
        named = make_branch(tiny_base).renamed(kit.card.name)
        assert Manifest.parse(named.manifest.to_bytes()).name == kit.card.name
        # whoever reads the name that `medforge contributors` lists can type it
        medforge("revoke", "Universitätsklinikum Köln", "--forge", forge.directory)
        revoked = [one.name for one in forge.ledger.contributors() if one.revoked_at is not None]
        assert kit.card.contributor in revoked
        # a plain name leaves cards and manifests as they were
        assert "display_name" not in (invite(forge, "B", "h:1", tmp_path / "b").directory / "kit.json").read_text()

    @pytest.mark.parametrize(
        ("name", "address", "sentence"),
        [
            ("-", "h:1", "of '-' no identifier can be made"),
            ("n" * 65, "h:1", "is too long for a certificate; give an --id of at most 64"),
            ("Centre\nX", "h:1", "cannot be a name; use 1 to 100 characters that can be seen"),
            ("Centre X", "0.0.0.0:50051", "contributors cannot call 0.0.0.0:50051; give the address that they reach"),
            ("Centre X", "nonsense", "'nonsense' is not an address"),
            ("Centre X", "FULL", "is not an empty directory; give a new one with --out"),
        ],
    )
    def test_mistakes_get_a_sentence_and_register_nobody(
        self, served: tuple[Forge, str], tmp_path: Path, name: str, address: str, sentence: str
    ) -> None:
        if address == "FULL":
            (tmp_path / "kit").mkdir()
            (tmp_path / "kit" / "file").write_text("")
        with pytest.raises(MedForgeError, match=sentence):
            invite(served[0], name, address.replace("FULL", "h:1"), tmp_path / "kit")
        assert served[0].ledger.contributor(name) is None

    @pytest.mark.parametrize("name", ["centre a", "Centre  A", "Centre-A", "CENTRE_A."])
    def test_a_name_that_reads_like_anothers_is_not_given(
        self, served: tuple[Forge, str], kit: Kit, tmp_path: Path, name: str
    ) -> None:
        with pytest.raises(InvalidInput, match="is too like 'Centre A', who was invited before; choose another name"):
            invite(served[0], name, "h:1", tmp_path / "other")

    def test_a_name_for_people_may_not_be_like_anothers(self, served: tuple[Forge, str], tmp_path: Path) -> None:
        invite(served[0], ContributorName.of("Hôpital Nord"), "h:1", tmp_path / "nord")
        for name in (ContributorName("North", "hôpital-nord"), ContributorName("North", "Hopital Nord")):
            with pytest.raises(InvalidInput, match="is too like 'Hôpital Nord', who was invited before"):
                invite(served[0], name, "h:1", tmp_path / "other")

    def test_a_name_for_people_is_shown_wherever_people_read(
        self, served: tuple[Forge, str], tiny_base: BaseModule, tmp_path: Path
    ) -> None:
        forge, address = served
        kit = invite(forge, "Universitätsklinikum Bonn", address, tmp_path / "kit")
        branch = make_branch(tiny_base, 5, task="bone").renamed(kit.card.name)
        with RemoteForge(Connection(address, kit)) as remote:
            remote.submit(sent(remote, branch, tmp_path / "b"), kit.sign_submit(branch.digest))
            listed = {one.arrival.display_name for one in remote.log_entries() if one.HasField("arrival")}
            told = {one.commit.display_name for one in remote.log_entries() if one.HasField("commit")}
        assert "Universitätsklinikum Bonn" in listed | told
        written, here = "Universitätsklinikum Bonn (Universitatsklinikum Bonn)", ("--forge", forge.directory)
        for command in (("log",), ("log", "--journal"), ("contributors",)):
            assert written in medforge(*command, *here)
        assert written in medforge("log", "--kit", kit.directory)
        journal = json.loads(medforge("log", "--journal", *here, "--json"))["journal"]
        (arrived,) = [one for one in journal if one["actor"] == kit.card.contributor and one["what"] == "arrived"]
        assert arrived["display_name"] == "Universitätsklinikum Bonn"
        (entry,) = [
            one for one in json.loads(medforge("contributors", *here, "--json"))
            if one["contributor"] == "Universitatsklinikum Bonn"
        ]  # fmt: skip
        assert entry["display_name"] == "Universitätsklinikum Bonn"

    def test_a_branch_under_another_name_for_people_than_the_invited_is_refused(
        self, served: tuple[Forge, str], tiny_base: BaseModule, tmp_path: Path
    ) -> None:
        forge, address = served
        kit = invite(forge, "Clínica Sur", address, tmp_path / "kit")
        branch = make_branch(tiny_base, 6, task="skin").renamed(ContributorName(kit.card.contributor, "Clínica Norte"))
        with (
            RemoteForge(Connection(address, kit)) as remote,
            pytest.raises(InvalidBranch, match="but Clinica Sur was invited as 'Clínica Sur'; push it"),
        ):
            remote.submit(sent(remote, branch, tmp_path / "b"), kit.sign_submit(branch.digest))
        assert forge.ledger.arrival_of(branch.digest) is None

    def test_revoking_somebody_unknown_gets_a_sentence(self, served: tuple[Forge, str]) -> None:
        with pytest.raises(InvalidInput, match="nobody called 'Unknown' was invited to .*; `medforge contributors`"):
            medforge("revoke", "Unknown", "--forge", served[0].directory)

    def test_contributors_lists_who_was_invited(self, served: tuple[Forge, str], kit: Kit) -> None:
        assert "Centre A" in medforge("contributors", "--forge", served[0].directory)
        assert f'"key": "{public_bytes(kit.signing_key).hex()}"' in medforge(
            "contributors", "--forge", served[0].directory, "--json"
        )
