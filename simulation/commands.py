"""The command lines of a run's processes: what a person would type after `medforge`, written out."""

from __future__ import annotations

from collections.abc import Sequence

from medforge.simulation.centre_run import CentreRun
from medforge.simulation.rundir import RunDirectory
from medforge.simulation.settings import SimulationSettings


def serve_command(settings: SimulationSettings, run: RunDirectory, port: int) -> tuple[str, ...]:
    """Write the aggregator's command line; port 0 lets the system choose one."""
    return (
        "serve", "--forge", str(run.forge), "--base", settings.base, "--device", settings.device,
        "--dtype", settings.dtype,
        "--merge", settings.method, "--level", settings.level, "--coefficients", settings.coefficients,
        "--objective", settings.objective, *settings.parameter_words(), *settings.expert_words(),
        "--seed", str(settings.seed),
        "--listen", f"127.0.0.1:{port}", "--ready-file", str(run.ready_file),
        "--open-tasks", *settings.policy_words(),
    )  # fmt: skip


def contribute_command(settings: SimulationSettings, centre: CentreRun, track: Sequence[str] = ()) -> tuple[str, ...]:
    """Write the command line with which a centre trains, distils and commits."""
    changes = [word for change in settings.changes for word in ("--recipe-set", change)]
    # nobody opens the pages of a thousand audits, and drawing them is a tenth of a small centre's work
    unread = ["--no-report"] if settings.crowd is not None else []
    return (
        "contribute", centre.source, "--no-push", "--workspace", str(centre.workspace), "--contributor", centre.name,
        "--task", centre.task, "--base", settings.base, "--device", settings.device, "--dtype", settings.dtype,
        "--recipe", settings.recipe, "--plugin", settings.plugin, *changes, "--seed", str(settings.seed),
        *settings.privacy_words(), *unread,
        # nothing leaves this machine, so what the audit says is kept and not obeyed
        "--threads", "1", "--override", "simulation", *(word for target in track for word in ("--track", target)),
    )  # fmt: skip


def review_command(settings: SimulationSettings, centre: CentreRun, address: str) -> tuple[str, ...]:
    """Write the command line with which a centre reviews what the forge asks for, once."""
    return (
        "review", "--workspace", str(centre.workspace), "--at", address, "--device", settings.device, "--threads", "1",
    )  # fmt: skip


def push_command(centre: CentreRun, address: str) -> tuple[str, ...]:
    """Write the command line with which a centre pushes its branch."""
    # nothing leaves this machine, so what the audit says is kept and not obeyed
    return ("push", "--workspace", str(centre.workspace), "--at", address, "--override", "simulation")
