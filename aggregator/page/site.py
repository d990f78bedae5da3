"""The pages of a forge: which there are, and each one's bytes. What is written to disk and what is served are these."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from importlib.resources import files
from typing import Any, NamedTuple

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.page import addresses, overview, subject, words
from medforge.aggregator.page.forge_view import ForgeView
from medforge.aggregator.page.history import Position
from medforge.aggregator.page.overview import JOURNAL_LENGTH, TIMELINE_LENGTH, Values
from medforge.aggregator.page.parts import count_parts
from medforge.aggregator.page.search_index import search_index
from medforge.look.page import templates


class _Kind(NamedTuple):
    pattern: str
    template: str
    values: Callable[[ForgeView, str], Values | None]


_NUMBER, _KEY = "([1-9][0-9]{0,8})", "([0-9a-f]{16})"
_KINDS = (
    _Kind(r"(index)\.html", "overview", lambda view, _: overview.overview(view)),
    _Kind(r"(contributors)\.html", "contributors", lambda view, _: overview.contributors(view)),
    _Kind(r"(held)\.html", "held", lambda view, _: overview.held(view)),
    _Kind(r"(search)\.html", "search", lambda view, _: {}),
    _Kind(rf"timeline/{_NUMBER}\.html", "timeline", overview.timeline),
    _Kind(rf"journal/{_NUMBER}\.html", "journal", overview.journal),
    _Kind(rf"task/{_KEY}\.html", "task", subject.task),
    _Kind(rf"contributor/{_KEY}\.html", "contributor", subject.contributor),
    _Kind(rf"branch/{_NUMBER}\.html", "branch", subject.branch),
    _Kind(rf"commit/{_NUMBER}\.html", "commit", subject.commit),
)


class Site:
    """Make the pages of a forge; for one thread at a time. ``live`` pages ask their server for what is new.

    Call `update` first, and again whenever the forge may have changed. No page depends on a clock.
    """

    def __init__(self, forge: Forge, live: bool = False) -> None:
        self.view = ForgeView(forge)
        self._live = live
        self._templates = templates("medforge.aggregator.page")
        self._templates.finalize = words.shown
        self._templates.filters |= {"moment": words.moment, "day": words.day, "size": words.size}
        pages = ("task_page", "contributor_page", "branch_page", "commit_page", "timeline_page", "journal_page")
        self._templates.globals |= {name: getattr(addresses, name) for name in pages}
        self._templates.globals |= {"states": words.STATES, "explained": words.EXPLAINED, "actors": words.ACTORS}

    def update(self) -> Position:
        """Read what is new in the forge; raises as `ForgeView.update` does."""
        return self.view.update()

    def is_current(self) -> bool:
        """Say whether nothing has happened in the forge since `update`."""
        return self.view.history.is_current()

    def paths(self) -> Iterator[str]:
        """List every file of the site."""
        history = self.view.history
        yield from (addresses.OVERVIEW, addresses.CONTRIBUTORS, addresses.HELD, addresses.SEARCH)
        yield from (addresses.STYLE, addresses.SEARCH_SCRIPT, addresses.SEARCH_INDEX)
        if self._live:
            yield addresses.SCRIPT
        yield from map(addresses.timeline_page, range(1, self._timeline_parts + 1))
        yield from map(addresses.journal_page, range(1, self._journal_parts + 1))
        yield from map(addresses.task_page, history.tasks)
        yield from map(addresses.contributor_page, history.everybody)
        yield from map(addresses.branch_page, history.arrivals)
        yield from (addresses.commit_page(one.number) for one in history.rounds)

    def read(self, path: str) -> bytes | None:
        """Return a file of the site, None where it has none of this path."""
        if path in (addresses.SCRIPT, addresses.SEARCH_SCRIPT):
            return files("medforge.aggregator.page").joinpath("templates", path).read_bytes()
        if path == addresses.STYLE:
            return self._templates.get_template("page.css").render().encode()
        if path == addresses.SEARCH_INDEX:
            return search_index(self.view).encode()
        for kind in _KINDS:
            if found := re.fullmatch(kind.pattern, path):
                values = kind.values(self.view, found[1])
                return None if values is None else self._render(kind.template, path, values)
        return None

    def lost(self, path: str) -> bytes:
        """Return the page that says that there is none of this path."""
        return self._render("lost", path, {})

    def _render(self, template: str, path: str, values: Values) -> bytes:
        def to(target: str) -> str:
            return addresses.relative(target, path)

        common: dict[str, Any] = {
            "view": self.view,
            "to": to,
            "here": template,
            "position": str(self.view.history.position) if self._live else "",
            "latest_timeline": addresses.timeline_page(self._timeline_parts),
            "latest_journal": addresses.journal_page(self._journal_parts),
        }
        return self._templates.get_template(f"{template}.html.j2").render(common | dict(values)).encode()

    @property
    def _timeline_parts(self) -> int:
        return count_parts(self.view.history.timeline, TIMELINE_LENGTH)

    @property
    def _journal_parts(self) -> int:
        return count_parts(self.view.history.events, JOURNAL_LENGTH)
