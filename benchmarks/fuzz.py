"""Fuzz every decoder that reads a peer's bytes, guided by coverage (Atheris on libFuzzer).

The targets and the structure-aware mutations are those of the property tests (``tests/fuzz``); half of the mutations
are libFuzzer's own. Only MedForge's modules are instrumented. Each target runs in a process of its own; the corpus
starts from valid artefacts, and is kept below ``--out`` and used again. An input after which a decoder neither gave a
sound value nor raised a MedForgeError, or that took too long or too much memory, is written to a file, and the exit
status is 1.

Atheris is the optional dependency ``fuzz``: ``pip install -e '.[fuzz]'``. Run from the repository's root:
``python -m benchmarks.fuzz [--seconds 60] [--target NAME …]``, and ``--target NAME --input FILE`` for one input again.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from tests.fuzz.targets import Target

_SEPARATOR = b"\n--8<--\n"
_LONGEST_INPUT = 1 << 16
_MEMORY_MIB = 4096
_SECONDS_PER_INPUT = 20
_GRACE_SECONDS = 120
_WORDS = (
    "NaN",
    "1e999",
    "null",
    "__metadata__",
    "medforge",
    "data_offsets",
    "dtype",
    "shape",
    "F32",
    "F16",
    "I64",
    "@",
)
_STATUS = re.compile(r"^#(\d+)\s+(\w+)\s+cov: (\d+)", re.MULTILINE)


class Outcome(NamedTuple):
    """What a run of one target gave; coverage in edges of MedForge's bytecode, of the corpus and after."""

    executions: int
    per_second: int
    edges_at_start: int
    edges: int
    crashes: tuple[Path, ...]


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz; 1 where anything was found."""
    options = _parser().parse_args(arguments)
    if options.child:
        _fuzz_here(options.child, options.libfuzzer)
    if options.input:
        return _replay(options.target, options.input)
    from tests.fuzz.targets import TARGETS

    unknown = set(options.target or ()) - set(TARGETS)
    if unknown:
        print(f"there is no target {', '.join(sorted(unknown))}; choose from {', '.join(TARGETS)}", file=sys.stderr)
        return 2
    outcomes = {}
    for name in options.target or TARGETS:
        outcomes[name] = _fuzz(TARGETS[name], options.seconds, options.seed, options.out)
    _show(outcomes)
    return 1 if any(outcome.crashes for outcome in outcomes.values()) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60, help="how long each target is fuzzed")
    parser.add_argument("--target", action="append", help="only this one (may be given again)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs/fuzz"), help="where corpus, logs and findings go")
    parser.add_argument("--input", type=Path, help="decode this one input of the target and say what comes")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("libfuzzer", nargs="*", help=argparse.SUPPRESS)
    return parser


def _fuzz(target: Target, seconds: int, seed: int, out: Path) -> Outcome:
    corpus = out / "corpus" / target.name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, parts in enumerate(target.seeds):
        (corpus / f"valid-{number}").write_bytes(_SEPARATOR.join(parts))
    words = out / "words.txt"
    words.write_text("".join(f'"{word}"\n' for word in _WORDS))
    before = set(out.glob(f"{target.name}-*-*"))
    settings = [
        f"-max_total_time={seconds}",
        f"-seed={seed}",
        f"-max_len={_LONGEST_INPUT}",
        f"-rss_limit_mb={_MEMORY_MIB}",
        f"-timeout={_SECONDS_PER_INPUT}",
        f"-dict={words}",
        f"-artifact_prefix={out}/{target.name}-",
        "-print_final_stats=1",
    ]
    command = [sys.executable, "-m", "benchmarks.fuzz", "--child", target.name, "--", str(corpus), *settings]
    log = out / f"{target.name}.log"
    with log.open("wb") as file:
        one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
        limit = seconds + _GRACE_SECONDS
        done = subprocess.run(command, stdout=file, stderr=file, timeout=limit, env=one_thread, check=False)
    text = log.read_text(errors="replace")
    found = set(out.glob(f"{target.name}-*-*")) - before
    if done.returncode and not found:
        raise RuntimeError(f"the fuzzer itself failed; see {log}")
    return _outcome(text, tuple(sorted(found)))


def _outcome(log: str, crashes: tuple[Path, ...]) -> Outcome:
    statuses = {kind: (int(count), int(edges)) for count, kind, edges in _STATUS.findall(log)}
    executions, edges = max(statuses.values(), default=(0, 0))
    per_second = re.search(r"stat::average_exec_per_sec:\s*(\d+)", log)
    return Outcome(
        executions, int(per_second[1]) if per_second else 0, statuses.get("INITED", (0, 0))[1], edges, crashes
    )


def _show(outcomes: dict[str, Outcome]) -> None:
    table = Table("target", "inputs", "inputs/s", "edges at the start", "edges reached", "findings")
    for name, outcome in outcomes.items():
        table.add_row(
            name,
            f"{outcome.executions:,}",
            f"{outcome.per_second:,}",
            str(outcome.edges_at_start),
            str(outcome.edges),
            "\n".join(map(str, outcome.crashes)) or "0",
        )
    Console().print(table)


def _fuzz_here(name: str, libfuzzer: Sequence[str]) -> None:
    """Fuzz one target in this process; does not return."""
    import atheris  # the optional dependency

    with atheris.instrument_imports(include=["medforge"]):
        from tests.fuzz.targets import TARGETS
    from tests.fuzz.bounds import bounded
    from tests.fuzz.mutations import mutate

    target = TARGETS[name]

    def one_input(data: bytes) -> None:
        with bounded():
            target.run(_parts(target, data))

    def mutated(data: bytes, longest: int, seed: int) -> bytes:
        pick = random.Random(seed).randrange  # libFuzzer gives the seed
        if pick(2):
            return bytes(atheris.Mutate(data, longest))
        return _SEPARATOR.join(mutate(_parts(target, data), target.seeds, pick))[:longest]

    atheris.Setup([sys.argv[0], *libfuzzer], one_input, custom_mutator=mutated)
    atheris.Fuzz()


def _parts(target: Target, data: bytes) -> tuple[bytes, ...]:
    """Take an input apart, into as many parts as the target's artefacts have."""
    counts = [len(parts) for parts in target.seeds]
    parts = data.split(_SEPARATOR)[: max(counts)]
    return (*parts, *[b""] * (min(counts) - len(parts)))


def _replay(names: Sequence[str] | None, file: Path) -> int:
    from tests.fuzz.targets import TARGETS

    if not names or len(names) != 1 or names[0] not in TARGETS:
        print(f"give the input's --target, one of {', '.join(TARGETS)}", file=sys.stderr)
        return 2
    target = TARGETS[names[0]]
    print("admitted" if target.run(_parts(target, file.read_bytes())) else "refused with a sentence")
    return 0


if __name__ == "__main__":
    sys.exit(main())
