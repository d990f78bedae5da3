"""A base module as a directory that a site without internet can use: configuration, weights, tokenizer, text tower."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import NamedTuple

from safetensors.torch import save_file

from medforge.bases.building import build
from medforge.bases.obtaining import obtain
from medforge.bases.plan import BasePlan
from medforge.bases.spec import CONFIG_FILE, Embedded, parse_spec
from medforge.bases.text_tower import CONFIG_FILE as TEXT_CONFIG
from medforge.bases.text_tower import TOKENIZER_FILES
from medforge.errors import InvalidInput
from medforge.files import new_directory

WEIGHTS_FILE = "open_clip_model.safetensors"


class Fetched(NamedTuple):
    """Say what was written, and how many bytes the weights have."""

    plan: BasePlan
    size: int


def fetch_base(spec: str, out: Path) -> Fetched:
    """Write all that a base module needs into a new or empty directory, fetching what is not on this machine.

    ``hf-local:DIRECTORY`` then names the same base module, by the same fingerprint; open_clip's own ``local-dir:`` too.
    The weights are those that were checked to fit, in float32. Raises InvalidInput or CorruptFile with the reason.
    """
    asked = parse_spec(spec)
    if isinstance(asked, Embedded):
        raise InvalidInput(f"{spec} is inside MedForge; give it as it is, there is nothing to fetch")
    with new_directory(out) as directory:
        plan = obtain(spec, asked)
        clip = build(plan).clip
        assert plan.configuration is not None
        document = {
            "model_cfg": plan.configuration.architecture,
            "preprocess_cfg": plan.configuration.preprocessing,
        }
        (directory / CONFIG_FILE).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        state = {name: tensor.contiguous().clone() for name, tensor in clip.state_dict().items()}
        save_file(state, directory / WEIGHTS_FILE, {"format": "pt"})
        if plan.tokenizer is not None:
            for name in TOKENIZER_FILES:
                if (plan.tokenizer / name).is_file():
                    shutil.copyfile(plan.tokenizer / name, directory / name)
        if (config := getattr(getattr(clip, "text", None), "config", None)) is not None:
            (directory / TEXT_CONFIG).write_text(json.dumps(config.to_dict(), indent=2) + "\n", encoding="utf-8")
        size = (directory / WEIGHTS_FILE).stat().st_size
    return Fetched(plan, size)
