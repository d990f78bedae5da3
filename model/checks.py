"""What can be asked of a model, checked before anything is loaded."""

from __future__ import annotations

from medforge.errors import InvalidInput


def check_threshold(share: float) -> None:
    """Raise InvalidInput for a share of the sites' validation images that cannot be a threshold."""
    if not (0 < share <= 0.99 or share == 1):
        raise InvalidInput(
            f"threshold {share:g} is no share of the sites' own images; give one above 0 and up to .99, or 1 for an "
            "answer always"
        )


def check_top(top: int) -> None:
    """Raise InvalidInput where no class at all is asked for."""
    if top < 1:
        raise InvalidInput(f"{top} classes an image cannot be ranked; ask for 1 or more")
