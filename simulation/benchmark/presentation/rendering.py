"""Which renderer shows which kind of result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from medforge.simulation.benchmark.presentation.figure.renderer import FigureRenderer
from medforge.simulation.benchmark.presentation.orders.renderer import OrdersRenderer
from medforge.simulation.benchmark.presentation.privacy.renderer import PrivacyRenderer
from medforge.simulation.benchmark.presentation.renderer import Renderer
from medforge.simulation.benchmark.presentation.sites.renderer import SitesRenderer
from medforge.simulation.benchmark.presentation.table.renderer import TableRenderer
from medforge.simulation.benchmark.presentation.tasks.renderer import TasksRenderer
from medforge.simulation.benchmark.presentation.transfer.renderer import TransferRenderer
from medforge.simulation.benchmark.results.result import Result

_RENDERERS: Mapping[str, type[Renderer[Any]]] = {
    "table": TableRenderer,
    "orders": OrdersRenderer,
    "figure": FigureRenderer,
    "transfer": TransferRenderer,
    "sites": SitesRenderer,
    "tasks": TasksRenderer,
    "privacy": PrivacyRenderer,
}


def renderer_of(result: Result) -> Renderer[Result]:
    """Return what shows a result."""
    return _RENDERERS[result.kind](result)
