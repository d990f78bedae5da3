"""Run as ``python -m benchmarks.submit``."""

import sys

from benchmarks.submit.command import main

if __name__ == "__main__":
    sys.exit(main())
