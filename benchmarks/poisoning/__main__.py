"""Run as ``python -m benchmarks.poisoning``, or ``… table FILE …`` to lay out what was written."""

import sys

from benchmarks.poisoning.command import main
from benchmarks.poisoning.table import print_tables

if __name__ == "__main__":
    sys.exit(print_tables(sys.argv[2:]) if sys.argv[1:2] == ["table"] else main())
