"""A maintainer's commands: accept, reject, revert, replay, fsck."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medforge.aggregator.cli.options import BaseComputeOptions, BranchName, ForgeDirectory, LedgerUrl, Reason
from medforge.aggregator.cli.plain import plain_arrival, spell_arrival
from medforge.cli.output import AsJson, say_json

if TYPE_CHECKING:
    from medforge.aggregator.forge.forge import Forge

FOLLOWS = "the main branch follows within seconds where the forge is served, else when it is served next"
_DIFFERENT = 1


def accept(branch: BranchName, forge: ForgeDirectory, ledger: LedgerUrl = None, as_json: AsJson = False) -> None:
    """Fold a held or rejected branch all the same.

    Example:
        medforge accept 7 --forge forge
    """
    from medforge.aggregator.forge import maintenance

    with opened_forge(forge, ledger) as opened:
        arrival, names = maintenance.accept(opened, branch), opened.ledger.display_names()
    if as_json:
        say_json(plain_arrival(arrival, names))
    else:
        typer.echo(f"{spell_arrival(arrival, names)} is accepted; {FOLLOWS}")


def reject(
    branch: BranchName, forge: ForgeDirectory, reason: Reason, ledger: LedgerUrl = None, as_json: AsJson = False
) -> None:
    """Keep a branch out of the main branch, also one that is in it.

    Example:
        medforge reject 7 --forge forge --reason "wrong labels"
    """
    from medforge.aggregator.forge import maintenance

    with opened_forge(forge, ledger) as opened:
        arrival, names = maintenance.reject(opened, branch, reason), opened.ledger.display_names()
    if as_json:
        say_json(plain_arrival(arrival, names))
    else:
        typer.echo(f"{spell_arrival(arrival, names)} is rejected; {FOLLOWS}")


def revert(
    commit: Annotated[
        str,
        typer.Argument(
            metavar="COMMIT",
            help="head, a tag, its digest or the beginning of it, its arrival's number, or its task.",
        ),
    ],
    forge: ForgeDirectory,
    reason: Reason = "",
    ledger: LedgerUrl = None,
    as_json: AsJson = False,
) -> None:
    """Undo one round: who came with the commit leaves again, who left with it comes back.

    Example:
        medforge revert 1f0c9a2b --forge forge
    """
    from medforge.aggregator.forge import maintenance

    with opened_forge(forge, ledger) as opened:
        changed, names = maintenance.revert(opened, commit, reason), opened.ledger.display_names()
        # who had withdrawn may come back with it
        opened.keep_tombstones()
    if as_json:
        say_json({"changed": [plain_arrival(arrival, names) for arrival in changed]})
        return
    for arrival in changed:
        what = "comes back" if arrival.state == "folded" else "leaves"
        typer.echo(f"{spell_arrival(arrival, names)} {what}; {FOLLOWS}")


def replay(
    forge: ForgeDirectory,
    compute: BaseComputeOptions,
    ledger: LedgerUrl = None,
    as_json: AsJson = False,
) -> None:
    """Rebuild the main branch from the ledger, and prove every commit's forge item.

    To the byte on the kind of processor that made it, within a tolerance on another.

    Example:
        medforge replay --forge forge
    """
    from medforge.aggregator.cli.log_lines import replay_lines
    from medforge.aggregator.main_branch.replay import replay as rebuilt
    from medforge.base import load_base
    from medforge.progress import Progress

    compute.use_threads()
    with opened_forge(forge, ledger) as opened:
        base = load_base(opened.settings.base_spec, compute.device, compute.dtype)
        found = []
        with Progress("replaying", opened.ledger.counts()[1]) as bar:
            for one in rebuilt(opened, base):
                found.append(one)
                bar.advance()
    if as_json:
        rows = [
            {"number": r.number, "commit": r.commit.digest, "outcome": r.outcome, "detail": r.detail} for r in found
        ]
        say_json({"commits": rows})
    else:
        for line in replay_lines(found, shutil.get_terminal_size().columns):
            typer.echo(line)
    different = [one for one in found if one.outcome == "different"]
    if different:
        typer.echo(
            f"{len(different)} of {len(found)} commits came out different (first: {different[0].commit.digest[:12]}, "
            f"made on {different[0].commit.compute}); replay with the --device and --dtype that served, and "
            f"the software that the commit names, or restore the forge from a backup",
            err=True,
        )
        raise typer.Exit(_DIFFERENT)


def fsck(
    forge: ForgeDirectory,
    quick: Annotated[
        bool, typer.Option("--quick", help="Check the ledger alone: chains, signatures and what it says of the head.")
    ] = False,
    ledger: LedgerUrl = None,
    as_json: AsJson = False,
) -> None:
    """Check blobs, digests, signatures and both chains of a forge; changes nothing.

    Examples:
        medforge fsck --forge forge
        medforge fsck --forge forge --quick
    """
    from dataclasses import asdict

    from medforge.aggregator.forge.fsck import check_forge
    from medforge.aggregator.identity.kept import check_authority

    with opened_forge(forge, ledger) as opened:
        checks = [*check_forge(opened, quick), check_authority(opened)]
    if as_json:
        say_json([asdict(check) for check in checks])
    else:
        for check in checks:
            typer.echo(f"{'ok ' if not check.problems else 'BAD'} {check.name} ({check.count} checked)")
    problems = [problem for check in checks for problem in check.problems]
    for problem in problems:
        typer.echo(problem, err=True)
    if problems:
        raise typer.Exit(_DIFFERENT)


@contextmanager
def opened_forge(directory: Path, ledger: str | None) -> Iterator[Forge]:
    """Open a forge's directory for as long as something is decided."""
    from medforge.aggregator.forge.forge import Forge

    opened = Forge.open(directory, ledger)
    try:
        yield opened
    finally:
        opened.close()
