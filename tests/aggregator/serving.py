"""Run real forges: in this process, or as `medforge serve` in one that can be killed."""

import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.policy import Limits, Policy
from medforge.aggregator.merge import MethodSettings, choose_settings
from medforge.aggregator.server.server import ForgeServer
from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.proto.remote import RemoteForge
from tests.aggregator.forges import UNEXAMINED
from tests.programs import Program

FAST = choose_settings(method="mixture", level="output", coefficients="gated")
START_SECONDS = 120.0


@contextmanager
def serving(
    directory: Path,
    base: BaseModule,
    limits: Limits | None = None,
    settings: MethodSettings = FAST,
    tls: bool | None = None,
) -> Iterator[tuple[Forge, str]]:
    """Serve a forge from this process on a free port; gives the forge and its address."""
    forge = Forge.establish(
        directory, base, settings, policy=Policy(limits=limits or Limits(), admission=UNEXAMINED.admission)
    )
    server = ForgeServer(forge, base, "127.0.0.1:0", tls)
    try:
        yield forge, server.start()
    finally:
        server.stop()
        forge.close()


def wait_until_folded(forge: Forge, commits: int, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while forge.ledger.counts()[1] < commits:
        assert time.monotonic() < end, f"only {forge.ledger.counts()[1]} of {commits} arrivals were folded"
        time.sleep(0.02)


def upload(remote: RemoteForge, branch: Branch, directory: Path) -> None:
    """Upload all blobs of a branch without submitting it."""
    branch.save(directory)
    for name, entry in branch.manifest.files.items():
        list(remote.upload(entry.digest, directory / name, 0, 1 << 16))


class Served:
    """`medforge serve` as a process."""

    def __init__(
        self,
        directory: Path,
        spec: str,
        listen: str = "127.0.0.1:0",
        *options: str,
        fault: str | None = None,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.directory = directory
        self.ready = directory.parent / f"{directory.name}.ready"
        self.errors = directory.parent / f"{directory.name}.stderr"
        self.ready.unlink(missing_ok=True)
        command = ["serve", "--forge", directory, "--base", spec, "--listen", listen, "--ready-file", self.ready]
        command += ["--threads", "1", "--policy", "admission.behaviour=false", "--open-tasks", *options]
        self.process = Program(command, self.errors, fault, environment=environment)

    def wait_ready(self) -> str:
        """Wait until it serves, and give its address."""
        end = time.monotonic() + START_SECONDS
        while not self.ready.exists():
            assert self.process.alive, self.errors.read_text()
            assert time.monotonic() < end, "the server did not start"
            time.sleep(0.05)
        return self.ready.read_text()

    def kill(self) -> None:
        """End it as a power cut would: at once, without a last word."""
        self.process.kill()

    def stop(self) -> int:
        """Ask it to end, and give its exit code; one that hangs says first what its threads do."""
        self.process.signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        except AssertionError:
            self.process.signal(signal.SIGUSR1)
            time.sleep(1)
            raise AssertionError(f"the server does not end:\n{self.errors.read_text()}") from None
