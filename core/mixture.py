"""The forge item of MedForge-Mixture: plugins side by side, and what weighs or chooses them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from medforge.base_module import BaseModule
from medforge.errors import InvalidBranch, InvalidInput
from medforge.files import canonical_json
from medforge.item import ITEM_FILE, ForgeItem, digest_in, plugin_in, under
from medforge.mixing import mix
from medforge.plugin import Plugin
from medforge.prototype_gate import PrototypeGate

GATE_FILE = "gate.safetensors"
Level = Literal["output", "layer"]


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
    kind: ClassVar = "mixture"

    @classmethod
    def read(cls, files: Mapping[str, bytes], card: Mapping[str, Any]) -> "Mixture":
        """Read members, coefficients and gate; raises KeyError, ValueError, TypeError or OverflowError for none."""
        names = [digest_in(entry["branch"]) for entry in card["members"]]
        if not names or len(set(names)) != len(names):
            raise ValueError("its members are not one or more different branches")
        if card["level"] not in get_args(Level):
            raise ValueError(f"it has no level {str(card['level'])[:80]!r}")
        coefficients = [entry["coefficient"] for entry in card["members"]]
        if not all(isinstance(value, int | float) and isfinite(value) for value in coefficients):
            raise ValueError("a coefficient is no number")
        members = tuple(
            Member(name, plugin_in(files, f"members/{name}"), float(coefficient))
            for name, coefficient in zip(names, coefficients, strict=True)
        )
        if len({member.plugin.base_fingerprint for member in members}) != 1:
            raise ValueError("its members belong to several base modules")
        gate = PrototypeGate.from_bytes(files[GATE_FILE]) if card["gated"] else None
        if gate is not None and gate.members > len(members):
            raise ValueError(f"its gate chooses among {gate.members} of {len(members)} members")
        return cls(members, card["level"], gate)

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

    @property
    def folds(self) -> bool:
        """Say whether it is one network: a mixture of weights without a gate."""
        return self.level == "layer" and self.gate is None

    def weight_change(self, base: BaseModule) -> dict[str, Tensor]:
        """Return Σ_k c_k ΔW_k at every site: the layer-level mixture as one weight change.

        Raises InvalidInput for a mixture that cannot be folded: one of outputs, or a gated one.
        """
        if not self.folds:
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
            "kind": self.kind,
            "level": self.level,
            "gated": self.gate is not None,
            "members": [{"branch": m.branch, "coefficient": m.coefficient} for m in self.members],
        }
        files = {ITEM_FILE: canonical_json(card)}
        for member in self.members:
            files |= under(f"members/{member.branch}", member.plugin)
        return files | ({GATE_FILE: self.gate.to_bytes()} if self.gate else {})
