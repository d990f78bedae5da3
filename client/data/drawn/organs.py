"""The three organs of the `tissue` source: their stain, their classes, and what tells the classes apart."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import torch
from torch import Tensor

from medforge.client.data.drawn.painter import FASCICLE, GLAND, LACE, NEST, PAPILLA, SHEET, Scenes

Range = tuple[float, float]

COMMON: dict[str, Range] = {
    "spacing": (16, 32), "irregularity": (0.2, 0.6), "lumen": (0.2, 0.5), "gap": (3, 7), "vacuoles": (0, 0.05),
    "vacuole_radius": (2, 3.5), "basal": (0.3, 0.8), "radius": (1.5, 2.2), "pleomorphism": (0.08, 0.25),
    "elongation": (1.1, 1.6), "crowding": (0.55, 0.85), "disorder": (0.2, 0.5), "chromatin": (0.9, 1.5),
    "vesicular": (0.1, 0.5), "stroma_cells": (0.3, 0.7), "lymphocytes": (0.0, 0.5), "red_cells": (0.0, 0.1),
    "cytoplasm_h": (0.12, 0.3), "cytoplasm_e": (0.2, 0.45), "stroma_h": (0.04, 0.12), "stroma_e": (0.25, 0.5),
    "content_e": (0.0, 0.05), "fibres": (0.1, 0.4), "necrosis": (0.0, 0.02), "grain": (0.1, 0.35),
    "sharpness": (0.3, 0.6),
}  # fmt: skip


@dataclass(frozen=True)
class Class:
    """Describe one class: its prompt, how often each architecture occurs, and the ranges that differ from COMMON."""

    prompt: str
    architectures: dict[int, float]
    ranges: dict[str, Range] = field(default_factory=dict)


@dataclass(frozen=True)
class Organ:
    """Describe one demo task: dye colours (optical densities of red, green and blue) and classes."""

    haematoxylin: tuple[float, float, float]
    eosin: tuple[float, float, float]
    spread: float
    classes: tuple[Class, ...]


BREAST = Organ(
    haematoxylin=(0.70, 0.75, 0.35),
    eosin=(0.05, 0.95, 0.45),
    spread=0.03,
    classes=(
        Class(
            "benign breast tissues",
            {GLAND: 0.7, FASCICLE: 0.25, NEST: 0.05},
            {"gap": (5, 11), "radius": (1.1, 1.7), "stroma_e": (0.3, 0.6), "vacuoles": (0.0, 0.3)},
        ),
        Class(
            "malignant breast tumors",
            {NEST: 0.5, SHEET: 0.35, GLAND: 0.15},
            {
                "gap": (3, 8),
                "radius": (1.7, 2.8),
                "pleomorphism": (0.12, 0.36),
                "crowding": (0.6, 1.0),
                "irregularity": (0.3, 0.9),
                "lumen": (0.05, 0.4),
                "stroma_e": (0.3, 0.6),
            },
        ),
    ),
)

LUNG = Organ(
    haematoxylin=(0.75, 0.72, 0.12),
    eosin=(0.18, 0.75, 0.15),
    spread=0.03,
    classes=(
        Class(
            "lung squamous cell carcinomas",
            {SHEET: 0.55, NEST: 0.4, FASCICLE: 0.05},
            {"radius": (1.6, 2.6), "cytoplasm_e": (0.3, 0.6), "crowding": (0.6, 0.95), "pleomorphism": (0.1, 0.3)},
        ),
        Class(
            "lung adenocarcinomas",
            {GLAND: 0.55, PAPILLA: 0.4, SHEET: 0.05},
            {
                "radius": (1.6, 2.6),
                "crowding": (0.55, 0.9),
                "vacuoles": (0.1, 0.4),
                "lumen": (0.35, 0.6),
                "pleomorphism": (0.1, 0.3),
            },
        ),
        Class(
            "benign lung tissues",
            {LACE: 0.9, PAPILLA: 0.05, FASCICLE: 0.05},
            {"spacing": (20, 42), "gap": (3, 9), "radius": (1.2, 1.9), "red_cells": (0.0, 0.4), "crowding": (0.4, 0.7)},
        ),
    ),
)

COLON = Organ(
    haematoxylin=(0.55, 0.72, 0.35),
    eosin=(0.12, 0.80, 0.22),
    spread=0.03,
    classes=(
        Class(
            "benign colon tissues",
            {GLAND: 0.9, FASCICLE: 0.1},
            {"spacing": (22, 40), "irregularity": (0.1, 0.5), "vacuoles": (0.3, 0.9), "radius": (1.1, 1.7),
             "lumen": (0.25, 0.5), "gap": (4, 8), "stroma_e": (0.12, 0.35),
             "elongation": (1.1, 1.7), "basal": (0.5, 1.0), "lymphocytes": (0.2, 0.9)},
        ),
        Class(
            "colon adenocarcinomas",
            {GLAND: 0.75, NEST: 0.15, SHEET: 0.1},
            {"spacing": (20, 40), "irregularity": (0.3, 0.9), "vacuoles": (0.0, 0.25), "stroma_e": (0.15, 0.4),
             "radius": (1.5, 2.4),
             "elongation": (1.3, 2.3), "crowding": (0.65, 1.05), "cytoplasm_h": (0.15, 0.4)},
        ),
    ),
)  # fmt: skip

ORGANS: dict[str, Organ] = {"breast": BREAST, "lung": LUNG, "colon": COLON}


def draw_class(organ: Organ, labels: Tensor, doubt: float, generator: torch.Generator) -> Scenes:
    """Draw one scene per label int64 [n].

    A share `doubt` of the scenes lies up to half-way towards another class of the organ in every attribute, so that
    no classifier is always right.
    """
    count, classes = len(labels), len(organ.classes)
    rivals = (labels + torch.randint(1, classes, (count,), generator=generator)) % classes
    doubtful = (torch.rand(count, generator=generator) < doubt).float()
    pull = 0.5 * doubtful * torch.rand(count, generator=generator).sqrt()
    where = torch.rand(count, len(COMMON), generator=generator)
    weights = torch.zeros(classes, 6)
    for row, one in enumerate(organ.classes):
        for kind, share in one.architectures.items():
            weights[row, kind] = share
    mixed = (1 - pull[:, None]) * weights[labels] + pull[:, None] * weights[rivals]
    architecture = torch.multinomial(mixed, 1, generator=generator)[:, 0]
    values: dict[str, Tensor] = {"architecture": architecture}
    for column, name in enumerate(one.name for one in fields(Scenes) if one.name != "architecture"):
        ranges = torch.tensor([one.ranges.get(name, COMMON[name]) for one in organ.classes])
        low, high = ((1 - pull) * ranges[labels, end] + pull * ranges[rivals, end] for end in (0, 1))
        values[name] = low + (high - low) * where[:, column]
    return Scenes(**values)
