"""The command line: make what is missing, attack, and write every outcome as it comes."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.inputs import artefact_options, artefact_settings, finish
from benchmarks.poisoning.attack import Attack
from benchmarks.poisoning.attacker import STEPS
from benchmarks.poisoning.attacks.catalogue import ATTACKS
from benchmarks.poisoning.preparation import Prepare
from benchmarks.poisoning.scoring import TestScores
from benchmarks.poisoning.sites import Answered
from benchmarks.poisoning.table import markdown
from benchmarks.poisoning.trial import CONDITIONS, Trial, honest_centres
from medforge.aggregator.merge import choose_settings
from medforge.errors import InvalidInput
from medforge.simulation.benchmark.jobs.artefacts import Distil, GatherFacts, Train
from medforge.simulation.benchmark.jobs.pool import in_order_of_need
from medforge.simulation.benchmark.jobs.store import Store
from medforge.simulation.benchmark.jobs.workbench import Bench

METHODS: dict[str, dict[str, str]] = {
    "routed": {},
    "gated": {"method": "mixture", "coefficients": "gated"},
    "joint": {"coefficients": "joint"},
    "sequential": {"coefficients": "sequential"},
    "fusion": {"method": "fusion"},
}
REVIEWED = "routed"
"""The method whose commits sites review; the papers' methods answer no task by name."""


def run(options: argparse.Namespace) -> None:
    """Make what is missing, attack, print the table, and write JSON where asked for."""
    bench = Bench(artefact_settings(options), Store(options.out))
    honest_centres(bench.settings)
    attacks = _named(options.attacks)
    make_branches(bench)
    known = json.loads(options.json.read_text()) if options.json and options.json.exists() else {}
    rows: list[dict[str, Any]] = known.get("outcomes", [])
    clean: list[dict[str, Any]] = known.get("honest", [])
    done = {_key(row) for row in rows}
    for seed in bench.settings.seeds:
        for trial in _trials(bench, seed, options):
            for condition in CONDITIONS if trial.method == REVIEWED else CONDITIONS[:2]:
                if not any(_same(one, trial, condition) for one in clean):
                    clean.append(_honest_row(trial, condition))
            for attack in attacks:
                steps = Prepare(attack, trial.victim, seed, options.steps).steps(bench)
                for condition in CONDITIONS if trial.method == REVIEWED else CONDITIONS[:2]:
                    key = (attack.name, trial.method, seed, trial.victim, condition)
                    if not steps or key in done:
                        continue
                    outcome = trial.run(attack, steps, condition)
                    said = f"harm {100 * outcome.harm:.1f}, {outcome.stopped}"
                    print(
                        f"seed {seed}, {trial.victim}, {trial.method}, {attack.name}, {condition}: {said}",
                        file=sys.stderr,
                    )
                    rows.append({**outcome._asdict(), "harm": outcome.harm, "drawn_away": outcome.drawn_away})
                    if options.json:
                        _write(options, rows, clean)
    print(markdown(rows, clean))


def make_branches(bench: Bench) -> None:
    """Make every centre's branch where it is missing."""
    for seed in bench.settings.seeds:
        for name in bench.settings.names:
            for job in in_order_of_need([Train(name, seed), Distil(name, seed), GatherFacts(name, seed)]):
                if not job.done(bench):
                    print(f"making {job.label}", file=sys.stderr)
                    job.run(bench)


def _trials(bench: Bench, seed: int, options: argparse.Namespace) -> Iterator[Trial]:
    scores = TestScores(bench, seed, honest_centres(bench.settings), options.images)
    answered = Answered(bench.base)
    tasks = list(bench.settings.sharing(bench.settings.names))
    for victim in options.victim or tasks[:1]:
        if victim not in tasks:
            raise InvalidInput(f"--victim {victim}: there is no such task; choose one of {', '.join(tasks)}")
        for method in options.methods.split(","):
            if method not in METHODS:
                raise InvalidInput(f"--methods {method}: there is no such way; choose of {', '.join(METHODS)}")
            settings = choose_settings(**METHODS[method], seed=seed)
            with tempfile.TemporaryDirectory() as place:
                yield Trial(bench, seed, victim, method, settings, scores, answered, Path(place))


def _named(words: str | None) -> Sequence[Attack]:
    if words is None:
        return ATTACKS
    chosen = [one for one in ATTACKS if any(word.strip() in one.name for word in words.split(";"))]
    if not chosen:
        raise InvalidInput(f"--attacks {words}: no attack's name has any of these words in it")
    return chosen


def _honest_row(trial: Trial, condition: Any) -> dict[str, Any]:
    facts = {"method": trial.method, "seed": trial.seed, "victim": trial.victim, "condition": condition}
    honest = trial.honest(condition)
    return {**facts, "honest": honest, "reasons": trial.reasons(condition), "scores": trial.before(condition)}


def _same(row: dict[str, Any], trial: Trial, condition: str) -> bool:
    due = {"method": trial.method, "seed": trial.seed, "victim": trial.victim, "condition": condition}
    return due.items() <= row.items()


def _key(row: dict[str, Any]) -> tuple[object, ...]:
    return tuple(row[name] for name in ("attack", "method", "seed", "victim", "condition"))


def _write(options: argparse.Namespace, rows: list[dict[str, Any]], clean: list[dict[str, Any]]) -> None:
    options.json.write_text(json.dumps({"honest": clean, "outcomes": rows}, indent=1) + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and run."""
    import benchmarks.poisoning

    parser = argparse.ArgumentParser(
        description=benchmarks.poisoning.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    artefact_options(parser)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--victim", action="append", help="a task that is attacked; the first where none is named")
    parser.add_argument("--methods", default=REVIEWED, help="ways to merge, of " + ", ".join(METHODS))
    parser.add_argument("--attacks", help="words of attacks' names, between semicolons; all where none are given")
    parser.add_argument("--images", type=int, default=200, help="test images a task at most")
    parser.add_argument("--steps", type=int, default=STEPS, help="steps in which the attacker fits a plugin")
    parser.add_argument("--json", type=Path, help="write every outcome here as it comes, and go on from what is there")
    return finish(run, parser.parse_args(arguments))
