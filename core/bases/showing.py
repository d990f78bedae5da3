"""What a spec would run and whether it is here, in words and for a script; loads and fetches nothing."""

from __future__ import annotations

from typing import Any

from medforge.bases.hub import check_reachable
from medforge.bases.plan import BasePlan, plan_base
from medforge.bases.spec import Embedded, parse_spec
from medforge.errors import InvalidInput


def show_base(spec: str) -> dict[str, Any]:
    """Return what would run, as JSON values; raises InvalidInput or CorruptFile for what cannot.

    ``here`` says whether nothing is to be fetched; else ``missing`` lists it, and ``why`` says in a sentence where that
    cannot be done either. ``architecture`` and what follows from it are None where not even that is known yet.
    """
    asked = parse_spec(spec)
    if isinstance(asked, Embedded):
        return _embedded(spec)
    plan = plan_base(spec, asked)
    shown: dict[str, Any] = {"spec": spec, "here": not plan.missing, **_configured(plan)}
    shown["weights"] = None if plan.weights is None else str(plan.weights)
    shown |= {"missing": [str(one) for one in plan.missing], "why": _why(plan), "notes": list(plan.notes)}
    return shown


def _configured(plan: BasePlan) -> dict[str, Any]:
    if plan.configuration is None:
        unknown = ("architecture", "activation", "activation_from", "tower", "text", "tokenizer", "preprocessing")
        return dict.fromkeys(unknown)
    found, text = plan.configuration, plan.configuration.text
    own_text = text.get("hf_model_name")
    return {
        "architecture": dict(found.architecture),
        "activation": "QuickGELU" if found.quick_gelu else "GELU",
        "activation_from": plan.activation,
        "tower": found.architecture["vision_cfg"].get("timm_model_name") or "open_clip's vision transformer",
        "text": own_text or "open_clip's transformer",
        "tokenizer": text.get("hf_tokenizer_name") or "CLIP's",
        "preprocessing": {"size": found.image_size, **found.preprocessing},
    }


def _embedded(spec: str) -> dict[str, Any]:
    # it needs torch for its weights
    from medforge.embedded import model_config, preprocessing

    config = model_config(spec)
    card = preprocessing(config)
    return {
        "spec": spec,
        "here": True,
        "architecture": config,
        "activation": "QuickGELU" if config.get("quick_gelu") else "GELU",
        "activation_from": "its own configuration says",
        "tower": "open_clip's vision transformer",
        "text": "open_clip's transformer",
        "tokenizer": "CLIP's, folded",
        "preprocessing": {
            **{name: card[name] for name in ("size", "mean", "std")},
            "interpolation": "bicubic",
            "resize_mode": "shortest",
            "fill_color": 0,
        },
        "weights": "inside MedForge",
        "missing": [],
        "why": None,
        "notes": [],
    }


def _why(plan: BasePlan) -> str | None:
    if not plan.missing:
        return None
    try:
        check_reachable(plan.missing, plan.spec)
    except InvalidInput as error:
        return str(error)
    return None
