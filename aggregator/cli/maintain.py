"""A maintainer's commands: accept, reject, withdraw, revert, replay, fsck."""

# No `from __future__ import annotations` here: typer reads the annotations when a command is registered.
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from medforge.aggregator.forge.forge import Forge

Directory = Annotated[Path, typer.Option("--forge", help="Directory of the forge.", metavar="DIR")]
LedgerUrl = Annotated[
    str | None,
    typer.Option("--ledger", help="SQLAlchemy URL of the ledger, if it is not in the forge directory.", metavar="URL"),
]
Name = Annotated[str, typer.Argument(help="Arrival number, or branch digest or its first letters.", metavar="BRANCH")]
Reason = Annotated[str, typer.Option(help="Why; kept in the journal, and shown to the contributor.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a script.")]
_FOLLOWS = "the main branch follows within seconds where the forge is served, else when it is served next"
_DIFFERENT = 1


def register(app: typer.Typer) -> None:
    """Add the maintainer's commands to the `medforge` command."""
    for command in (accept, reject, withdraw, revert, replay, fsck):
        app.command()(command)


def accept(branch: Name, forge: Directory, ledger: LedgerUrl = None) -> None:
    """Fold a held or rejected branch all the same."""
    from medforge.aggregator.forge import maintenance

    with _opened(forge, ledger) as opened:
        arrival = maintenance.accept(opened, branch)
    typer.echo(f"arrival {arrival.number} ({arrival.contributor}: {arrival.task}) is accepted; {_FOLLOWS}")


def reject(branch: Name, forge: Directory, reason: Reason, ledger: LedgerUrl = None) -> None:
    """Keep a branch out of the main branch, also one that is in it."""
    from medforge.aggregator.forge import maintenance

    with _opened(forge, ledger) as opened:
        arrival = maintenance.reject(opened, branch, reason)
    typer.echo(f"arrival {arrival.number} ({arrival.contributor}: {arrival.task}) is rejected; {_FOLLOWS}")


def withdraw(
    branch: Name,
    forge: Annotated[
        Path | None, typer.Option("--forge", help="Directory of the forge, for its maintainer.", metavar="DIR")
    ] = None,
    at: Annotated[
        str | None, typer.Option("--at", help="Address of the forge, for the contributor.", metavar="HOST:PORT")
    ] = None,
    kit: Annotated[Path | None, typer.Option(help="The contributor's kit.", metavar="DIR")] = None,
    plaintext: Annotated[bool, typer.Option("--plaintext", help="Connect without encryption.")] = False,
    erase: Annotated[bool, typer.Option("--erase", help="Delete its files from the forge too, for good.")] = False,
    reason: Reason = "withdrawn by the maintainer",
    ledger: LedgerUrl = None,
) -> None:
    """Take a branch out of the main branch, exactly as if it had never come; for its contributor or the maintainer."""
    from medforge.errors import InvalidInput

    if (forge is None) == (at is None and kit is None):
        raise InvalidInput("say which forge: its directory with --forge, or its address with --at or --kit")
    if forge is None:
        _withdraw_remotely(branch, erase, at, kit, plaintext)
        typer.echo(
            f"branch {branch[:12]} is withdrawn{' and will be erased' if erase else ''}; the main branch follows"
        )
        return
    from medforge.aggregator.forge import maintenance
    from medforge.aggregator.forge.lineage import descendants

    with _opened(forge, ledger) as opened:
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
    forge: Directory,
    reason: Reason = "",
    ledger: LedgerUrl = None,
) -> None:
    """Undo one round: who came with the commit leaves again, who left with it comes back."""
    from medforge.aggregator.forge import maintenance

    with _opened(forge, ledger) as opened:
        changed = maintenance.revert(opened, commit, reason)
    for arrival in changed:
        what = "comes back" if arrival.state == "folded" else "leaves"
        typer.echo(f"arrival {arrival.number} ({arrival.contributor}: {arrival.task}) {what}; {_FOLLOWS}")


def replay(
    forge: Directory,
    ledger: LedgerUrl = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or another torch device, as served.")] = "auto",
    dtype: Annotated[str, typer.Option(help="Compute dtype, as served: fp32, bf16 or fp16.")] = "fp32",
    threads: Annotated[int | None, typer.Option(help="Threads that compute, as served.", min=1)] = None,
    as_json: AsJson = False,
) -> None:
    """Rebuild the main branch from the ledger, and prove that every commit's forge item is byte-identical."""
    import json

    import torch
    from rich.console import Console
    from rich.table import Table

    from medforge.aggregator.main_branch.replay import replay as rebuilt
    from medforge.base import load_base
    from medforge.progress import Progress

    if threads is not None:
        torch.set_num_threads(threads)
    with _opened(forge, ledger) as opened:
        base = load_base(opened.settings.base_spec, device, dtype)
        found = []
        with Progress("replaying", opened.ledger.counts()[1]) as bar:
            for one in rebuilt(opened, base):
                found.append(one)
                bar.advance()
    if as_json:
        rows = [
            {"number": r.number, "commit": r.commit.digest, "outcome": r.outcome, "detail": r.detail} for r in found
        ]
        typer.echo(json.dumps({"commits": rows}, indent=2))
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


def fsck(forge: Directory, ledger: LedgerUrl = None, as_json: AsJson = False) -> None:
    """Check blobs, digests, signatures and both chains of a forge; changes nothing."""
    import json
    from dataclasses import asdict

    from medforge.aggregator.forge.fsck import check_forge

    with _opened(forge, ledger) as opened:
        checks = list(check_forge(opened))
    if as_json:
        typer.echo(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        for check in checks:
            typer.echo(f"{'ok ' if not check.problems else 'BAD'} {check.name} ({check.count} checked)")
    problems = [problem for check in checks for problem in check.problems]
    for problem in problems:
        typer.echo(problem, err=True)
    if problems:
        raise typer.Exit(_DIFFERENT)


def _withdraw_remotely(branch: str, erase: bool, at: str | None, directory: Path | None, plaintext: bool) -> None:
    from medforge.aggregator.forge.blobs import check_digest
    from medforge.proto.connection import Connection
    from medforge.proto.remote import RemoteForge

    check_digest(branch)
    connection = Connection.from_options(at, directory, plaintext)
    kit = connection.kit
    with RemoteForge(connection) as remote:
        remote.withdraw(branch, erase, kit.sign_withdraw(branch, erase) if kit else b"")


@contextmanager
def _opened(directory: Path, ledger: str | None) -> "Iterator[Forge]":
    from medforge.aggregator.forge.forge import Forge

    opened = Forge.open(directory, ledger)
    try:
        yield opened
    finally:
        opened.close()
