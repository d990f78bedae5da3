"""What a field of PEFT's adapter_config.json may say for an adapter to be read as a low-rank change of frozen weights.

PEFT grows with every release, and a field that nobody here knows may change what the weights mean. So fields and values
are allowed, not forbidden; PEFT 0.18 to 0.21.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# read elsewhere, or saying only how the adapter was trained and stored
_FREE = frozenset(
    {"peft_type", "base_model_name_or_path", "lora_dropout", "target_modules", "exclude_modules"}
    | {"r", "init_r", "lora_alpha", "use_dora", "use_rslora", "rank_pattern", "alpha_pattern"}
    | {"layers_to_transform", "layers_pattern", "task_type", "auto_mapping", "peft_version", "revision"}
    | {"inference_mode", "runtime_config", "megatron_core", "qalora_group_size", "eva_config"}
    | {"target_r", "tinit", "tfinal", "deltaT", "beta1", "beta2", "orth_reg_weight", "total_step"}
)
# fields whose other values change what the weights mean; every field may be null
_NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "bias": ("none",),
    "fan_in_fan_out": (False,),
    "lora_bias": (False,),
    "use_qalora": (False,),
    "ensure_weight_tying": (False,),
    "modules_to_save": ([],),
    "loftq_config": ({},),
    # the visual projection of open_clip's own model is a bare parameter
    "target_parameters": ([], ["visual.proj"]),
    # where A and B began; the others of PEFT's take something off the frozen weights
    "init_lora_weights": (True, False, "gaussian", "eva", "orthogonal"),
}
_METHODS = {
    "pissa": "PiSSA",
    "olora": "OLoRA",
    "corda": "CorDA",
    "loftq": "LoftQ",
    "lora_ga": "LoRA-GA",
    "mica": "MiCA",
    "alora_invocation_tokens": "aLoRA",
    "loftq_config": "LoftQ",
    "corda_config": "CorDA",
    "lora_ga_config": "LoRA-GA",
    "use_qalora": "QALoRA",
    "velora_config": "VeLoRA",
    "kasa_config": "KaSA",
    "arrow_config": "Arrow",
    "use_bdlora": "BD-LoRA",
    "monteclora_config": "MonteCLoRA",
}


def first_oddity(config: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the first field that is not allowed, the method by its name; None where all are."""
    for field, value in config.items():
        if value is None or field in _FREE:
            continue
        # 1 and true are equal to Python, and not in JSON
        if any(type(value) is type(one) and value == one for one in _NEUTRAL.get(field, ())):
            continue
        said = f"{field[:100]} is {repr(value)[:200]}"
        method = _method(field, value)
        return f"{method}, for {said}" if method else said
    return None


def _method(field: str, value: object) -> str | None:
    if field == "init_lora_weights" and isinstance(value, str):
        return next((name for key, name in _METHODS.items() if value.lower().startswith(key)), None)
    return _METHODS.get(field)
