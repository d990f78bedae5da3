"""`medforge withdraw`: out of the main branch again, by the contributor or the maintainer."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from medforge.aggregator.cli.options import BranchName, ReaderOptions, Reason
from medforge.aggregator.cli.plain import plain_arrival, spell_arrival
from medforge.cli.output import AsJson, say_json
from medforge.errors import printable

if TYPE_CHECKING:
    from medforge.proto import forge_pb2 as pb
    from medforge.proto.connection import Connection
    from medforge.proto.kit import Kit

_DIGEST = re.compile(r"[0-9a-f]{64}")


def withdraw(
    branch: BranchName,
    source: ReaderOptions,
    erase: Annotated[bool, typer.Option("--erase", help="Delete its files from the forge too, for good.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Erase without being asked once more.")] = False,
    reason: Reason = "withdrawn by the maintainer",
    as_json: AsJson = False,
) -> None:
    """Take a branch out of the main branch, exactly as if it had never come.

    For its contributor, with --kit, or the maintainer, with --forge.

    Examples:
        medforge withdraw 7 --kit kit
        medforge withdraw lung --kit kit
        medforge withdraw 7 --forge forge --erase --yes
    """
    from medforge.errors import InvalidInput

    if (source.forge is None) == (source.at is None and source.kit is None):
        raise InvalidInput(
            "no forge is named, or two; give either its directory with --forge, or its address with --at or --kit"
        )
    ask = erase and not yes
    if ask and (as_json or not _can_ask()):
        raise InvalidInput("erasing a branch cannot be undone; give --yes to erase it without being asked")
    if source.forge is None:
        _withdraw_remotely(branch, erase, ask, source.connection(), as_json)
    else:
        _withdraw_here(branch, erase, ask, source, reason, as_json)


def _withdraw_remotely(name: str, erase: bool, ask: bool, connection: Connection, as_json: bool) -> None:
    from medforge.proto.remote import RemoteForge

    branch, said = _find(name, connection)
    if ask:
        _confirm(said)
    with RemoteForge(connection) as remote:
        request = remote.signed_withdrawal(branch, erase)
        reply = remote.send_withdrawal(request)
    if connection.kit is not None:
        _remember(connection.kit, request)
    if as_json:
        related = {"copies": reply.copies, "descendants": reply.descendants}
        numbers = {name: [one.number for one in of] for name, of in related.items()}
        say_json({"branch": branch, "state": "withdrawn", "erase": erase, **numbers})
        return
    typer.echo(f"{said} is withdrawn{_erased(erase)}; the main branch follows")
    _say_copies([_spelled(one) for one in reply.copies], erase)
    _say_descendants([_spelled(one) for one in reply.descendants])


def _remember(kit: Kit, request: pb.WithdrawRequest) -> None:
    """Keep what was signed, so that a forge that is restored from an older backup is told of it again."""
    from medforge.proto.kept_withdrawals import WITHDRAWALS_FILE, keep_withdrawal

    try:
        keep_withdrawal(kit, request)
    except OSError as error:
        typer.echo(
            f"{kit.directory / WITHDRAWALS_FILE} cannot be written ({error.strerror}), so this machine does not "
            f"remember the withdrawal; the forge does",
            err=True,
        )


def _find(name: str, connection: Connection) -> tuple[str, str]:
    """Find a branch by the forge's log, and say which; a task's name means the caller's own branch.

    A whole digest that the log does not have is left to the forge to judge.
    """
    from medforge.aggregator.forge.names import find_arrival
    from medforge.aggregator.forge.reader import open_reader

    with open_reader(None, connection) as reader:
        for line in reader.said():
            typer.echo(line, err=True)
        arrivals, names = reader.arrivals(), reader.display_names()
    if _DIGEST.fullmatch(name) and all(one.branch != name for one in arrivals):
        return name, f"branch {name[:8]}"
    own = connection.kit.card.contributor if connection.kit else None
    found = find_arrival([one for one in arrivals if own in (None, one.contributor) or one.task != name], name)
    return found.branch, spell_arrival(found, names)


def _withdraw_here(name: str, erase: bool, ask: bool, source: ReaderOptions, reason: str, as_json: bool) -> None:
    from medforge.aggregator.cli.maintain import FOLLOWS, opened_forge
    from medforge.aggregator.forge import maintenance
    from medforge.aggregator.forge.copies import copies_of
    from medforge.aggregator.forge.lineage import descendants
    from medforge.aggregator.forge.names import find_arrival

    assert source.forge is not None
    with opened_forge(source.forge, source.ledger) as forge:
        names = forge.ledger.display_names()
        if ask:
            _confirm(spell_arrival(find_arrival(forge.ledger.arrivals(), name), names))
        arrival = maintenance.withdraw(forge, name, reason, erase)
        forge.keep_tombstones()
        copies = copies_of(forge, arrival)
        carrying = descendants(forge, arrival, *copies)
    if as_json:
        numbers = {"copies": copies, "descendants": carrying}
        say_json(plain_arrival(arrival, names) | {what: [one.number for one in of] for what, of in numbers.items()})
        return
    typer.echo(f"{spell_arrival(arrival, names)} is withdrawn{_erased(erase)}; {FOLLOWS}")
    _say_copies([spell_arrival(other, names) for other in copies], erase)
    _say_descendants([spell_arrival(other, names) for other in carrying])


def _say_copies(copies: Sequence[str], erase: bool) -> None:
    for said in copies:
        follows = "leaves with it, and will be erased" if erase else "stays; withdraw with --erase to take it out too"
        typer.echo(f"{said} is a copy of it, and {follows}")


def _say_descendants(descendants: Sequence[str]) -> None:
    for said in descendants:
        typer.echo(
            f"{said} began its training from a main branch with it, and carries on what it learned there; "
            "its contributor or the maintainer withdraws that too if this must not be"
        )


def _spelled(arrival: pb.RelatedArrival) -> str:
    return printable(f"arrival {arrival.number} ({arrival.contributor}: {arrival.task})")


def _can_ask() -> bool:
    return sys.stdin.isatty()


def _confirm(what: str) -> None:
    from medforge.errors import InvalidInput

    if not typer.confirm(f"Delete the files of {what} for good? This cannot be undone.", err=True):
        raise InvalidInput("nothing was withdrawn; leave --erase out to withdraw the branch and keep its files")


def _erased(erase: bool) -> str:
    return " and will be erased" if erase else ""
