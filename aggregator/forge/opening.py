"""Open a forge's directory and its ledger, so that one process at a time writes them."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout
from sqlalchemy import URL

from medforge.aggregator.forge.settings import ForgeSettings
from medforge.aggregator.ledger.address import address_of_file
from medforge.aggregator.ledger.lease import Lease
from medforge.aggregator.ledger.ledger import Ledger
from medforge.errors import CorruptFile, InvalidInput
from medforge.files import PRIVATE, make_private


def usable(directory: Path) -> Path:
    """Make a forge's directory where there is none; raises InvalidInput where that cannot be."""
    try:
        make_private(directory)
    except OSError as error:
        raise InvalidInput(
            f"the forge directory {directory} cannot be made ({error.strerror}); choose another"
        ) from error
    return directory


def lock_directory(directory: Path) -> FileLock:
    """Lock a forge's directory for this process; raises InvalidInput where another has it."""
    lock = FileLock(directory / "lock", mode=PRIVATE, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InvalidInput(
            f"another process serves the forge {directory}; stop it first, or push to the address it listens on"
        ) from None
    except OSError as error:
        raise InvalidInput(f"the forge directory {directory} cannot be written ({error.strerror}); free it") from error
    return lock


def internal_ledger(directory: Path) -> URL:
    """Return the address of the ledger that lies in a forge's directory."""
    return address_of_file(directory / "ledger.sqlite")


def take(ledger: Ledger) -> tuple[Ledger, Lease]:
    """Take a ledger for this process alone; it is closed where another has it."""
    lease = Lease(ledger)
    try:
        lease.take()
    except BaseException:
        lease.release()
        ledger.close()
        raise
    return ledger, lease


def open_ledger(directory: Path, settings: ForgeSettings, url: str | None) -> Ledger:
    """Open the ledger of a forge that is there; raises InvalidInput or CorruptFile where it is not this forge's."""
    if settings.ledger == "external" and url is None:
        raise InvalidInput(
            f"the forge {directory} keeps its ledger in another database; give its address with --ledger or "
            f"MEDFORGE_LEDGER"
        )
    if settings.ledger == "internal" and url is not None:
        raise InvalidInput(
            f"the forge {directory} keeps its ledger in its own directory; leave --ledger out and MEDFORGE_LEDGER unset"
        )
    if url is None and not (directory / "ledger.sqlite").exists():
        raise CorruptFile(f"the forge {directory} has lost its ledger.sqlite; restore it from a backup")
    ledger = Ledger(url or internal_ledger(directory), make=False)
    bound = ledger.bound
    if bound != settings.forge:
        ledger.close()
        raise CorruptFile(
            f"the ledger belongs to forge {bound or 'nobody'}, not to {settings.forge} in {directory}; "
            f"give this forge's own ledger or restore it from a backup"
        )
    return ledger
