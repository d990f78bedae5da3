"""`medforge encrypt-keys`: a passphrase for the private keys of a kit or a forge."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medforge.cli.output import AsJson, say_json


def encrypt_keys(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The kit, or the forge.")],
    remove: Annotated[bool, typer.Option("--remove", help="Decrypt them for good instead.")] = False,
    as_json: AsJson = False,
) -> None:
    """Encrypt the private keys of a kit, or of a forge, with a passphrase.

    It is the one in the variable MEDFORGE_KEY_PASSPHRASE (file:PATH there reads it from a file), or is asked for.
    Every command that needs the keys then finds it in the same way. To change it, --remove and encrypt again. What a
    running server has read it keeps: set the variable for its next start.

    Examples:
        medforge encrypt-keys kit
        medforge encrypt-keys forge
    """
    from medforge.proto.key_encryption import change_encryption, key_files
    from medforge.proto.passphrase import new_passphrase

    key_files(directory)
    changed = change_encryption(directory, None if remove else new_passphrase())
    if as_json:
        say_json({"encrypted": not remove, "keys": list(map(str, changed))})
        return
    names = ", ".join(path.name for path in changed)
    typer.echo(f"{names} in {changed[0].parent} {'are open again' if remove else 'are encrypted'}")
    if not remove:
        typer.echo("without the passphrase they are lost; keep it where the keys are not")
