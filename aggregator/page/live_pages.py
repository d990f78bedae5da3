"""The pages of a forge while it is served: made when they are asked for, and kept until something happens."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import NamedTuple

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.page.addresses import OVERVIEW, STYLE
from medforge.aggregator.page.history import Position
from medforge.aggregator.page.site import Site
from medforge.files import sha256_bytes

KINDS = {"html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}
_KEPT_BYTES = 16 << 20


class LivePage(NamedTuple):
    """Hold a file of the site as it is sent: its media type, its bytes, and a tag that changes with them."""

    kind: str
    data: bytes
    tag: str


class LivePages:
    """Read and make pages for any number of threads, one at a time; keeps at most 16 MiB of those asked for last.

    All methods raise as `ForgeView.update` does, and SQLAlchemyError where the database fails.
    """

    def __init__(self, forge: Forge) -> None:
        self._site = Site(forge, live=True)
        self._lock = threading.Lock()
        self._position: Position | None = None
        self._kept: OrderedDict[str, LivePage] = OrderedDict()

    def position(self) -> str:
        """Say how far the forge is: another text whenever something has happened."""
        with self._lock:
            self._refresh()
            return str(self._position)

    def page(self, path: str) -> LivePage | None:
        """Return a page as it is now, None where there is none of this path."""
        path = path or OVERVIEW
        with self._lock:
            self._refresh()
            if path in self._kept:
                self._kept.move_to_end(path)
                return self._kept[path]
            data = self._site.read(path)
            if data is None:
                return None
            found = LivePage(KINDS[path.rpartition(".")[2]], data, f'"{sha256_bytes(data)[:32]}"')
            self._keep(path, found)
            return found

    def lost(self, path: str) -> bytes:
        """Return the page that says that there is none of this path."""
        with self._lock:
            return self._site.lost(path)

    def style(self) -> LivePage:
        """Return the style, which everybody may have, also before they may look."""
        found = self.page(STYLE)
        assert found is not None
        return found

    def _refresh(self) -> None:
        if self._position is None or not self._site.is_current():
            position = self._site.update()
            if position != self._position:
                self._position = position
                self._kept.clear()

    def _keep(self, path: str, page: LivePage) -> None:
        self._kept[path] = page
        while sum(len(one.data) for one in self._kept.values()) > _KEPT_BYTES:
            self._kept.popitem(last=False)
