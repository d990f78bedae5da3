"""Widely varied tissue pictures for pretraining, and the words that describe them."""

from __future__ import annotations

import random

import torch
from torch import Tensor

from medforge.client.data.drawn.painter import FASCICLE, GLAND, LACE, NEST, PAPILLA, Scenes
from medforge.client.data.drawn.painter_stain import Stain, draw_stain


def draw_scenes(count: int, generator: torch.Generator) -> Scenes:
    """Draw `count` scenes from a distribution much wider than any one organ's."""

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=generator)

    def geometric(low: float, high: float) -> Tensor:
        return low * (high / low) ** torch.rand(count, generator=generator)

    def sometimes(share: float, values: Tensor, otherwise: float = 0.0) -> Tensor:
        return torch.where(torch.rand(count, generator=generator) < share, values, torch.full((count,), otherwise))

    kind = torch.multinomial(torch.tensor([3.0, 4.0, 2.0, 2.5, 1.5, 2.0]), count, True, generator=generator)
    streaming = kind == FASCICLE
    radius = geometric(0.9, 4.5)
    lace, papilla = kind == LACE, kind == PAPILLA
    lumen = torch.where(papilla, uniform(0.25, 0.75), sometimes(0.7, uniform(0.15, 0.75)))
    gap = torch.where(lace, geometric(2.0, 14.0), uniform(1.0, 9.0))
    spacing = torch.where(lace, geometric(14, 60), geometric(10, 48))
    return Scenes(
        architecture=kind,
        spacing=spacing,
        irregularity=uniform(0.05, 1.0),
        lumen=lumen,
        gap=gap,
        vacuoles=sometimes(0.35, uniform(0.1, 1.0)),
        vacuole_radius=geometric(1.2, 7.0),
        basal=sometimes(0.5, uniform(0.3, 1.0)),
        radius=radius,
        pleomorphism=uniform(0.03, 0.45),
        elongation=torch.where(streaming, uniform(1.3, 3.2), geometric(1.0, 2.4)),
        crowding=uniform(0.3, 1.15),
        disorder=uniform(0.05, 0.8),
        chromatin=geometric(0.5, 2.2),
        vesicular=uniform(0.0, 0.7),
        stroma_cells=uniform(0.1, 1.0),
        lymphocytes=sometimes(0.5, uniform(0.0, 1.0)),
        red_cells=sometimes(0.4, geometric(0.03, 0.8)),
        cytoplasm_h=geometric(0.04, 0.6),
        cytoplasm_e=geometric(0.08, 0.8),
        stroma_h=geometric(0.02, 0.3),
        stroma_e=geometric(0.1, 0.8),
        content_e=sometimes(0.5, geometric(0.01, 0.4)),
        fibres=uniform(0.0, 0.6),
        necrosis=sometimes(0.12, uniform(0.1, 0.9)),
        grain=uniform(0.05, 0.5),
        sharpness=uniform(0.2, 0.9),
    )


def draw_wide_stain(count: int, generator: torch.Generator) -> Stain:
    """Draw stains of many laboratories: hue, density and the colour of the light all vary."""
    stain = draw_stain(count, generator, 0.12)
    strength = 0.6 + 0.8 * torch.rand(count, 1, generator=generator)
    violet = torch.rand(count, 1, generator=generator) - 0.3  # blue-violet sections absorb more red, less blue
    stain.haematoxylin = strength * (stain.haematoxylin + violet * torch.tensor([0.15, 0.05, -0.25])).clamp_min(0.02)
    stain.eosin = stain.eosin * (0.5 + torch.rand(count, 1, generator=generator))
    warm = torch.randn(count, 1, generator=generator).clamp(-1.5, 2)
    stain.light = (stain.light + warm * torch.tensor([0.02, 0.0, -0.035])).clamp(0.6, 1.0)
    return stain


def _grade(value: float, words: tuple[str, ...], edges: tuple[float, ...]) -> str:
    return words[sum(value > edge for edge in edges)]


def _architecture_words(row: dict[str, float]) -> str:
    kind = int(row["architecture"])
    if kind == GLAND:
        size = _grade(row["spacing"], ("small ", "", "large "), (16, 32))
        form = _grade(row["irregularity"], ("regular ", "", "irregular "), (0.3, 0.65))
        inside = _grade(row["lumen"], ("solid", "narrow lumens", "open lumens"), (0.1, 0.4))
        return f"{form}{size}glands with {inside}" if inside != "solid" else f"{form}{size}solid glands"
    if kind == NEST:
        return _grade(row["spacing"], ("small nests", "nests", "large nests"), (16, 30)) + " in stroma"
    if kind == LACE:
        return _grade(row["gap"], ("thin alveolar walls and air", "lace like walls", "thick walls"), (4, 8))
    if kind == FASCICLE:
        return "streaming fascicles"
    if kind == PAPILLA:
        return "papillary fronds"
    return "diffuse sheets"


def _diagnosis(row: dict[str, float], chance: random.Random) -> str:
    """Name what a pathologist would lean to, from nuclear size, spread, crowding and chromatin."""
    kind = int(row["architecture"])
    atypia = row["radius"] / 3 + 2.5 * row["pleomorphism"] + row["crowding"] + 0.4 * row["chromatin"]
    atypia += 0.5 * row["irregularity"] - 0.6 * row["vacuoles"] - (1.2 if kind == LACE else 0.0)
    if atypia < 1.9:
        organ = {LACE: "lung ", GLAND: "colon " if row["vacuoles"] > 0.05 else ""}.get(kind, "")
        return chance.choice(("benign", "normal", "negative", "benign healthy")) + f" {organ}tissue"
    if atypia < 2.5:
        return "tissue"
    if kind in (GLAND, PAPILLA):
        return chance.choice(("malignant adenocarcinoma", "adenocarcinomas", "positive tumor, adenocarcinoma"))
    if kind in (NEST, FASCICLE):
        return chance.choice(("malignant squamous cell carcinoma", "squamous cell carcinomas", "malignant tumors"))
    return chance.choice(("malignant tumor", "carcinoma", "positive tumor"))


def describe(scenes: Scenes, stain: Stain, chance: random.Random) -> list[str]:
    """Write one caption per scene: a few of its attributes in words, in varying order."""
    names = list(vars(scenes))
    blueness = (stain.haematoxylin[:, 0] - stain.haematoxylin[:, 2]).tolist()
    captions = []
    for values, blue in zip(scenes.table().tolist(), blueness, strict=True):
        row = dict(zip(names, values, strict=True))
        size = _grade(row["radius"], ("small", "medium", "large"), (1.6, 2.9))
        form = _grade(row["elongation"], ("round", "oval", "elongated"), (1.25, 1.8))
        spread = _grade(row["pleomorphism"], ("uniform", "varied", "pleomorphic"), (0.15, 0.3))
        parts = [
            f"{spread} {size} {form} nuclei",
            _grade(row["crowding"], ("sparse cells", "moderate cells", "crowded cells"), (0.55, 0.85)),
            _grade(row["chromatin"], ("pale nuclei", "stained nuclei", "dark nuclei"), (0.8, 1.4)),
            _grade(row["cytoplasm_e"], ("pale cytoplasm", "pink cytoplasm", "strong pink cytoplasm"), (0.2, 0.45)),
            _grade(blue, ("magenta stain", "purple stain", "blue stain"), (0.35, 0.55)),
        ]
        if row["vacuoles"] > 0.1:
            parts.append("mucin vacuoles" if row["vacuole_radius"] < 4 else "fat")
        if row["red_cells"] > 0.05:
            parts.append("blood")
        if row["lymphocytes"] > 0.4:
            parts.append("lymphocytes")
        if row["necrosis"] > 0.3:
            parts.append("necrosis")
        chosen = chance.sample(parts, k=min(3, len(parts)))
        words = [_diagnosis(row, chance), _architecture_words(row), *chosen]
        chance.shuffle(words)
        captions.append(", ".join(words))
    return captions
