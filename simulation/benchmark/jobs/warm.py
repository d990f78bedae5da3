"""What every worker needs imported; a server imports it once, and workers are forked from that."""

from medforge.simulation.benchmark.jobs import merges, plugin_merges, scores, transfers

__all__ = ["merges", "plugin_merges", "scores", "transfers"]
