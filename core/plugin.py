"""The plugin module: a small change of the frozen base, stored as a PEFT adapter directory."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors.torch import save as save_safetensors
from torch import Tensor

from medforge.base_module import BaseModule
from medforge.errors import InvalidBranch
from medforge.files import canonical_json, digest_of_files, read_file, write_files
from medforge.tensors import parse_tensors

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
_PREFIX = "base_model.model."


class PluginSettings(BaseModel):
    """What kind of plugin is trained, and how large; the paper's defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["lora"] = "lora"
    rank: int = Field(default=16, ge=1, le=1024)
    alpha: float = Field(default=16.0, gt=0)
    dropout: float = Field(default=0.1, ge=0, lt=1)

    @property
    def scaling(self) -> float:
        """The factor on B·A."""
        return self.alpha / self.rank


@dataclass(frozen=True, eq=False)
class Factors:
    """A low-rank pair: ``down`` is A [r, in], ``up`` is B [out, r]; float32 on the CPU."""

    down: Tensor
    up: Tensor


@dataclass(frozen=True, eq=False)
class Plugin:
    """Hold one LoRA plugin: ΔW = (alpha / rank) · B·A at every site (Hu et al. 2021)."""

    settings: PluginSettings
    base_fingerprint: str
    factors: Mapping[str, Factors]

    @property
    def sites(self) -> tuple[str, ...]:
        """The adapted layers, sorted."""
        return tuple(sorted(self.factors))

    def delta(self, site: str) -> Tensor:
        """The weight change ΔW [out, in] at a site, float32."""
        factors = self.factors[site]
        return self.settings.scaling * factors.up @ factors.down

    def deltas(self, device: torch.device | None = None) -> dict[str, Tensor]:
        """The weight change at every site."""
        return {site: self.delta(site).to(device) for site in self.sites}

    @cached_property
    def _files(self) -> dict[str, bytes]:
        tensors = {}
        for site, factors in self.factors.items():
            tensors[f"{_PREFIX}{site}.lora_A.weight"] = factors.down.contiguous()
            tensors[f"{_PREFIX}{site}.lora_B.weight"] = factors.up.contiguous()
        return {
            CONFIG_FILE: canonical_json(_peft_config(self)),
            WEIGHTS_FILE: save_safetensors({name: tensors[name] for name in sorted(tensors)}, {"format": "pt"}),
        }

    def files(self) -> dict[str, bytes]:
        """The files of a PEFT adapter directory, the same bytes for the same plugin."""
        return dict(self._files)

    @cached_property
    def digest(self) -> str:
        """The sha256 of the plugin's files."""
        return digest_of_files(self._files)

    def save(self, directory: Path) -> None:
        """Write a PEFT adapter directory."""
        write_files(directory, self._files)

    @classmethod
    def load(cls, directory: Path) -> "Plugin":
        """Read a PEFT adapter directory; raises InvalidInput or InvalidBranch with the reason."""
        names = (CONFIG_FILE, WEIGHTS_FILE)
        return cls.parse({name: read_file(directory / name, "the plugin") for name in names}, str(directory))

    @classmethod
    def parse(cls, files: Mapping[str, bytes], where: str = "the plugin") -> "Plugin":
        """Read the files of a PEFT adapter directory.

        Raises InvalidBranch where they are not a plain LoRA adapter; CorruptFile where the weights are cut short.
        """
        settings, fingerprint = _parse_config(files, where)
        if WEIGHTS_FILE not in files:
            raise InvalidBranch(f"{where} lacks {WEIGHTS_FILE}; commit the branch again")
        tensors, _ = parse_tensors(files[WEIGHTS_FILE], f"{where}: {WEIGHTS_FILE}")
        return cls(settings, fingerprint, _pair(tensors, where))


def check_plugin(plugin: Plugin, base: BaseModule) -> None:
    """Check that a plugin fits a base module: its sites, its shapes, and that every value is finite.

    Raises InvalidBranch with the first thing that is wrong.
    """
    if plugin.sites != tuple(sorted(base.sites)):
        odd = sorted(set(plugin.sites) ^ set(base.sites))
        raise InvalidBranch(
            f"the plugin does not adapt the base module's layers (first difference: {odd[0]}); retrain it"
        )
    for site, factors in plugin.factors.items():
        rows, columns = base.site_shape(site)
        rank = plugin.settings.rank
        expected = ((rank, columns), (rows, rank))
        found = (tuple(factors.down.shape), tuple(factors.up.shape))
        if found != expected:
            raise InvalidBranch(
                f"the plugin's factors at {site} are {found} where {expected} is due; retrain the plugin"
            )
        if not (factors.down.isfinite().all() and factors.up.isfinite().all()):
            raise InvalidBranch(f"the plugin holds a value that is not finite at {site}; retrain it with a lower rate")


def _peft_config(plugin: Plugin) -> dict[str, object]:
    # written out rather than dumped from peft.LoraConfig: the digest must not change with PEFT's version
    return {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": f"medforge:{plugin.base_fingerprint}",
        "r": plugin.settings.rank,
        "lora_alpha": plugin.settings.alpha,
        "lora_dropout": plugin.settings.dropout,
        "bias": "none",
        "fan_in_fan_out": False,
        "use_dora": False,
        "use_rslora": False,
        "inference_mode": True,
        "target_modules": list(plugin.sites),
    }


def _parse_config(files: Mapping[str, bytes], where: str) -> tuple[PluginSettings, str]:
    try:
        config = json.loads(files[CONFIG_FILE])
        odd = [
            name
            for name, plain in (("peft_type", "LORA"), ("bias", "none"), ("use_dora", False), ("use_rslora", False))
            if config.get(name, plain) != plain
        ] + [name for name in ("rank_pattern", "alpha_pattern") if config.get(name)]
        if odd:
            raise InvalidBranch(
                f"{where} is not a plain LoRA adapter ({odd[0]} is {config.get(odd[0])!r}); train a lora"
            )
        settings = PluginSettings(rank=config["r"], alpha=config["lora_alpha"], dropout=config.get("lora_dropout", 0))
        fingerprint = str(config.get("base_model_name_or_path") or "").removeprefix("medforge:")
    except (KeyError, ValueError, AttributeError, TypeError, ValidationError) as error:
        raise InvalidBranch(f"{where} has no usable {CONFIG_FILE}; commit the branch again") from error
    return settings, fingerprint


def _pair(tensors: Mapping[str, Tensor], where: str) -> dict[str, Factors]:
    sites: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        site, _, factor = name.removeprefix(_PREFIX).removesuffix(".weight").rpartition(".")
        if factor not in ("lora_A", "lora_B") or tensor.ndim != 2:
            raise InvalidBranch(f"{where} holds {name}, which is no LoRA factor; commit the branch again")
        sites.setdefault(site, {})[factor] = tensor.float()
    incomplete = [site for site, pair in sites.items() if len(pair) != 2]
    if incomplete:
        raise InvalidBranch(f"{where} holds only one of the two LoRA factors at {incomplete[0]}; commit it again")
    return {site: Factors(down=pair["lora_A"], up=pair["lora_B"]) for site, pair in sorted(sites.items())}
