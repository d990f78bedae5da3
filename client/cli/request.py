"""`medforge request`: ask a forge for a kit, with keys that are made here and stay here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medforge.cli.output import AsJson, say_json


def request(
    out: Annotated[
        Path, typer.Option(help="Directory for the keys, which becomes the kit; new or empty.", metavar="DIR")
    ],
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Who you are, as people write it in whatever script; not with --kit."),
    ] = None,
    identifier: Annotated[
        str | None,
        typer.Option("--id", metavar="ID", help="The name in ASCII that commands know. Default: made of the name."),
    ] = None,
    kit: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Your kit so far, to renew it: the request has its signature.")
    ] = None,
    encrypt: Annotated[
        bool,
        typer.Option(
            "--encrypt",
            help="Encrypt the keys with a passphrase: that of MEDFORGE_KEY_PASSPHRASE, where it is done anyhow, or one "
            "that you type.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make the keys of a kit here, where they stay, and the request that you send to whoever runs the forge.

    They answer with `medforge invite --request`; copy the files that come back into the same directory.

    Examples:
        medforge request "Centre A" --out kit
        medforge request --kit kit --out kit-of-next-year
    """
    from medforge.client.requesting import request_kit
    from medforge.contributor_name import ContributorName
    from medforge.errors import InvalidInput
    from medforge.proto.kit import Kit
    from medforge.proto.kit_request import REQUEST_FILE
    from medforge.proto.passphrase import given, new_passphrase

    if (name is None) == (kit is None):
        raise InvalidInput("who asks is said by a name, or by --kit DIR for the kit to be renewed; give one of the two")
    if kit is not None and identifier is not None:
        raise InvalidInput("a kit is renewed under its own name; leave --id out")
    before = None if kit is None else Kit.load(kit)
    asked = before.card.name if before is not None else ContributorName.of(name or "", identifier)
    made = request_kit(asked, out, before, new_passphrase() if encrypt or given() else None)
    if as_json:
        about = {"contributor": asked.identifier, "display_name": asked.display, "fingerprint": made.fingerprint}
        say_json({**about, "request": str(out / REQUEST_FILE), "renews": before is not None})
        return
    typer.echo(f"the keys of {asked} are in {out}; they never leave it, so back them up here")
    typer.echo(f"send {out / REQUEST_FILE} to whoever runs the forge, and tell them its fingerprint by another way:")
    typer.echo(f"  {made.fingerprint}")
    typer.echo(f"copy the files that come back into {out}, then run: medforge doctor --kit {out}")
