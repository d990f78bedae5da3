"""Only what Flower calls public is used where MedForge is a product."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("core", "proto", "client", "aggregator", "model", "simulation", "apps", "benchmarks/doors/fedavg")
PUBLIC = ("flwr.app", "flwr.clientapp", "flwr.serverapp", "flwr.serverapp.strategy")


def imported(path: Path) -> Iterator[tuple[str, str]]:
    """Every name that a file imports of Flower, with the module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "flwr":
            yield from ((node.module or "", alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name.split(".")[0] == "flwr")


USES = {use for room in ROOMS for path in (ROOT / room).rglob("*.py") for use in imported(path)}


@pytest.mark.parametrize(("module", "name"), sorted(USES))
def test_flower_calls_it_public(module: str, name: str) -> None:
    assert module in PUBLIC
    assert name in importlib.import_module(module).__all__


def test_something_is_looked_at() -> None:
    assert ("flwr.serverapp.strategy", "Strategy") in USES
