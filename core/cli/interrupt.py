"""What is saved when somebody presses Ctrl-C, said by whoever knows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def on_interrupt(saved: Callable[[], str]) -> Iterator[None]:
    """Let an interruption of the block say ``saved()``: what is saved, and after a semicolon how to go on.

    The innermost block's sentence is the one that is printed.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        stop.add_note(saved())
        raise
