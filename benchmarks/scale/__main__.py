"""Run as ``python -m benchmarks.scale``, or with ``ledger`` or ``draw`` before the options."""

import sys

from benchmarks.scale.chart import main as draw
from benchmarks.scale.command import main
from benchmarks.scale.ledger import main as look

if __name__ == "__main__":
    first = sys.argv[1] if len(sys.argv) > 1 else ""
    sys.exit({"ledger": look, "draw": draw}[first](sys.argv[2:]) if first in ("ledger", "draw") else main())
