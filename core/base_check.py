"""Whether a base module, device and compute dtype can be had, as far as a look tells that loads nothing."""

from __future__ import annotations

from pathlib import Path

from medforge.errors import InvalidInput
from medforge.open_clip_tags import package, tags_of

EMBEDDED = ("medforge-tiny",)
DTYPES = ("fp32", "bf16", "fp16")
EVERYWHERE = ("auto", "cpu")
"""Devices that every machine has."""

_HUB_CONFIG = "open_clip_config.json"
_HUB_SECONDS = 10.0
FORMS = "medforge-tiny, ARCH/PRETRAINED_TAG, ARCH:CHECKPOINT_PATH or hf-hub:ORGANISATION/MODEL"


def check_base(spec: str, device: str = "auto", dtype: str = "fp32") -> None:
    """Refuse what plainly cannot be loaded, so that a command can say so before it writes anything.

    Imports torch only for a device beside the CPU. A hub is asked once whether it has a model that is not in its cache.
    Raises InvalidInput with the sentence that loading would end with.
    """
    if dtype not in DTYPES:
        raise InvalidInput(f"dtype {dtype!r} is not known; choose one of {', '.join(DTYPES)}")
    _check_spec(spec)
    if device not in EVERYWHERE:
        from medforge.base_module import choose_device

        choose_device(device)


def _check_spec(spec: str) -> None:
    if spec in EMBEDDED:
        return
    if spec.startswith("hf-hub:"):
        _check_hub(spec)
    elif ":" in spec:
        architecture, _, path = spec.partition(":")
        if not Path(path).is_file():
            raise InvalidInput(f"base module checkpoint {path} does not exist; check the path after '{architecture}:'")
        _check_architecture(architecture)
    elif "/" in spec:
        architecture, _, tag = spec.partition("/")
        _check_architecture(architecture)
        known = tags_of(architecture)
        if tag not in known:
            raise InvalidInput(
                f"open_clip has no weights {tag!r} for {architecture}; it has {', '.join(known) or 'none'}"
            )
    else:
        raise InvalidInput(f"base module {spec!r} is not of a known form; write {FORMS}")


def _check_hub(spec: str) -> None:
    """Ask once, where loading would try for half a minute."""
    from huggingface_hub import HfApi, try_to_load_from_cache

    model = spec.removeprefix("hf-hub:")
    try:
        if not isinstance(try_to_load_from_cache(model, _HUB_CONFIG), str):
            HfApi().model_info(model, timeout=_HUB_SECONDS)
    except Exception as error:  # of the hub's client and of what it calls with, which differ between versions
        reason = str(error).strip().splitlines()
        raise InvalidInput(
            f"base module {spec} cannot be fetched: {reason[0] if reason else type(error).__name__}; "
            "check name and network"
        ) from error


def _check_architecture(architecture: str) -> None:
    if architecture.endswith(".json"):
        if not Path(architecture).is_file():
            raise InvalidInput(f"model config {architecture} does not exist; check the path")
    # open_clip's architectures are the names of its config files
    elif (folder := package()) is None or not (folder / "model_configs" / f"{architecture}.json").is_file():
        raise InvalidInput(
            f"open_clip has no architecture {architecture!r}; `python -c 'import open_clip; "
            "print(open_clip.list_models())'` lists them"
        )


def resolve_base(spec: str) -> str:
    """Return a base spec with the paths in it absolute; other forms as they are."""
    architecture, colon, path = spec.partition(":")
    if not colon or spec.startswith("hf-hub:"):
        return spec
    named = str(Path(architecture).resolve()) if architecture.endswith(".json") else architecture
    return f"{named}:{Path(path).resolve()}"
