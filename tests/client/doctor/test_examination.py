"""Each check is made to fail for real: closed ports, silent addresses, wrong names, ended certificates, full disks."""

import json
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from medforge import __version__
from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.identity.authority import Authority
from medforge.aggregator.identity.invite import invite
from medforge.base_module import BaseModule
from medforge.cli import build_app
from medforge.client.doctor import centre, network
from medforge.client.doctor.diagnosis import Diagnosis
from medforge.client.doctor.examination import examine
from medforge.client.recipe import Recipe
from medforge.client.settings import make_settings
from medforge.client.workspace import Workspace
from medforge.proto import forge_pb2 as pb
from medforge.proto.certificates import now, spell_time
from medforge.proto.connection import Connection
from medforge.proto.kit import Kit
from medforge.proto.proxy import proxy_for
from medforge.proto.remote import RemoteForge
from tests.aggregator.serving import serving
from tests.kits import DAY, FORGE, make_kit
from tests.making import make_branch
from tests.proto.test_remote_tls import Service, listening

CHECKS = [
    "kit",
    "DNS",
    "proxy",
    "TCP",
    "TLS",
    "packets",
    "certificate",
    "CA",
    "forge",
    "clock",
    "base",
    "workspace",
    "privacy",
    "task",
    "epsilon",
    "receipt",
    "disk",
]
_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy", "no_grpc_proxy", "no_proxy", "HTTPS_PROXY", "HTTP_PROXY",
            "NO_PROXY", "ALL_PROXY", "all_proxy")  # fmt: skip


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _PROXIES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, tiny_base: BaseModule) -> Iterator[tuple[Forge, str]]:
    with serving(tmp_path_factory.mktemp("served") / "forge", tiny_base, tls=True) as both:
        yield both


@pytest.fixture
def kit(served: tuple[Forge, str], tmp_path: Path) -> Kit:
    return invite(served[0], "Centre A", served[1], tmp_path / "kit")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.of(tmp_path / "authority", FORGE)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    place = Workspace(tmp_path / "work")
    place.create(make_settings({"source": "folder:x", "contributor": "Centre A", "recipe": _recipe()}))
    return place.path


def _recipe() -> dict[str, object]:
    from medforge.client.recipes import recipe_for

    recipe: Recipe = recipe_for("tiny")
    return recipe.model_dump(mode="json")


def by_check(found: list[Diagnosis]) -> dict[str, Diagnosis]:
    assert [one.check for one in found] == CHECKS
    for one in found:
        assert one.what
        assert bool(one.fix) == (one.state in ("problem", "warning")), one
    return {one.check: one for one in found}


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def own_address() -> str:
    """An address of this machine that is not loopback, so that proxies apply to it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.254", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return str(probe.getsockname()[0])


def test_all_is_well_with_a_good_kit(
    served: tuple[Forge, str], kit: Kit, workspace: Path, tiny_base: BaseModule
) -> None:
    make_branch(tiny_base, contributor="Centre A").save(workspace / "branch")
    found = by_check(examine(Connection(served[1], kit), workspace=workspace, disk_gib=0))
    assert {one.check: one.state for one in found.values() if one.state != "ok"} == {"DNS": "skipped"}
    assert found["task"].what == "the first branch declares task task at this forge"
    assert found["DNS"].what == "127.0.0.1 is an address, not a name"
    assert found["TLS"].what == "TLSv1.3; the forge's certificate names the kit's forge"
    assert "the branch's too" in found["base"].what


def test_without_a_kit_what_needs_one_is_skipped_with_the_reason(tmp_path: Path, tiny_base: BaseModule) -> None:
    with serving(tmp_path / "forge", tiny_base) as (forge, at):
        found = by_check(examine(Connection(at), disk_gib=0))
    assert found["kit"] == Diagnosis("kit", "skipped", "no kit was given")
    assert found["TLS"].state == found["certificate"].state == found["workspace"].state == "skipped"
    assert found["forge"].what == f"{forge.settings.forge}, medforge {__version__}, 0 commits"
    assert found["clock"].state == found["base"].state == "ok"


def test_secrets_that_others_can_read(served: tuple[Forge, str], kit: Kit) -> None:
    (kit.directory / "signing.key").chmod(0o644)
    found = by_check(examine(Connection(served[1], kit)))["kit"]
    assert (found.state, found.fix) == ("warning", f"chmod 600 {kit.directory / 'signing.key'}")


def test_a_name_that_nobody_knows(kit: Kit) -> None:
    found = by_check(examine(Connection("no-such-host.invalid:50051", kit)))
    assert found["DNS"].state == "problem"
    assert "no address is known for no-such-host.invalid" in found["DNS"].what
    assert found["TCP"].state == "problem"
    assert found["TLS"] == Diagnosis("TLS", "skipped", "there is no connection")
    assert found["forge"].state == found["clock"].state == found["base"].state == "skipped"


def test_a_name_that_resolves(served: tuple[Forge, str], kit: Kit) -> None:
    found = by_check(examine(Connection(served[1].replace("127.0.0.1", "localhost"), kit)))
    assert found["DNS"].state == found["TCP"].state == "ok"
    assert "127.0.0.1" in found["DNS"].what


def test_a_closed_port(kit: Kit) -> None:
    port = closed_port()
    found = by_check(examine(Connection(f"127.0.0.1:{port}", kit)))["TCP"]
    assert (found.state, found.what) == ("problem", f"nothing listens on port {port} of 127.0.0.1")
    assert found.fix == "check the port; ask whether the forge is up"


def test_a_firewall_that_drops_what_it_does_not_like(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    """A listener whose queue is full answers nobody, as a firewall that drops."""
    monkeypatch.setattr(network, "SECONDS", 0.5)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        place = silent.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(place)
        found = by_check(examine(Connection(f"127.0.0.1:{place[1]}", kit)))["TCP"]
        for one in waiting:
            one.close()
    assert (found.state, found.what) == ("problem", f"127.0.0.1:{place[1]} does not answer within 0.5 s")
    assert f"outgoing TCP to port {place[1]} of 127.0.0.1 opened in the firewall" in found.fix


def test_another_forge_at_the_address(kit: Kit, tmp_path: Path) -> None:
    with listening(Authority.of(tmp_path / "other", kit.card.forge)) as at:
        found = by_check(examine(Connection(at, kit)))
    assert found["TLS"].state == found["forge"].state == "problem"
    assert "was not issued by the kit's CA" in found["TLS"].what
    assert "check the address, use the newest kit of that forge" in found["TLS"].fix


def test_a_server_without_tls(kit: Kit) -> None:
    with listening(None) as at:
        found = by_check(examine(Connection(at, kit)))["TLS"]
    assert (found.state, found.what) == ("problem", f"what answers at {at} does not speak TLS")


def test_a_certificate_that_has_ended(authority: Authority, tmp_path: Path) -> None:
    over = make_kit(authority, tmp_path / "over", begins=now() - 9 * DAY, ends=now() - DAY)
    with listening(authority) as at:
        found = by_check(examine(Connection(at, over)))
    assert found["certificate"].state == found["TLS"].state == "problem"
    assert "ended on" in found["certificate"].what
    assert "medforge invite --renew" in found["certificate"].fix


def test_a_certificate_that_ends_soon(authority: Authority, tmp_path: Path) -> None:
    for days, state in ((29, "warning"), (31, "ok")):
        kit = make_kit(authority, tmp_path / str(days), ends=now() + days * DAY)
        with listening(authority) as at:
            found = by_check(examine(Connection(at, kit)))["certificate"]
        assert found.state == state
    assert (
        "it ends in 28 days"
        in by_check(examine(Connection(at, make_kit(authority, tmp_path / "k", ends=now() + 29 * DAY))))[
            "certificate"
        ].what
    )
    with listening(authority) as at:
        whole = make_kit(authority, tmp_path / "whole", ends=now() + 31 * DAY)
        assert "valid for 30 days, until" in by_check(examine(Connection(at, whole)))["certificate"].what


def test_a_revoked_certificate(served: tuple[Forge, str], tmp_path: Path) -> None:
    kit = invite(served[0], "Revoked", served[1], tmp_path / "kit")
    served[0].ledger.revoke("Revoked")
    found = by_check(examine(Connection(served[1], kit)))
    assert found["TLS"].state == "ok"
    assert found["certificate"].state == found["forge"].state == "problem"
    assert "the invitation of Revoked was revoked on" in found["certificate"].what
    assert found["certificate"].fix == "ask whoever runs the forge for a new kit"


def test_a_clock_that_is_behind_the_kit(authority: Authority, tmp_path: Path) -> None:
    """The dates of the certificate tell: by this clock it has not begun."""
    early = make_kit(authority, tmp_path / "early", begins=now() + timedelta(hours=1), ends=now() + 9 * DAY)
    with listening(authority) as at:
        found = by_check(examine(Connection(at, early)))
    assert (found["clock"].state, found["clock"].fix) == ("problem", "set the clock, or let NTP keep it")
    assert "but the kit is valid from" in found["clock"].what
    assert found["certificate"].state == "problem"


@pytest.mark.parametrize(("minutes", "state"), [(0, "ok"), (-3, "warning"), (3, "warning"), (-90, "problem")])
def test_a_clock_that_is_apart_from_the_forges(authority: Authority, tmp_path: Path, minutes: int, state: str) -> None:
    class Elsewhen(Service):
        def Describe(self, request: object, context: object) -> pb.DescribeReply:  # noqa: N802
            there = spell_time(now() + timedelta(minutes=minutes))
            return pb.DescribeReply(forge=FORGE, key=b"k" * 32, time=there, software=__version__, base="b" * 64)

    with listening(authority, service=Elsewhen()) as at:
        found = by_check(examine(Connection(at, make_kit(authority, tmp_path / "kit"))))
    assert found["clock"].state == state
    assert found["forge"].state == "ok"


@pytest.mark.parametrize("time", ["", "yesterday", "2026-01-01T00:00:00"])
def test_a_forge_that_tells_no_time(authority: Authority, tmp_path: Path, time: str) -> None:
    class Vague(Service):
        def Describe(self, request: object, context: object) -> pb.DescribeReply:  # noqa: N802
            return pb.DescribeReply(forge=FORGE, key=b"k" * 32, time=time)

    with listening(authority, service=Vague()) as at:
        found = by_check(examine(Connection(at, make_kit(authority, tmp_path / "kit"))))
    assert found["clock"] == Diagnosis("clock", "skipped", "the forge could not be asked for its time")


def test_a_forge_of_another_version(authority: Authority, tmp_path: Path) -> None:
    class Later(Service):
        def Describe(self, request: object, context: object) -> pb.DescribeReply:  # noqa: N802
            return pb.DescribeReply(forge=FORGE, key=b"k" * 32, software="99.1.0")

    with listening(authority, service=Later()) as at:
        found = by_check(examine(Connection(at, make_kit(authority, tmp_path / "kit"))))["forge"]
    assert found.what == f"the forge runs medforge 99.1.0, this is {__version__}"
    assert "install medforge 99.1.0 here" in found.fix


def test_something_else_that_speaks_grpc(kit: Kit) -> None:
    from concurrent import futures

    import grpc

    server = grpc.server(futures.ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    found = by_check(examine(Connection(f"127.0.0.1:{port}")))["forge"]
    server.stop(None)
    assert "is not a forge of this version" in found.what


def test_another_base_module(served: tuple[Forge, str], kit: Kit, workspace: Path, tiny_base: BaseModule) -> None:
    manifest = make_branch(tiny_base, contributor="Centre A").manifest
    (workspace / "branch").mkdir()
    other = manifest.model_copy(update={"base": "d" * 64, "base_spec": "ViT-B-16/openai"})
    (workspace / "branch" / "manifest.json").write_bytes(other.to_bytes())
    found = by_check(examine(Connection(served[1], kit), workspace=workspace))["base"]
    assert found.state == "problem"
    assert "the branch stands on ViT-B-16/openai (dddddddddddd), the forge on" in found.what
    assert served[0].settings.base[:12] in found.what
    assert "begin a new workspace with --base" in found.fix


def test_a_kit_for_another_base_module(authority: Authority, tmp_path: Path) -> None:
    class Moved(Service):
        def Describe(self, request: object, context: object) -> pb.DescribeReply:  # noqa: N802
            return pb.DescribeReply(forge=FORGE, key=b"k" * 32, base="c" * 64)

    with listening(authority, service=Moved()) as at:
        found = by_check(examine(Connection(at, make_kit(authority, tmp_path / "kit"))))["base"]
    assert found.what == "the kit was made for base module bbbbbbbbbbbb, the forge stands on cccccccccccc"


def test_a_damaged_branch(served: tuple[Forge, str], kit: Kit, workspace: Path) -> None:
    (workspace / "branch").mkdir()
    (workspace / "branch" / "manifest.json").write_text("{")
    assert by_check(examine(Connection(served[1], kit), workspace=workspace))["base"].state == "problem"


def test_a_workspace_of_somebody_else(served: tuple[Forge, str], tmp_path: Path, workspace: Path) -> None:
    kit = invite(served[0], "Centre B", served[1], tmp_path / "b")
    found = by_check(examine(Connection(served[1], kit), workspace=workspace))["workspace"]
    assert (found.state, found.what) == (
        "ok",
        f"{workspace} was begun as Centre A's; the branch is committed as Centre B's",
    )
    absent = by_check(examine(Connection(served[1], kit), workspace=tmp_path / "absent"))
    assert absent["workspace"].state == "problem"
    assert absent["disk"].state == "ok"


class TestDisk:
    def test_a_disk_that_is_too_small(self, tmp_path: Path) -> None:
        found = centre.check_disk(tmp_path, 1e9)
        assert (found.state, found.fix) == ("problem", "free some, or use a workspace elsewhere")
        assert re.fullmatch(r"[\d.]+ GiB are free at /.*, 1e\+09 are needed", found.what)

    def test_a_real_disk_of_one_mebibyte(self, tmp_path: Path) -> None:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)], check=False, capture_output=True
        )
        if mounted.returncode:
            pytest.skip("a small disk cannot be mounted here")
        try:
            assert centre.check_disk(tmp_path / "not" / "there" / "yet", 1.0).state == "problem"
            assert centre.check_disk(tmp_path, 0.0001).state == "ok"
        finally:
            subprocess.run(["umount", str(tmp_path)], check=True)


class Proxy:
    """A real HTTP proxy: it makes tunnels for CONNECT, or refuses to."""

    def __init__(self, refuse: bool = False) -> None:
        self.asked: list[str] = []
        self._refuse = refuse
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.at = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._tunnel, args=(client,), daemon=True).start()

    def _tunnel(self, client: socket.socket) -> None:
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            request += client.recv(1)
        target = request.split(b" ")[1].decode()
        self.asked.append(request.decode())
        if self._refuse:
            client.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")
            client.close()
            return
        host, _, port = target.rpartition(":")
        forge = socket.create_connection((host, int(port)))
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        for source, sink in ((client, forge), (forge, client)):
            threading.Thread(target=_pump, args=(source, sink), daemon=True).start()

    def close(self) -> None:
        self._listener.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(1 << 14):
            sink.sendall(data)
    except OSError:
        pass
    for end in (source, sink):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            continue


@contextmanager
def proxied(monkeypatch: pytest.MonkeyPatch, variable: str = "https_proxy", **options: bool) -> Iterator[Proxy]:
    proxy = Proxy(**options)
    monkeypatch.setenv(variable, f"http://user:p%40ss@{proxy.at}")
    yield proxy
    proxy.close()


class TestProxy:
    def test_calls_and_checks_go_through_it(
        self, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kit = make_kit(authority, tmp_path / "kit")
        with listening(authority, host=own_address()) as at, proxied(monkeypatch) as proxy:
            with RemoteForge(Connection(at, kit)) as remote:
                assert remote.describe().forge == FORGE
            by_grpc = len(proxy.asked)
            assert by_grpc >= 1
            found = by_check(examine(Connection(at, kit)))
            assert found["TLS"].state == "ok"
            assert (found["proxy"].state, found["proxy"].what) == (
                "ok", f"{at} is called through {proxy.at} (https_proxy)",
            )  # fmt: skip
            assert found["DNS"].state == "skipped"
            assert len(proxy.asked) >= by_grpc + 3
            # user:p@ss, the same from gRPC and from us
            assert all("Basic dXNlcjpwQHNz" in one for one in proxy.asked)

    def test_one_that_refuses(self, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with listening(authority, host=own_address()) as at, proxied(monkeypatch, refuse=True) as proxy:
            found = by_check(examine(Connection(at, make_kit(authority, tmp_path / "kit"))))
        assert found["proxy"].state == found["TCP"].state == "problem"
        assert f"the proxy {proxy.at} (https_proxy) does not connect to {at} (HTTP/1.1 403 Forbidden)" in (
            found["proxy"].what
        )

    def test_one_that_is_not_there(self, kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
        at = f"127.0.0.1:{closed_port()}"
        monkeypatch.setenv("http_proxy", f"http://{at}")
        found = by_check(examine(Connection("forge.example.org:50051", kit)))["proxy"]
        assert found.state == "problem"
        assert f"the proxy {at} (http_proxy) cannot be reached" in found.what

    @pytest.mark.parametrize(
        "written", ["socks5://proxy.example.org:1080", "http://[::1", "http://proxy:port", "http://", "https://proxy:1"]
    )
    def test_one_that_grpc_cannot_use(self, kit: Kit, monkeypatch: pytest.MonkeyPatch, written: str) -> None:
        monkeypatch.setenv("https_proxy", written)
        monkeypatch.setattr(network, "SECONDS", 0.2)
        found = by_check(examine(Connection("192.0.2.77:50051", kit)))["proxy"]
        assert (found.state, found.fix) == ("problem", "write it as http://HOST:PORT")

    @pytest.mark.parametrize("variable", ["HTTPS_PROXY", "HTTP_PROXY", "http_proxy", "grpc_proxy"])
    def test_upper_case_is_read_as_lower_case_is(
        self, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
    ) -> None:
        kit, host = make_kit(authority, tmp_path / "kit"), own_address()
        with listening(authority, host=host) as at, proxied(monkeypatch, variable) as proxy:
            with RemoteForge(Connection(at, kit)) as remote:
                remote.describe()
            asked = len(proxy.asked)
            assert asked >= 1
            found = by_check(examine(Connection(at, kit)))["proxy"]
            assert (found.state, found.what) == ("ok", f"{at} is called through {proxy.at} ({variable})")
            before = len(proxy.asked)
            for exception in (host, "*", f".example.org,{host}"):
                monkeypatch.setenv("NO_PROXY", exception)
                with RemoteForge(Connection(at, kit)) as remote:
                    remote.describe()
                assert by_check(examine(Connection(at, kit)))["proxy"].what == f"none; {at} is called directly"
            assert len(proxy.asked) == before

    def test_an_address_without_a_scheme_is_meant_as_http(
        self, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kit = make_kit(authority, tmp_path / "kit")
        with listening(authority, host=own_address()) as at, proxied(monkeypatch) as proxy:
            monkeypatch.setenv("https_proxy", proxy.at)
            with RemoteForge(Connection(at, kit)) as remote:
                remote.describe()
            assert len(proxy.asked) >= 1

    def test_a_variable_that_is_set_to_nothing_asks_for_no_proxy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.org:3128")
        assert proxy_for("forge.example.org") is not None
        monkeypatch.setenv("https_proxy", "")
        assert proxy_for("forge.example.org") is None

    def test_one_that_is_not_read_is_named(self, kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ALL_PROXY", "http://proxy.example.org:3128")
        monkeypatch.setattr(network, "SECONDS", 0.2)
        found = by_check(examine(Connection("192.0.2.77:50051", kit)))["proxy"]
        assert (found.state, found.what) == (
            "warning", "ALL_PROXY is set, but it is not read here, and the forge is called directly",
        )  # fmt: skip

    def test_exceptions_are_read_as_grpc_reads_them(
        self, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        kit, host = make_kit(authority, tmp_path / "kit"), own_address()
        with listening(authority, host=host) as at, proxied(monkeypatch) as proxy:
            for exception in (host, f"example.org, {host}", f"{host}/32", f"{host}/8"):
                monkeypatch.setenv("no_proxy", exception)
                with RemoteForge(Connection(at, kit)) as remote:
                    remote.describe()
                assert proxy.asked == [], exception
                assert proxy_for(host) is None, exception
            monkeypatch.setenv("no_proxy", "example.org,203.0.113.0/24")
            with RemoteForge(Connection(at, kit)) as remote:
                remote.describe()
            assert len(proxy.asked) >= 1
            assert proxy_for(host) is not None

    def test_this_very_machine_is_never_asked_for_through_it(
        self, served: tuple[Forge, str], kit: Kit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with proxied(monkeypatch) as proxy:
            assert by_check(examine(Connection(served[1], kit)))["forge"].state == "ok"
            assert proxy.asked == []


class TestCommand:
    def run(self, *arguments: object) -> tuple[int, str]:
        result = CliRunner().invoke(build_app(), ["doctor", *map(str, arguments)], catch_exceptions=False)
        return result.exit_code, result.stdout

    @pytest.mark.parametrize("width", [60, 80, 110])
    def test_every_check_in_lines_that_fit_with_no_word_cut(
        self, kit: Kit, width: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", str(width))
        code, said = self.run("--kit", kit.directory)
        assert code == 0
        assert [line.split()[0] for line in said.splitlines() if not line.startswith(" ")] == CHECKS
        assert max(map(len, said.splitlines())) <= width
        assert f"for forge {kit.card.forge}" in " ".join(said.split())

    def test_a_problem_ends_in_a_failure_and_its_remedy(self, kit: Kit) -> None:
        code, said = self.run("--kit", kit.directory, "--at", f"127.0.0.1:{closed_port()}", "--json")
        assert code == 1
        found = {one["check"]: one for one in json.loads(said)}
        assert list(found) == CHECKS
        assert found["TCP"]["state"] == "problem"

    def test_nothing_secret_is_printed(self, kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("https_proxy", "http://user:hunter2@127.0.0.1:1")
        _, said = self.run("--kit", kit.directory, "--at", "192.0.2.77:50051", "--json")
        assert "hunter2" not in said
        assert "PRIVATE" not in said
