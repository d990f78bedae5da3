"""Find and load a base module by its spec."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import safetensors

from medforge.base_module import BaseModule, batches, choose_device
from medforge.embedded import EMBEDDED, load_embedded
from medforge.errors import CorruptFile, InvalidInput

__all__ = ["BaseModule", "batches", "choose_device", "load_base"]

_FORMS = "medforge-tiny, ARCH/PRETRAINED_TAG, ARCH:CHECKPOINT_PATH or hf-hub:ORGANISATION/MODEL"


def load_base(spec: str, device: str = "auto", dtype: str = "fp32") -> BaseModule:
    """Load a base module.

    ``spec`` is ``medforge-tiny`` (embedded), ``ARCH/PRETRAINED_TAG`` (open_clip's registry), ``ARCH:CHECKPOINT_PATH``
    (a local file; ARCH may also be the path of an open_clip ``.json`` model config) or ``hf-hub:…``.

    Raises InvalidInput for an unknown spec, a missing file or a failed download; CorruptFile for a broken checkpoint.
    """
    if spec in EMBEDDED:
        clip, tokenizer, card = load_embedded(spec)
        return BaseModule(clip, tokenizer, spec, card["model"], card["mean"], card["std"], device, dtype)
    if spec.startswith("hf-hub:"):
        return _from_open_clip(spec, spec, None, device, dtype)
    if ":" in spec:
        architecture, _, path = spec.partition(":")
        if not Path(path).is_file():
            raise InvalidInput(f"base module checkpoint {path} does not exist; check the path after '{architecture}:'")
        return _from_open_clip(spec, _register(architecture), path, device, dtype)
    if "/" in spec:
        architecture, _, tag = spec.partition("/")
        known = open_clip.list_pretrained_tags_by_model(_register(architecture))
        if tag not in known:
            raise InvalidInput(
                f"open_clip has no weights {tag!r} for {architecture}; it has {', '.join(known) or 'none'}"
            )
        return _from_open_clip(spec, architecture, tag, device, dtype)
    raise InvalidInput(f"base module {spec!r} is not of a known form; write {_FORMS}")


def _register(architecture: str) -> str:
    """Name an open_clip architecture, registering it first where it is a model config file."""
    if architecture.endswith(".json"):
        if not Path(architecture).is_file():
            raise InvalidInput(f"model config {architecture} does not exist; check the path")
        open_clip.add_model_config(architecture)
        return Path(architecture).stem
    if architecture not in open_clip.list_models():
        raise InvalidInput(
            f"open_clip has no architecture {architecture!r}; `python -c 'import open_clip; "
            "print(open_clip.list_models())'` lists them"
        )
    return architecture


def _from_open_clip(spec: str, name: str, pretrained: str | None, device: str, dtype: str) -> BaseModule:
    try:
        clip = open_clip.create_model(name, pretrained=pretrained)
        tokenizer: Callable[[list[str]], Any] = open_clip.get_tokenizer(name)
    except (pickle.UnpicklingError, safetensors.SafetensorError, EOFError, KeyError, json.JSONDecodeError) as error:
        raise CorruptFile(f"base module {spec} cannot be read: its checkpoint is corrupt; fetch it again") from error
    except (RuntimeError, AssertionError) as error:
        first = str(error).strip().splitlines()[0]
        raise CorruptFile(f"base module {spec} cannot be read: {first}; check that it fits the architecture") from error
    except (OSError, ValueError) as error:
        raise InvalidInput(
            f"base module {spec} cannot be fetched or opened: {error}; check name and network"
        ) from error
    config = open_clip.get_model_config(name) or {"name": name}
    preprocess = clip.visual.preprocess_cfg
    return BaseModule(clip, tokenizer, spec, config, preprocess["mean"], preprocess["std"], device, dtype)
