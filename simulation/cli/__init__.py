"""The commands of research: many centres on one machine, and the papers' experiments."""

from medforge.cli.catalogue import CommandEntry

COMMANDS = (
    CommandEntry(
        "simulate",
        "Research",
        "Run centres and an aggregator as processes on this machine, and report what the merged model can do.",
        "medforge.simulation.cli.simulate:simulate",
        {"--method": "--merge", "--set": "--recipe-set"},
    ),
    CommandEntry(
        "benchmark",
        "Research",
        "Rebuild a table or figure of the papers on your own centres, beside the papers' numbers.",
        "medforge.simulation.benchmark.cli:benchmark",
        {"--set": "--recipe-set"},
    ),
)
