"""The authority of a forge, which is made once: its ledger remembers which it is, and which came before."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.fsck import Check
from medforge.aggregator.identity.authority import CERTIFICATE_FILE, KEY_FILE, KEYS, LOCK_FILE, NEXT, Authority
from medforge.aggregator.identity.overlap import FILES, load_overlap
from medforge.aggregator.ledger.authority_table import AUTHORITY_FACT, authority_successions
from medforge.errors import CorruptFile, MedForgeError
from medforge.files import PRIVATE, read_file, sync_directory
from medforge.proto.authority_succession import AuthoritySuccession, bundle, follow
from medforge.proto.certificates import digest_of, now, parse_certificate

_CHECK = "the authority is the one that made the kits"


def check_authority(forge: Forge) -> Check:
    """Check the authority's files, and those before it, as `fsck` does; nothing is made or changed."""
    known = forge.ledger.fact(AUTHORITY_FACT)
    there = any((forge.directory / KEYS / name).exists() for name in (KEY_FILE, CERTIFICATE_FILE))
    if known is None and not there and not forge.ledger.contributors():
        return Check(_CHECK, 0, ())
    try:
        links = authority_successions(forge.ledger)
        if links:
            _check_chain(forge, links, known)
        found = Authority.of(forge.directory, forge.settings.forge, make=False).fingerprint
        cut_short = known == _fingerprint_of_next(forge.directory / KEYS)
    except MedForgeError as error:
        return Check(_CHECK, 1, (str(error),))
    sound = known in (None, found) or cut_short
    return Check(_CHECK, 1 + len(links), () if sound else (_not_it(forge, str(known)),))


def authority_of(forge: Forge) -> Authority:
    """Open the authority of a forge, or make it for one that never had any and invited nobody.

    Ends a rotation that was cut short. Raises CorruptFile where it is lost, damaged, or another than the one that
    contributors were given.
    """
    known, keys = forge.ledger.fact(AUTHORITY_FACT), forge.directory / KEYS
    if known is not None and known == _fingerprint_of_next(keys):
        with FileLock(keys / LOCK_FILE, mode=PRIVATE):
            finish_rotation(keys, known)
    new = known is None and not forge.ledger.contributors()
    authority = Authority.of(forge.directory, forge.settings.forge, make=new)
    if known is None:
        forge.ledger.set_fact(AUTHORITY_FACT, authority.fingerprint)
    elif known != authority.fingerprint:
        raise CorruptFile(_not_it(forge, known))
    return authority


def finish_rotation(keys: Path, fingerprint: str) -> None:
    """Put the authority of a fingerprint, which the ledger names, into its place, if it lies beside it."""
    if _fingerprint_of_next(keys) != fingerprint:
        return
    for name in (*FILES, KEY_FILE, CERTIFICATE_FILE):
        if (keys / f"{name}{NEXT}").exists():
            (keys / f"{name}{NEXT}").replace(keys / name)
    sync_directory(keys)


def trusted_bundle(forge: Forge, authority: Authority) -> bytes:
    """Return the authorities (PEM, the newest first) by which callers may know a forge now."""
    links = authority_successions(forge.ledger)
    overlapping = [links[-1].before] if links and links[-1].until > now() else []
    return authority.pem + bundle(overlapping)


def _fingerprint_of_next(keys: Path) -> str | None:
    path = keys / f"{CERTIFICATE_FILE}{NEXT}"
    return digest_of(parse_certificate(read_file(path, "the authority"), str(path))) if path.exists() else None


def _check_chain(forge: Forge, links: tuple[AuthoritySuccession, ...], known: str | None) -> None:
    """Raise a MedForgeError unless each authority signed the next, to the forge's own, and the overlap's files are."""
    followed = follow(links, forge.settings.forge, [links[0].before])
    if len(followed) != len(links) or digest_of(links[-1].after) != known:
        raise CorruptFile(
            f"the CAs of the journal do not lead from one to the next up to {str(known)[:12]}; restore the ledger"
        )
    keys = forge.directory / KEYS
    if links[-1].until > now() and known != _fingerprint_of_next(keys):
        overlap = load_overlap(keys)
        if overlap is None or overlap.authority != links[-1].authority.encode():
            raise CorruptFile(
                f"{keys} lacks the certificate by which kits of the CA before know this forge; restore {KEYS} from a "
                f"backup"
            )


def _not_it(forge: Forge, known: str) -> str:
    return (
        f"{forge.directory / KEYS / CERTIFICATE_FILE} is not the authority {known[:12]} that made this forge's kits; "
        f"restore the directory {KEYS} from a backup"
    )
