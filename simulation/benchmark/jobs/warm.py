"""What every worker needs imported; a server imports it once, and workers are forked from that."""

from medforge.simulation.benchmark.jobs import (
    abstention,
    across,
    calibrate,
    cost,
    fedavg,
    heads,
    merges,
    plugin_merges,
    pooled,
    scores,
    transfers,
)

__all__ = [
    "abstention",
    "across",
    "calibrate",
    "cost",
    "fedavg",
    "heads",
    "merges",
    "plugin_merges",
    "pooled",
    "scores",
    "transfers",
]
