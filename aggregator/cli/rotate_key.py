"""`medforge rotate-key`: another key for the forge's receipts, tasks and tags."""

from __future__ import annotations

import typer

from medforge.aggregator.cli.options import ForgeDirectory, LedgerUrl
from medforge.cli.output import AsJson, say_json


def rotate_key(forge: ForgeDirectory, ledger: LedgerUrl = None, as_json: AsJson = False) -> None:
    """Give the forge another key for receipts, tasks and tags, signed by the old one; the forge must not be served.

    Kits that know the old key go on: their holders are told the new one, and see that the old one signed it. What an
    old key that was stolen could sign, it can sign still, another successor too: then new kits are due.

    Example:
        medforge rotate-key --forge forge
    """
    from medforge.aggregator.forge.forge import Forge
    from medforge.aggregator.forge.key_rotation import rotate_key as rotate

    opened = Forge.open(forge, ledger, alone=True)
    try:
        link = rotate(opened.directory, opened.settings.forge, opened.ledger)
        opened.keep_tombstones()
    finally:
        opened.close()
    if as_json:
        say_json(link.model_dump(mode="json"))
        return
    typer.echo(f"the forge signs with key {link.successor} from now on; its key before was {link.key}")
    typer.echo("back up the directory keys: the old key is deleted, and no receipt can be signed without the new one")
