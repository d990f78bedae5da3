"""MedForge as Flower strategies: a round is an arrival, and each arrival is folded on its own."""

from __future__ import annotations

import logging
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import ClassVar

from flwr.app import (
    DEFAULT_TTL,
    Array,
    ArrayRecord,
    ConfigRecord,
    Message,
    MetricRecord,
    RecordDict,
)
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from medforge.aggregator.flower.guests import ASK_AGAIN_SECONDS, Guests
from medforge.aggregator.flower.invitation import invitations
from medforge.aggregator.flower.rounds import ArrivalRounds, ForgeResult
from medforge.aggregator.ledger.commit import Commit
from medforge.aggregator.main_branch.main_branch import MainBranch
from medforge.aggregator.merge.catalogue import listing_of
from medforge.aggregator.merge.listing import ItemKind
from medforge.errors import InvalidBranch, InvalidInput
from medforge.forge_item import ForgeItem, FusedPlugin, Mixture, Routed, WeightChange
from medforge.manifest import public_spec
from medforge.proto.flower import branch_from_record, manifest_from_record, plugin_arrays

_log = logging.getLogger(__name__)


class MedForgeStrategy(Strategy):
    """Fold each node's branch into the main branch when it comes, in place of averaging a round of nodes.

    A reply carries a branch as `medforge.proto.flower.branch_to_record` makes it, or an ``idle_record`` of a node
    that has none to send. ``server_round`` is an arrival number. ``poll`` is the pause between two looks at
    the grid in seconds, ``ttl`` how long an invitation stays valid. A branch that says its turn is folded after those
    with earlier ones, unless it has waited ``longest_hold`` seconds or nobody is left at work. A node that owes a
    reply is asked again after ``again`` seconds, as `Guests` say.
    """

    item: ClassVar[ItemKind]

    def __init__(
        self,
        main: MainBranch,
        poll: float = 3.0,
        ttl: float = DEFAULT_TTL,
        longest_hold: float = 3600.0,
        again: float = ASK_AGAIN_SECONDS,
    ) -> None:
        made = listing_of(main.settings.method).item
        if made != self.item:
            raise InvalidInput(
                f"{type(self).__name__} is for methods that make a {self.item}, but the forge {main.forge.directory} "
                f"folds by {main.settings.method}, which makes a {made}; use strategy_for"
            )
        self.main = main
        self._poll = poll
        self._ttl = ttl
        self._longest_hold = longest_hold
        self._again = again
        self._guests = Guests(again)

    @abstractmethod
    def arrays_of(self, item: ForgeItem) -> ArrayRecord:
        """Return what the main branch adds to the base module as arrays."""

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Invite every connected node that is new, is back, or has owed a reply for long.

        The invitation is a ConfigRecord with the base module's fingerprint and spec, the forge's head, and ``config``.
        No arrays travel: a centre trains on the base module that it has.
        """
        head = self.main.head()
        invitation = ConfigRecord(
            {
                **config,
                "base": self.main.base.fingerprint,
                "base_spec": public_spec(self.main.base.spec),
                "head": head.digest if head else "",
            }
        )
        due = self._guests.due(grid.get_node_ids(), time.monotonic())
        return invitations(due, invitation, self._ttl, str(server_round))

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Fold exactly the one reply given.

        A branch that the forge does not know yet is admitted first; one that it knows is folded, or answered, under
        the arrival number it has. Gives the main branch as arrays, and arrival, per-task loss and accuracy, and
        coefficients as metrics.

        Raises InvalidInput for more or less than one reply, InvalidBranch for a failed reply or a branch that cannot
        enter.
        """
        messages = list(replies)
        if len(messages) != 1:
            raise InvalidInput(f"round {server_round} folds exactly one reply, not {len(messages)}; pass one")
        if messages[0].has_error():
            raise InvalidBranch(f"the node could not make a branch: {messages[0].error.reason}; see the node's log")
        commit = self.main.fold(self._arrival_of(messages[0].content))
        item = self.main.checkout(commit.digest)
        return self.arrays_of(item), _metrics(commit, item)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask no node to evaluate: every fold scores the main branch on the distilled data of all tasks."""
        return []

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Aggregate nothing, since no node evaluates."""
        return None

    def summary(self) -> None:
        """Log what will be folded, and how."""
        settings = self.main.settings
        _log.info(
            "%s: method %s, level %s, coefficients %s, base %s, forge %s",
            type(self).__name__,
            settings.method,
            settings.level,
            settings.coefficients,
            public_spec(self.main.base.spec),
            self.main.forge.directory,
        )

    def start(
        self,
        grid: Grid,
        initial_arrays: ArrayRecord | None = None,
        num_rounds: int = 3,
        timeout: float = 3600,
        train_config: ConfigRecord | None = None,
        evaluate_config: ConfigRecord | None = None,
        evaluate_fn: Callable[[int, ArrayRecord], MetricRecord | None] | None = None,
    ) -> ForgeResult:
        """Fold branches as they come until ``num_rounds`` of them are in the main branch.

        Nodes are invited when they are first seen, late joiners too. ``timeout`` counts seconds without any progress:
        no new node, no reply, and no invited node connected that still owes one. ``initial_arrays`` and
        ``evaluate_config`` are there for Flower's signature; the main branch starts from the forge, and nodes do not
        evaluate. ``evaluate_fn`` gets the arrival number and the main branch's arrays after each fold.
        """
        self.summary()
        self._guests = Guests(self._again)
        config = train_config or ConfigRecord()
        rounds = ArrivalRounds(self.main, self, self._guests, grid, config, evaluate_fn, self._poll, self._longest_hold)
        return rounds.run(num_rounds, timeout)

    def _arrival_of(self, record: RecordDict) -> int:
        return self.main.arrive(manifest_from_record(record), lambda: branch_from_record(record))


class FusionStrategy(MedForgeStrategy):
    """Fold by MedForge-Fusion, or another method that makes one plugin: the main branch is that plugin."""

    item = "plugin"

    def arrays_of(self, item: ForgeItem) -> ArrayRecord:
        """Return the fused plugin's tensors, named as in a PEFT adapter file."""
        if not isinstance(item, FusedPlugin):
            raise InvalidInput("the forge item is not a fused plugin; use strategy_for")
        return plugin_arrays(item.plugin)


class MixtureStrategy(MedForgeStrategy):
    """Fold by MedForge-Mixture, or another method that makes a mixture.

    The main branch is the coefficients, and the plugins that they weigh stay in the forge.
    """

    item = "mixture"

    def arrays_of(self, item: ForgeItem) -> ArrayRecord:
        """Return the coefficients [K] in member order, and a gate's prototypes [P, d], owners [P] and metric [d, d]."""
        if not isinstance(item, Mixture):
            raise InvalidInput("the forge item is not a mixture; use strategy_for")
        arrays = {"coefficients": Array(item.coefficients.numpy())}
        if item.gate is not None:
            arrays["prototypes"] = Array(item.gate.prototypes.numpy())
            arrays["owners"] = Array(item.gate.owners.numpy())
            arrays["metric"] = Array(item.gate.metric.numpy())
        return ArrayRecord(arrays)


class WeightChangeStrategy(MedForgeStrategy):
    """Fold by TIES, DARE, MagMax, or another method that makes dense weights: the main branch is their change."""

    item = "weights"

    def arrays_of(self, item: ForgeItem) -> ArrayRecord:
        """Return the weight change [out, in] of every site, float32, by the site's name."""
        if not isinstance(item, WeightChange):
            raise InvalidInput("the forge item is no weight change; use strategy_for")
        return ArrayRecord({site: Array(change.numpy()) for site, change in item.changes.items()})


class RoutedStrategy(MedForgeStrategy):
    """Fold by a router and experts: the main branch is where tasks' images lie; the experts stay in the forge."""

    item = "routed"

    def arrays_of(self, item: ForgeItem) -> ArrayRecord:
        """Return every task's class means [C, d], their weights [C] and covariance [d, d], as TASK/means and so on."""
        if not isinstance(item, Routed):
            raise InvalidInput("the forge item is not a routed one; use strategy_for")
        spreads = {task.card.name: task.spread for task in item.tasks}
        return ArrayRecord(
            {
                f"{name}/{part}": Array(getattr(spread, part).numpy())
                for name, spread in spreads.items()
                for part in ("means", "weights", "covariance")
            }
        )


STRATEGIES: dict[ItemKind, type[MedForgeStrategy]] = {
    kind.item: kind for kind in (FusionStrategy, MixtureStrategy, WeightChangeStrategy, RoutedStrategy)
}


def strategy_for(
    main: MainBranch,
    poll: float = 3.0,
    ttl: float = DEFAULT_TTL,
    longest_hold: float = 3600.0,
    again: float = ASK_AGAIN_SECONDS,
) -> MedForgeStrategy:
    """Return the strategy for the kind of forge item that the forge's method makes."""
    return STRATEGIES[listing_of(main.settings.method).item](main, poll, ttl, longest_hold, again)


def _metrics(commit: Commit, item: ForgeItem) -> MetricRecord:
    values: dict[str, int | float] = {"arrival": commit.arrival}
    for task, score in commit.metrics.items():
        values[f"loss/{task}"], values[f"acc/{task}"] = score.loss, score.acc
    for branch, coefficient in (item.shares or commit.coefficients).items():
        values[f"coefficient/{branch}"] = coefficient
    return MetricRecord(dict(values))
