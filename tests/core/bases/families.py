"""The smallest model of every family of open_clip's: as it is published, but shallow and narrow."""

import json
from pathlib import Path
from typing import Any

import open_clip
import torch

TEXT = {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
_VIT = {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8}
_POOLER = {"attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True}
_DECODER = {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}


def _timm(name: str, size: int, pool: str = "avg", projection: str | None = "linear") -> dict[str, Any]:
    return {"timm_model_name": name, "timm_pool": pool, "timm_proj": projection, "image_size": size}


FAMILIES: dict[str, dict[str, Any]] = {
    "clip": {"embed_dim": 16, "vision_cfg": _VIT, "text_cfg": TEXT},
    "openai": {"embed_dim": 16, "quick_gelu": True, "vision_cfg": _VIT, "text_cfg": TEXT},
    "clipa": {
        "embed_dim": 16,
        "vision_cfg": _VIT | {"no_ln_pre": True, "pool_type": "avg", "final_ln_after_pool": True},
        "text_cfg": TEXT | {"pool_type": "last", "no_causal_mask": True},
    },
    "sig-lip": {  # open_clip takes another tokenizer for a name that it knows
        "embed_dim": 192,
        "init_logit_bias": -10,
        "custom_text": True,
        "vision_cfg": _timm("vit_tiny_patch16_224", 224, "map", "none"),
        "text_cfg": TEXT | {"no_causal_mask": True, "proj_bias": True, "pool_type": "last"},
    },
    "eva": {
        "embed_dim": 16,
        "custom_text": True,
        "vision_cfg": _timm("eva02_tiny_patch14_224", 224, "token"),
        "text_cfg": TEXT,
    },
    "mobileclip": {
        "embed_dim": 16,
        "custom_text": True,
        "vision_cfg": _timm("fastvit_mci0", 64, "avg", None),
        "text_cfg": TEXT | {"no_causal_mask": True},
    },
    "coca": {
        "embed_dim": 16,
        "custom_text": True,
        "vision_cfg": _VIT | _POOLER,
        "text_cfg": TEXT | {"embed_cls": True, "output_tokens": True},
        "multimodal_cfg": _DECODER,
    },
}
WITHOUT_ATTENTION: dict[str, dict[str, Any]] = {
    "convnext": {"embed_dim": 16, "vision_cfg": _timm("convnext_atto", 32), "text_cfg": TEXT},
    "resnet": {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "patch_size": None},
        "text_cfg": TEXT,
    },
}


def make(name: str, config: dict[str, Any], directory: Path) -> tuple[Any, Path]:
    """Return open_clip's own model of a configuration, with random weights, and the file of that configuration."""
    file = directory / f"family-{name}.json"
    file.write_text(json.dumps(config))
    open_clip.add_model_config(file)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = open_clip.create_model(f"family-{name}").eval()
        # what begins at zero or one has a share in the answer too
        for parameter in model.parameters():
            parameter.data.add_(torch.randn_like(parameter) * 0.05)
    return model, file
