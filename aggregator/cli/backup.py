"""`medforge backup`, `restore` and `backup-key`: a forge into one encrypted file, and back."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medforge.aggregator.cli.options import BlobsAddress, ForgeDirectory, LedgerUrl
from medforge.cli.output import AsJson, say_json

if TYPE_CHECKING:
    from medforge.aggregator.backup.age import Lock, Opener
    from medforge.aggregator.backup.restoring import Restored

PASSPHRASE = "MEDFORGE_BACKUP_PASSPHRASE"
_SHORTEST = 12
_MIB = 1 << 20
PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help=f"File that holds the passphrase. Default: the variable {PASSPHRASE}; else it is asked for.",
    ),
]


def backup(
    forge: ForgeDirectory,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The file to write; none that is there is replaced.")],
    recipient: Annotated[
        str | None,
        typer.Option(metavar="KEY", help="Encrypt for a public key, age1…, whose private key lies elsewhere."),
    ] = None,
    passphrase_file: PassphraseFile = None,
    ledger: LedgerUrl = None,
    as_json: AsJson = False,
) -> None:
    """Write a forge into one encrypted file: ledger, blobs, keys, settings and policy; read it back and check it.

    It works while the forge is served, and is of one moment. `age` opens the file too.

    Examples:
        medforge backup --forge forge --out /backups/forge-monday.age
        medforge backup --forge forge --out /backups/forge-monday.age --recipient age1...
    """
    from medforge.aggregator.backup.making import back_up
    from medforge.aggregator.forge.forge import Forge
    from medforge.progress import Progress

    opened = Forge.open(forge, ledger)
    try:
        lock = _lock(recipient, passphrase_file)
        total = sum(opened.blobs.size(digest) for digest in opened.blobs.present())
        with Progress("backing up", total) as bar:
            contents = back_up(opened, out, lock, bar.advance)
        tombstones = opened.tombstones.path
    finally:
        opened.close()
    if as_json:
        say_json({"out": str(out), "bytes": out.stat().st_size, **contents.model_dump(mode="json")})
        return
    typer.echo(
        f"{out} holds forge {opened.settings.forge}: {contents.arrivals} arrivals, {contents.commits} commits and "
        f"{contents.blobs} blobs in {out.stat().st_size / _MIB:.1f} MiB; it was read back and checked"
    )
    typer.echo(
        f"keep it on another machine, apart from its key, and {tombstones} on a third disk if there is that file"
    )


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file that `medforge backup` wrote.")],
    forge: Annotated[Path | None, typer.Option(metavar="DIR", help="Directory for the forge; new or empty.")] = None,
    identity: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The key file, where it was encrypted for a public key.")
    ] = None,
    passphrase_file: PassphraseFile = None,
    tombstones: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What was withdrawn and revoked after the backup. Default: the file beside DIR, DIR.tombstones.",
        ),
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Read and check all of it, and restore nothing.")] = False,
    ledger: LedgerUrl = None,
    blobs: BlobsAddress = None,
    as_json: AsJson = False,
) -> None:
    """Bring a forge back from a backup, into a new directory; what came after the backup, centres push again.

    It begins a new epoch, signed, by which centres notice. What was withdrawn or revoked after the backup stays out by
    the tombstones, which lie beside the lost forge's directory and in no backup.

    Examples:
        medforge restore /backups/forge-monday.age --forge forge --tombstones /safe/forge.tombstones
        medforge restore /backups/forge-monday.age --verify
    """
    from medforge.aggregator.backup.restoring import restore as bring_back
    from medforge.errors import InvalidInput

    if verify is (forge is not None):
        raise InvalidInput(
            "where the forge is to be restored is not said; give --forge DIR, or --verify to only check the file"
        )
    opener = _opener(identity, passphrase_file)
    if forge is None:
        _verify(file, opener, as_json)
        return
    done = bring_back(file, opener, forge, ledger, tombstones, blobs)
    if as_json:
        say_json(_plain(done))
        return
    for line in _lines(done):
        typer.echo(line)


def backup_key(
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the private key goes; a new file.")],
    as_json: AsJson = False,
) -> None:
    """Make a key for backups, as `age-keygen` does: who has only its public half can write backups, and read none.

    Example:
        medforge backup-key --out backup.key
    """
    from medforge.aggregator.backup.age import Identity
    from medforge.errors import InvalidInput
    from medforge.files import write_atomically

    if os.path.lexists(out):
        raise InvalidInput(f"{out} is there already, and no key is ever replaced; give another name with --out")
    identity = Identity.new()
    text = f"# public key: {identity.recipient}\n{identity}\n"
    try:
        write_atomically(out, text.encode())
    except OSError as error:
        raise InvalidInput(f"the key cannot be written to {out} ({error.strerror}); choose another --out") from error
    if as_json:
        say_json({"out": str(out), "recipient": str(identity.recipient)})
        return
    typer.echo(f"the private key is in {out}: keep it away from the forge, twice; without it no backup can be read")
    typer.echo(f"medforge backup --recipient {identity.recipient}")


def _verify(file: Path, opener: Opener, as_json: bool) -> None:
    from tempfile import TemporaryDirectory

    from medforge.aggregator.backup.unpacking import check_backup

    with TemporaryDirectory(prefix="medforge-") as work:
        found = check_backup(file, opener, Path(work) / "check")
    about = {**found.heading.model_dump(mode="json"), **found.contents.model_dump(mode="json")}
    if as_json:
        say_json(about)
        return
    typer.echo(
        f"{file} holds forge {found.heading.forge} as it was at {found.heading.made_at}, whole: "
        f"{found.contents.arrivals} arrivals, {found.contents.commits} commits, {found.contents.blobs} blobs"
    )


def _plain(done: Restored) -> dict[str, object]:
    buried = done.buried
    return {
        "forge": done.epoch.facts.forge,
        "epoch": done.epoch.digest,
        **done.epoch.facts.model_dump(mode="json", exclude={"forge", "nonce"}),
        "tombstones": None if buried is None else str(done.tombstones),
        "withdrawn": [] if buried is None else buried.withdrawn,
        "kept_out": [] if buried is None else buried.unknown,
        "revoked": [] if buried is None else buried.revoked,
        "lost_key": None if buried is None else buried.rotated,
    }


def _lines(done: Restored) -> list[str]:
    facts, buried = done.epoch.facts, done.buried
    lines = [
        f"forge {facts.forge} is restored as it was at {facts.made_at}: {facts.arrivals} arrivals, {facts.commits} "
        f"commits; epoch {facts.number} ({done.epoch.digest[:12]}) begins",
        "what came after that is not here: serve the forge, and centres push it again by themselves at their next "
        "push, status, doctor or review",
    ]
    if buried is None:
        lines.append(
            f"NO TOMBSTONES were found at {done.tombstones}: if anything was withdrawn or anybody revoked after the "
            f"backup, it is back now; withdraw and revoke it again before the forge is served"
        )
        return lines
    lines.append(
        f"by {done.tombstones} {len(buried.withdrawn)} arrivals leave again, {len(buried.unknown)} branches that came "
        f"after the backup stay out, and {len(buried.revoked)} contributors are revoked again"
    )
    if buried.rotated is not None:
        lines.append(
            f"the forge's key was changed after the backup, and its newest, {buried.rotated[:12]}, is lost: kits that "
            f"were made with it need to be made again with medforge invite --renew"
        )
    return lines


def _lock(recipient: str | None, passphrase_file: Path | None) -> Lock:
    from medforge.aggregator.backup.age import Passphrase, Recipient
    from medforge.errors import InvalidInput

    if recipient is not None:
        if passphrase_file is not None:
            raise InvalidInput("a backup is encrypted for a key or with a passphrase; leave one of the two out")
        return Recipient.parse(recipient)
    text = _given(passphrase_file) or _asked(twice=True)
    if len(text) < _SHORTEST:
        raise InvalidInput(f"the passphrase has fewer than {_SHORTEST} characters; use a longer one, or --recipient")
    return Passphrase(text)


def _opener(identity: Path | None, passphrase_file: Path | None) -> Opener:
    from medforge.aggregator.backup.age import Identity, Passphrase
    from medforge.errors import InvalidInput
    from medforge.files import read_file

    if identity is not None:
        if passphrase_file is not None:
            raise InvalidInput("a backup is opened by a key or with a passphrase; leave one of the two out")
        return Identity.parse(read_file(identity, "the key file").decode(errors="replace"))
    return Passphrase(_given(passphrase_file) or _asked(twice=False))


def _given(passphrase_file: Path | None) -> str | None:
    from medforge.errors import InvalidInput
    from medforge.files import read_file

    if passphrase_file is None:
        return os.environ.get(PASSPHRASE) or None
    text = read_file(passphrase_file, "the passphrase").decode(errors="replace").rstrip("\r\n")
    if not text or "\n" in text:
        raise InvalidInput(f"{passphrase_file} does not hold one line with the passphrase; write it there")
    return text


def _asked(twice: bool) -> str:
    from medforge.errors import InvalidInput

    if not sys.stdin.isatty():
        raise InvalidInput(f"no passphrase was given; set {PASSPHRASE}, or give --passphrase-file FILE, or a key")
    return str(typer.prompt("Passphrase of the backup", hide_input=True, confirmation_prompt=twice, err=True))
