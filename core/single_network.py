"""Forge items that are one network: a merged plugin, or a dense weight change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from medforge.base_module import BaseModule
from medforge.errors import InvalidBranch
from medforge.files import canonical_json
from medforge.item import ITEM_FILE, ForgeItem, digest_in, plugin_in, under
from medforge.plugin import Plugin
from medforge.tensors import dump_tensors, parse_tensors

CHANGE_FILE = "weight_change.safetensors"


@dataclass(frozen=True, eq=False)
class FusedPlugin(ForgeItem):
    """Hold one merged plugin."""

    plugin: Plugin
    kind: ClassVar = "fused"

    @classmethod
    def read(cls, files: Mapping[str, bytes], card: Mapping[str, Any]) -> "FusedPlugin":
        """Read the plugin."""
        return cls(plugin_in(files, "plugin"))

    @property
    def base_fingerprint(self) -> str:  # type: ignore[override]
        """The base module the plugin changes."""
        return self.plugin.base_fingerprint

    def plugins(self) -> tuple[Plugin, ...]:
        """Return the merged plugin."""
        return (self.plugin,)

    def logits(self, base: BaseModule, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """Return class logits of the base with the merged plugin: one forward pass."""
        return base.logits(base.embed_all(images, self.weight_change(base)), prompts)

    def weight_change(self, base: BaseModule) -> dict[str, Tensor]:
        """Return the plugin's weight change."""
        return self.plugin.deltas(base)

    def _build_files(self) -> dict[str, bytes]:
        return {ITEM_FILE: canonical_json({"kind": self.kind})} | under("plugin", self.plugin)


@dataclass(frozen=True, eq=False)
class WeightChange(ForgeItem):
    """Hold one dense weight change [out, in] a site, float32 on the CPU, of a merge that is no sum of plugins."""

    base_fingerprint: str
    changes: Mapping[str, Tensor]
    kind: ClassVar = "weights"

    @classmethod
    def read(cls, files: Mapping[str, bytes], card: Mapping[str, Any]) -> "WeightChange":
        """Read the changes; raises KeyError, ValueError or TypeError where they are none."""
        changes, _ = parse_tensors(files[CHANGE_FILE], "the forge item's weight change")
        odd = [site for site, change in changes.items() if change.ndim != 2 or change.dtype != torch.float32]
        if odd or not changes:
            raise ValueError(f"it holds no float32 matrix at {odd[0][:80] if odd else 'any site'!r}")
        return cls(digest_in(card["base"]), changes)

    @classmethod
    def of(cls, base: BaseModule, changes: Mapping[str, Tensor]) -> "WeightChange":
        """Hold the changes of a base's sites."""
        return cls(base.fingerprint, {site: change.detach().float().cpu() for site, change in sorted(changes.items())})

    def plugins(self) -> tuple[Plugin, ...]:
        """Return none, since what came of the plugins is dense."""
        return ()

    def check(self, base: BaseModule) -> None:
        """Check as for every item; also that every site has a change of its shape, and every value is finite."""
        super().check(base)
        if tuple(sorted(self.changes)) != tuple(sorted(base.sites)):
            odd = sorted(set(self.changes) ^ set(base.sites))
            raise InvalidBranch(
                f"the forge item does not change the base module's layers (first difference: {odd[0][:200]!r}); "
                "check it out again"
            )
        for site, change in self.changes.items():
            if tuple(change.shape) != base.site_shape(site) or not change.isfinite().all():
                raise InvalidBranch(
                    f"the forge item's change at {site} is {tuple(change.shape)} where {base.site_shape(site)} finite "
                    "numbers are due; check it out again"
                )

    def logits(self, base: BaseModule, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """Return class logits of the changed base: one forward pass."""
        return base.logits(base.embed_all(images, self.changes), prompts)

    def weight_change(self, base: BaseModule) -> dict[str, Tensor]:
        """Return the change itself, on the base's device."""
        return {site: change.to(base.device) for site, change in self.changes.items()}

    def _build_files(self) -> dict[str, bytes]:
        card = {"kind": self.kind, "base": self.base_fingerprint}
        return {ITEM_FILE: canonical_json(card), CHANGE_FILE: dump_tensors(self.changes)}
