"""What is looked at before a run writes anything."""

from __future__ import annotations

from collections.abc import Sequence

from medforge.base_check import check_base
from medforge.client.data.catalogue import check_source
from medforge.errors import InvalidInput
from medforge.simulation.centres import Centre
from medforge.simulation.crowd import FEW, Crowd


def check_inputs(centres: Sequence[Centre], base: str, device: str, dtype: str) -> None:
    """Refuse a base module, device, dtype or source that plainly cannot be had. Raises InvalidInput.

    It takes a second or two and opens no image, so a mistake in a command leaves nothing behind.
    """
    # a source takes seconds to import
    check_base(base, device, dtype)
    for centre in centres:
        try:
            check_source(centre.source)
        except InvalidInput as error:
            raise InvalidInput(f"--centre {centre.name}: {error}") from error


def check_reviewing(crowd: Crowd | None, review: bool) -> None:
    """Refuse to let every one of many centres review every one of as many commits. Raises InvalidInput."""
    if review and crowd is not None and crowd.large:
        raise InvalidInput(
            f"--review lets every centre review every commit, which is too much for --centres {crowd.count}; leave it "
            f"out, or take at most {FEW} centres"
        )
