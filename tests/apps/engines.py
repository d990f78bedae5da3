"""Flower's engines as a user starts them: a SuperLink, SuperNodes and `flwr run`, each in a session of its own."""

from __future__ import annotations

import datetime
import ipaddress
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

APP = Path(__file__).parents[2] / "apps" / "flower"
START_SECONDS = 120.0
RUN_SECONDS = 240.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class Engine:
    """One home of Flower's, and what runs in it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._environment = os.environ | {
            "FLWR_HOME": str(home),
            "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            "FLWR_TELEMETRY_ENABLED": "0",
            "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
            "OMP_NUM_THREADS": "1",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }

    def start(self, name: str, *arguments: object) -> Path:
        """Start a program of Flower's that stays; return its log."""
        log = self.home / f"{name}.log"
        with log.open("wb") as out:
            self._processes[name] = subprocess.Popen(
                list(map(str, arguments)),
                stdout=out,
                stderr=subprocess.STDOUT,
                env=self._environment,
                cwd=self.home,
                start_new_session=True,
            )
        return log

    def kill(self, name: str, sign: signal.Signals = signal.SIGKILL) -> None:
        """End a program and all that it started, as a power cut would or by another signal."""
        os.killpg(self._processes[name].pid, sign)
        self._processes.pop(name).wait()

    def pid(self, name: str) -> int:
        """Return the process id of a program that stays."""
        return self._processes[name].pid

    def call(self, *arguments: object, seconds: float = RUN_SECONDS, place: Path | None = None) -> str:
        """Run a command to its end; return what it printed."""
        done = subprocess.run(
            list(map(str, arguments)),
            capture_output=True,
            text=True,
            env=self._environment,
            cwd=place or self.home,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def connect(self, port: int, certificate: Path | None = None) -> None:
        """Make a SuperLink on this machine the one that `flwr` speaks to."""
        how = "insecure = true" if certificate is None else f'root-certificates = "{certificate}"'
        text = f'[superlink]\ndefault = "here"\n\n[superlink.here]\naddress = "127.0.0.1:{port}"\n{how}\n'
        (self.home / "config.toml").write_text(text, encoding="utf-8")

    def wait(self, log: Path, words: str) -> None:
        """Wait until a program says something."""
        end = time.monotonic() + START_SECONDS
        while words not in log.read_text(encoding="utf-8"):
            assert time.monotonic() < end, f"{log.name} never said {words!r}: {log.read_text(encoding='utf-8')[-2000:]}"
            time.sleep(0.1)

    def stop(self) -> None:
        """End everything that was started, gently first."""
        for sign in (signal.SIGTERM, signal.SIGKILL):
            for process in self._processes.values():
                try:
                    os.killpg(process.pid, sign)
                except ProcessLookupError:
                    continue
            for process in self._processes.values():
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    continue

    def left(self, patience: float = 60.0) -> list[str]:
        """Name the programs of this home that still run, whoever started them, once they have had time to end."""
        end = time.monotonic() + patience
        while (found := self._running()) and time.monotonic() < end:
            time.sleep(0.2)
        return found

    def _running(self) -> list[str]:
        found = []
        for directory in Path("/proc").iterdir():
            try:
                environment = (directory / "environ").read_bytes()
                command = (directory / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if f"FLWR_HOME={self.home}".encode() in environment.split(b"\0") and command:
                found.append(command)
        return found


@contextmanager
def engine(home: Path) -> Iterator[Engine]:
    """Have a home for Flower's programs, all of which are ended afterwards."""
    made = Engine(home)
    try:
        yield made
    finally:
        made.stop()


def make_certificates(directory: Path) -> tuple[Path, Path, Path]:
    """Write a certificate authority, and a certificate with its key for this machine."""
    now = datetime.datetime.now(datetime.UTC)

    def build(name: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )

    authority, server = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = build("authority", authority).add_extension(x509.BasicConstraints(True, None), critical=True)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    leaf = build("localhost", server).add_extension(names, critical=False)
    paths = directory / "ca.pem", directory / "server.pem", directory / "server.key"
    paths[0].write_bytes(root.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(leaf.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    paths[2].write_bytes(
        server.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return paths


def make_node_key(path: Path) -> Path:
    """Write a node's private key in OpenSSH's format, and the public one beside it; return the public one's path."""
    key = ec.generate_private_key(ec.SECP384R1())
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())
    )
    path.chmod(0o600)
    public = path.with_suffix(".pub")
    public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    )
    return public
