"""How a plugin is written down: PEFT's names of its tensors, and PEFT's adapter_config.json.

LoRA and DoRA are PEFT's LORA; SVD-LoRA is its ADALORA, whose layer computes the same (h = Wx + s·BEAx).
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from medforge.peft_fields import first_oddity
from medforge.plugin_settings import PluginKind, PluginSettings

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
PREFIX = "base_model.model."
BASE_KEY = "medforge_base"
"""Where the tensors of an exported adapter have, as metadata, the fingerprint of their base module."""

_FINGERPRINT = re.compile(r"medforge:([0-9a-f]{64})")
_LORA = {"down": "lora_A.weight", "up": "lora_B.weight"}
# the field of `medforge.plugin.Factors` → the end of its tensor's name
PARTS: Mapping[PluginKind, Mapping[str, str]] = {
    "lora": _LORA,
    "dora": {**_LORA, "magnitude": "lora_magnitude_vector"},
    "svd-lora": {"down": "lora_A", "up": "lora_B", "diagonal": "lora_E"},
}


def tensor_name(kind: PluginKind, site: str, part: str) -> str:
    """Name the tensor of one part of the factors at a site."""
    return f"{PREFIX}{site}.{PARTS[kind][part]}"


def stored_shapes(settings: PluginSettings, site: str, rows: int, columns: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of every part that a plugin stores at a site of a frozen weight [rows, columns]."""
    rank = settings.rank_at(site)
    shapes = {"down": (rank, columns), "up": (rows, rank), "magnitude": (rows,), "diagonal": (rank, 1)}
    return {part: shapes[part] for part in PARTS[settings.kind]}


def make_config(settings: PluginSettings, fingerprint: str, sites: Iterable[str]) -> dict[str, object]:
    """Write the adapter's config out, rather than have PEFT dump it: a digest must not change with PEFT's version."""
    common: dict[str, object] = {
        "task_type": None,
        "base_model_name_or_path": f"medforge:{fingerprint}",
        "lora_alpha": settings.alpha,
        "lora_dropout": settings.dropout,
        "bias": "none",
        "fan_in_fan_out": False,
        "use_dora": settings.kind == "dora",
        "use_rslora": False,
        "inference_mode": True,
        "target_modules": list(sites),
    }
    if settings.kind != "svd-lora":
        return common | {"peft_type": "LORA", "r": settings.rank}
    kept = {f"{site}.lora_E": [i < rank for i in range(settings.rank)] for site, rank in settings.ranks.items()}
    ranks = {"init_r": settings.rank, "target_r": settings.rank, "rank_pattern": kept or None}
    # PEFT wants to know how long its rank allocation lasts, which is never run here
    return common | {"peft_type": "ADALORA", "total_step": 1, **ranks}


def read_config(config: Mapping[str, Any]) -> tuple[PluginSettings, str | None]:
    """Read what `make_config` wrote: the settings, and the base's fingerprint where it is named.

    Raises UnusualAdapter for an adapter of a sort that is not merged here; KeyError, TypeError, ValueError or
    AttributeError for what is no config.
    """
    adalora = config.get("peft_type") == "ADALORA"
    if (oddity := first_oddity(config)) is not None:
        raise UnusualAdapter(oddity)
    plain = {"peft_type": "ADALORA" if adalora else "LORA", "use_rslora": False}
    odd = [name for name, value in plain.items() if config.get(name, value) != value]
    odd += [name for name in ("alpha_pattern", *(() if adalora else ("rank_pattern",))) if config.get(name)]
    if odd:
        raise UnusualAdapter(f"{odd[0]} is {repr(config.get(odd[0]))[:200]}")
    settings = PluginSettings(
        kind="svd-lora" if adalora else "dora" if config.get("use_dora") else "lora",
        rank=config["init_r" if adalora else "r"],
        alpha=config["lora_alpha"],
        dropout=config.get("lora_dropout", 0),
        ranks=_smaller_ranks(config.get("rank_pattern") or {}, config["init_r"]) if adalora else {},
    )
    named = _FINGERPRINT.fullmatch(str(config.get("base_model_name_or_path")))
    return settings, named and named[1]


class UnusualAdapter(Exception):
    """Report an adapter that is neither a plain LoRA, nor a DoRA, nor an SVD-LoRA."""


def _smaller_ranks(pattern: Mapping[str, Any], rank: int) -> dict[str, int]:
    ranks = {}
    for name, kept in pattern.items():
        if len(kept) != rank or not all(type(one) is bool for one in kept):
            raise ValueError(f"rank_pattern at {name[:200]!r} is no list of {rank} truth values")
        if sum(kept) != rank:
            ranks[name.removesuffix(".lora_E")] = sum(kept)
    return ranks
