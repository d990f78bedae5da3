"""What the pages call things, for a reader who has never seen a terminal."""

from __future__ import annotations

import unicodedata

from markupsafe import Markup

from medforge.aggregator.ledger.journal import FORGE, MAINTAINER
from medforge.aggregator.ledger.records import State
from medforge.errors import printable

STATES = {
    State.RECEIVED: "waits for its turn",
    State.FOLDED: "in the main branch",
    State.HELD: "held",
    State.REJECTED: "kept out",
    State.WITHDRAWN: "withdrawn",
    State.SUPERSEDED: "replaced",
}
EXPLAINED = {
    State.RECEIVED: "It has arrived and waits: branches are examined and merged one after another, in the order in "
    "which they came.",
    State.FOLDED: "It is part of the merged model.",
    State.HELD: "It is not part of the merged model. Something about it looks wrong, and the maintainer of the forge "
    "decides whether it comes in.",
    State.REJECTED: "The maintainer of the forge keeps it out of the merged model.",
    State.WITHDRAWN: "It was taken back. The merged model is what it would be had the branch never come.",
    State.SUPERSEDED: "A newer branch by the same contributor for the same task took its place.",
}
ACTORS = {FORGE: "the forge", MAINTAINER: "the maintainer"}

# marks that change the direction in which what follows is read: a name or a prompt could rearrange a sentence by them
_REORDERING = dict.fromkeys(map(ord, "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"), "\ufffd")


def shown(value: object) -> object:
    """Return a value as a page may show it: text without what would move or reorder what stands beside it."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    lines = unicodedata.normalize("NFC", value).translate(_REORDERING).split("\n")
    return "\n".join(map(printable, lines))


def moment(at: str) -> str:
    """Write a time (RFC 3339, UTC) to the minute."""
    return f"{at[:16].replace('T', ' ')} UTC"


def day(at: str) -> str:
    """Write the day of a time (RFC 3339, UTC)."""
    return at[:10]


def size(count: int) -> str:
    """Write a number of bytes."""
    value = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            break
        value /= 1024
    return f"{count} bytes" if unit == "bytes" else f"{value:.1f} {unit}"
