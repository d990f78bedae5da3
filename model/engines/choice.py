"""Which engine runs the image tower of a merged model."""

from __future__ import annotations

from medforge.base_module import BaseModule
from medforge.encoder import Tower
from medforge.errors import InvalidInput
from medforge.forge_item import ForgeItem, Mixture
from medforge.model.checks import ENGINES

_DTYPES = {"onnx": ("fp32",), "openvino": ("fp32", "bf16")}


def check_engine(engine: str, item: ForgeItem, dtype: str) -> None:
    """Raise InvalidInput for an engine that there is not, or that does not run the item or compute in the dtype."""
    if engine not in ENGINES:
        raise InvalidInput(f"engine {engine!r} is not known; choose one of {', '.join(ENGINES)}")
    if engine == "torch":
        return
    if dtype not in _DTYPES[engine]:
        raise InvalidInput(
            f"engine {engine} computes in {' or '.join(_DTYPES[engine])}, not in {dtype}; change --dtype"
        )
    if isinstance(item, Mixture) and not item.folds:
        raise InvalidInput("a mixture of outputs or with a gate runs in torch alone; leave --engine out")


def open_tower(engine: str, base: BaseModule, dtype: str) -> Tower | None:
    """Return what runs the base's tower, None for PyTorch; raises InvalidInput where its package is missing."""
    if engine == "torch":
        return None
    from medforge.model.engines.given_tower import OnnxTower, OpenVinoTower

    return OnnxTower(base, dtype) if engine == "onnx" else OpenVinoTower(base, dtype)
