"""Options that say where curves are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer


@dataclass(frozen=True)
class TrackOptions:
    """Name the places that curves are written to while work goes on."""

    track: Annotated[
        list[str] | None,
        typer.Option(
            metavar="tensorboard:DIR|mlflow:URI",
            help="Write the curves there while they grow, too; repeat it. An MLflow URI is a server's address or a "
            "SQLite database's path.",
        ),
    ] = None

    def targets(self) -> tuple[str, ...]:
        """Return the places. Raises InvalidInput for what is none, or lacks its package."""
        if not self.track:
            return ()
        from medforge.tracking.opening import check_targets

        check_targets(self.track)
        return tuple(self.track)
