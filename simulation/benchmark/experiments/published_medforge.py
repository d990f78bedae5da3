"""The numbers of the MedForge paper (2025), for standing beside ours: ViT-B/16 CLIP, accuracy and AUC."""

from __future__ import annotations

from medforge.simulation.benchmark.results.rows import PaperScore

# the sources whose data set is one of the paper's
DATA_SETS = {"breakhis": "BreakHis", "lc25000-lung": "LC25000", "medfmc-colon": "MedFMC-Colon"}
AVERAGE = "average"
_COLUMNS = ("BreakHis", "LC25000", "MedFMC-Colon", AVERAGE)

_TABLE1 = {
    "single-task": (0.914, 0.923, 0.997, 0.996, 0.978, 0.997, 0.963, 0.972),
    "distilled-only": (0.881, 0.883, 0.911, 0.974, 0.799, 0.872, 0.864, 0.910),
    "lorahub-raw": (0.705, 0.641, 0.959, 0.997, 0.825, 0.945, 0.830, 0.861),
    "lorahub": (0.654, 0.804, 0.956, 0.997, 0.819, 0.936, 0.810, 0.912),
    "model-soup": (0.769, 0.847, 0.594, 0.900, 0.777, 0.890, 0.713, 0.879),
    "fusion": (0.846, 0.854, 0.781, 0.914, 0.792, 0.908, 0.806, 0.892),
    "mixture-sequential": (0.803, 0.846, 0.959, 0.998, 0.966, 0.978, 0.909, 0.941),
}
_TABLE2 = {
    "fusion": {"BLM": (0.790, 0.846), "BML": (0.806, 0.892), "MLB": (0.800, 0.871)},
    "mixture-sequential": {"BLM": (0.871, 0.907), "BML": (0.909, 0.941), "MLB": (0.901, 0.931)},
}
_TABLE3 = {
    ("distilled-only", "dc-dsa"): (0.770, 0.891),
    ("fusion", "dc-dsa"): (0.879, 0.907),
    ("mixture-sequential", "dc-dsa"): (0.875, 0.919),
    ("distilled-only", "dm-dsa"): (0.864, 0.910),
    ("fusion", "dm-dsa"): (0.806, 0.892),
    ("mixture-sequential", "dm-dsa"): (0.909, 0.941),
    ("distilled-only", "dm"): (0.849, 0.910),
    ("fusion", "dm"): (0.808, 0.858),
    ("mixture-sequential", "dm"): (0.838, 0.892),
}
_TABLE4 = {
    "single-task": (0.962, 0.974),
    "distilled-only": (0.858, 0.913),
    "lorahub": (0.781, 0.894),
    "lorahub-raw": (0.782, 0.870),
    "model-soup": (0.720, 0.888),
    "fusion": (0.785, 0.894),
    "mixture-sequential": (0.906, 0.937),
}


def table1(key: str) -> dict[str, PaperScore]:
    """Return of table 1 a method's scores by data set, and their average; empty for a method that the paper has not."""
    values = _TABLE1.get(key)
    if values is None:
        return {}
    return {name: PaperScore(acc=values[2 * i], auc=values[2 * i + 1]) for i, name in enumerate(_COLUMNS)}


def table2(key: str) -> dict[str, PaperScore]:
    """Return of table 2 a method's average by merge order of BreakHis (B), LC25000 (L) and MedFMC-Colon (M)."""
    return {order: _pair(values) for order, values in _TABLE2.get(key, {}).items()}


def table3(key: str, distillation: str) -> PaperScore | None:
    """Return of table 3 a method's average under a distillation method."""
    values = _TABLE3.get((key, distillation))
    return None if values is None else _pair(values)


def table4(key: str) -> PaperScore | None:
    """Return of table 4 a method's average with DoRA plugins."""
    values = _TABLE4.get(key)
    return None if values is None else _pair(values)


def _pair(values: tuple[float, float]) -> PaperScore:
    return PaperScore(acc=values[0], auc=values[1])
