"""Run as ``python -m benchmarks.doors``, or ``… table FILE`` to lay out what was written."""

import sys

from benchmarks.doors.command import main
from benchmarks.doors.table import print_tables

if __name__ == "__main__":
    sys.exit(print_tables(sys.argv[2]) if sys.argv[1:2] == ["table"] else main())
