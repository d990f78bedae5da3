"""The command line: take every seed through every door, and write what came of it as it comes."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.doors.doors import averaged, delivered, deployed, own_door, plugin_of, simulated
from benchmarks.doors.elsewhere import nvflare
from benchmarks.doors.faults import faults
from benchmarks.doors.material import Material
from benchmarks.doors.scores import Scored, score_head, score_plugin
from benchmarks.doors.table import markdown
from medforge.client.data.catalogue import names
from medforge.simulation.centres import parse_centres

DOORS: dict[str, Callable[[Material], Path]] = {
    "grpc": own_door,
    "simulation": simulated,
    "deployment": deployed,
    "delivery": delivered,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Compare, print the tables, and write JSON where asked for."""
    options = _options(argv)
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = json.loads(options.json.read_text())["rows"] if _there(options.json) else []
    broken: list[dict[str, Any]] = json.loads(options.json.read_text())["faults"] if _there(options.json) else []

    def write() -> None:
        if options.json:
            options.json.parent.mkdir(parents=True, exist_ok=True)
            options.json.write_text(json.dumps({"rows": rows, "faults": broken}, indent=1) + "\n", encoding="utf-8")

    for seed in map(int, options.seeds.split(",")):
        material = _material(options, seed)
        doors = [door for door in options.doors.split(",") if door]
        if doors:
            own_door(material)
        for door in doors:
            if not any((row["data"], row["seed"], row["door"]) == (options.data, seed, door) for row in rows):
                rows.append(
                    {"data": options.data, "seed": seed, "door": door, **_measured(material, door, options, rows)}
                )
                write()
    for door in options.faults.split(",") if options.faults else ():
        for row in faults(_material(options, int(options.seeds.split(",")[0])), door):
            broken.append(row)
            write()
    print(markdown(rows, broken))
    return 0


def _measured(
    material: Material, door: str, options: argparse.Namespace, rows: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    if door == "fedavg":
        return _averaged(material)
    if door == "nvflare":
        return _elsewhere(material, options.nvflare)
    mine = [row for row in rows if (row["data"], row["seed"]) == (options.data, material.seed)]
    return _row(material, door, {row["model"]: Scored(row["own"], row["union"], row["model"]) for row in mine})


def _row(material: Material, door: str, known: Mapping[str, Scored]) -> dict[str, Any]:
    began = time.monotonic()
    head = score_head(material, DOORS[door](material), known)
    return {
        **_scores(head.scored),
        "order": head.contributors,
        "bytes_up": head.sent,
        "bytes_down": head.fetched,
        "seconds": time.monotonic() - began,
    }


def _averaged(material: Material) -> dict[str, Any]:
    began = time.monotonic()
    out = averaged(material)
    rounds = [one for one in json.loads((out / "rounds.json").read_text()) if one["acc"] is not None]
    best = max(rounds, key=lambda one: (one["acc"], -one["round"]))
    size = json.loads((out / "size.json").read_text())
    return {
        **_scores(score_plugin(material, plugin_of(out, best["round"]))),
        "rounds": len(rounds),
        "best": best["round"],
        "validation": {one["round"]: one["acc"] for one in rounds},
        "bytes_up": size * len(rounds),
        # each round's average goes down to be trained from, and the new one to be scored
        "bytes_down": 2 * size * len(rounds),
        "seconds": time.monotonic() - began,
    }


def _elsewhere(material: Material, python: Path) -> dict[str, Any]:
    """Return a row without accuracies: nobody trains there, and each site gets half of all bytes, and sends half."""
    sites, rounds = len(material.centres), material.rounds
    plugin = averaged(material) / "rounds" / str(rounds)
    found = nvflare(python, plugin, material.place / "nvflare", sites, rounds)
    each = found["wire"] / (2 * sites)
    return {"own": {}, "union": {}, "model": "", "rounds": rounds, "bytes_up": each, "bytes_down": each, **found}


def _scores(scored: Scored) -> dict[str, Any]:
    return {"own": scored.own, "union": scored.union, "model": scored.digest}


def _material(options: argparse.Namespace, seed: int) -> Material:
    return Material(
        place=(options.out / options.data / f"seed-{seed}").absolute(),
        centres=parse_centres(options.centre, names()),
        base_spec=options.base,
        recipe=options.recipe,
        changes=tuple(options.recipe_set),
        policy=tuple(options.policy),
        seed=seed,
    )


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.doors", description=__doc__)
    parser.add_argument(
        "--out", type=Path, required=True, help="where everything is made; what is there is not made again"
    )
    parser.add_argument("--data", default="drawn", help="a word for the data in the table and below --out")
    parser.add_argument("--centre", action="append", default=[], metavar="NAME=[TASK@]SOURCE:PATH")
    parser.add_argument("--base", default="medforge-tiny")
    parser.add_argument("--recipe", default="demo")
    parser.add_argument("--recipe-set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--policy", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument(
        "--doors", default="grpc,simulation,deployment,delivery,fedavg", help="nvflare too, with --nvflare"
    )
    parser.add_argument("--nvflare", type=Path, metavar="PYTHON", help="of an environment in which NVFlare is")
    parser.add_argument(
        "--faults", default="", metavar="DOOR,…", help="grpc, deployment or fedavg: slow and gone centres"
    )
    parser.add_argument("--json", type=Path)
    return parser.parse_args(argv)


def _there(path: Path | None) -> bool:
    return path is not None and path.exists()
