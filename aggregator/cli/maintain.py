"""A maintainer's commands: accept, reject, withdraw, revert, replay, fsck."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medforge.aggregator.cli.options import BaseComputeOptions, ForgeDirectory, LedgerUrl, ReaderOptions
from medforge.cli.output import AsJson, say_json

if TYPE_CHECKING:
    from medforge.aggregator.forge.forge import Forge
    from medforge.proto.connection import Connection

Name = Annotated[str, typer.Argument(metavar="BRANCH", help="Arrival number, or branch digest or its first letters.")]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why; kept in the journal, and shown to the contributor.")]
_FOLLOWS = "the main branch follows within seconds where the forge is served, else when it is served next"
_DIFFERENT = 1


def accept(branch: Name, forge: ForgeDirectory, ledger: LedgerUrl = None) -> None:
    """Fold a held or rejected branch all the same.

    Example:
        medforge accept 7 --forge forge
    """
    from medforge.aggregator.forge import maintenance

    with _opened(forge, ledger) as opened:
        arrival = maintenance.accept(opened, branch)
    typer.echo(f"arrival {arrival.number} ({arrival.contributor}: {arrival.task}) is accepted; {_FOLLOWS}")


def reject(branch: Name, forge: ForgeDirectory, reason: Reason, ledger: LedgerUrl = None) -> None:
    """Keep a branch out of the main branch, also one that is in it.

    Example:
        medforge reject 7 --forge forge --reason "wrong labels"
    """
    from medforge.aggregator.forge import maintenance

    with _opened(forge, ledger) as opened:
        arrival = maintenance.reject(opened, branch, reason)
    typer.echo(f"arrival {arrival.number} ({arrival.contributor}: {arrival.task}) is rejected; {_FOLLOWS}")


def withdraw(
    branch: Name,
    source: ReaderOptions,
    erase: Annotated[bool, typer.Option("--erase", help="Delete its files from the forge too, for good.")] = False,
    reason: Reason = "withdrawn by the maintainer",
) -> None:
    """Take a branch out of the main branch, exactly as if it had never come.

    For its contributor, with --kit, or the maintainer, with --forge.

    Examples:
        medforge withdraw 7 --kit kit
        medforge withdraw 7 --forge forge --erase
    """
    from medforge.errors import InvalidInput

    if (source.forge is None) == (source.at is None and source.kit is None):
        raise InvalidInput("say which forge: its directory with --forge, or its address with --at or --kit")
    if source.forge is None:
        _withdraw_remotely(branch, erase, source.connection())
        typer.echo(
            f"branch {branch[:12]} is withdrawn{' and will be erased' if erase else ''}; the main branch follows"
        )
        return
    from medforge.aggregator.forge import maintenance
    from medforge.aggregator.forge.lineage import descendants

    with _opened(source.forge, source.ledger) as opened:
        arrival = maintenance.withdraw(opened, branch, reason, erase)
        carrying = descendants(opened, arrival)
    erased = " and will be erased" if erase else ""
    typer.echo(f"arrival {arrival.number} ({arrival.contributor}: {arrival.task}) is withdrawn{erased}; {_FOLLOWS}")
    for other in carrying:
        typer.echo(
            f"arrival {other.number} ({other.contributor}: {other.task}) began its training from a main branch with "
            "it, and carries on what it learned there; withdraw that too if this must not be"
        )


def revert(
    commit: Annotated[str, typer.Argument(help="Commit digest, or its first letters.", metavar="COMMIT")],
    forge: ForgeDirectory,
    reason: Reason = "",
    ledger: LedgerUrl = None,
) -> None:
    """Undo one round: who came with the commit leaves again, who left with it comes back.

    Example:
        medforge revert 1f0c9a2b --forge forge
    """
    from medforge.aggregator.forge import maintenance

    with _opened(forge, ledger) as opened:
        changed = maintenance.revert(opened, commit, reason)
    for arrival in changed:
        what = "comes back" if arrival.state == "folded" else "leaves"
        typer.echo(f"arrival {arrival.number} ({arrival.contributor}: {arrival.task}) {what}; {_FOLLOWS}")


def replay(
    forge: ForgeDirectory,
    compute: BaseComputeOptions,
    ledger: LedgerUrl = None,
    as_json: AsJson = False,
) -> None:
    """Rebuild the main branch from the ledger, and prove that every commit's forge item is byte-identical.

    Example:
        medforge replay --forge forge
    """
    from rich.console import Console
    from rich.table import Table

    from medforge.aggregator.main_branch.replay import replay as rebuilt
    from medforge.base import load_base
    from medforge.progress import Progress

    compute.use_threads()
    with _opened(forge, ledger) as opened:
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
        table = Table("commit", "arrival", "members", "forge item", "rebuilt")
        for one in found:
            members = " ".join(map(str, one.commit.members)) or "nobody"
            row = (one.commit.digest[:12], f"{one.commit.kind} {one.commit.arrival}", members)
            table.add_row(*row, (one.commit.item or "none")[:12], f"{one.outcome} {one.detail}".strip())
        Console().print(table)
    different = [one for one in found if one.outcome == "different"]
    if different:
        typer.echo(
            f"{len(different)} of {len(found)} commits came out different (first: {different[0].commit.digest[:12]}, "
            f"made on {different[0].commit.compute}); replay with the --device, --dtype and --threads that served, and "
            f"the software that the commit names, or restore the forge from a backup",
            err=True,
        )
        raise typer.Exit(_DIFFERENT)


def fsck(forge: ForgeDirectory, ledger: LedgerUrl = None, as_json: AsJson = False) -> None:
    """Check blobs, digests, signatures and both chains of a forge; changes nothing.

    Example:
        medforge fsck --forge forge
    """
    from dataclasses import asdict

    from medforge.aggregator.forge.fsck import check_forge

    with _opened(forge, ledger) as opened:
        checks = list(check_forge(opened))
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


def _withdraw_remotely(branch: str, erase: bool, connection: Connection) -> None:
    from medforge.aggregator.forge.blobs import check_digest
    from medforge.proto.remote import RemoteForge

    check_digest(branch)
    kit = connection.kit
    with RemoteForge(connection) as remote:
        remote.withdraw(branch, erase, kit.sign_withdraw(branch, erase) if kit else b"")


@contextmanager
def _opened(directory: Path, ledger: str | None) -> Iterator[Forge]:
    from medforge.aggregator.forge.forge import Forge

    opened = Forge.open(directory, ledger)
    try:
        yield opened
    finally:
        opened.close()
