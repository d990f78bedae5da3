"""The decorator that makes a function a data source, and keeps what it says of itself beside it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from inspect import cleandoc
from typing import TYPE_CHECKING

from medforge.client.data.sites import site
from medforge.registry import note

if TYPE_CHECKING:
    from medforge.client.data.request import NamedSource, Request
    from medforge.client.data.task import Task

    Opener = Callable[[Request], Task]
    Look = Callable[[NamedSource], None]

NAME = r"[a-z0-9][a-z0-9.-]{0,63}"
"""A source's name stands before a colon."""

OPTION = r"[a-z_]{1,32}"
COMMON_OPTIONS = (*site.OPTIONS, "threads", "leaks")
"""Options that every source takes; the catalogue reads them."""


@dataclass(frozen=True, eq=False)
class Source:
    """Hold a data source under its name: a line about it, the options that it takes, and what opens it.

    `look`, where there is one, refuses before anything is loaded what a glance shows to be wrong. `words` are what may
    stand in place of a path; None where what stands there is no path at all. `reads` and `refuses` are Markdown.
    """

    name: str
    about: str
    options: tuple[str, ...]
    words: tuple[str, ...] | None
    open: Opener
    look: Look | None = None
    reads: str = ""
    refuses: str = ""
    authors_split: bool = False
    files: tuple[str, ...] = ()


def data_source(
    *,
    name: str,
    about: str,
    options: tuple[str, ...] = (),
    words: tuple[str, ...] | None = (),
    look: Look | None = None,
    reads: str = "",
    refuses: str = "",
    authors_split: bool = False,
    files: tuple[str, ...] = (),
) -> Callable[[Opener], Opener]:
    """Make the decorated function Request → Task the data source `name`, asked for as `NAME:PATH[,option=value]*`.

    `about` is one line for people, `options` are the options that `Request.options` may hold, `words` what may stand in
    place of a path (None: anything, and the source checks it itself). The function's splits must follow from
    `Request.seed` and the data alone, and share no image; what it cannot read raises InvalidInput. `look` may refuse by
    the same sentences what it sees without a base module or a decoded image: it is called before either is there.
    `reads` and `refuses` are a section of docs/reference-sources.md, in Markdown: what a person may lay out, and what
    is no such thing. `authors_split` says that a published split is the data set's authors' own: images that it has in
    two splits are said, and not refused.
    `files` are the options that name a file or folder, as `NamedSource.beside` finds it.

    Raises ValueError for a name or an option that nobody could type, which is a mistake of who writes a source.
    """
    if not re.fullmatch(NAME, name):
        raise ValueError(f"a data source cannot be named {name!r}")
    for option in options:
        if not re.fullmatch(OPTION, option) or option in COMMON_OPTIONS:
            raise ValueError(f"{name}: an option cannot be named {option!r}")

    def register(opener: Opener) -> Opener:
        said = cleandoc(reads), cleandoc(refuses)
        note(opener, Source(name, about, options, words, opener, look, *said, authors_split, files))
        return opener

    return register
