"""The architecture's pictures are true: rooms that exist, arrows that are imports, names that are in the code."""

import re
import tomllib
from importlib import import_module

import grimp
import pytest

from tests.docs.pages import ROOT, blocks

ROOMS = {"api", "extension", "simulation", "model", "client", "aggregator", "proto", "core"}
Edge = tuple[str, str]


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("medforge", cache_dir=None)


def pictures() -> list[str]:
    return [
        block.text for block in blocks(ROOT / "docs" / "explanation-architecture.md") if block.language == "mermaid"
    ]


def nodes(picture: str) -> set[str]:
    return set(re.findall(r"^\s*(\w+)\[\"", picture, flags=re.MULTILINE))


def arrows(picture: str) -> set[Edge]:
    return set(re.findall(r"^\s*(\w+) --> (\w+)$", picture, flags=re.MULTILINE))


def imports(graph: grimp.ImportGraph, room: str, depth: int) -> set[Edge]:
    """Which room imports which, of those directly below ``room``; what lies in no package below it counts as core."""

    def name(module: str) -> str:
        parts = module.split(".")
        below = ".".join(parts[: depth + 1])
        known = parts[depth] if len(parts) > depth else ""
        return known if known in ROOMS or (room != "medforge" and below in graph.modules) else "core"

    inside = [module for module in graph.modules if module == room or module.startswith(f"{room}.")]
    pairs = {(name(a), name(b)) for a in inside for b in graph.find_modules_directly_imported_by(a) if b in inside}
    return {(a, b) for a, b in pairs if a != b}


def layers(first: str) -> list[set[str]]:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    found = next(one["layers"] for one in contracts if one["type"] == "layers" and one["layers"][0] == first)
    return [{name.strip().rpartition(".")[2] for name in layer.split("|")} for layer in found]


def test_the_rooms_are_the_folders_and_their_arrows_the_imports(graph: grimp.ImportGraph) -> None:
    picture = pictures()[0]
    assert nodes(picture) == ROOMS
    assert all((ROOT / room).is_dir() for room in ROOMS - {"api", "extension"})
    assert arrows(picture) == imports(graph, "medforge", 1) - {("core", "api")}  # `import medforge` names the API


def test_the_ladder_has_every_package_of_the_aggregator_and_no_arrow_that_is_no_import(
    graph: grimp.ImportGraph,
) -> None:
    picture = pictures()[1]
    assert nodes(picture) == {path.parent.name for path in (ROOT / "aggregator").glob("*/__init__.py")}
    assert arrows(picture) <= imports(graph, "medforge.aggregator", 2)


@pytest.mark.parametrize(("place", "first"), [(0, "medforge.api"), (1, "medforge.aggregator.cli")])
def test_arrows_run_down_the_layers_that_lint_keeps(place: int, first: str) -> None:
    rank = {name: number for number, layer in enumerate(layers(first)) for name in layer}
    assert set(rank) <= nodes(pictures()[place])
    for above, below in arrows(pictures()[place]):
        if above in rank and below in rank:
            assert rank[above] < rank[below], f"{above} --> {below} runs up"


def test_every_name_on_the_way_of_a_branch_is_in_the_code() -> None:
    named = re.findall(r"medforge(?:\.\w+)+", pictures()[2])
    assert len(named) > 10
    for name in named:
        parts = name.split(".")
        for cut in range(len(parts), 0, -1):
            try:
                found: object = import_module(".".join(parts[:cut]))
            except ModuleNotFoundError:
                continue
            for attribute in parts[cut:]:
                found = getattr(found, attribute)
            break
        assert callable(found), f"{name} is not there"
