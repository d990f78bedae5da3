"""Who may look at a live page: whoever is at this machine, or whoever has the token."""

from __future__ import annotations

import hmac
import os
import re
import secrets
from pathlib import Path

from medforge.errors import InvalidInput
from medforge.files import read_file
from medforge.proto.address import is_loopback, split_address

COOKIE = "medforge_page"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{32,200}")


class Door:
    """Decide about requests: without a token by the name that the page is asked for, with one by a cookie.

    A page on loopback is for this machine's own users; a browser that was lured to another name which leads here (DNS
    rebinding) sends that name, and is turned away. With a token any name will do, for a browser shows its cookie only
    to the name that set it. The cookie holds a proof of the token and not the token.
    """

    def __init__(self, forge: str, token: str | None) -> None:
        self._token = token
        self._proof = "" if token is None else hmac.digest(token.encode(), forge.encode(), "sha256").hex()

    @property
    def asks(self) -> bool:
        """Whether a token is asked for."""
        return self._token is not None

    def knows_host(self, host: str) -> bool:
        """Say whether a page may be asked for under this name (the header Host)."""
        if self.asks:
            return True
        try:
            name, _ = split_address(host if re.search(r":\d+$", host) else f"{host}:80")
        except InvalidInput:
            return False
        return is_loopback(name)

    def admits(self, cookie: str) -> bool:
        """Say whether a cookie proves the token, in constant time; where none is asked for, everybody is admitted."""
        return not self.asks or hmac.compare_digest(cookie.encode(), self._proof.encode())

    def proof(self, token: str) -> str | None:
        """Return the cookie for whoever gives the token, None for another; in constant time."""
        right = self._token is not None and hmac.compare_digest(token.encode(), self._token.encode())
        return self._proof if right else None


def token_in(path: Path) -> str:
    """Read the token in a file; a file that is not there is made, with a new one, for its owner alone.

    Raises InvalidInput for what is too short to be one, or a file that other users of the machine can read.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
    token = read_file(path, "the page's token").decode("ascii", "replace").strip()
    if not _TOKEN.fullmatch(token):
        raise InvalidInput(
            f"{path} holds no token of 32 to 200 letters, digits, '-' and '_'; delete it, and a new one is made"
        )
    if path.stat().st_mode & 0o077:
        raise InvalidInput(f"{path} can be read by other users of this machine; chmod 600 it")
    return token


def check_door(listen: str, token: Path | None) -> None:
    """Raise InvalidInput where pages would be shown to a network without a token."""
    host, _ = split_address(listen)
    if token is None and not is_loopback(host):
        raise InvalidInput(
            f"whoever reaches {host} could look at the page; ask them for a token with --page-token FILE, or listen "
            "on 127.0.0.1 behind a reverse proxy"
        )
