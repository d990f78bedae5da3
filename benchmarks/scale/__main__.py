"""Run as ``python -m benchmarks.scale``, or with ``ledger``, ``threads`` or ``draw`` before the options."""

import sys

from benchmarks.scale.chart import main as draw
from benchmarks.scale.command import main
from benchmarks.scale.ledger import main as look
from benchmarks.scale.threads import main as threads

if __name__ == "__main__":
    first = sys.argv[1] if len(sys.argv) > 1 else ""
    others = {"ledger": look, "threads": threads, "draw": draw}
    sys.exit(others[first](sys.argv[2:]) if first in others else main())
