"""The plugin module: a small change of the frozen base, stored as a PEFT adapter directory."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors.torch import save as save_safetensors
from torch import Tensor
from torch.nn import functional as F

from medforge.base_module import BaseModule
from medforge.errors import InvalidBranch
from medforge.files import AnyPath, canonical_json, digest_of_files, parse_json, read_file, write_files
from medforge.low_rank import norm_of_product
from medforge.mapped_file import Bytes
from medforge.peft_format import (
    CONFIG_FILE,
    PARTS,
    PREFIX,
    WEIGHTS_FILE,
    UnusualAdapter,
    make_config,
    read_config,
    stored_shapes,
    tensor_name,
)
from medforge.plugin_settings import PluginKind, PluginSettings
from medforge.tensors import all_finite, is_canonical, parse_tensors

__all__ = ["Factors", "Plugin", "PluginKind", "PluginSettings", "check_plugin"]

_LONGEST_CONFIG = 1 << 20
_TEXTS = {"format": "pt"}
_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_DIMENSIONS = {"down": 2, "up": 2, "magnitude": 1, "diagonal": 2}


@dataclass(frozen=True, eq=False)
class Factors:
    """Hold a low-rank pair: ``down`` is A [r, in], ``up`` is B [out, r]; float32 on the CPU.

    A DoRA plugin also has ``magnitude`` m [out], the length of every row of the changed weight; an SVD-LoRA plugin the
    ``diagonal`` of E [r], which stands between the two factors.
    """

    down: Tensor
    up: Tensor
    magnitude: Tensor | None = None
    diagonal: Tensor | None = None

    @property
    def parts(self) -> dict[str, Tensor]:
        """The tensors that are there, by field."""
        fields = {"down": self.down, "up": self.up, "magnitude": self.magnitude, "diagonal": self.diagonal}
        return {name: part for name, part in fields.items() if part is not None}


@dataclass(frozen=True, eq=False)
class Plugin:
    """Hold one plugin, s = alpha / rank.

    LoRA: ΔW = s·BA at every site (Hu et al. 2021, equation 3). SVD-LoRA: ΔW = s·BEA with E diagonal (Med-LEGO 2025).
    DoRA: ΔW = m·(W + s·BA) / ‖W + s·BA‖ − W, row by row (Liu et al. 2024, equation 5), so its weight change is only
    known beside the frozen weight W.
    """

    settings: PluginSettings
    base_fingerprint: str
    factors: Mapping[str, Factors]

    @property
    def sites(self) -> tuple[str, ...]:
        """The adapted layers, sorted."""
        return tuple(sorted(self.factors))

    def low_rank(self, site: str) -> tuple[Tensor, Tensor] | None:
        """Return two factors [out, r] and [r, in], float32 on the CPU, whose product is ΔW; None for a DoRA.

        A DoRA stretches the rows of the frozen weight, so its ΔW has the rank of that.
        """
        return None if self.factors[site].magnitude is not None else self._product(site)

    def delta(self, site: str, base: BaseModule) -> Tensor:
        """Return the weight change ΔW [out, in] at a site of the base, float32 on the base's device."""
        factors = self.factors[site]
        up, down = self._product(site)
        change = (up @ down).to(base.device)
        if factors.magnitude is None:
            return change
        frozen = base.weight(site).float()
        length = factors.magnitude.to(base.device).unsqueeze(1)
        return length * F.normalize(frozen + change, dim=1) - frozen

    def size_of_change(self, site: str, base: BaseModule) -> float:
        """Return ‖ΔW‖ (Frobenius) at a site; where float32 cannot hold ΔW, infinity or NaN."""
        pair = self.low_rank(site)
        return float(self.delta(site, base).norm()) if pair is None else norm_of_product(*pair)

    def deltas(self, base: BaseModule) -> dict[str, Tensor]:
        """Return the weight change at every site, float32 on the base's device."""
        return {site: self.delta(site, base) for site in self.sites}

    def _product(self, site: str) -> tuple[Tensor, Tensor]:
        factors = self.factors[site]
        up = self.settings.scaling * factors.up
        return (up if factors.diagonal is None else up * factors.diagonal), factors.down

    @cached_property
    def _files(self) -> dict[str, bytes]:
        tensors = {name: tensor.contiguous() for name, tensor in self._tensors().items()}
        return {
            CONFIG_FILE: self._config(),
            WEIGHTS_FILE: save_safetensors({name: tensors[name] for name in sorted(tensors)}, _TEXTS),
        }

    def _config(self) -> bytes:
        return canonical_json(make_config(self.settings, self.base_fingerprint, self.sites))

    def _tensors(self) -> dict[str, Tensor]:
        return {
            tensor_name(self.settings.kind, site, part): (tensor if part != "diagonal" else tensor.unsqueeze(1))
            for site, factors in self.factors.items()
            for part, tensor in factors.parts.items()
        }

    def files(self) -> dict[str, bytes]:
        """Return the files of a PEFT adapter directory, the same bytes for the same plugin."""
        return dict(self._files)

    def odd_file(self, files: Mapping[str, Bytes]) -> str | None:
        """Name a file, of those that the plugin was read from, that is not spelled as `files` spells it, if any is."""
        if bytes(files[CONFIG_FILE]) != self._config():
            return CONFIG_FILE
        return None if is_canonical(files[WEIGHTS_FILE], self._tensors(), _TEXTS) else WEIGHTS_FILE

    @cached_property
    def digest(self) -> str:
        """The sha256 of the plugin's files."""
        return digest_of_files(self._files)

    def save(self, directory: AnyPath) -> None:
        """Write a PEFT adapter directory."""
        write_files(directory, self._files)

    @classmethod
    def load(cls, directory: Path) -> "Plugin":
        """Read a PEFT adapter directory; raises InvalidInput or InvalidBranch with the reason."""
        names = (CONFIG_FILE, WEIGHTS_FILE)
        return cls.parse({name: read_file(directory / name, "the plugin") for name in names}, str(directory))

    @classmethod
    def parse(cls, files: Mapping[str, Bytes], where: str = "the plugin") -> "Plugin":
        """Read the files of a PEFT adapter directory.

        Raises InvalidBranch where they are no plain LoRA, DoRA or SVD-LoRA adapter; CorruptFile where the weights are
        cut short.
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
    strange = sorted(set(plugin.settings.ranks) - set(base.sites))
    if strange:
        raise InvalidBranch(f"the plugin has a rank at {strange[0]!r}, no layer of the base module; retrain it")
    for site, factors in plugin.factors.items():
        _check_shapes(plugin, site, *base.site_shape(site))
        if not all(map(all_finite, factors.parts.values())):
            raise InvalidBranch(f"the plugin holds a value that is not finite at {site}; retrain it with a lower rate")


def _check_shapes(plugin: Plugin, site: str, rows: int, columns: int) -> None:
    found = {part: tuple(tensor.shape) for part, tensor in plugin.factors[site].parts.items()}
    expected = stored_shapes(plugin.settings, site, rows, columns)
    if "diagonal" in expected:
        expected["diagonal"] = expected["diagonal"][:1]
    if found != expected:
        raise InvalidBranch(
            f"the {plugin.settings.kind} plugin's factors at {site} are {found} where {expected} is due; "
            "retrain the plugin"
        )


def _parse_config(files: Mapping[str, Bytes], where: str) -> tuple[PluginSettings, str]:
    try:
        settings, base = read_config(parse_json(bytes(files[CONFIG_FILE]), _LONGEST_CONFIG))
    except UnusualAdapter as error:
        raise InvalidBranch(
            f"{where} is no plain LoRA, DoRA or SVD-LoRA adapter ({error}); train a lora, a dora or an svd-lora"
        ) from error
    except (KeyError, ValueError, AttributeError, TypeError, ValidationError) as error:
        raise InvalidBranch(f"{where} has no usable {CONFIG_FILE}; commit the branch again") from error
    if base is None:
        raise InvalidBranch(f"{where} does not say which base module it was trained on; train it with medforge")
    return settings, base


def _pair(tensors: Mapping[str, Tensor], settings: PluginSettings, where: str) -> dict[str, Factors]:
    parts = {name.removesuffix(".weight"): part for part, name in PARTS[settings.kind].items()}
    sites: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        site, _, last = name.removeprefix(PREFIX).removesuffix(".weight").rpartition(".")
        part = parts.get(last, "")
        if tensor.ndim != _DIMENSIONS.get(part) or tensor.dtype not in _FLOATS or part in sites.get(site, {}):
            raise InvalidBranch(
                f"{where} holds {name[:200]!r}, which is no {settings.kind} factor; commit the branch again"
            )
        sites.setdefault(site, {})[part] = tensor.float().squeeze(1) if part == "diagonal" else tensor.float()
    incomplete = [site for site, found in sites.items() if len(found) != len(parts)]
    if incomplete:
        raise InvalidBranch(
            f"{where} holds only a part of its {settings.kind} factors at {incomplete[0][:200]!r}; commit it again"
        )
    return {site: Factors(**found) for site, found in sorted(sites.items())}
