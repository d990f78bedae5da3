"""Many random faults against one forge while several centres push, and what came of it."""

import random
import signal
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from medforge.base_module import BaseModule
from medforge.branch import Branch
from medforge.client.push import Patience, push
from medforge.errors import ForgeUnavailable
from medforge.manifest import MANIFEST_FILE
from medforge.proto.connection import Connection
from medforge.proto.receipt import Receipt
from medforge.proto.remote import RemoteForge
from tests.faults.checks import check_all_folded, establish, undisturbed, wait_folded
from tests.faults.crew import Crew
from tests.faults.database import FAMILY, TroubledDatabase, up_again
from tests.faults.proxy import KINDS, Proxy, Trouble
from tests.faults.sites import workspace
from tests.faults.tally import Tally
from tests.making import make_branch
from tests.programs import Program, Server

SILENCE = 2.0
PATIENT = Patience(minutes=10, silence=SILENCE, first_pause=0.05, longest_pause=0.5)
SIGKILLS = ("starting", "during upload", "before blob", "between blob and ledger", "between ledger and receipt",
            "during fold", "between forge item and commit", "after commit", "before a file")  # fmt: skip
FULL = ("during upload", "before blob", "between blob and ledger", "during fold", "between forge item and commit")
CLIENT_KILLS = ("during push", "before submit", "before receipt", "before a file")
IN_THREADS, IN_PROCESSES = 3, 2
# Of so many faults, as many befall the server, the connections and the centres' processes.
SHARES = {"server": 4, "connection": 4, "client": 2}
# and, where the ledger is on a server of its own, that one
OF_DATABASE = {FAMILY: 2}
# How long one life of the server waits for its fault before it is killed where it stands.
LIFE_SECONDS = 6.0
# Arrivals that may wait to be folded before the centres wait for them.
BACKLOG = 6


@dataclass
class Summary:
    """What a soak did that passed every check; times in seconds.

    `sent` and `needed` count the bytes of branches that were pushed through a proxy alone. `head` is the digest of the
    last commit, in the disturbed and in the undisturbed forge.
    """

    seed: int
    faults: int = 0
    by_kind: dict[str, int] = field(default_factory=dict)
    server_starts: int = 0
    arrivals: int = 0
    receipts: int = 0
    repeated_submits: int = 0
    retries: int = 0
    sent: int = 0
    needed: int = 0
    longest_restart: float = 0.0
    longest_push: float = 0.0
    head: str = ""
    seconds: float = 0.0

    def plain(self) -> dict[str, object]:
        return asdict(self)


class SoakTally(Tally):
    """Count faults, the branches that were made, their receipts, and what took longest (seconds)."""

    def __init__(self, faults: int, shares: Mapping[str, int]) -> None:
        super().__init__(faults, shares)
        self._guard = threading.Lock()
        self.longest: dict[str, float] = {"restart": 0.0, "push": 0.0}
        self.receipts: list[Receipt] = []
        self.branches: dict[str, Branch] = {}

    def took(self, what: str, seconds: float) -> None:
        with self._guard:
            self.longest[what] = max(self.longest[what], seconds)

    def next_branch(self, base: BaseModule) -> Branch:
        """Make a branch that nobody has made before."""
        with self._guard:
            number = len(self.branches) + 1
            made = make_branch(base, number, task=f"task {number:04}", contributor=f"centre {number:04}", ipc=2)
            self.branches[made.digest] = made
        return made

    def receipt(self, receipt: Receipt) -> None:
        with self._guard:
            self.receipts.append(receipt)


class Soak:
    """One forge, its server, and the centres that push to it."""

    def __init__(
        self, directory: Path, base: BaseModule, spec: str, faults: int, seed: int, database: TroubledDatabase | None
    ) -> None:
        self.directory = directory
        self.database = database
        self.shares = SHARES | (OF_DATABASE if database else {})
        self.base = base
        self.spec = spec
        self.seed = seed
        self.tally = SoakTally(faults, self.shares)
        self.crew = Crew("soak", seed, self.tally, 120 + 20 * faults, lambda: self.tally.done)
        self._waiting = 0
        self._url = database.url if database else None
        establish(directory / "forge", base, self._url)
        self.server = Server(directory / "forge", spec, *(("--ledger", self._url) if self._url else ()))

    def run(self) -> Summary:
        """Soak until every family has had its faults, let everything come to rest, and check it."""
        begun = time.monotonic()
        workers: list[Callable[[], None]] = [self._keep_server]
        workers += [partial(self._push_in_thread, number) for number in range(IN_THREADS)]
        workers += [partial(self._push_in_process, number) for number in range(IN_PROCESSES)]
        if self.database is not None:
            workers.append(partial(self.database.trouble, self.crew, self.tally))
        with self.server:
            self.server.up()
            self.crew.work(workers)
            summary = self._check()
        summary.seconds = time.monotonic() - begun
        return summary

    # the server

    def _keep_server(self) -> None:
        """Return the server one life after another, each with a fault of its own; the last has none."""
        draw = self.crew.random("server")
        self._kill(0.5)
        while not self.crew.over and self.tally.wants("server"):
            self._life(draw)
        if self.server.program is None or not self.server.program.alive:
            up_again(self.server)

    def _life(self, draw: random.Random) -> None:
        assert self.server.program is not None
        action = draw.choices(("kill", "full", "freeze", "signal"), (6, 2, 1, 2))[0]
        point = draw.choice(SIGKILLS if action == "kill" else FULL)
        fault = None if action == "signal" else f"{point}:{draw.randint(1, 1 if point == 'starting' else 3)}={action}"
        died = time.monotonic()
        program, ready = up_again(self.server, fault)
        if ready:
            self.tally.took("restart", time.monotonic() - died)
        end = time.monotonic() + (draw.uniform(0.2, 2) if action == "signal" else LIFE_SECONDS)
        while program.alive and not program.faults() and time.monotonic() < end and not self.crew.failed:
            time.sleep(0.02)
        if action == "freeze" and program.faults():
            time.sleep(draw.uniform(0.5, 2 * SILENCE))
            program.signal(signal.SIGCONT)
        if action in ("full", "freeze") and program.faults():
            self.tally.fault("server", f"{action} {point}")
            # and now see it work again
            time.sleep(draw.uniform(0.5, 1.5))
        if action == "kill" and program.faults():
            assert program.wait() == -signal.SIGKILL
            self.tally.fault("server", f"killed {point}")
        elif program.alive and self.tally.wants("server"):
            self._kill(0)
        assert program.alive or program.exit_code == -signal.SIGKILL, program.said()

    def _kill(self, after: float) -> None:
        program = self.server.program
        assert program is not None
        time.sleep(after)
        program.signal(signal.SIGKILL)
        assert program.wait() == -signal.SIGKILL
        self.tally.fault("server", "killed at any moment")

    # the centres

    def _push_in_thread(self, number: int) -> None:
        """Push branch after branch over bad connections, many of them twice at once, and some again later."""
        draw = self.crew.random("thread", number)
        with Proxy(self.server.at) as proxy:
            while not self.crew.over:
                branch = self.tally.next_branch(self.base)
                place = self.directory / f"thread-{number}" / branch.digest[:12]
                branch.save(place)
                size = sum(entry.size for entry in branch.manifest.files.values())
                if self.tally.wants("connection"):
                    proxy.troubles.extend(_trouble(draw, size) for _ in range(draw.randint(1, 3)))
                self._breathe(draw, "connection")
                twice, sent = draw.random() < 0.2, proxy.up
                with ThreadPoolExecutor(1) as beside:
                    other = beside.submit(self._push, place, self.server.at, "again") if twice else None
                    receipt = self._push(place, proxy.at, "once")
                    assert other is None or other.result() == receipt
                proxy.troubles.clear()
                self.tally.receipt(receipt)
                if twice:
                    self.tally.fault("connection", "pushed twice at once")
                else:
                    self.tally.add("needed", size)
                    self.tally.add("sent", proxy.up - sent)
                if draw.random() < 0.3:
                    self._submit_again(place, receipt)
                for trouble in proxy.drain():
                    self.tally.fault("connection", f"{trouble.kind} {'up' if trouble.upwards else 'down'}")

    def _breathe(self, draw: random.Random, family: str) -> None:
        """Wait a while for the forge to fold what waits, and for the server's faults to catch up with this family's."""
        self.crew.rest(draw.uniform(10, 30), unless=lambda: not self.tally.ahead(family) and self._backlog() <= BACKLOG)

    def _backlog(self) -> int:
        try:
            with RemoteForge(Connection(self.server.at), SILENCE) as remote:
                said = remote.describe()
                self._waiting = int(said.arrivals - said.commits)
        except ForgeUnavailable:
            # it is dead just now, and what waits still waits
            pass
        return self._waiting

    def _push(self, place: Path, at: str, name: str) -> Receipt:
        def hear(sentence: str) -> None:
            self.tally.add("retries")
            assert not self.crew.failed, sentence

        begun = time.monotonic()
        receipt = push(
            place, Connection(at), place.parent / f"{place.name}.{name}.json", patience=PATIENT, on_wait=hear
        )
        self.tally.took("push", time.monotonic() - begun)
        return receipt

    def _submit_again(self, place: Path, receipt: Receipt) -> None:
        try:
            with RemoteForge(Connection(self.server.at), SILENCE) as remote:
                remote.describe()
                assert remote.submit((place / MANIFEST_FILE).read_bytes()) == receipt
            self.tally.add("repeated submits")
        except ForgeUnavailable:
            # it is dead just now, and whoever repeats himself has no reason to wait
            return

    def _push_in_process(self, number: int) -> None:
        """Push branch after branch by the command, which is killed and typed again until it gives its receipt."""
        draw = self.crew.random("process", number)
        while not self.crew.over:
            branch = self.tally.next_branch(self.base)
            site = workspace(self.directory / f"process-{number}" / branch.digest[:12], branch, self.spec)
            command = ["push", "--workspace", site.path, "--at", self.server.at, "--patience", "10"]
            begun = time.monotonic()
            while site.pushed is None:
                point = draw.choice((*CLIENT_KILLS, None)) if self.tally.wants("client") else None
                program = Program(command, site.path / "log", point and f"{point}:{draw.randint(1, 2)}")
                if point is None and self.tally.wants("client"):
                    time.sleep(draw.uniform(0.05, 1))
                    program.signal(signal.SIGKILL)
                code = program.wait(600)
                self.tally.add("retries", program.said().count("trying again in"))
                if code == -signal.SIGKILL:
                    self.tally.fault("client", f"killed {point or 'at any moment'}")
                else:
                    assert code == 0, program.said()
            self.tally.took("push", time.monotonic() - begun)
            self.tally.receipt(Receipt.load(site.receipt_file))
            self._breathe(draw, "client")

    # the end

    def _check(self) -> Summary:
        tally = self.tally
        with RemoteForge(Connection(self.server.at)) as remote:
            arrivals = remote.describe().arrivals
        wait_folded(self.server.at, arrivals, seconds=60 + 3 * arrivals)
        self.server.stop()
        order = [receipt.branch for receipt in sorted(tally.receipts, key=lambda receipt: receipt.arrival)]
        assert len(order) == arrivals
        chain = undisturbed(self.directory / "undisturbed", self.base, [tally.branches[branch] for branch in order])
        check_all_folded(self.server.directory, tally.receipts, chain, self._url)
        return Summary(
            seed=self.seed,
            faults=tally.by_kind.total(),
            by_kind=dict(sorted(tally.by_kind.items())),
            server_starts=self.server.starts,
            arrivals=arrivals,
            receipts=len(tally.receipts),
            repeated_submits=tally.numbers["repeated submits"],
            retries=tally.numbers["retries"],
            sent=tally.numbers["sent"],
            needed=tally.numbers["needed"],
            longest_restart=tally.longest["restart"],
            longest_push=tally.longest["push"],
            head=chain[-1],
        )


def _trouble(draw: random.Random, size: int) -> Trouble:
    # somewhat beyond the blobs lies Submit
    after = draw.choice((draw.randint(0, size), draw.randint(0, size), size + draw.randint(0, 1000)))
    kind = draw.choice(KINDS)
    return Trouble(kind, after, upwards=kind == "replay" or draw.random() < 0.7, seconds=draw.uniform(0.01, 0.1))
