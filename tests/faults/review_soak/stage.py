"""The forge of a soak with reviews, its server and its sites: what every worker of the soak works with."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.policy import Admission, Limits, Policy
from medforge.aggregator.identity.invite import invite
from medforge.aggregator.merge import choose_settings
from medforge.base_module import BaseModule
from medforge.client.push import Patience, push
from medforge.proto.connection import Connection
from medforge.proto.kit import Kit
from medforge.proto.remote import RemoteForge
from tests.faults.crew import Crew
from tests.faults.database import FAMILY, TroubledDatabase
from tests.faults.review_soak.checks import Acknowledged
from tests.faults.review_soak.sites import Site
from tests.faults.tally import Tally
from tests.programs import Server

HONEST, ATTACKERS, LIAR, NOISE = ("north", "south", "east"), ("glass", "swap"), "liar", "noise"
PATIENT = Patience(minutes=10, silence=5, first_pause=0.05, longest_pause=0.5)
HARM = "harm found"
# of three faults, as many befall the server and the reviewers' processes
SHARES = {"server": 2, "reviewer": 1}
# and, where the ledger is on a server of its own, that one
OF_DATABASE = {FAMILY: 1}
POLICY = Policy(
    limits=Limits(disk_reserve=0),
    # the examination would keep the attacks out that reviews are to find
    admission=Admission(behaviour=False),
)


class Stage:
    """One forge that a server serves over mutual TLS, and who speaks to it; `said` is what it has acknowledged."""

    def __init__(
        self,
        directory: Path,
        base: BaseModule,
        spec: str,
        sites: dict[str, Site],
        faults: int,
        seed: int,
        database: TroubledDatabase | None,
    ) -> None:
        self.directory = directory
        self.base = base
        self.sites = sites
        self.said = Acknowledged()
        self.database = database
        self.shares = SHARES | (OF_DATABASE if database else {})
        self.tally = Tally(faults, self.shares)
        self.crew = Crew("review soak", seed, self.tally, 180 + 60 * faults, self._enough)
        self.kits: dict[str, Kit] = {}
        self._url = database.url if database else None
        Forge.establish(directory / "forge", base, choose_settings(), self._url, policy=POLICY).close()
        elsewhere = ("--ledger", self._url) if self._url else ()
        self.server = Server(directory / "forge", spec, "--tls", *elsewhere)

    def _enough(self) -> bool:
        return self.tally.done and self.tally.numbers[HARM] > 0

    def invite_all(self) -> None:
        """Invite everybody to the server that is up."""
        with self.opened() as forge:
            for name in (*self.sites, NOISE):
                invited = invite(forge, name, self.server.at, self.directory / "kits" / name)
                self.kits[name] = Kit.load(invited.directory)

    @contextmanager
    def opened(self) -> Iterator[Forge]:
        """Open the forge for reading and for the maintainer's decisions, whoever serves it."""
        with self.database.steady() if self.database else nullcontext():
            forge = Forge.open(self.server.directory, self._url)
            try:
                yield forge
            finally:
                forge.close()

    def connection(self, name: str) -> Connection:
        """Return how somebody reaches the server."""
        return Connection(self.server.at, self.kits[name])

    def remote(self, name: str) -> RemoteForge:
        """Return the forge as somebody sees it."""
        return RemoteForge(self.connection(name), PATIENT.silence)

    def push(self, name: str) -> str:
        """Push a site's next branch until it has its receipt; return the branch's digest."""
        place = self.sites[name].next_branch(self.base, self.directory / "branches")
        receipt = push(place, self.connection(name), place.with_suffix(".receipt"), patience=PATIENT)
        with self.said.lock:
            self.said.receipts.append(receipt)
        return receipt.branch
