"""From a plan to open_clip's model with its weights, and its tokenizer."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import open_clip
import torch
from open_clip.convert import load_big_vision_weights

from medforge.bases.checkpoint import read_weights
from medforge.bases.configuration import Configuration
from medforge.bases.fitting import check_values, load_weights
from medforge.bases.plan import BasePlan
from medforge.bases.spec import CONFIG_FILE
from medforge.bases.text_tower import Tokenizer, as_directory, inferred_config, load_tokenizer
from medforge.errors import CorruptFile, InvalidInput


class Built(NamedTuple):
    """Hold open_clip's model, in float32 on the CPU, and its tokenizer."""

    clip: Any
    tokenizer: Tokenizer


def build(plan: BasePlan) -> Built:
    """Build what a plan says, of which nothing is missing.

    Raises InvalidInput or CorruptFile with what is wrong with configuration, weights or tokenizer.
    """
    assert plan.configuration is not None
    assert plan.weights is not None
    what = f"base module {plan.spec}"
    text = plan.configuration.text
    if plan.weights.suffix == ".npz":
        clip = empty_model(plan.configuration, plan.text_config, what)
        _load_big_vision(clip, plan.weights, what)
    else:
        weights = read_weights(plan.weights, what)
        config = plan.text_config
        if (name := text.get("hf_model_name")) and config is None:
            config = inferred_config(str(name), weights)
            if config is None:
                raise InvalidInput(
                    f"{what} lacks the config.json of its text tower {name}, and its weights do not tell it; put it "
                    "beside the weights"
                )
        clip = empty_model(plan.configuration, config, what)
        load_weights(clip, weights, what)
    return Built(clip.eval(), _tokenizer(plan, text, what))


def empty_model(configuration: Configuration, text_config: Mapping[str, Any] | None, what: str) -> Any:
    """Return open_clip's model of a configuration, its weights drawn; nothing is fetched.

    ``text_config`` is the configuration of a text tower of transformers, where there is one. Raises InvalidInput for a
    configuration that open_clip does not know.
    """
    architecture = dict(configuration.architecture)
    if ":" in str(architecture["vision_cfg"].get("timm_model_name", "")):
        raise InvalidInput(
            f"{what} names an image tower of a hub, {architecture['vision_cfg']['timm_model_name']}; name it as timm "
            "itself does"
        )
    with TemporaryDirectory() as directory, nullcontext() if text_config is None else as_directory(text_config) as own:
        if own is not None:
            architecture["text_cfg"] = {**architecture["text_cfg"], "hf_model_name": own}
        document = {"model_cfg": architecture, "preprocess_cfg": configuration.preprocessing}
        (Path(directory) / CONFIG_FILE).write_text(json.dumps(document), encoding="utf-8")
        with _drawing_quietly():
            try:
                return open_clip.create_model(f"local-dir:{directory}", load_weights=False, pretrained_text=False)
            except Exception as error:  # whatever a configuration that nobody checked makes open_clip or timm do
                raise InvalidInput(
                    f"{what} cannot be built: this open_clip, {open_clip.__version__}, does not know its configuration "
                    f"({_reason(error)}); check it, or install a newer open_clip"
                ) from error


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


@contextmanager
def _drawing_quietly() -> Iterator[None]:
    # the weights are drawn, of which open_clip warns, before others take their place
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        logging.disable(before)


def _load_big_vision(clip: Any, path: Path, what: str) -> None:
    """Load Google's own file of a SigLIP, as open_clip does."""
    try:
        load_big_vision_weights(clip, str(path))
    except (KeyError, AttributeError, ValueError, RuntimeError, AssertionError, OSError) as error:
        raise CorruptFile(
            f"{what} cannot be read: {path.name} does not hold the weights of a SigLIP in big_vision's layout; check "
            "that it fits the architecture"
        ) from error
    check_values(clip.state_dict(), what)


def _tokenizer(plan: BasePlan, text: Mapping[str, Any], what: str) -> Tokenizer:
    if text.get("hf_tokenizer_name"):
        assert plan.tokenizer is not None
        return load_tokenizer(plan.tokenizer, text, what)
    try:
        made: Tokenizer = open_clip.SimpleTokenizer(
            context_length=text.get("context_length", open_clip.tokenizer.DEFAULT_CONTEXT_LENGTH),
            **text.get("tokenizer_kwargs", {}),
        )
        return made
    except TypeError as error:
        raise InvalidInput(f"{what} cannot be built: its tokenizer_kwargs are not open_clip's; check them") from error
