"""What Hugging Face's CLIPModel can express of an open_clip model, and how its configuration says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from open_clip import CLIP, CLIPTextCfg, CLIPVisionCfg

from medforge.base_module import BaseModule
from medforge.errors import InvalidInput

_VISION = {"image_size", "patch_size", "width", "layers", "head_width", "mlp_ratio"}
_TEXT = {"context_length", "vocab_size", "width", "heads", "layers", "mlp_ratio"}
# said of a model in training, or of texts before they are tokens
_IDLE = {"patch_dropout", "hf_tokenizer_name", "tokenizer_mode", "tokenizer_kwargs", "output_tokens"}
_WHOLE = {"embed_dim", "vision_cfg", "text_cfg", "quick_gelu", "init_logit_scale", "nonscalar_logit_scale"}
_SYMBOLS = 49408
"""The tokens of CLIP's own tokenizer; the last one ends a text."""


def clip_config(base: BaseModule) -> dict[str, Any]:
    """Return the configuration of the CLIPModel that computes what the base does.

    Of open_clip's configuration only what CLIPModel has may differ from open_clip's defaults, which are CLIP's; raises
    InvalidInput that names the first thing that does.
    """
    given: Mapping[str, Any] = base.architecture
    if type(base.clip) is not CLIP:
        raise _inexpressible(base, f"is open_clip's {type(base.clip).__name__}")
    for name, value in given.items():
        if name not in _WHOLE and value not in (None, False):
            raise _inexpressible(base, f"has {name} {value!r}")
    vision = asdict(_only(base, "vision_cfg", CLIPVisionCfg(**given["vision_cfg"]), _VISION))
    text = asdict(_only(base, "text_cfg", CLIPTextCfg(**given["text_cfg"]), _TEXT))
    common = {"hidden_act": "quick_gelu" if given.get("quick_gelu") else "gelu", "projection_dim": given["embed_dim"]}
    return {
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "projection_dim": given["embed_dim"],
        "logit_scale_init_value": float(base.clip.logit_scale.detach()),
        "torch_dtype": "float32",
        "vision_config": common
        | _tower(vision, vision["width"] // vision["head_width"])
        | {"image_size": base.image_size, "patch_size": vision["patch_size"]},
        "text_config": common | _tower(text, text["heads"]) | _text(text),
    }


def _only(base: BaseModule, where: str, found: Any, used: set[str]) -> Any:
    """Return one tower's configuration, or refuse what in it is neither used nor open_clip's default."""
    usual = asdict(type(found)())
    for name, value in asdict(found).items():
        if name not in used | _IDLE and value != usual[name]:
            raise _inexpressible(base, f"has {where}.{name} {value!r}")
    if isinstance(found.layers, list | tuple):
        raise _inexpressible(base, "is a ResNet")
    return found


def _inexpressible(base: BaseModule, why: str) -> InvalidInput:
    return InvalidInput(
        f"transformers' CLIPModel cannot be {base.facts.spec}, which {why}; export to open_clip instead"
    )


def _tower(tower: Mapping[str, Any], heads: int) -> dict[str, Any]:
    return {
        "hidden_size": tower["width"],
        "intermediate_size": int(tower["width"] * tower["mlp_ratio"]),
        "num_hidden_layers": tower["layers"],
        "num_attention_heads": heads,
    }


def _text(text: Mapping[str, Any]) -> dict[str, Any]:
    # 2 makes transformers pool at the highest token, as open_clip does, where the end mark is another
    end = _SYMBOLS - 1 if text["vocab_size"] == _SYMBOLS else 2
    return {
        "vocab_size": text["vocab_size"],
        "max_position_embeddings": text["context_length"],
        "bos_token_id": text["vocab_size"] - 2,
        "eos_token_id": end,
        "pad_token_id": end,
    }
