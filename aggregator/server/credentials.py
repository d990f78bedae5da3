"""What a server proves itself with, and whom it believes: looked up at each handshake, so that no restart is due."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import grpc

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.identity.authority import CERTIFICATE_FILE, KEYS, Authority
from medforge.aggregator.identity.kept import authority_of
from medforge.aggregator.identity.overlap import Overlap, load_overlap
from medforge.aggregator.ledger.authority_table import authority_successions
from medforge.errors import MedForgeError
from medforge.proto.authority_succession import AuthoritySuccession
from medforge.proto.certificates import now

_log = logging.getLogger(__name__)
_Stamp = tuple[int, int] | None


class ServerCredentials:
    """Hold the certificate that a forge shows and the authorities that it takes callers of.

    While an authority before is trusted, the certificate is by that one: who knows the newest too trusts both.
    """

    def __init__(self, forge: Forge) -> None:
        self._directory, self._forge = forge.directory, forge.settings.forge
        authority_of(forge)
        self._read()

    def grpc(self) -> Any:
        """Return the credentials for a gRPC server that asks callers for a certificate."""
        return grpc.dynamic_ssl_server_credentials(self._configuration(), self._fetch, True)

    def _fetch(self) -> Any:
        """Return what is new since the last handshake, or None."""
        try:
            if _stamp(self._directory) != self._stamp:
                self._read()
            elif self._overlap is None or self._overlap.until > now():
                return None
            return self._configuration()
        except (MedForgeError, OSError):
            _log.exception("the forge's keys cannot be read just now; callers are shown what they were before")
            return None

    def _read(self) -> None:
        self._stamp = _stamp(self._directory)
        self._authority = Authority.of(self._directory, self._forge, make=False)
        self._overlap = load_overlap(self._directory / KEYS)
        self._own = self._authority.issue_server()

    def _configuration(self) -> Any:
        overlap = self._overlap = _if_running(self._overlap)
        pair = self._own if overlap is None else overlap.pair
        roots = self._authority.pem + (b"" if overlap is None else overlap.authority)
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=roots)


class AuthorityLinks:
    """Read which authority of a forge followed which, once for as long as the newest stays."""

    def __init__(self, forge: Forge) -> None:
        self._forge = forge
        self._stamp: _Stamp = None
        self._links: tuple[AuthoritySuccession, ...] = ()

    def read(self) -> tuple[AuthoritySuccession, ...]:
        """Return the links, oldest first; none for a forge that has no authority."""
        stamp = _stamp(self._forge.directory)
        if stamp != self._stamp:
            self._links, self._stamp = authority_successions(self._forge.ledger), stamp
        return self._links


def _if_running(overlap: Overlap | None) -> Overlap | None:
    return overlap if overlap is not None and overlap.until > now() else None


def _stamp(directory: Path) -> _Stamp:
    try:
        found = (directory / KEYS / CERTIFICATE_FILE).stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_ino
