"""`medforge rotate-ca`: another certificate authority for a forge's kits."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer

from medforge.aggregator.cli.options import ForgeDirectory, LedgerUrl
from medforge.cli.output import AsJson, say_json


def rotate_ca(
    forge: ForgeDirectory,
    overlap: Annotated[
        int,
        typer.Option(
            metavar="N", help="How many days kits of the CA before stay good; 0 ends them now.", min=0, max=730
        ),
    ] = 180,
    ledger: LedgerUrl = None,
    as_json: AsJson = False,
) -> None:
    """Give the forge another CA for its kits, signed by the old one; both are trusted for a while.

    It works while the forge is served, and needs no restart. Kits so far stay good for the overlap, and never beyond
    their own end: renew each of them until then. Whoever calls meanwhile is told the new CA, and keeps it with their
    kit. The old CA's private key is deleted; after a theft of it give --overlap 0, and new kits to all.

    Example:
        medforge rotate-ca --forge forge
    """
    from medforge.aggregator.forge.forge import Forge
    from medforge.aggregator.identity.rotation import rotate_authority
    from medforge.aggregator.ledger.invitations import invitations
    from medforge.proto.certificates import digest_of, now, spell_time

    opened = Forge.open(forge, ledger)
    try:
        opened.ledger.check_current()
        link = rotate_authority(opened, timedelta(days=overlap))
        kits, moment = invitations(opened.ledger), now()
        due = [
            one.name
            for one in opened.ledger.contributors()
            if one.revoked_at is None
            and one.name in kits
            and (ends := kits[one.name].expires) is not None
            and ends >= min(moment, link.until)
        ]
    finally:
        opened.close()
    before, after, until = digest_of(link.before), digest_of(link.after), spell_time(link.until)
    if as_json:
        say_json({"before": before, "ca": after, "since": spell_time(link.since), "until": until, "to_renew": due})
        return
    typer.echo(f"kits are issued by CA {after[:12]} from now on; those by {before[:12]} end on {until} at the latest")
    if due:
        typer.echo(f"renew until then: {', '.join(due)} (`medforge invite --renew`)")
    typer.echo("back up the directory keys: the old CA's key is deleted")
