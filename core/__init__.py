"""MedForge: hospitals build one medical foundation model the way open-source software is built.

What is named here is the public API (`medforge.api`, described in docs/reference-api.md). It is loaded when it is first
asked for, so that ``import medforge`` costs next to nothing. Packages that bring merge methods or data sources import
`medforge.extension`; every other module may change at any time.
"""

from typing import TYPE_CHECKING

__version__ = "0.2.0"

__all__ = [
    "BaseModule",
    "Branch",
    "Commit",
    "DistilledDataset",
    "ForgeItem",
    "MedForgeError",
    "MergeListing",
    "MergedModel",
    "Metrics",
    "Plugin",
    "Prediction",
    "Task",
    "__version__",
    "load",
    "load_base",
    "load_branch",
    "load_item",
    "load_plugin",
    "merge",
    "merge_methods",
    "open_task",
    "read_log",
    "score",
]

if TYPE_CHECKING:
    from medforge.api import (
        BaseModule,
        Branch,
        Commit,
        DistilledDataset,
        ForgeItem,
        MedForgeError,
        MergedModel,
        MergeListing,
        Metrics,
        Plugin,
        Prediction,
        Task,
        load,
        load_base,
        load_branch,
        load_item,
        load_plugin,
        merge,
        merge_methods,
        open_task,
        read_log,
        score,
    )


def __getattr__(name: str) -> object:
    """Load the public API when one of its names is first asked for (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'medforge' has no attribute {name!r}")
    from importlib import import_module

    found: object = getattr(import_module("medforge.api"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """List the public API beside what is loaded."""
    return sorted({*globals(), *__all__})
