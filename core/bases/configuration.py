"""A model's configuration as open_clip writes it: its architecture, and how images are prepared for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import Any

from medforge.errors import CorruptFile, InvalidInput
from medforge.files import parse_json
from medforge.image_geometry import CLIP_MEAN, CLIP_STD

_QUICK = "quick_gelu"
_CLIP: Mapping[str, Any] = {
    "mean": CLIP_MEAN,
    "std": CLIP_STD,
    "interpolation": "bicubic",
    "resize_mode": "shortest",
    "fill_color": 0,
}


@dataclass(frozen=True)
class Configuration:
    """Hold a model's configuration; ``preprocessing`` has open_clip's fields but for the size, every one checked."""

    architecture: Mapping[str, Any]
    preprocessing: Mapping[str, Any] = field(default_factory=lambda: dict(_CLIP))

    @property
    def quick_gelu(self) -> bool:
        """Whether open_clip's own towers compute QuickGELU."""
        return bool(self.architecture.get(_QUICK))

    @property
    def text(self) -> Mapping[str, Any]:
        """The text tower's part."""
        found: Mapping[str, Any] = self.architecture["text_cfg"]
        return found

    @property
    def image_size(self) -> int | None:
        """The side of the images as it is written, None where it is left to open_clip."""
        size = self.architecture["vision_cfg"].get("image_size", 224)
        side = size[0] if isinstance(size, list | tuple) and size and len({*size}) == 1 else size
        return side if isinstance(side, int) else None

    @property
    def convolutional(self) -> str | None:
        """The kind of a visual tower that is plainly a convolutional network, None for any other."""
        tower = self.architecture["vision_cfg"]
        if isinstance(tower.get("layers"), list | tuple):
            return "a ResNet"
        name = str(tower.get("timm_model_name", ""))
        return name if name.startswith(("convnext", "resnet", "efficientnet")) else None

    @property
    def geometry(self) -> dict[str, Any]:
        """How images are made square, but for the size: the fields of `medforge.image_geometry.ImageGeometry`."""
        names = {"interpolation": "interpolation", "resize_mode": "resize_mode", "fill": "fill_color"}
        return {ours: self.preprocessing[theirs] for ours, theirs in names.items()}

    def with_activation(self, quick: bool) -> Configuration:
        """Return the same with QuickGELU, or as it is where that is what it has."""
        return self if quick == self.quick_gelu else replace(self, architecture={**self.architecture, _QUICK: quick})

    def preprocessed(self, given: Mapping[str, Any], where: str) -> Configuration:
        """Return the same with images prepared as given; raises InvalidInput for what is unknown (see `_checked`)."""
        return replace(self, preprocessing=_checked({**self.preprocessing, **_known(given)}, where))


def read_document(path: Path, where: str) -> Configuration:
    """Read an ``open_clip_config.json``, or a configuration of the model alone; ``where`` names it in sentences.

    Raises CorruptFile for what is no such file, InvalidInput for preprocessing that is not known.
    """
    try:
        found = parse_json(path.read_bytes())
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}; check it") from error
    except ValueError as error:
        raise CorruptFile(f"{path} is no JSON ({error}); fetch it again") from error
    model = found.get("model_cfg", found) if isinstance(found, dict) else None
    parts = ("vision_cfg", "text_cfg")
    if not isinstance(model, dict) or not all(isinstance(model.get(part), dict) for part in parts):
        raise CorruptFile(f"{path} configures no model: it has no vision_cfg and text_cfg; give open_clip's own file")
    if not isinstance(model.get("embed_dim"), int):
        raise CorruptFile(f"{path} configures no model: it has no embed_dim; give open_clip's own file")
    given = found.get("preprocess_cfg") or {}
    if not isinstance(given, dict):
        raise CorruptFile(f"{path} has a preprocess_cfg that is no object; give open_clip's own file")
    return Configuration(model).preprocessed(given, where)


def _known(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name in (*_CLIP, "mode") and value is not None}


def _checked(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return preprocessing of which every value is known to be done here as open_clip does it."""
    found = dict(given)
    if (mode := found.pop("mode", "RGB")) != "RGB":
        raise _unknown(where, "mode", mode, "RGB")
    for name in ("mean", "std"):
        found[name] = _three(found[name])
        if found[name] is None or (name == "std" and min(found[name]) <= 0):
            raise _unknown(where, name, given[name], "three numbers, one a channel")
    # at inference open_clip's random is bicubic
    found["interpolation"] = "bicubic" if found["interpolation"] == "random" else found["interpolation"]
    for name, known in (("interpolation", ("bicubic", "bilinear")), ("resize_mode", ("shortest", "longest", "squash"))):
        if found[name] not in known:
            raise _unknown(where, name, found[name], ", ".join(known))
    fill = found["fill_color"]
    if not isinstance(fill, int) or not 0 <= fill <= 255:
        raise _unknown(where, "fill_color", fill, "0 to 255")
    return found


def _three(value: object) -> tuple[float, float, float] | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = (value,) * 3
    if not isinstance(value, list | tuple) or len(value) != 3:
        return None
    if not all(isinstance(one, int | float) and not isinstance(one, bool) and isfinite(one) for one in value):
        return None
    first, second, third = map(float, value)
    return first, second, third


def _unknown(where: str, name: str, value: object, known: str) -> InvalidInput:
    return InvalidInput(f"base module {where} wants images prepared by {name} {value!r:.100}; only {known} can be done")
