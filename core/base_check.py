"""Whether a base module, device and compute dtype can be had, as far as a look tells that loads nothing."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from medforge.errors import InvalidInput

EMBEDDED = ("medforge-tiny",)
DTYPES = ("fp32", "bf16", "fp16")
EVERYWHERE = ("auto", "cpu")
"""Devices that every machine has."""

FORMS = "medforge-tiny, ARCH/PRETRAINED_TAG, ARCH:CHECKPOINT_PATH or hf-hub:ORGANISATION/MODEL"


def check_base(spec: str, device: str = "auto", dtype: str = "fp32") -> None:
    """Refuse what plainly cannot be loaded, so that a command can say so before it writes anything.

    Imports torch only for a device beside the CPU, and open_clip only for ARCH/PRETRAINED_TAG, whose tags it alone
    knows; what a network has is not asked. Raises InvalidInput with the sentence that loading would end with.
    """
    if dtype not in DTYPES:
        raise InvalidInput(f"dtype {dtype!r} is not known; choose one of {', '.join(DTYPES)}")
    _check_spec(spec)
    if device not in EVERYWHERE:
        from medforge.base_module import choose_device

        choose_device(device)


def _check_spec(spec: str) -> None:
    if spec in EMBEDDED or spec.startswith("hf-hub:"):
        return
    if ":" in spec:
        architecture, _, path = spec.partition(":")
        if not Path(path).is_file():
            raise InvalidInput(f"base module checkpoint {path} does not exist; check the path after '{architecture}:'")
        _check_architecture(architecture)
    elif "/" in spec:
        architecture, _, tag = spec.partition("/")
        _check_architecture(architecture)
        import open_clip

        known = open_clip.list_pretrained_tags_by_model(architecture)
        if tag not in known:
            raise InvalidInput(
                f"open_clip has no weights {tag!r} for {architecture}; it has {', '.join(known) or 'none'}"
            )
    else:
        raise InvalidInput(f"base module {spec!r} is not of a known form; write {FORMS}")


def _check_architecture(architecture: str) -> None:
    if architecture.endswith(".json"):
        if not Path(architecture).is_file():
            raise InvalidInput(f"model config {architecture} does not exist; check the path")
    # open_clip's architectures are the names of its config files
    elif not any((folder / f"{architecture}.json").is_file() for folder in _config_folders()):
        raise InvalidInput(
            f"open_clip has no architecture {architecture!r}; `python -c 'import open_clip; "
            "print(open_clip.list_models())'` lists them"
        )


def _config_folders() -> list[Path]:
    package = find_spec("open_clip")
    return [Path(place) / "model_configs" for place in (package.submodule_search_locations or [])] if package else []


def resolve_base(spec: str) -> str:
    """Return a base spec with the paths in it absolute; other forms as they are."""
    architecture, colon, path = spec.partition(":")
    if not colon or spec.startswith("hf-hub:"):
        return spec
    named = str(Path(architecture).resolve()) if architecture.endswith(".json") else architecture
    return f"{named}:{Path(path).resolve()}"
