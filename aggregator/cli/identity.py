"""The maintainer's commands about people: invite, revoke, contributors."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medforge.aggregator.cli.options import ForgeDirectory, LedgerUrl
from medforge.cli.output import AsJson, say_json

if TYPE_CHECKING:
    from datetime import datetime

    from medforge.aggregator.ledger.invitations import Invitation
    from medforge.aggregator.ledger.records import Contributor
    from medforge.proto.kit import Kit

Name = Annotated[str, typer.Argument(metavar="CONTRIBUTOR", help="The name that the contributor's branches bear.")]


def invite(
    contributor: Annotated[
        str,
        typer.Argument(metavar="CONTRIBUTOR", help="The contributor's name, as people write it in whatever script."),
    ],
    forge: ForgeDirectory,
    address: Annotated[
        str, typer.Option(help="Where the contributor reaches the forge from outside.", metavar="HOST:PORT")
    ],
    out: Annotated[Path, typer.Option(help="Directory for the kit; new or empty.", metavar="DIR")],
    days: Annotated[
        int, typer.Option(metavar="N", help="How many days the certificate is valid.", min=1, max=3650)
    ] = 730,
    renew: Annotated[bool, typer.Option("--renew", help="Replace the kit that the contributor already has.")] = False,
    overlap: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="With --renew: how many days the earlier kit stays good, never beyond its own end.",
            min=0,
            max=90,
        ),
    ] = 14,
    identifier: Annotated[
        str | None,
        typer.Option(
            "--id",
            metavar="ID",
            help="The name in ASCII that commands and certificates know. Default: made of the name.",
        ),
    ] = None,
    ledger: LedgerUrl = None,
    as_json: AsJson = False,
) -> None:
    """Make a contributor's startup kit.

    It works while the forge is served.

    Example:
        medforge invite clinic --forge forge --address forge.example.org:50051 --out kit-of-clinic
    """
    from medforge.aggregator.forge.forge import Forge
    from medforge.aggregator.identity.invite import invite as make_kit
    from medforge.aggregator.ledger.invitations import invitations
    from medforge.contributor_name import ContributorName
    from medforge.errors import InvalidInput
    from medforge.proto.certificates import spell_time

    name = ContributorName.of(contributor, identifier)
    opened = Forge.open(forge, ledger)
    try:
        known = opened.ledger.contributor(name.identifier)
        if known is not None and not renew:
            state = "was invited" if known.revoked_at is None else "was revoked"
            raise InvalidInput(
                f"{name.identifier} {state} already; give --renew to make a new kit in place of the old one, or "
                "another --id for somebody else"
            )
        kit = make_kit(opened, name, address, out, days, overlap=timedelta(days=overlap))
        earlier = invitations(opened.ledger)[name.identifier].earlier
    finally:
        opened.close()
    _say_invited(kit, None if earlier is None else spell_time(earlier.until), as_json)


def _say_invited(kit: Kit, earlier_until: str | None, as_json: bool) -> None:
    name = kit.card.name
    if as_json:
        say_json(
            {
                "contributor": name.identifier,
                "display_name": name.display,
                "kit": str(kit.directory),
                "expires": kit.card.expires,
                "earlier_until": earlier_until,
                "address": kit.card.address,
            }
        )
        return
    typer.echo(f"the kit of {name} is in {kit.directory}, valid until {kit.card.expires}")
    if earlier_until is not None:
        typer.echo(f"the kit that it replaces stays good until {earlier_until}; a revocation ends both at once")
    typer.echo("it holds private keys: hand it over by a way you trust, then delete it here")


def revoke(
    contributor: Name,
    forge: ForgeDirectory,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; kept in the journal.")] = "",
    ledger: LedgerUrl = None,
    as_json: AsJson = False,
) -> None:
    """Take a contributor's invitation back; a running server refuses them from the next call on.

    Example:
        medforge revoke clinic --forge forge --reason left
    """
    from medforge.aggregator.cli.plain import spell_name
    from medforge.aggregator.forge.forge import Forge
    from medforge.errors import InvalidInput

    opened = Forge.open(forge, ledger)
    try:
        names = opened.ledger.display_names()
        invited = opened.ledger.invited_as()
        meant = [one for one, shown in invited.items() if shown == contributor and contributor not in invited]
        known = opened.ledger.revoke(meant[0] if meant else contributor, reason)
    finally:
        opened.close()
    if known is None:
        raise InvalidInput(
            f"nobody called {contributor!r} was invited to {forge}; `medforge contributors` lists who was"
        )
    if as_json:
        about = {"contributor": contributor, "display_name": names.get(contributor)}
        say_json({**about, "revoked_at": known.revoked_at})
        return
    who = spell_name(contributor, names)
    typer.echo(f"{who} is revoked since {known.revoked_at}; what they contributed stays in the main branch")


def contributors(
    forge: ForgeDirectory,
    ledger: LedgerUrl = None,
    as_json: AsJson = False,
) -> None:
    """List who was invited, until when their kits are good, and whose invitation was taken back.

    Example:
        medforge contributors --forge forge
    """
    from medforge.aggregator.forge.forge import Forge
    from medforge.aggregator.ledger.invitations import invitations
    from medforge.proto.certificates import now, spell_time

    opened = Forge.open(forge, ledger)
    try:
        invited, names = opened.ledger.contributors(), opened.ledger.display_names()
        kits = invitations(opened.ledger)
    finally:
        opened.close()
    moment = now()
    ends = {name: one.expires for name, one in kits.items()}
    earlier = {one.name: _earlier_until(kits.get(one.name), one, moment) for one in invited}
    plain = [
        {
            "contributor": one.name,
            "display_name": names.get(one.name),
            "key": one.key.hex(),
            "invited_at": one.invited_at,
            "expires": None if (end := ends.get(one.name)) is None else spell_time(end),
            "earlier_until": earlier[one.name],
            "revoked_at": one.revoked_at,
        }
        for one in invited
    ]
    if as_json:
        say_json(plain)
        return
    import shutil

    from medforge.aggregator.cli.plain import spell_name
    from medforge.cli.lines import flow

    for one in invited:
        last = f"revoked {one.revoked_at[:10]}" if one.revoked_at else _kit_ends(ends.get(one.name), moment)
        also = f"earlier kit until {until[:10]}" if (until := earlier[one.name]) else ""
        who = spell_name(one.name, names)
        parts = (who, f"signing key {one.key.hex()[:8]}", f"invited {one.invited_at[:10]}", last, also)
        for line in flow(parts, shutil.get_terminal_size().columns, 4):
            typer.echo(line)
    if not invited:
        typer.echo("nobody has been invited yet")


def _earlier_until(invitation: Invitation | None, contributor: Contributor, moment: datetime) -> str | None:
    from medforge.proto.certificates import spell_time

    earlier = None if invitation is None else invitation.earlier_at(moment, contributor)
    return None if earlier is None else spell_time(earlier.until)


def _kit_ends(ends: datetime | None, moment: datetime) -> str:
    from medforge.proto.certificates import ENDS_SOON, days_until, spell_time

    if ends is None:
        return "end of the kit unknown"
    day = spell_time(ends)[:10]
    if ends < moment:
        return f"kit ended {day}"
    return f"kit ends {day}" + (f", in {days_until(ends, moment)}" if ends - moment < ENDS_SOON else "")
