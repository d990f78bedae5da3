"""What the ledger says, in plain values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from medforge.declared_task import DeclaredTask
from medforge.privacy_facts import PrivacyFacts


class State(StrEnum):
    """Say where an arrival stands. The main branch is made of exactly those that are folded, once it has settled."""

    RECEIVED = "received"
    FOLDED = "folded"
    HELD = "held"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    SUPERSEDED = "superseded"


@dataclass(frozen=True)
class Arrival:
    """Say that a branch became durable as the `number`-th (from 1, without gaps); `accepted_at` is RFC 3339 in UTC.

    `reason` says why it is held, rejected, withdrawn or superseded. `admitted` is set once the maintainer has accepted
    it whatever its examination says. `erase` asks for its files to be deleted, `erased` says that they are.
    `signature` is the contributor's, empty where none was given.
    """

    number: int
    branch: str
    contributor: str
    task: str
    size: int
    accepted_at: str
    state: State = State.RECEIVED
    reason: str = ""
    admitted: bool = False
    erase: bool = False
    erased: bool = False
    signature: bytes = b""


@dataclass(frozen=True)
class Arriving:
    """Hold what the ledger notes of a branch that is about to arrive; as in `Arrival`."""

    branch: str
    contributor: str
    task: str
    size: int
    signature: bytes = b""
    display_name: str | None = None
    privacy: PrivacyFacts | None = None


@dataclass(frozen=True)
class Standing:
    """Hold what counts where a branch of a contributor comes.

    Whether it was ever `invited`, the bytes `stored` of its branches that are not erased, and its `arrivals` that are
    in the main branch, wait or are held, in order.
    """

    invited: bool
    stored: int
    arrivals: tuple[Arrival, ...]

    @property
    def waiting(self) -> int:
        """How many wait to be folded."""
        return sum(arrival.state is State.RECEIVED for arrival in self.arrivals)


@dataclass(frozen=True)
class Origin:
    """Hold what an arrival is known by to come from a contributor, also after its files were erased.

    ``plugin`` and ``distilled`` are the digests of the two files, ``weights`` and ``images`` sketches of what is in
    them (safetensors; ``images`` is None once the files were erased).
    """

    arrival: int
    contributor: str
    plugin: str
    distilled: str
    weights: bytes
    images: bytes | None


@dataclass(frozen=True)
class Likeness:
    """Say that an arrival was found alike to an earlier one, ``of``, by another contributor."""

    arrival: int
    of: int
    contributors: tuple[str, str]


@dataclass(frozen=True)
class Contributor:
    """Name somebody who was invited.

    `key` are the 32 bytes of the Ed25519 public key, `certificate` is the SHA-256 (hex) of the client certificate's
    DER; times are RFC 3339 in UTC, `revoked_at` None while the invitation holds.
    """

    name: str
    key: bytes
    certificate: str
    invited_at: str
    revoked_at: str | None = None


@dataclass(frozen=True)
class JournalEntry:
    """Record one event: when, who, what, about what (canonical JSON). `digest` covers it and the entry before."""

    number: int
    at: str
    actor: str
    what: str
    about: str
    digest: str


@dataclass(frozen=True)
class Declaration:
    """Say how a task is declared, since when (RFC 3339 in UTC), and by which arrival (None: by the maintainer).

    `number` counts the declarations of a forge; one that extends a task takes the place of the one before.
    """

    number: int
    task: DeclaredTask
    arrival: int | None
    declared_at: str
