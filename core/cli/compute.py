"""Options that say what computes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import typer

from medforge.cli import complete

Device = Annotated[
    str, typer.Option(metavar="DEVICE", help="auto, cpu, cuda, cuda:1, …", autocompletion=complete.devices)
]


@dataclass(frozen=True)
class ComputeOptions:
    """Hold the device and how many threads compute."""

    PANEL: ClassVar[str] = "Computing"

    device: Device = "auto"
    threads: Annotated[int | None, typer.Option(min=1, metavar="N", help="CPU threads. Default: torch's choice.")] = (
        None
    )

    def use_threads(self) -> None:
        """Bound torch's threads where that was asked for."""
        if self.threads is not None:
            import torch

            torch.set_num_threads(self.threads)
