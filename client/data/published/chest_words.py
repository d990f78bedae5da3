"""What the chest sources call their classes, so that the same finding has the same prompt in every one of them."""

from __future__ import annotations

FINDINGS: dict[str, str] = {
    "Atelectasis": "atelectasis",
    "Cardiomegaly": "cardiomegaly",
    "Effusion": "pleural effusion",
    "Infiltration": "infiltration",
    "Mass": "mass",
    "Nodule": "nodule",
    "Pneumonia": "pneumonia",
    "Pneumothorax": "pneumothorax",
    "Consolidation": "consolidation",
    "Edema": "edema",
    "Emphysema": "emphysema",
    "Fibrosis": "fibrosis",
    "Pleural_Thickening": "pleural thickening",
    "Hernia": "hernia",
}
"""The 14 findings of NIH ChestX-ray14 (Wang et al. 2017) by their published names, in the order of ChestMNIST."""

NORMAL = "normal chest x-ray"


def film_with(words: str) -> str:
    """Return the prompt of a chest x-ray that is not normal, where there is one class an image."""
    return f"chest x-ray with {words}"


def pair(words: str) -> tuple[str, str]:
    """Return the prompts of a finding and of its absence, where there may be several an image.

    Worded as the MedForge paper's "positive colon tumor" and "negative colon tumor". Longer sentences ("chest x-ray
    with …", "chest x-ray without …") are nearly the same to a small text encoder, and no plugin can tell them apart.
    """
    return f"positive {words}", f"negative {words}"
