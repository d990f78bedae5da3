"""The forge that is measured: `ForgeServer` in a process of its own, with the fold worker at work or not."""

from __future__ import annotations

import sys
from pathlib import Path

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.forge.policy import Policy, change
from medforge.aggregator.main_branch.fold_worker import FoldWorker
from medforge.aggregator.merge import choose_settings
from medforge.aggregator.server.server import serve as serve_forever
from medforge.base import load_base

ON, OFF = "on", "off"
# all clients come from one address, and none of them is to wait for having sent so much
_RULES = (
    "tasks.open=true", "limits.messages_per_second=1000000", "limits.short_calls_per_contributor=64",
    "limits.open_uploads_per_contributor=64", "limits.waiting_per_contributor=100000", "limits.partial=1TiB",
    "limits.images_per_class=100000", "admission.brightness=10", "admission.behaviour=false",
)  # fmt: skip


def serve(directory: Path, ready: Path, fold: str, spec: str) -> None:
    """Serve a new forge; without folding its worker only waits to be stopped."""
    if fold == OFF:
        FoldWorker.run = lambda worker: None  # type: ignore[method-assign,assignment]
    base = load_base(spec, "cpu")
    forge = Forge.establish(directory, base, choose_settings(), policy=change(Policy(), _RULES))
    serve_forever(forge, base, "127.0.0.1:0", ready)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
