"""What the chest sources call their classes, so that the same finding has the same prompt in every one of them."""

from __future__ import annotations

FINDINGS: dict[str, str] = {
    "Atelectasis": "atelectasis",
    "Cardiomegaly": "cardiomegaly",
    "Effusion": "pleural effusion",
    "Infiltration": "infiltration",
    "Mass": "a mass",
    "Nodule": "a nodule",
    "Pneumonia": "pneumonia",
    "Pneumothorax": "pneumothorax",
    "Consolidation": "consolidation",
    "Edema": "edema",
    "Emphysema": "emphysema",
    "Fibrosis": "fibrosis",
    "Pleural_Thickening": "pleural thickening",
    "Hernia": "a hernia",
}
"""The 14 findings of NIH ChestX-ray14 (Wang et al. 2017) by their published names, in the order of ChestMNIST."""

NORMAL = "normal chest x-ray"


def present(words: str) -> str:
    """Return the prompt of a chest x-ray that shows a finding."""
    return f"chest x-ray with {words}"


def absent(words: str) -> str:
    """Return the prompt of a chest x-ray that does not."""
    return f"chest x-ray without {words}"
