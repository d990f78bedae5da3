"""How fast a forge takes branches in, and in how much memory, beside a bare gRPC stream of the same bytes."""

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; it is imported now, as the bare server and the clients, of this package too, need no torch."""
    from benchmarks.submit.command import main as run

    return run(arguments)
