"""What packages import that bring merge methods and data sources: names that stay, and all that the examples need."""

import ast
from importlib import import_module
from types import ModuleType

import pytest

from medforge.extension import methods, sources
from tests.third_parties import EXAMPLE_PACKAGES

# taking a name away breaks packages that nobody here knows of
PROMISED = {
    methods: {
        *("BaseModule", "FoldResult", "ForgeItem", "FusedPlugin", "InvalidBranch", "Member", "MergeMethod"),
        *("MethodSettings", "Mixture", "NamedPlugin", "Parameter", "Plugin", "Round", "WeightChange", "generator"),
        *("merge_method", "search_weights"),
    },
    sources: {
        *("InvalidInput", "LabelledFiles", "Parts", "Request", "Split", "Strata", "Task", "data_source", "divide"),
        *("hold_out", "labelled_files", "make_task"),
        *("ImageFiles", "Listing", "NamedFiles", "NamedSource", "Problems", "READING_OPTIONS", "SourceProblems"),
        *("Table", "content_ids", "find_column", "list_images", "read_table", "split_meant", "task_of"),
    },
}


@pytest.mark.parametrize("module", PROMISED, ids=lambda module: module.__name__)
def test_names_stay_and_say_what_they_are(module: ModuleType) -> None:
    assert set(module.__all__) == PROMISED[module]
    assert all(getattr(module, name).__doc__ for name in module.__all__)


def test_examples_import_nothing_else_of_medforge() -> None:
    imported = set()
    for package in EXAMPLE_PACKAGES:
        for file in package.glob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                imported |= {name for name in names if name.split(".")[0] == "medforge"}
    assert imported == {module.__name__ for module in PROMISED}
    assert all(import_module(name) in PROMISED for name in imported)
