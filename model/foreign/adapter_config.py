"""What an adapter's configuration says that its weights mean."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from medforge.errors import InvalidBranch
from medforge.overrides import first_fault
from medforge.peft_fields import first_oddity
from medforge.plugin_settings import MOST_RANKS

_Rank = Annotated[int, Field(ge=1, le=MOST_RANKS, strict=True)]
_Names = str | list[str] | None
# what PEFT adds to the rank by which it divides an AdaLoRA
_ADALORA_EPSILON = 1e-5


class AdapterConfig(BaseModel):
    """Hold the fields that say what weights mean and which layers have them, as PEFT reads them.

    Of AdaLoRA ``rank_pattern`` says which of ``init_r`` ranks are kept at a layer; of the others it is a layer's rank.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    peft_type: Literal["LORA", "ADALORA"]
    r: _Rank = 8
    init_r: _Rank = 12
    lora_alpha: float = Field(default=8, allow_inf_nan=False)
    lora_dropout: float = Field(default=0, ge=0, lt=1)
    use_dora: bool = False
    use_rslora: bool = False
    rank_pattern: dict[str, _Rank] | dict[str, list[bool]] | None = None
    alpha_pattern: dict[str, Annotated[float, Field(allow_inf_nan=False)]] | None = None
    target_modules: _Names = None
    exclude_modules: _Names = None
    layers_to_transform: int | list[int] | None = None
    layers_pattern: _Names = None

    @field_validator("rank_pattern", "alpha_pattern", "target_modules", "exclude_modules", "layers_pattern")
    @classmethod
    def _regular_expressions(cls, value: Any) -> Any:
        for form in [value] if isinstance(value, str) else value or ():
            try:
                re.compile(form)
            except re.error as error:
                raise ValueError(f"{form[:100]!r} is no regular expression") from error
        return value

    @classmethod
    def read(cls, config: Mapping[str, Any], where: object) -> AdapterConfig:
        """Read a configuration; raises InvalidBranch that names the field, and the method, which is not merged here."""
        if (oddity := first_oddity(config)) is not None:
            raise InvalidBranch(
                f"{where} is no plain LoRA, DoRA or AdaLoRA ({oddity}); where PEFT can, save it as a plain LoRA"
            )
        if (kind := config.get("peft_type")) not in ("LORA", "ADALORA"):
            raise InvalidBranch(f"{where} is a {str(kind)[:50]} adapter; give a LoRA, a DoRA or an AdaLoRA")
        try:
            found = cls.model_validate({name: value for name, value in config.items() if value is not None})
        except ValidationError as error:
            raise InvalidBranch(
                f"{where} has a configuration that cannot be ({first_fault(error)}); save the adapter again"
            ) from error
        if found.peft_type == "ADALORA" and (found.use_dora or found.use_rslora or found.alpha_pattern):
            raise InvalidBranch(f"{where} is an AdaLoRA and something else; give a plain one")
        return found

    @property
    def kind(self) -> Literal["lora", "dora", "adalora"]:
        """What the weights are."""
        return "adalora" if self.peft_type == "ADALORA" else "dora" if self.use_dora else "lora"

    def rank(self, layer: str) -> int:
        """Return the rank of a layer's weights."""
        if self.kind == "adalora":
            kept = (self.rank_pattern or {}).get(f"{layer}.lora_E", self.init_r)
            return kept if isinstance(kept, int) else sum(kept)
        found = _matching(self.rank_pattern or {}, layer, self.r)
        assert isinstance(found, int)
        return found

    def scaling(self, layer: str) -> float:
        """Return the factor on a layer's product of weights."""
        if self.kind == "adalora":
            alpha = self.lora_alpha if self.lora_alpha > 0 else float(self.init_r)
            return alpha / (self.init_r + _ADALORA_EPSILON)
        alpha, rank = _matching(self.alpha_pattern or {}, layer, self.lora_alpha), self.rank(layer)
        return float(alpha) / (sqrt(rank) if self.use_rslora else rank)

    def adapts(self, layer: str) -> bool:
        """Say whether PEFT adapts a layer of this name: the same rules as its ``check_target_module_exists``."""
        if _named(self.exclude_modules, layer) or not _named(self.target_modules, layer):
            return False
        chosen = self.layers_to_transform
        listed = isinstance(self.target_modules, list) and layer not in self.target_modules
        if not listed or chosen is None or chosen == []:
            return True
        patterns = [self.layers_pattern] if isinstance(self.layers_pattern, str) else self.layers_pattern
        forms = [rf"(?:^|.*?\.){one}\.(\d+)\." for one in patterns or ()] or [r".*?\.[^.]*\.(\d+)\."]
        index = next((int(found[1]) for form in forms if (found := re.match(form, layer))), None)
        return index == chosen if isinstance(chosen, int) else index in chosen


def _matching(pattern: Mapping[str, Any], layer: str, otherwise: Any) -> Any:
    """Return the first value whose key is the end of a layer's name, or a regular expression for it, as in PEFT."""
    return next((value for key, value in pattern.items() if re.match(rf"(.*\.)?({key})$", layer)), otherwise)


def _named(names: str | Sequence[str] | None, layer: str) -> bool:
    if isinstance(names, str):
        return re.fullmatch(names, layer) is not None
    return any(layer == name or layer.endswith(f".{name}") for name in names or ())
