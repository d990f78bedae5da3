"""The plugin module: a small change of the frozen base, stored as a PEFT adapter directory."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors.torch import save as save_safetensors
from torch import Tensor
from torch.nn import functional as F

from medforge.base_module import BaseModule
from medforge.errors import InvalidBranch
from medforge.files import canonical_json, digest_of_files, parse_json, read_file, write_files
from medforge.tensors import parse_tensors

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
PluginKind = Literal["lora", "dora"]
_PREFIX = "base_model.model."
_LONGEST_CONFIG = 1 << 20
_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_FINGERPRINT = re.compile(r"medforge:[0-9a-f]{64}")


class PluginSettings(BaseModel):
    """What kind of plugin is trained, and how large; the paper's defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: PluginKind = "lora"
    rank: int = Field(default=16, ge=1, le=1024)
    alpha: float = Field(default=16.0, gt=0, allow_inf_nan=False)
    dropout: float = Field(default=0.1, ge=0, lt=1)

    @property
    def scaling(self) -> float:
        """The factor on B·A."""
        return self.alpha / self.rank


@dataclass(frozen=True, eq=False)
class Factors:
    """A low-rank pair: ``down`` is A [r, in], ``up`` is B [out, r]; float32 on the CPU.

    A DoRA plugin also has ``magnitude`` m [out], the length of every row of the changed weight.
    """

    down: Tensor
    up: Tensor
    magnitude: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Plugin:
    """Hold one plugin, s = alpha / rank.

    LoRA: ΔW = s·BA at every site (Hu et al. 2021, equation 3). DoRA: ΔW = m·(W + s·BA) / ‖W + s·BA‖ − W, row by row
    (Liu et al. 2024, equation 5), so its weight change is only known beside the frozen weight W.
    """

    settings: PluginSettings
    base_fingerprint: str
    factors: Mapping[str, Factors]

    @property
    def sites(self) -> tuple[str, ...]:
        """The adapted layers, sorted."""
        return tuple(sorted(self.factors))

    def delta(self, site: str, base: BaseModule) -> Tensor:
        """The weight change ΔW [out, in] at a site of the base, float32 on the base's device."""
        factors = self.factors[site]
        change = (self.settings.scaling * factors.up @ factors.down).to(base.device)
        if factors.magnitude is None:
            return change
        frozen = base.weight(site).float()
        length = factors.magnitude.to(base.device).unsqueeze(1)
        return length * F.normalize(frozen + change, dim=1) - frozen

    def deltas(self, base: BaseModule) -> dict[str, Tensor]:
        """The weight change at every site, float32 on the base's device."""
        return {site: self.delta(site, base) for site in self.sites}

    @cached_property
    def _files(self) -> dict[str, bytes]:
        tensors = {}
        for site, factors in self.factors.items():
            tensors[f"{_PREFIX}{site}.lora_A.weight"] = factors.down.contiguous()
            tensors[f"{_PREFIX}{site}.lora_B.weight"] = factors.up.contiguous()
            if factors.magnitude is not None:
                tensors[f"{_PREFIX}{site}.lora_magnitude_vector"] = factors.magnitude.contiguous()
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

        Raises InvalidBranch where they are no plain LoRA or DoRA adapter; CorruptFile where the weights are cut short.
        """
        settings, fingerprint = _parse_config(files, where)
        if WEIGHTS_FILE not in files:
            raise InvalidBranch(f"{where} lacks {WEIGHTS_FILE}; commit the branch again")
        tensors, _ = parse_tensors(files[WEIGHTS_FILE], f"{where}: {WEIGHTS_FILE}")
        return cls(settings, fingerprint, _pair(tensors, settings, where))


def check_plugin(plugin: Plugin, base: BaseModule) -> None:
    """Check that a plugin fits a base module: its sites, its shapes, and that every value is finite.

    Raises InvalidBranch with the first thing that is wrong.
    """
    if plugin.sites != tuple(sorted(base.sites)):
        odd = sorted(set(plugin.sites) ^ set(base.sites))
        raise InvalidBranch(
            f"the plugin does not adapt the base module's layers (first difference: {odd[0][:200]!r}); retrain it"
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
        _check_magnitude(plugin, site, rows)
        if not all(part.isfinite().all() for part in (factors.down, factors.up, factors.magnitude) if part is not None):
            raise InvalidBranch(f"the plugin holds a value that is not finite at {site}; retrain it with a lower rate")


def _check_magnitude(plugin: Plugin, site: str, rows: int) -> None:
    magnitude = plugin.factors[site].magnitude
    found = None if magnitude is None else tuple(magnitude.shape)
    expected = (rows,) if plugin.settings.kind == "dora" else None
    if found != expected:
        raise InvalidBranch(
            f"the {plugin.settings.kind} plugin's magnitude at {site} has the shape {found} where {expected} is due; "
            "retrain the plugin"
        )


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
        "use_dora": plugin.settings.kind == "dora",
        "use_rslora": False,
        "inference_mode": True,
        "target_modules": list(plugin.sites),
    }


def _parse_config(files: Mapping[str, bytes], where: str) -> tuple[PluginSettings, str]:
    try:
        config = parse_json(files[CONFIG_FILE], _LONGEST_CONFIG)
        odd = [
            name
            for name, plain in (("peft_type", "LORA"), ("bias", "none"), ("use_rslora", False))
            if config.get(name, plain) != plain
        ] + [name for name in ("rank_pattern", "alpha_pattern") if config.get(name)]
        if odd:
            raise InvalidBranch(
                f"{where} is no plain LoRA or DoRA adapter ({odd[0]} is {repr(config.get(odd[0]))[:200]}); "
                "train a lora or a dora"
            )
        settings = PluginSettings(
            kind="dora" if config.get("use_dora") else "lora",
            rank=config["r"],
            alpha=config["lora_alpha"],
            dropout=config.get("lora_dropout", 0),
        )
        base = config.get("base_model_name_or_path")
    except (KeyError, ValueError, AttributeError, TypeError, ValidationError) as error:
        raise InvalidBranch(f"{where} has no usable {CONFIG_FILE}; commit the branch again") from error
    if not isinstance(base, str) or _FINGERPRINT.fullmatch(base) is None:
        raise InvalidBranch(f"{where} does not say which base module it was trained on; train it with medforge")
    return settings, base.removeprefix("medforge:")


def _pair(tensors: Mapping[str, Tensor], settings: PluginSettings, where: str) -> dict[str, Factors]:
    due = {"lora_A": 2, "lora_B": 2} | ({"lora_magnitude_vector": 1} if settings.kind == "dora" else {})
    sites: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        site, _, factor = name.removeprefix(_PREFIX).removesuffix(".weight").rpartition(".")
        if due.get(factor) != tensor.ndim or tensor.dtype not in _FLOATS or factor in sites.get(site, {}):
            raise InvalidBranch(
                f"{where} holds {name[:200]!r}, which is no {settings.kind} factor; commit the branch again"
            )
        sites.setdefault(site, {})[factor] = tensor.float()
    incomplete = [site for site, parts in sites.items() if len(parts) != len(due)]
    if incomplete:
        raise InvalidBranch(
            f"{where} holds only a part of its {settings.kind} factors at {incomplete[0][:200]!r}; commit it again"
        )
    return {
        site: Factors(down=parts["lora_A"], up=parts["lora_B"], magnitude=parts.get("lora_magnitude_vector"))
        for site, parts in sorted(sites.items())
    }
