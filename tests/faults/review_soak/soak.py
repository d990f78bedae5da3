"""Many random faults against one forge while sites push, review and withdraw, and some of them misbehave."""

import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from medforge.aggregator.ledger.records import State
from medforge.aggregator.ledger.review_table import ReviewTable
from medforge.base_module import BaseModule
from medforge.errors import ForgeUnavailable
from tests.faults.checks import wait_for
from tests.faults.database import TroubledDatabase
from tests.faults.review_soak.checks import check_acknowledged, check_rest, live_commits, losses
from tests.faults.review_soak.contributors import contribute, disturb
from tests.faults.review_soak.liar import lie
from tests.faults.review_soak.maintainer import maintain
from tests.faults.review_soak.reviewers import review, review_once, reviewer
from tests.faults.review_soak.server import keep_server
from tests.faults.review_soak.sites import Site
from tests.faults.review_soak.stage import ATTACKERS, HARM, HONEST, LIAR, Stage
from tests.faults.review_soak.summary import Summary

REST_SECONDS = 600


class ReviewSoak:
    """One forge, its server, and the sites that push to it and review it."""

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
        self.seed = seed
        self.stage = Stage(directory, base, spec, sites, faults, seed, database)

    def run(self) -> Summary:
        """Soak until every family has had its faults and an attack was found, let it come to rest, and check it."""
        begun, stage = time.monotonic(), self.stage
        workers: list[Callable[[], None]] = [partial(one, stage) for one in (keep_server, lie, disturb, maintain)]
        workers += [partial(review, stage, name) for name in HONEST]
        workers += [partial(contribute, stage, name, 8, 20) for name in ("north", "east")]
        workers += [partial(contribute, stage, name, 1, 8) for name in ATTACKERS]
        if stage.database is not None:
            workers.append(partial(stage.database.trouble, stage.crew, stage.tally))
        with stage.server:
            self._found()
            stage.crew.work(workers)
            summary = self._check()
        summary.seconds = round(time.monotonic() - begun, 1)
        return summary

    def _found(self) -> None:
        """Invite everybody, and let the honest push and review before anybody attacks."""
        stage = self.stage
        stage.server.up()
        stage.invite_all()
        for name in (*HONEST, LIAR):
            stage.push(name)
        with stage.opened() as forge:
            wait_for(lambda: forge.ledger.counts()[1] == len(stage.said.receipts))
        for name in HONEST:
            review_once(stage, reviewer(stage, name))

    def _check(self) -> Summary:
        stage = self.stage
        self._come_to_rest()
        stage.server.stop()
        # nothing that the software itself did not expect
        assert "Traceback" not in stage.server.log.read_text(errors="replace")
        with stage.opened() as forge:
            check_acknowledged(forge, stage.said)
            check_rest(forge, stage.base)
            table = ReviewTable(forge.ledger).read()
            owners = {arrival.number: arrival.contributor for arrival in forge.ledger.arrivals()}
            harmful = [one.decision.arrival or 0 for one in table.decisions if one.decision.standing == "harmful"]
            live = live_commits(forge)
            honest = [stage.sites[name] for name in HONEST]
            answered = [commit.digest for _, commit in forge.ledger.commits()]
            begun = answered[answered.index(live[0]) :]
            return Summary(
                seed=self.seed,
                faults=stage.tally.by_kind.total(),
                by_kind=dict(sorted(stage.tally.by_kind.items())),
                server_starts=stage.server.starts,
                arrivals=len(owners),
                commits=len(answered),
                reviews=len(table.reviews),
                live=len(live),
                found_harmful=dict(Counter(owners[number] for number in harmful)),
                misbehaved={name: count for name, count in sorted(stage.tally.numbers.items()) if name != HARM},
                stable_loss=losses(forge, stage.base, honest, live),
                head_loss=losses(forge, stage.base, honest, begun),
            )

    def _come_to_rest(self) -> None:
        """Let everybody review, the liar honestly, until nothing is asked for and nothing waits."""
        stage = self.stage
        reviewers = [reviewer(stage, name) for name in (*HONEST, LIAR)]

        def quiet() -> bool:
            busy = [review_once(stage, one) for one in reviewers]
            try:
                with stage.remote(HONEST[0]) as remote:
                    said = remote.describe()
            except ForgeUnavailable:
                # a busy machine may be late to say that the forge is still the only one
                return False
            with stage.opened() as forge:
                head = forge.ledger.head()
                waits = bool(forge.ledger.unfolded(limit=1)) or head is None
                settled = head is not None and set(head.members) == set(forge.ledger.numbers(State.FOLDED))
            return not any(busy) and not waits and settled and said.candidate in ("", said.stable)

        wait_for(quiet, REST_SECONDS)
