"""What a client is told when TLS does not come about, each against a real server."""

import http.server
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from medforge.aggregator.identity.authority import Authority
from medforge.errors import ForgeUnavailable, InvalidInput, MedForgeError
from medforge.proto import forge_pb2 as pb
from medforge.proto.certificates import new_certificate_key, now
from medforge.proto.connection import Connection
from medforge.proto.errors import NotAllowed
from medforge.proto.forge_pb2_grpc import ForgeServicer, add_ForgeServicer_to_server
from medforge.proto.handshake import handshake
from medforge.proto.key_files import pem_of
from medforge.proto.kit import Kit
from medforge.proto.receipt import Receipt
from medforge.proto.remote import RemoteForge
from medforge.proto.signing import new_key, public_bytes
from tests.kits import DAY, FORGE, make_kit

BRANCH = "a" * 64


class Service(ForgeServicer):
    """Enough of a forge to be met: it says who it is, and signs receipts."""

    def __init__(self, forge: str = FORGE, key: Any = None) -> None:
        self.forge, self.key = forge, key or new_key()

    def Describe(self, request: object, context: object) -> pb.DescribeReply:  # noqa: N802
        return pb.DescribeReply(forge=self.forge, key=public_bytes(self.key))

    def Submit(self, request: pb.SubmitRequest, context: object) -> pb.Receipt:  # noqa: N802
        receipt = Receipt.issue(self.key, self.forge, 1, BRANCH, "2026-01-01T00:00:00.000Z")
        return pb.Receipt(
            forge=receipt.forge, arrival=1, branch=BRANCH, accepted_at=receipt.accepted_at,
            signature=bytes.fromhex(receipt.signature),
        )  # fmt: skip


@contextmanager
def listening(
    authority: Authority | None, pair: tuple[bytes, bytes] | None = None, service: Service | None = None,
    host: str = "127.0.0.1",
) -> Iterator[str]:  # fmt: skip
    server: Any = grpc.server(futures.ThreadPoolExecutor(4))
    add_ForgeServicer_to_server(service or Service(), server)  # type: ignore[no-untyped-call]
    if authority is None:
        port = server.add_insecure_port(f"{host}:0")
    else:
        credentials = grpc.ssl_server_credentials([pair or authority.issue_server()], authority.pem, True)
        port = server.add_secure_port(f"{host}:0", credentials)
    server.start()
    yield f"{host}:{port}"
    server.stop(None)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.of(tmp_path_factory.mktemp("forge"), FORGE)


@pytest.fixture
def kit(authority: Authority, tmp_path: Path) -> Kit:
    return make_kit(authority, tmp_path / "kit")


def refusal(at: str, kit: Kit | None, plaintext: bool = False) -> MedForgeError:
    with pytest.raises(MedForgeError) as raised, RemoteForge(Connection(at, kit, plaintext=plaintext), 20) as remote:
        remote.describe()
    assert "\n" not in str(raised.value)
    assert "; " in str(raised.value)
    return raised.value


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2"])
def test_the_kits_forge_is_met_under_any_address(authority: Authority, kit: Kit, host: str) -> None:
    with listening(authority, host=host) as at, RemoteForge(Connection(at, kit)) as remote:
        assert remote.describe().forge == FORGE
        assert handshake(at, kit).version == "TLSv1.3"


def test_another_authority_is_another_forge(kit: Kit, tmp_path: Path) -> None:
    with listening(Authority.of(tmp_path / "other", FORGE)) as at:
        error = refusal(at, kit)
    assert isinstance(error, InvalidInput)
    assert f"what answers at {at} is not the kit's forge {FORGE}: its certificate was not issued by the kit's CA" in (
        str(error)
    )


def test_a_certificate_with_another_name_is_another_forge(authority: Authority, kit: Kit, tmp_path: Path) -> None:
    other = Authority(f"{FORGE[:-1]}9", authority._key, authority._certificate)
    with listening(authority, other.issue_server()) as at:
        assert "its certificate bears another name" in str(refusal(at, kit))


def test_an_invited_contributor_cannot_pass_for_the_forge(authority: Authority, kit: Kit) -> None:
    """Somebody with a kit listens with its certificate: it is the CA's, but it is for clients."""
    other = authority.issue_client(f"{FORGE}.medforge", b"k" * 32, now() + DAY)
    with listening(authority, other) as at:
        assert "is not the kit's forge" in str(refusal(at, kit))


def test_a_servers_ended_certificate_is_told_with_the_clock(authority: Authority, kit: Kit) -> None:
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    names = x509.SubjectAlternativeName([x509.DNSName(f"{FORGE}.medforge")])
    for begins, ends, word in [(-9, -1, "has ended"), (1, 9, "is not valid yet")]:
        key, valid = new_certificate_key(), (now() + begins * DAY, now() + ends * DAY)
        issued = authority._issue(key.public_key(), "f", names, ExtendedKeyUsageOID.SERVER_AUTH, valid)
        with listening(authority, (pem_of(key), issued)) as at:
            error = refusal(at, kit)
        assert f"the certificate of the forge at {at} {word}" in str(error)
        assert "set the clock" in str(error)


def test_an_ended_kit_is_told_before_anything_is_sent(authority: Authority, tmp_path: Path) -> None:
    over = make_kit(authority, tmp_path / "over", begins=now() - 9 * DAY, ends=now() - DAY)
    with pytest.raises(InvalidInput, match="the certificate of Centre A ended on"):
        RemoteForge(Connection("127.0.0.1:1", over))


def test_a_server_that_finds_the_certificate_ended_is_understood(authority: Authority, tmp_path: Path) -> None:
    """As when this machine's clock is behind: the client thinks it valid, the server does not. TLS 1.3 tells nobody."""
    over = make_kit(authority, tmp_path / "over", begins=now() - 9 * DAY, ends=now() - DAY)
    with listening(authority) as at, pytest.raises(InvalidInput, match="the certificate of Centre A ended on"):
        handshake(at, over)


def test_a_certificate_that_the_server_does_not_accept_is_understood(authority: Authority, tmp_path: Path) -> None:
    """The server trusts another authority for clients than the one that signed it."""
    other = Authority.of(tmp_path / "other", FORGE)
    stranger = make_kit(other, tmp_path / "stranger")
    with listening(other, None) as at, RemoteForge(Connection(at, stranger)) as remote:
        remote.describe()
    server: Any = grpc.server(futures.ThreadPoolExecutor(1))
    port = server.add_secure_port(
        "127.0.0.1:0", grpc.ssl_server_credentials([other.issue_server()], authority.pem, True)
    )
    server.start()
    at = f"127.0.0.1:{port}"
    with pytest.raises(ForgeUnavailable, match="ended the connection after the TLS handshake, as it does when it does"):
        handshake(at, stranger)
    assert isinstance(refusal(at, stranger), ForgeUnavailable)
    server.stop(None)


def test_a_plaintext_server_is_told_from_a_forge_over_tls(kit: Kit) -> None:
    with listening(None) as at:
        error = refusal(at, kit)
        assert isinstance(error, InvalidInput)
        assert f"what answers at {at} does not speak TLS; check the address, or give --plaintext" in str(error)
        with RemoteForge(Connection(at, kit, plaintext=True)) as remote:
            assert remote.describe().forge == FORGE


def test_a_client_without_a_kit_is_sent_for_one(authority: Authority) -> None:
    with listening(authority) as at:
        error = refusal(at, None)
    assert isinstance(error, InvalidInput)
    assert f"the forge at {at} speaks TLS and knows its callers; give your kit with --kit DIR" in str(error)


def test_a_kit_for_another_forge_is_told_over_plaintext_too(kit: Kit) -> None:
    with listening(None, service=Service(forge="another-forge")) as at:
        assert "is forge another-forge, not the kit's" in str(refusal(at, kit, plaintext=True))


def test_a_web_server_is_no_forge(authority: Authority, kit: Kit, tmp_path: Path) -> None:
    key, certificate = authority.issue_server()
    (tmp_path / "web.pem").write_bytes(key + certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "web.pem")
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    web.socket = context.wrap_socket(web.socket, server_side=True)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    at = f"127.0.0.1:{web.server_address[1]}"
    assert isinstance(refusal(at, kit), (InvalidInput, ForgeUnavailable))
    web.shutdown()
    web.server_close()


def test_nothing_there_is_worth_waiting_for(kit: Kit) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        at = f"127.0.0.1:{free.getsockname()[1]}"
    error = refusal(at, kit)
    assert isinstance(error, ForgeUnavailable)
    assert "cannot be reached" in str(error)


@pytest.mark.parametrize("at", ["192.0.2.1:50051", "forge.example.org:50051", "[2001:db8::1]:50051"])
def test_nothing_goes_in_the_clear_to_another_machine_unasked(at: str) -> None:
    with pytest.raises(InvalidInput, match="without a kit nothing would be encrypted; give your kit with --kit DIR"):
        RemoteForge(Connection(at))
    RemoteForge(Connection(at, plaintext=True)).close()


@pytest.mark.parametrize("at", ["127.0.0.1:1", "127.9.9.9:1", "localhost:1", "[::1]:1"])
def test_this_very_machine_needs_no_kit(at: str) -> None:
    RemoteForge(Connection(at)).close()


class TestReceipts:
    """A receipt counts only with the signature of the forge that it should be."""

    def test_with_a_kit_only_the_kits_forge_signs(self, authority: Authority, tmp_path: Path) -> None:
        key = new_key()
        kit = make_kit(authority, tmp_path / "kit", forge_key=key)
        with listening(authority, service=Service(key=key)) as at, RemoteForge(Connection(at, kit)) as remote:
            assert remote.submit(b"").key == public_bytes(key).hex()
        with (
            listening(authority, service=Service(key=new_key())) as at,
            RemoteForge(Connection(at, kit)) as remote,
            pytest.raises(NotAllowed, match="is not signed by the forge's key .*; keep the branch"),
        ):
            remote.submit(b"")

    def test_without_a_kit_the_forges_own_word_counts(self) -> None:
        service = Service()
        with listening(None, service=service) as at, RemoteForge(Connection(at)) as remote:
            assert remote.submit(b"").key == public_bytes(service.key).hex()

    def test_a_forge_that_signs_with_another_key_than_it_tells_is_found_out(self) -> None:
        class Liar(Service):
            def Describe(self, request: object, context: object) -> pb.DescribeReply:  # noqa: N802
                return pb.DescribeReply(forge=self.forge, key=public_bytes(new_key()))

        with (
            listening(None, service=Liar()) as at,
            RemoteForge(Connection(at)) as remote,
            pytest.raises(NotAllowed, match="is not signed by the forge's key"),
        ):
            remote.submit(b"")
