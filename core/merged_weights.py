"""Weights of networks, merged into the base's: those used last are kept, in a bounded number of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from medforge.base_module import BaseModule


class Network(Protocol):
    """Change the base's weights; told from others by identity."""

    def weight_change(self, base: BaseModule) -> Mapping[str, Tensor]:
        """Return the change [out, in] by site."""

    def __hash__(self) -> int:
        """Stand for this object alone."""


class MergedWeights:
    """Merge networks into the base's weights; what was used last is kept, ``limit`` bytes of it.

    May be asked by several threads at once.
    """

    def __init__(self, base: BaseModule, limit: int) -> None:
        self._base = base
        self._limit = limit
        self._kept: OrderedDict[Network, dict[str, Tensor]] = OrderedDict()
        self._lock = threading.Lock()
        self.bytes = 0
        self.merges = 0

    @property
    def at_once(self) -> int:
        """How many networks the limit has room for, one at least."""
        of_one = sum(self._base.weight(site).nbytes for site in self._base.sites)
        return max(1, self._limit // of_one)

    def of(self, network: Network) -> Mapping[str, Tensor]:
        """Return a network's weights [out, in] by site, in the base's dtype and on its device."""
        with self._lock:
            if network in self._kept:
                self._kept.move_to_end(network)
                return self._kept[network]
        with torch.inference_mode():
            merged = self._base.merged(network.weight_change(self._base))
        with self._lock:
            self.merges += 1
            self._keep(network, merged)
        return merged

    def _keep(self, network: Network, merged: dict[str, Tensor]) -> None:
        if network not in self._kept:
            self._kept[network] = merged
            self.bytes += _bytes(merged)
        while self.bytes > self._limit:
            _, dropped = self._kept.popitem(last=False)
            self.bytes -= _bytes(dropped)


def _bytes(weights: Mapping[str, Tensor]) -> int:
    return sum(tensor.nbytes for tensor in weights.values())
