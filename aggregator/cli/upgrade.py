"""`medforge upgrade`: a forge of an earlier version is brought to this one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from medforge.aggregator.cli.options import ForgeDirectory, LedgerUrl
from medforge.cli.output import AsJson, say_json

if TYPE_CHECKING:
    from medforge.aggregator.upgrade.upgrading import Upgrade


def upgrade(
    forge: ForgeDirectory,
    check: Annotated[bool, typer.Option("--check", help="Say what would be done, and change nothing.")] = False,
    ledger: LedgerUrl = None,
    as_json: AsJson = False,
) -> None:
    """Bring a forge of an earlier version to this one; `medforge serve` does it too, at its start.

    All of it is checked first, and kept as it was inside DIR/before-upgrade. The forge must not be served.

    Examples:
        medforge upgrade --forge forge --check
        medforge upgrade --forge forge
    """
    from medforge.aggregator.upgrade import upgrading

    done = upgrading.check(forge, ledger) if check else upgrading.upgrade(forge, ledger)
    if as_json:
        kept = None if done.kept is None else str(done.kept)
        say_json({"forge": done.forge, "was": done.was, "schema": done.schema, "software": done.software, "kept": kept})
    else:
        typer.echo(sentence(done))


def sentence(done: Upgrade) -> str:
    """Say what was done, or would be."""
    if not done.due:
        return f"forge {done.forge} has schema {done.schema}, of this version; there is nothing to upgrade"
    change = f"from schema {done.was} (medforge {done.wrote}) to {done.schema} ({done.software})"
    if done.kept is None:
        return f"forge {done.forge} is sound, and would be upgraded {change}; nothing was changed"
    return f"forge {done.forge} is upgraded {change}; as it was it is kept in {done.kept}"
