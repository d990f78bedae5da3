"""Which schemas ledgers have had, by what wrote them, and what is said where one is not of this version."""

from __future__ import annotations

from medforge import __version__
from medforge.errors import OtherVersion

SCHEMA = "3"
"""The schema that this version writes."""
SCHEMA_FACT, SOFTWARE_FACT = "schema", "software"
RELEASED = {"2": "0.1.0", "3": "0.2.0"}
"""The first release of each schema that this version reads."""


def check_readable(name: str, schema: str | None, software: str | None) -> None:
    """Raise OtherVersion for a ledger (its address) of a schema that this version does not know."""
    if schema in RELEASED:
        return
    wrote = "another version of medforge" if software is None else f"medforge {software[:20]}"
    *others, last = RELEASED
    raise OtherVersion(
        f"the ledger {name} has schema {str(schema)[:20]}, written by {wrote}, and this is medforge {__version__}, "
        f"which reads schemas {', '.join(others)} and {last}; use the version that wrote it"
    )


def check_current(name: str, schema: str | None) -> None:
    """Raise OtherVersion for a ledger (its address) that this version may not write as it is."""
    if schema == SCHEMA:
        return
    if schema in RELEASED:
        raise OtherVersion(
            f"the ledger {name} has schema {schema}, of medforge {RELEASED[schema]}, and this is {__version__}, which "
            f"writes schema {SCHEMA}; run `medforge upgrade --forge DIR`, or serve the forge, which does it too"
        )
    raise OtherVersion(
        f"the ledger {name} has schema {str(schema)[:20]} since another version of medforge upgraded it; use that "
        f"version"
    )
