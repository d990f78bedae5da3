"""What every worker needs imported; a server imports it once, and workers are forked from that."""

from medforge.simulation.benchmark.jobs import across, fedavg, heads, merges, plugin_merges, pooled, scores, transfers

__all__ = ["across", "fedavg", "heads", "merges", "plugin_merges", "pooled", "scores", "transfers"]
