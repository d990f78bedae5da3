"""Whether heads depend on threads: the same arrivals pushed to forges whose servers have different numbers of them.

A commit's digest covers its parent's, its metrics and every file of its forge item, so where two forges have the same
head after an arrival, every head before was the same too.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.scale import command
from benchmarks.scale.results import Results


def heads(runs: Mapping[int, Results]) -> dict[int, dict[int, str]]:
    """Return by mark, and by number of threads, the digest of the head."""
    found: dict[int, dict[int, str]] = {}
    for threads, run in sorted(runs.items()):
        for mark in run.marks:
            found.setdefault(mark.arrival, {})[threads] = mark.head
    return found


def alike(found: Mapping[int, Mapping[int, str]], marks: Sequence[int], threads: Sequence[int]) -> bool:
    """Say whether at every mark each run has a head, and all have the same."""
    return all(found.get(mark, {}).keys() >= set(threads) and len(set(found[mark].values())) == 1 for mark in marks)


def main(arguments: Sequence[str] | None = None) -> int:
    """Grow a forge for each number of threads, print and write the heads; the exit status is 1 where any differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="where forges and numbers are written")
    parser.add_argument("--marks", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    options, rest = parser.parse_known_args(arguments)
    marks, runs = list(map(str, options.marks)), {}
    for threads in options.threads:
        place = options.out / str(threads)
        command.main(["--out", str(place), "--threads", str(threads), "--marks", *marks, *rest])
        runs[threads] = Results.load(place / "results.json")
    found = heads(runs)
    for mark in options.marks:
        for threads, head in found[mark].items():
            print(f"after {mark} arrivals, {threads} threads: head {head}")
    (options.out / "threads.json").write_text(json.dumps(found, indent=1) + "\n")
    same = alike(found, options.marks, options.threads)
    print(f"the heads are {'the same' if same else 'NOT the same'}")
    return 0 if same else 1
