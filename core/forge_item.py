"""The forge item: what the main branch adds to the base module."""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from medforge.base_module import BaseModule
from medforge.errors import BaseMismatch, CorruptFile, InvalidBranch, InvalidInput
from medforge.files import AnyPath, canonical_json, digest_of_files, parse_json, read_file, write_files
from medforge.mixing import mix
from medforge.peft_format import CONFIG_FILE, WEIGHTS_FILE
from medforge.plugin import Plugin, check_plugin
from medforge.prototype_gate import PrototypeGate
from medforge.tensors import dump_tensors, parse_tensors

ITEM_FILE = "forge_item.json"
GATE_FILE = "gate.safetensors"
CHANGE_FILE = "weight_change.safetensors"
Level = Literal["output", "layer"]


class ForgeItem(ABC):
    """Hold a merged model, given the base module."""

    base_fingerprint: str

    @abstractmethod
    def logits(self, base: BaseModule, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """Return class logits [n, C], float32, of normalised images; their softmax is the class probability."""

    @abstractmethod
    def weight_change(self, base: BaseModule) -> dict[str, Tensor]:
        """Return the item as one weight change [out, in] a site, float32; raise InvalidInput for several networks."""

    @abstractmethod
    def _build_files(self) -> dict[str, bytes]: ...

    @cached_property
    def _files(self) -> dict[str, bytes]:
        return self._build_files()

    def files(self) -> dict[str, bytes]:
        """Return the item as named files, the same bytes for the same item."""
        return dict(self._files)

    @cached_property
    def digest(self) -> str:
        """The sha256 of the item's files."""
        return digest_of_files(self._files)

    def save(self, directory: AnyPath) -> None:
        """Write the item's files."""
        write_files(directory, self._files)

    @abstractmethod
    def plugins(self) -> tuple[Plugin, ...]:
        """Return the plugins that the item is made of."""

    def check(self, base: BaseModule) -> None:
        """Raise BaseMismatch where the item was merged on another base module, InvalidBranch where it does not fit."""
        if self.base_fingerprint != base.fingerprint:
            raise BaseMismatch(
                f"the forge item belongs to base module {self.base_fingerprint[:12]}, not to {base.fingerprint[:12]}; "
                "give the forge's base with --base"
            )
        for plugin in self.plugins():
            check_plugin(plugin, base)

    @staticmethod
    def load(directory: Path) -> "ForgeItem":
        """Read an item's directory; raises InvalidInput or CorruptFile with the reason."""
        paths = [p for p in sorted(directory.rglob("*")) if p.is_file() and not p.name.startswith(".")]
        if directory / ITEM_FILE not in paths:
            raise InvalidInput(f"{directory} holds no {ITEM_FILE}; make it with `medforge checkout`")
        return ForgeItem.parse({str(p.relative_to(directory)): read_file(p, "the forge item") for p in paths})

    @staticmethod
    def parse(files: Mapping[str, bytes]) -> "ForgeItem":
        """Read an item from its files; raises CorruptFile where they do not make one."""
        try:
            card = parse_json(files[ITEM_FILE])
            if card["kind"] == "fused":
                return FusedPlugin(_plugin(files, "plugin"))
            if card["kind"] == "weights":
                return _weight_change(files, card)
            return _mixture(files, card)
        except (KeyError, ValueError, TypeError, OverflowError) as error:
            raise CorruptFile(f"the forge item is not whole ({error!r}); check it out again") from error


@dataclass(frozen=True, eq=False)
class FusedPlugin(ForgeItem):
    """Hold one merged plugin."""

    plugin: Plugin

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
        return {ITEM_FILE: canonical_json({"kind": "fused"})} | _under("plugin", self.plugin)


@dataclass(frozen=True, eq=False)
class WeightChange(ForgeItem):
    """Hold one dense weight change [out, in] a site, float32 on the CPU, of a merge that is no sum of plugins."""

    base_fingerprint: str
    changes: Mapping[str, Tensor]

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
        card = {"kind": "weights", "base": self.base_fingerprint}
        return {ITEM_FILE: canonical_json(card), CHANGE_FILE: dump_tensors(self.changes)}


@dataclass(frozen=True)
class Member:
    """Hold one plugin of a mixture, the branch it came with, and its coefficient."""

    branch: str
    plugin: Plugin
    coefficient: float


@dataclass(frozen=True, eq=False)
class Mixture(ForgeItem):
    """Hold plugins and the coefficients that weigh them (MedForge-Mixture).

    At level ``output`` the class probabilities of every plugin are weighted and added (one forward pass a plugin); at
    level ``layer`` the weight changes are (one forward pass in all). With a gate, each image goes to one plugin.
    """

    members: tuple[Member, ...]
    level: Level
    gate: PrototypeGate | None = None

    @property
    def base_fingerprint(self) -> str:  # type: ignore[override]
        """The base module the members change."""
        return self.members[0].plugin.base_fingerprint

    def plugins(self) -> tuple[Plugin, ...]:
        """Return the members' plugins, in their order."""
        return tuple(member.plugin for member in self.members)

    def check(self, base: BaseModule) -> None:
        """Check as for every item; the gate must also measure what this base module embeds."""
        super().check(base)
        if self.gate is not None and self.gate.prototypes.shape[1] != base.embed_dim:
            raise InvalidBranch(
                f"the forge item's gate measures {self.gate.prototypes.shape[1]} features where the base module has "
                f"{base.embed_dim}; check it out again"
            )

    def weight_change(self, base: BaseModule) -> dict[str, Tensor]:
        """Return Σ_k c_k ΔW_k at every site: the layer-level mixture as one weight change.

        Raises InvalidInput for a mixture that cannot be folded: one of outputs, or a gated one.
        """
        if self.level != "layer" or self.gate is not None:
            raise InvalidInput(
                "only a layer-level mixture without a gate folds into one weight change; merge with --level layer"
            )
        sites = sorted({site for member in self.members for site in member.plugin.sites})
        return {
            site: torch.stack([m.coefficient * m.plugin.delta(site, base) for m in self.members]).sum(dim=0)
            for site in sites
        }

    def logits(self, base: BaseModule, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """Return class logits of the mixture (log-probabilities, at level ``output``)."""
        if self.gate is not None:
            return self._gated_logits(base, images, prompts, self.gate)
        if self.level == "layer":
            return base.logits(base.embed_all(images, self.weight_change(base)), prompts)
        outputs = [base.logits(base.embed_all(images, m.plugin.deltas(base)), prompts) for m in self.members]
        return mix(torch.stack(outputs).softmax(dim=-1), self.coefficients)

    @property
    def coefficients(self) -> Tensor:
        """The members' coefficients [K]."""
        return torch.tensor([m.coefficient for m in self.members])

    def _gated_logits(self, base: BaseModule, images: Tensor, prompts: Sequence[str], gate: PrototypeGate) -> Tensor:
        choice = gate.choose(base.embed_all(images))
        logits = torch.empty(len(images), len(prompts), device=base.device)
        for index, member in enumerate(self.members):
            chosen = (choice == index).nonzero().squeeze(1)
            if len(chosen):
                embeddings = base.embed_all(images[chosen.to(images.device)], member.plugin.deltas(base))
                logits[chosen] = base.logits(embeddings, prompts)
        return logits

    def _build_files(self) -> dict[str, bytes]:
        card = {
            "kind": "mixture",
            "level": self.level,
            "gated": self.gate is not None,
            "members": [{"branch": m.branch, "coefficient": m.coefficient} for m in self.members],
        }
        files = {ITEM_FILE: canonical_json(card)}
        for member in self.members:
            files |= _under(f"members/{member.branch}", member.plugin)
        return files | ({GATE_FILE: self.gate.to_bytes()} if self.gate else {})


def _under(directory: str, plugin: Plugin) -> dict[str, bytes]:
    return {f"{directory}/{name}": data for name, data in plugin.files().items()}


def _mixture(files: Mapping[str, bytes], card: Mapping[str, Any]) -> Mixture:
    """Make the mixture of a card and its files; raise KeyError, ValueError, TypeError or OverflowError for none."""
    names = [_digest(entry["branch"]) for entry in card["members"]]
    if not names or len(set(names)) != len(names):
        raise ValueError("its members are not one or more different branches")
    if card["level"] not in get_args(Level):
        raise ValueError(f"it has no level {str(card['level'])[:80]!r}")
    coefficients = [entry["coefficient"] for entry in card["members"]]
    if not all(isinstance(value, int | float) and isfinite(value) for value in coefficients):
        raise ValueError("a coefficient is no number")
    members = tuple(
        Member(name, _plugin(files, f"members/{name}"), float(coefficient))
        for name, coefficient in zip(names, coefficients, strict=True)
    )
    if len({member.plugin.base_fingerprint for member in members}) != 1:
        raise ValueError("its members belong to several base modules")
    gate = PrototypeGate.from_bytes(files[GATE_FILE]) if card["gated"] else None
    if gate is not None and gate.members > len(members):
        raise ValueError(f"its gate chooses among {gate.members} of {len(members)} members")
    return Mixture(members, card["level"], gate)


def _weight_change(files: Mapping[str, bytes], card: Mapping[str, Any]) -> WeightChange:
    """Make the weight change of a card and its files; raise KeyError, ValueError or TypeError for none."""
    changes, _ = parse_tensors(files[CHANGE_FILE], "the forge item's weight change")
    odd = [site for site, change in changes.items() if change.ndim != 2 or change.dtype != torch.float32]
    if odd or not changes:
        raise ValueError(f"it holds no float32 matrix at {odd[0][:80] if odd else 'any site'!r}")
    return WeightChange(_digest(card["base"]), changes)


def _digest(name: object) -> str:
    # the name becomes a path when the item is saved, and a received item may come from anybody
    if not isinstance(name, str) or re.fullmatch(r"[0-9a-f]{64}", name) is None:
        raise ValueError(f"{str(name)[:80]!r} is no digest")
    return name


def _plugin(files: Mapping[str, bytes], directory: str) -> Plugin:
    return Plugin.parse({name: files[f"{directory}/{name}"] for name in (CONFIG_FILE, WEIGHTS_FILE)}, directory)
