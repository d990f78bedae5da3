"""Whether a file's weights are those of an architecture: nothing missing, nothing over, nothing of another shape."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from open_clip.convert import convert_state_dict
from open_clip.model import convert_to_custom_text_state_dict, resize_pos_embed, resize_text_pos_embed
from torch import Tensor, nn

from medforge.errors import CorruptFile

_NAMED = 3
_TEXT = ("text.", "transformer.", "token_embedding", "positional_embedding", "ln_final", "text_projection")
# before what of a layer's name stands which part of the model
_PARTS = {"image tower": ("visual.",), "text decoder": ("text_decoder.",), "text tower": _TEXT}
_ELSEWHERE = "model outside of its towers"


def load_weights(clip: nn.Module, weights: Mapping[str, Tensor], what: str) -> None:
    """Put weights into a model, in float32, as open_clip does: other layouts that it knows are translated before.

    A grid of positions of another size is interpolated, as open_clip does. Raises CorruptFile, by the weights' names
    and towers, where they are not those of the model or hold a value that is not a finite number.
    """
    state = _translated(clip, dict(weights))
    _check_keys(clip, state, what)
    check_values(state, what)
    clip.load_state_dict(state, strict=True)


def _translated(clip: Any, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the state in open_clip's layout of today (`open_clip.factory.load_checkpoint`)."""
    try:
        state = convert_state_dict(clip, state)
        if "positional_embedding" in state and not hasattr(clip, "positional_embedding"):
            state = convert_to_custom_text_state_dict(state)
    except (KeyError, AttributeError, RuntimeError, ValueError, IndexError):
        # half of another program's layout: its names are told below
        return state
    for name in ("logit_scale", "logit_bias"):
        own = getattr(clip, name, None)
        if name in state and own is not None and state[name].numel() == own.numel():
            state[name] = state[name].reshape(own.shape)
    if "logit_bias" not in state and getattr(clip, "logit_bias", None) is not None and "logit_scale" in state:
        state["logit_bias"] = torch.zeros_like(clip.logit_bias)
    passing = {name for name, _ in clip.named_buffers()} - set(clip.state_dict())
    state = {name: tensor for name, tensor in state.items() if name not in passing and not _of_positions(name, clip)}
    try:
        resize_pos_embed(state, clip)
        resize_text_pos_embed(state, clip)
    except (RuntimeError, AssertionError, ValueError, IndexError, AttributeError):
        # of another width, which is told below
        logging.getLogger(__name__).debug("positions could not be interpolated")
    return state


def _of_positions(name: str, clip: nn.Module) -> bool:
    # transformers before 4.31 kept the numbers of the positions
    return name.endswith(".position_ids") and name not in clip.state_dict()


def _check_keys(clip: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    due = {name: tuple(tensor.shape) for name, tensor in clip.state_dict().items()}
    missing = [name for name in due if name not in state]
    over = [name for name in state if name not in due]
    bent = [name for name in due if name in state and tuple(state[name].shape) != due[name]]
    if not (missing or over or bent):
        return
    shown = {name: f"{name} is {_spell(state[name].shape)} where {_spell(due[name])} is due" for name in bent}
    said = [
        *_by_part(missing, "is missing", "are missing"),
        *_by_part(over, "is additional", "are additional"),
        *_by_part(bent, "has another shape", "have another shape", shown),
    ]
    raise CorruptFile(f"{what} cannot be read: {', '.join(said)}{_layout(state)}; check that it fits the architecture")


def _layout(state: Mapping[str, Tensor]) -> str:
    if any(name.startswith("vision_model.") for name in state):
        return " (its names are those of Hugging Face's CLIPModel, not open_clip's)"
    return ""


def _by_part(names: Sequence[str], one: str, more: str, shown: Mapping[str, str] | None = None) -> list[str]:
    """Say how many names of each part of the model there are, and the first of them."""
    parts: dict[str, list[str]] = {}
    for name in names:
        part = next((part for part, begins in _PARTS.items() if name.startswith(begins)), _ELSEWHERE)
        parts.setdefault(part, []).append(name)
    return [
        f"{len(found)} of the {part} {one if len(found) == 1 else more} "
        f"({_first([(shown or {}).get(name, name) for name in found])})"
        for part, found in parts.items()
    ]


def _first(names: Sequence[str]) -> str:
    left = len(names) - _NAMED
    said = ", ".join(name[:200] for name in names[:_NAMED])
    return f"{said} and {left} more" if left > 0 else said


def check_values(state: Mapping[str, Tensor], what: str) -> None:
    """Raise CorruptFile, by their names, for weights that are no finite floating-point numbers."""
    odd = [name for name, tensor in state.items() if not tensor.is_floating_point() and not _counts(name)]
    if odd:
        raise CorruptFile(
            f"{what} cannot be read: {_first(odd)} {'is' if len(odd) == 1 else 'are'} {state[odd[0]].dtype}, not "
            "floating-point numbers; give weights that are not quantised"
        )
    # a captioner's decoder has no share in an embedding, and open_clip leaves a matrix in it as memory was
    used = {name: tensor for name, tensor in state.items() if not name.startswith("text_decoder.")}
    bad = [name for name, tensor in used.items() if not tensor.isfinite().all()]
    if bad:
        raise CorruptFile(
            f"{what} cannot be used: {len(bad)} of its weights {'holds' if len(bad) == 1 else 'hold'} a value that is "
            f"not a finite number ({_first(bad)}); fetch it again"
        )


def _counts(name: str) -> bool:
    # how many batches a batch norm has seen, and numbers of positions
    return name.endswith(("num_batches_tracked", "relative_position_index", "position_ids"))


def _spell(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape)) or "one number"
