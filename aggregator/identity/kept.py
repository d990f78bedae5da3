"""The authority of a forge, which is made once: its ledger remembers which it is."""

from __future__ import annotations

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.fsck import Check
from medforge.aggregator.identity.authority import CERTIFICATE_FILE, KEY_FILE, KEYS, Authority
from medforge.errors import CorruptFile, MedForgeError

AUTHORITY_FACT = "authority"
_CHECK = "the authority is the one that made the kits"


def check_authority(forge: Forge) -> Check:
    """Check the authority's files as `fsck` does; nothing is made or changed."""
    known = forge.ledger.fact(AUTHORITY_FACT)
    there = any((forge.directory / KEYS / name).exists() for name in (KEY_FILE, CERTIFICATE_FILE))
    if known is None and not there and not forge.ledger.contributors():
        return Check(_CHECK, 0, ())
    try:
        found = Authority.of(forge.directory, forge.settings.forge, make=False).fingerprint
    except MedForgeError as error:
        return Check(_CHECK, 1, (str(error),))
    return Check(_CHECK, 1, () if known in (None, found) else (_not_it(forge, str(known)),))


def authority_of(forge: Forge) -> Authority:
    """Open the authority of a forge, or make it for one that never had any and invited nobody.

    Raises CorruptFile where it is lost, damaged, or another than the one that contributors were given.
    """
    known = forge.ledger.fact(AUTHORITY_FACT)
    new = known is None and not forge.ledger.contributors()
    authority = Authority.of(forge.directory, forge.settings.forge, make=new)
    if known is None:
        forge.ledger.set_fact(AUTHORITY_FACT, authority.fingerprint)
    elif known != authority.fingerprint:
        raise CorruptFile(_not_it(forge, known))
    return authority


def _not_it(forge: Forge, known: str) -> str:
    return (
        f"{forge.directory / KEYS / CERTIFICATE_FILE} is not the authority {known[:12]} that made this forge's kits; "
        f"restore the directory {KEYS} from a backup"
    )
