"""Run as ``python -m benchmarks.poisoning``."""

import sys

from benchmarks.poisoning.command import main

if __name__ == "__main__":
    sys.exit(main())
