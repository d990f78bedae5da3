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
    from medforge.contributor_name import ContributorName
    from medforge.proto.kit import KitCard
    from medforge.proto.kit_request import KitRequest

Name = Annotated[str, typer.Argument(metavar="CONTRIBUTOR", help="The name that the contributor's branches bear.")]


def invite(
    forge: ForgeDirectory,
    address: Annotated[
        str, typer.Option(help="Where the contributor reaches the forge from outside.", metavar="HOST:PORT")
    ],
    out: Annotated[Path, typer.Option(help="Directory for the kit; new or empty.", metavar="DIR")],
    contributor: Annotated[
        str | None,
        typer.Argument(
            metavar="CONTRIBUTOR",
            help="The contributor's name, as people write it in whatever script; with --request it is the one there.",
        ),
    ] = None,
    request: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Answer this request, which the contributor made with `medforge request`: the kit has no private key.",
        ),
    ] = None,
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

    With --request it is what makes a kit of the keys that the contributor has. It works while the forge is served.

    Examples:
        medforge invite --request request.json --forge forge --address forge.example.org:50051 --out answer
        medforge invite clinic --forge forge --address forge.example.org:50051 --out kit-of-clinic
    """
    from medforge.aggregator.forge.forge import Forge
    from medforge.aggregator.identity.invite import Terms, answer
    from medforge.aggregator.identity.invite import invite as make_kit
    from medforge.aggregator.ledger.invitations import invitations
    from medforge.errors import InvalidInput
    from medforge.proto.certificates import now, spell_time

    asked = None if request is None else _read_request(request, contributor, identifier)
    name = _named(contributor, identifier) if asked is None else asked.name
    opened = Forge.open(forge, ledger)
    try:
        opened.ledger.check_current()
        known = opened.ledger.contributor(name.identifier)
        if known is not None and not renew:
            state = "was invited" if known.revoked_at is None else "was revoked"
            raise InvalidInput(
                f"{name.identifier} {state} already; give --renew to make a new kit in place of the old one, or "
                "another --id for somebody else"
            )
        beside = timedelta(days=overlap)
        if asked is None:
            card = make_kit(opened, name, address, out, days, overlap=beside).card
        else:
            card = answer(opened, asked, Terms(address, now() + timedelta(days=days), beside), out)
        earlier = invitations(opened.ledger)[name.identifier].earlier
    finally:
        opened.close()
    _say_invited(card, out, asked, None if earlier is None else spell_time(earlier.until), as_json)


def _named(contributor: str | None, identifier: str | None) -> ContributorName:
    from medforge.contributor_name import ContributorName
    from medforge.errors import InvalidInput

    if contributor is None:
        raise InvalidInput("nobody is named; give the contributor's name, or their request with --request FILE")
    return ContributorName.of(contributor, identifier)


def _read_request(file: Path, contributor: str | None, identifier: str | None) -> KitRequest:
    """Read a request; raises InvalidInput where it asks for another name than the maintainer gave."""
    from medforge.errors import InvalidInput
    from medforge.files import read_file
    from medforge.proto.kit_request import KitRequest

    asked = KitRequest.parse(read_file(file, "the request"), str(file))
    meant = {text for text in (contributor, identifier) if text is not None}
    if meant - {asked.contributor, asked.display_name}:
        raise InvalidInput(
            f"{file} asks for the name {asked.name}, not {' or '.join(sorted(map(repr, meant)))}; leave the name out "
            f"to take theirs, or have a request under the other one made"
        )
    return asked


def _say_invited(card: KitCard, out: Path, asked: KitRequest | None, earlier: str | None, as_json: bool) -> None:
    name = card.name
    if as_json:
        say_json(
            {
                "contributor": name.identifier,
                "display_name": name.display,
                "kit": str(out),
                "expires": card.expires,
                "earlier_until": earlier,
                "address": card.address,
                "keys": asked is None,
                "fingerprint": None if asked is None else asked.fingerprint,
            }
        )
        return
    typer.echo(f"the kit of {name} is in {out}, valid until {card.expires}")
    if earlier is not None:
        typer.echo(f"the kit that it replaces stays good until {earlier}; a revocation ends both at once")
    if asked is None:
        typer.echo(
            "it holds private keys, which travel with it: hand it over by a way you trust, then delete it here; "
            "`medforge request` makes them where they stay"
        )
        return
    typer.echo("it holds no private key: send it as you like, to be copied to the keys that the contributor made")
    vouched = asked.renewal is not None
    by = "the kit before has signed the request" if vouched else "whether it is theirs, they can tell you"
    typer.echo(f"the request's fingerprint is {asked.fingerprint}; {by}")


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
        opened.keep_tombstones()
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
            "ca_until": _ca_until(kits.get(one.name)),
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
        by = "by the CA before" if not one.revoked_at and _ca_until(kits.get(one.name)) else ""
        who = spell_name(one.name, names)
        parts = (who, f"signing key {one.key.hex()[:8]}", f"invited {one.invited_at[:10]}", last, by, also)
        for line in flow(parts, shutil.get_terminal_size().columns, 4):
            typer.echo(line)
    if not invited:
        typer.echo("nobody has been invited yet")


def _earlier_until(invitation: Invitation | None, contributor: Contributor, moment: datetime) -> str | None:
    from medforge.proto.certificates import spell_time

    earlier = None if invitation is None else invitation.earlier_at(moment, contributor)
    return None if earlier is None else spell_time(earlier.until)


def _ca_until(invitation: Invitation | None) -> str | None:
    from medforge.proto.certificates import spell_time

    until = None if invitation is None else invitation.authority_until
    return None if until is None else spell_time(until)


def _kit_ends(ends: datetime | None, moment: datetime) -> str:
    from medforge.proto.certificates import ENDS_SOON, days_until, spell_time

    if ends is None:
        return "end of the kit unknown"
    day = spell_time(ends)[:10]
    if ends < moment:
        return f"kit ended {day}"
    return f"kit ends {day}" + (f", in {days_until(ends, moment)}" if ends - moment < ENDS_SOON else "")
