"""The tables, as Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

LABELS = {
    "grpc": "forge's own door (gRPC), one push",
    "simulation": "Flower simulation, one reply",
    "deployment": "Flower deployment, one reply",
    "delivery": "Flower deployment, pushed at the forge's own door",
    "fedavg": "FedAvg by Flower's strategy",
    "nvflare": "FedAvg by NVFlare, nobody trains",
}
AVERAGED = ("fedavg", "nvflare")


def print_tables(path: str) -> int:
    """Print what a file holds."""
    found = json.loads(Path(path).read_text(encoding="utf-8"))
    print(markdown(found["rows"], found["faults"]))
    return 0


def markdown(rows: Sequence[dict[str, Any]], faults: Sequence[dict[str, Any]]) -> str:
    """Return a table of accuracies and bytes, and one of what a slow or lost centre does to the others."""
    lines = [
        "| data | door | seeds | ACC, own prompts | ACC, all prompts | same model | MB a site sends | receives |",
        "|---|---|---|---|---|---|---|---|",
        *_rows(rows),
    ]
    if faults:
        lines += [
            "",
            "| door | " + " | ".join(_conditions(faults)) + " |",
            "|---" * (1 + len(_conditions(faults))) + "|",
        ]
        lines += _faults(faults)
    return "\n".join(lines)


def _rows(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    models = {(row["data"], row["seed"]): row["model"] for row in rows if row["door"] == "grpc"}
    for data in dict.fromkeys(row["data"] for row in rows):
        for door in LABELS:
            some = [row for row in rows if (row["data"], row["door"]) == (data, door)]
            if some:
                alike = sum(row["model"] == models.get((data, row["seed"])) for row in some)
                same = "–" if door in AVERAGED else f"{alike} of {len(some)}"
                yield (
                    f"| {data} | {_label(door, some)} | {len(some)} | {_measure(some, 'own')} | "
                    f"{_measure(some, 'union')} | "
                    f"{same} | {_megabytes(some, 'bytes_up')} | "
                    f"{_megabytes(some, 'bytes_down')} |"
                )


def _label(door: str, rows: Sequence[dict[str, Any]]) -> str:
    return LABELS[door] + (f", {rows[0]['rounds']} rounds" if door in AVERAGED else "")


def _measure(rows: Sequence[dict[str, Any]], key: str) -> str:
    means = [fmean(row[key].values()) for row in rows if row[key]]
    if not means:
        return "–"
    return f"{fmean(means):.3f}" + (f" ± {stdev(means):.3f}" if len(means) > 1 else "")


def _megabytes(rows: Sequence[dict[str, Any]], key: str) -> str:
    return f"{fmean(row[key] for row in rows) / 1e6:.2f}"


def _conditions(faults: Sequence[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(row["condition"] for row in faults))


def _faults(faults: Sequence[dict[str, Any]]) -> Iterator[str]:
    for door in LABELS:
        found = {row["condition"]: row["others"] for row in faults if row["door"] == door}
        if found:
            cells = [_seconds(found, condition) for condition in _conditions(faults)]
            yield f"| {LABELS[door]} | {' | '.join(cells)} |"


def _seconds(found: dict[str, float | None], condition: str) -> str:
    if condition not in found:
        return "–"
    seconds = found[condition]
    return "given up" if seconds is None else f"{seconds:.0f} s"
