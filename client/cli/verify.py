"""`medforge verify`: a receipt, looked at without a network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from medforge.cli.output import AsJson, say_json
from medforge.errors import InvalidInput

NOT_VERIFIED = 1
_KEY = re.compile(r"[0-9a-f]{64}")


def verify(
    receipt: Annotated[Path, typer.Argument(metavar="RECEIPT", help="The file, such as receipt.json of a workspace.")],
    key: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="The forge's public key: 64 hex digits, or the directory of a kit."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Verify a receipt without a network: that a forge's key signed exactly this.

    With --key also that it is the forge's: that key, or one that it leads to by the successions in the receipt. Ends
    with 1 where the receipt does not hold.

    Examples:
        medforge verify clinic/receipt.json --key kit
        medforge verify receipt.json
    """
    from medforge.proto.errors import NotAllowed
    from medforge.proto.receipt import Receipt

    read = Receipt.load(receipt)
    wanted = None if key is None else _key_of(key)
    fault = ""
    try:
        read.verify()
    except NotAllowed as error:
        fault = str(error)
    if not fault and wanted is not None and not read.vouched_for_by(wanted):
        fault = (
            f"the receipt is signed by key {read.key}, which is not {wanted[:12]} and which that key does not lead to; "
            "it is another forge's, or from before the key that you gave: push again to get a newer one"
        )
    if as_json:
        about = read.model_dump(mode="json", exclude={"signature", "succession"})
        say_json({"verified": not fault, "problem": fault or None, "key_given": wanted is not None, **about})
    elif fault:
        typer.echo(f"not verified: {fault}")
    else:
        kept = f"forge {read.forge} keeps branch {read.branch} as arrival {read.arrival}"
        typer.echo(f"verified: {kept} since {read.accepted_at}")
        if wanted is None:
            typer.echo(f"the key that signed it is {read.key}; whether that is the forge's, --key KIT tells")
    if fault:
        raise typer.Exit(NOT_VERIFIED)


def _key_of(text: str) -> str:
    """Return a forge's public key in hex; raises InvalidInput for what names none."""
    from medforge.proto.kit import Kit

    if _KEY.fullmatch(text.lower()):
        return text.lower()
    if Path(text).is_dir():
        return Kit.load(Path(text)).card.key
    raise InvalidInput(f"{text!r} is no key and no kit; give 64 hex digits, or the directory of your kit")
