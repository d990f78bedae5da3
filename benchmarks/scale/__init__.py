"""Grow a forge by real pushes, and measure at each mark what an arrival, a start and a look at it cost.

A `medforge serve` process over TLS receives branches of invited contributors, each pushed with its contributor's kit
through the client's own `push`, and folds them by the merge method that is asked for. Branches are drawn: for each of
three tissues a small plugin is trained for some steps on a few drawn images, and every branch is that plugin and those
images with a little noise of its own. Under `many` every task has a third of the branches, and each contributor one of
each task; under `one` every branch has a task of its own.

The forge is kept in ``--out``, and a run goes on where one stopped. At every mark the server is started anew, and
``log``, ``status`` and ``fsck --quick`` are run as commands. ``results.json`` in ``--out`` is written after each
arrivals' sample and each mark.

Run from the repository's root: ``python -m benchmarks.scale --out runs/scale [--marks 10 100 1000 10000]
[--shape many] [--merge METHOD] [--threads 1] [--policy NAME=VALUE …]``, ``python -m benchmarks.scale draw OUT.svg
results.json …`` for the curve, ``python -m benchmarks.scale threads --out runs/threads`` for whether heads are the same
with one thread and with two, and ``python -m benchmarks.scale ledger --out runs/ledger`` for a long ledger alone.
"""

from benchmarks.scale.command import main
from benchmarks.scale.ledger import main as look

__all__ = ["look", "main"]
