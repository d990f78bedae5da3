"""Many random faults against one forge while sites push, review and withdraw, and some of them misbehave."""

import json
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.maintenance import accept, reject
from medforge.aggregator.forge.policy import Admission, Limits, Policy
from medforge.aggregator.identity.invite import invite
from medforge.aggregator.ledger.records import State
from medforge.aggregator.ledger.review_table import ReviewTable
from medforge.aggregator.merge import choose_settings
from medforge.base_module import BaseModule
from medforge.client.push import Patience, push
from medforge.client.review.item_files import ItemFiles
from medforge.client.review.question import ask
from medforge.client.review.run import Reviewer
from medforge.errors import ForgeUnavailable, InvalidInput, MedForgeError
from medforge.proto.connection import Connection
from medforge.proto.errors import NotAllowed
from medforge.proto.kit import Kit
from medforge.proto.remote import RemoteForge
from medforge.proto.signed_review import Review, TaskReview
from medforge.seeds import derive
from tests.faults.checks import wait_for
from tests.faults.review_checks import (
    Acknowledged,
    check_acknowledged,
    check_rest,
    live_commits,
    losses,
)
from tests.faults.review_sites import Site
from tests.making import make_branch
from tests.programs import Program, Server

HONEST, ATTACKERS = ("north", "south", "east"), ("glass", "swap")
SERVER_KILLS = ("starting", "before review", "after review", "before decision", "between decision and hold",
                "between blob and ledger", "between ledger and receipt", "during fold",
                "between forge item and commit", "after commit")  # fmt: skip
CLIENT_KILLS = ("before sending a review", "after sending a review", "before a file")
PATIENT = Patience(minutes=10, silence=5, first_pause=0.05, longest_pause=0.5)
LIFE_SECONDS = 4.0
# Arrivals that may wait to be folded before whoever pushes waits for them.
BACKLOG = 4
# of three faults, as many befall the server and the reviewers' processes
SHARES = {"server": 2, "reviewer": 1}
POLICY = Policy(
    limits=Limits(disk_reserve=0),
    # the examination would keep the attacks out that reviews are to find
    admission=Admission(behaviour=False),
)


@dataclass
class Summary:
    """What a soak did that passed every check.

    `stable_loss` has by honest site the most that a commit that went live loses of its unseen images against the best
    before it, as a share; `head_loss` the same of every commit, reviewed or not.
    """

    seed: int
    faults: int
    by_kind: dict[str, int]
    server_starts: int
    arrivals: int
    commits: int
    reviews: int
    live: int
    found_harmful: dict[str, int]
    misbehaved: dict[str, int]
    stable_loss: dict[str, float]
    head_loss: dict[str, float]
    seconds: float = 0.0

    def plain(self) -> dict[str, object]:
        return asdict(self)


@dataclass
class Tally:
    """Count faults that have been seen to happen, and what else did, from many threads."""

    left: dict[str, int]
    by_kind: Counter[str] = field(default_factory=Counter)
    numbers: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fault(self, family: str, kind: str) -> None:
        with self.lock:
            self.left[family] -= 1
            self.by_kind[f"{family}: {kind}"] += 1

    def add(self, what: str) -> None:
        with self.lock:
            self.numbers[what] += 1


class ReviewSoak:
    """One forge, its server, and the sites that push to it and review it."""

    def __init__(
        self, directory: Path, base: BaseModule, spec: str, sites: dict[str, Site], faults: int, seed: int
    ) -> None:
        self.directory = directory
        self.base = base
        self.sites = sites
        self.seed = seed
        parts = sum(SHARES.values())
        self.tally = Tally({family: -(-faults * share // parts) for family, share in SHARES.items()})
        self.said = Acknowledged()
        self.kits: dict[str, Kit] = {}
        self._deadline = time.monotonic() + 180 + 20 * faults
        self._failed = threading.Event()
        Forge.establish(directory / "forge", base, choose_settings(), policy=POLICY).close()
        self.server = Server(directory / "forge", spec, "--tls")

    def run(self) -> Summary:
        """Soak until every family has had its faults and an attack was found, let it come to rest, and check it."""
        begun = time.monotonic()
        workers: list[Callable[[], None]] = [self._keep_server, self._lie, self._disturb, self._maintain]
        workers += [lambda name=name: self._review(name) for name in HONEST]  # type: ignore[misc]
        workers += [lambda name=name: self._contribute(name, 8, 20) for name in ("north", "east")]  # type: ignore[misc]
        workers += [lambda name=name: self._contribute(name, 1, 8) for name in ATTACKERS]  # type: ignore[misc]
        with self.server:
            self._found()
            with ThreadPoolExecutor(len(workers)) as pool:
                for future in [pool.submit(self._guarded, worker) for worker in workers]:
                    future.result()
            summary = self._check()
        summary.seconds = round(time.monotonic() - begun, 1)
        return summary

    def _guarded(self, worker: Callable[[], None]) -> None:
        try:
            worker()
        except BaseException:
            self._failed.set()
            raise

    def _random(self, *place: str) -> random.Random:
        return random.Random(derive(self.seed, "review soak", *place))

    @property
    def _over(self) -> bool:
        assert time.monotonic() < self._deadline, f"the soak does not end: {self.tally.by_kind} {self.tally.numbers}"
        return self._failed.is_set() or (max(self.tally.left.values()) <= 0 and self.tally.numbers["harm found"] > 0)

    def _connect(self, name: str) -> Connection:
        return Connection(self.server.at, self.kits[name])

    def _remote(self, name: str) -> RemoteForge:
        return RemoteForge(self._connect(name), PATIENT.silence)

    def _found(self) -> None:
        """Invite everybody, and let the honest push and review before anybody attacks."""
        self.server.up()
        forge = Forge.open(self.server.directory)
        for name in (*self.sites, "noise"):
            self.kits[name] = Kit.load(invite(forge, name, self.server.at, self.directory / "kits" / name).directory)
        for name in (*HONEST, "liar"):
            self._push(name)
        wait_for(lambda: forge.ledger.counts()[1] == len(self.said.receipts))
        forge.close()
        for name in HONEST:
            self._review_once(self._reviewer(name))

    # the server

    def _keep_server(self) -> None:
        """Return the server one life after another, and look after each death whether all that it said is there."""
        draw = self._random("server")
        while not self._over:
            program = self.server.program
            assert program is not None
            if program.alive:
                time.sleep(draw.uniform(0.2, 2))
                program.signal(signal.SIGKILL)
                assert program.wait() == -signal.SIGKILL
                self.tally.fault("server", "killed at any moment")
            self._look()
            point = draw.choice(SERVER_KILLS)
            program = self.server.start(f"{point}:{1 if point == 'starting' else draw.randint(1, 2)}")
            self.server.wait_ready()
            end = time.monotonic() + LIFE_SECONDS
            while program.alive and time.monotonic() < end:
                time.sleep(0.02)
            if not program.alive:
                assert program.exit_code == -signal.SIGKILL, program.said()
                assert program.faults(), program.said()
                self.tally.fault("server", f"killed {point}")
        if self.server.program is None or not self.server.program.alive:
            self.server.up()

    def _look(self) -> None:
        said = self.said.copy()
        forge = Forge.open(self.server.directory)
        try:
            check_acknowledged(forge, said)
            decisions = ReviewTable(forge.ledger).read().decisions
            self.tally.numbers["harm found"] = sum(one.decision.standing == "harmful" for one in decisions)
        finally:
            forge.close()

    # the sites

    def _reviewer(self, name: str) -> Reviewer:
        files = ItemFiles(self.directory / "files" / name)
        return Reviewer([self.sites[name].workspace], self._connect(name), "cpu", files=files)

    def _review(self, name: str) -> None:
        """Review whatever is asked for, at random moments, sometimes by the command, which is killed."""
        draw, reviewer = self._random("review", name), self._reviewer(name)
        while not self._over:
            time.sleep(draw.uniform(0.1, 1))
            if self.tally.left["reviewer"] > 0 and draw.random() < 0.5:
                self._review_by_command(name, draw)
            else:
                self._review_once(reviewer)

    def _review_once(self, reviewer: Reviewer) -> bool:
        """Review what is asked for now, if it can be; say whether anything was."""
        try:
            done = reviewer.once()
        except ForgeUnavailable:
            return True
        except InvalidInput as error:
            return _moved_on(error)
        with self.said.lock:
            if done.sent and done.review is not None:
                self.said.reviews.append(done.review.digest)
            if done.question.reviewed:
                self.said.stable.append(done.question.stable.digest)
        return done.commit is not None and (done.sent or done.commit.digest not in done.question.own)

    def _review_by_command(self, name: str, draw: random.Random) -> None:
        place = self.directory / "files" / f"{name}.json"
        place.unlink(missing_ok=True)
        point = draw.choice((*CLIENT_KILLS, None))
        kit = self.kits[name].directory
        command = ["review", "--workspace", self.sites[name].workspace, "--kit", kit, "--threads", 1, "--json"]
        program = Program(command, place.with_suffix(".log"), point, place)
        if point is None:
            time.sleep(draw.uniform(0.1, 1.5))
            program.signal(signal.SIGKILL)
        code = program.wait(120)
        if code == -signal.SIGKILL:
            self.tally.fault("reviewer", f"killed {point or 'at any moment'}")
        elif code == 0:
            said = json.loads(place.read_text())
            if said["sent"]:
                with self.said.lock:
                    self.said.reviews.append(Review.model_validate(said["review"]).digest)
        else:
            assert "Traceback" not in program.said(), program.said()

    def _push(self, name: str) -> str:
        place = self.sites[name].next_branch(self.base, self.directory / "branches")
        receipt = push(place, self._connect(name), place.with_suffix(".receipt"), patience=PATIENT)
        with self.said.lock:
            self.said.receipts.append(receipt)
        return receipt.branch

    def _contribute(self, name: str, least: float, most: float) -> None:
        """Push one version after another; who attacks takes some of them back."""
        draw = self._random("contribute", name)
        while not self._over:
            self._rest(draw.uniform(least, most))
            while self._backlog() > BACKLOG and not self._over:
                self._rest(1)
            branch = self._push(name)
            if name in ATTACKERS and draw.random() < 0.3:
                self._rest(draw.uniform(0, least))
                self._withdraw(name, branch)

    def _backlog(self) -> int:
        forge = Forge.open(self.server.directory)
        try:
            return len(forge.ledger.unfolded(limit=BACKLOG + 1))
        finally:
            forge.close()

    def _rest(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self._over:
            time.sleep(0.1)

    def _withdraw(self, name: str, branch: str) -> None:
        while not self._failed.is_set():
            try:
                with self._remote(name) as remote:
                    remote.withdraw(branch, erase=False)
                break
            except ForgeUnavailable:
                time.sleep(0.2)
        with self.said.lock:
            self.said.withdrawn.append(branch)

    # who misbehaves in other ways, and who decides

    def _lie(self) -> None:
        """Say of every commit that it ruins both questions, and say so in another's name."""
        draw = self._random("lie")
        while not self._over:
            time.sleep(draw.uniform(0.2, 1.5))
            try:
                self._lie_once()
            except ForgeUnavailable:
                continue
            except InvalidInput as error:
                _moved_on(error)

    def _lie_once(self) -> None:
        with self._remote("liar") as remote:
            question = ask(remote, "liar")
            commit = question.asked
            if commit is None or commit.digest in question.own:
                return
            stable = question.stable.digest if question.stable.digest in question.live else None
            counts = TaskReview(baseline=stable, images=400, right=20, lost=300 if stable else 0)
            review = Review(
                forge=question.forge, reviewer="liar", commit=commit.digest,
                tasks={"stains": counts, "shades": counts}, threshold=10, software="0",
            )  # fmt: skip
            remote.review(review.to_bytes(), bytes.fromhex(self.kits["liar"].sign_review(review).signature))
            self.tally.add("false reviews")
            other = review.model_copy(update={"reviewer": "north"})
            try:
                remote.review(other.to_bytes(), bytes.fromhex(self.kits["liar"].sign_review(other).signature))
            except NotAllowed:
                self.tally.add("reviews in another's name refused")
            else:
                raise AssertionError("a review in another's name was taken")
        with self.said.lock:
            self.said.reviews.append(review.digest)

    def _disturb(self) -> None:
        """Submit what is refused, again and again."""
        number = 0
        while not self._over:
            number += 1
            branch = make_branch(self.base, number, task="noise", contributor="noise", size=50)
            place = self.directory / "branches" / f"noise-{number}"
            branch.save(place)
            try:
                push(place, self._connect("noise"), place.with_suffix(".receipt"), patience=PATIENT)
            except ForgeUnavailable:
                continue
            except MedForgeError:
                self.tally.add("refused submits")
            else:
                raise AssertionError("a branch out of all measure was taken")
            self._rest(1)

    def _maintain(self) -> None:
        """Accept what is held of the honest, reject some of the rest."""
        draw = self._random("maintain")
        while not self._over:
            self._rest(draw.uniform(2, 6))
            forge = Forge.open(self.server.directory)
            for arrival in forge.ledger.arrivals(State.HELD):
                try:
                    if arrival.contributor in HONEST:
                        accept(forge, str(arrival.number))
                        self.tally.add("honest branches accepted by the maintainer")
                    elif draw.random() < 0.3:
                        reject(forge, str(arrival.number), "it does harm")
                        self.tally.add("attacks rejected by the maintainer")
                except MedForgeError:
                    # its contributor withdrew it meanwhile
                    continue
            forge.close()

    # the end

    def _check(self) -> Summary:
        self._come_to_rest()
        self.server.stop()
        # nothing that the software itself did not expect
        assert "Traceback" not in self.server.log.read_text(errors="replace")
        forge = Forge.open(self.server.directory)
        check_acknowledged(forge, self.said)
        check_rest(forge, self.base)
        table = ReviewTable(forge.ledger).read()
        owners = {arrival.number: arrival.contributor for arrival in forge.ledger.arrivals()}
        harmful = [one.decision.arrival or 0 for one in table.decisions if one.decision.standing == "harmful"]
        live = live_commits(forge)
        honest = [self.sites[name] for name in HONEST]
        answered = [commit.digest for _, commit in forge.ledger.commits()]
        begun = answered[answered.index(live[0]) :]
        summary = Summary(
            seed=self.seed,
            faults=self.tally.by_kind.total(),
            by_kind=dict(sorted(self.tally.by_kind.items())),
            server_starts=self.server.starts,
            arrivals=len(owners),
            commits=len(answered),
            reviews=len(table.reviews),
            live=len(live),
            found_harmful=dict(Counter(owners[number] for number in harmful)),
            misbehaved={name: count for name, count in sorted(self.tally.numbers.items()) if name != "harm found"},
            stable_loss=losses(forge, self.base, honest, live),
            head_loss=losses(forge, self.base, honest, begun),
        )
        forge.close()
        return summary

    def _come_to_rest(self) -> None:
        """Let everybody review, the liar honestly, until nothing is asked for and nothing waits."""
        reviewers = [self._reviewer(name) for name in (*HONEST, "liar")]

        def quiet() -> bool:
            busy = [self._review_once(reviewer) for reviewer in reviewers]
            with self._remote("north") as remote:
                said = remote.describe()
            forge = Forge.open(self.server.directory)
            head = forge.ledger.head()
            waits = bool(forge.ledger.unfolded(limit=1)) or head is None
            settled = head is not None and set(head.members) == set(forge.ledger.numbers(State.FOLDED))
            forge.close()
            return not any(busy) and not waits and settled and said.candidate in ("", said.stable)

        wait_for(quiet, 600)


def _moved_on(error: InvalidInput) -> bool:
    """Let pass that a commit was decided while it was reviewed; anything else is a failure."""
    if "review what the forge asks for now" not in str(error):
        raise error
    return True
