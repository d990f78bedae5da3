"""What differs between two commits, as lines that fit a terminal of any width."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from medforge.aggregator.cli.show_lines import score_lines, spell_branch
from medforge.cli.lines import entry, flow, table

if TYPE_CHECKING:
    from medforge.aggregator.forge.commit_difference import CommitDifference
    from medforge.aggregator.forge.model_difference import NetworkDifference
    from medforge.aggregator.ledger.records import Arrival
    from medforge.weight_difference import Distance

_INDENT = 10
_SAME = ["the same"]


def diff_lines(
    found: CommitDifference, arrivals: Mapping[int, Arrival], names: Mapping[str, str], width: int
) -> Iterator[str]:
    """Return what differs in tasks, members, classes and scores."""
    for name, one in (("from", found.before), ("to", found.after)):
        yield from entry(name, f"{one.commit.digest[:8]}, commit {one.number}", width, _INDENT)
    signs = (("+", found.tasks_came), ("-", found.tasks_left))
    tasks = [f"{sign} {task}" for sign, of in signs for task in of]
    members = [f"+ {spell_branch(number, arrivals, names)}" for number in found.came]
    members += [f"- {spell_branch(number, arrivals, names)}" for number in found.left]
    for name, parts in (("tasks", tasks or _SAME), ("members", members or _SAME), ("classes", list(_classes(found)))):
        for part in parts:
            yield from entry(name, part, width, _INDENT)
            name = ""
    yield ""
    yield from score_lines(found.scores, width)


def weight_lines(networks: Mapping[str, NetworkDifference], width: int) -> Iterator[str]:
    """Return how far each network's weights moved at every layer, in columns that fit, and which came, left or stayed.

    A layer is a block of the tower; its distance is that of all sites in it together.
    """
    yield from flow(("how far the weights moved at each layer, relative to what they were before",), width, 0)
    changed = {name: one for name, one in networks.items() if one.state == "changed"}
    for names in _fitting(list(changed), width - 16):
        yield from _layer_table({name: changed[name] for name in names}, width)
    for state in ("came", "left", "unchanged"):
        of = [name for name, one in networks.items() if one.state == state]
        if of:
            yield from flow((f"{state}: {', '.join(of)}",), width, 2)
    if not networks:
        yield "neither commit has a network"


def _layer_table(networks: Mapping[str, NetworkDifference], width: int) -> Iterator[str]:
    from medforge.weight_difference import in_all

    by_layer = {name: _by_layer(one.sites) for name, one in networks.items()}
    layers = list(dict.fromkeys(layer for found in by_layer.values() for layer in found))
    rows = [("layer", *networks)]
    rows += [
        (layer, *(_percent(in_all(by_layer[name].get(layer, {})).relative) for name in networks)) for layer in layers
    ]
    rows.append(("all", *(_percent(one.relative) for one in networks.values())))
    yield from table(rows, width, 2, right=range(1, len(networks) + 1))


def _by_layer(sites: Mapping[str, Distance]) -> dict[str, dict[str, Distance]]:
    layers: dict[str, dict[str, Distance]] = defaultdict(dict)
    for site, distance in sites.items():
        layers[_layer_of(site)][site] = distance
    return layers


def _layer_of(site: str) -> str:
    """Return the block that a site is in, such as resblocks.3, or the site itself."""
    block = re.search(r"(?:^|\.)([^.]+\.\d+)\.", site)
    return block[1] if block else site


def _fitting(names: Sequence[str], width: int) -> Iterator[list[str]]:
    line: list[str] = []
    for name in names:
        if line and sum(max(len(one), 7) + 2 for one in (*line, name)) > width:
            yield line
            line = []
        line.append(name)
    if line:
        yield line


def _classes(found: CommitDifference) -> Iterator[str]:
    for task, parts in (found.classes or {}).items():
        for sign, key in (("+", "came"), ("-", "left"), ("~", "reworded")):
            if parts[key]:
                yield f"{sign} {task}: {', '.join(parts[key])}"


def _percent(value: float) -> str:
    return f"{value:.2%}"
