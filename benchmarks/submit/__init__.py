"""How fast a forge takes branches in, and in how much memory, beside a bare gRPC stream of the same bytes."""

from benchmarks.submit.command import main

__all__ = ["main"]
