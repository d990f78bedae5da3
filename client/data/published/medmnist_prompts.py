"""Readable prompts for the 2-D MedMNIST data sets, made from their published label names (v2)."""

from __future__ import annotations

import re

from medforge.client.data.published.chest_words import FINDINGS, NORMAL, film_with, pair

_ORGANS = (
    "bladder",
    "left femur",
    "right femur",
    "heart",
    "left kidney",
    "right kidney",
    "liver",
    "left lung",
    "right lung",
    "pancreas",
    "spleen",
)


def _organs(view: str) -> tuple[str, ...]:
    return tuple(f"{view} abdominal CT of the {organ}" for organ in _ORGANS)


PROMPTS: dict[str, tuple[str, ...]] = {
    "bloodmnist": (
        "basophil in a blood smear",
        "eosinophil in a blood smear",
        "erythroblast in a blood smear",
        "immature granulocyte in a blood smear",
        "lymphocyte in a blood smear",
        "monocyte in a blood smear",
        "neutrophil in a blood smear",
        "platelet in a blood smear",
    ),
    "breastmnist": ("malignant tumor in a breast ultrasound", "normal or benign breast ultrasound"),
    "dermamnist": (
        "actinic keratosis or intraepithelial carcinoma of the skin",
        "basal cell carcinoma of the skin",
        "benign keratosis-like lesion of the skin",
        "dermatofibroma of the skin",
        "melanoma of the skin",
        "melanocytic nevus of the skin",
        "vascular lesion of the skin",
    ),
    "octmnist": (
        "retinal OCT with choroidal neovascularization",
        "retinal OCT with diabetic macular edema",
        "retinal OCT with drusen",
        "normal retinal OCT",
    ),
    "organamnist": _organs("axial"),
    "organcmnist": _organs("coronal"),
    "organsmnist": _organs("sagittal"),
    "pathmnist": (
        "adipose tissue in colon histology",
        "background in colon histology",
        "debris in colon histology",
        "lymphocytes in colon histology",
        "mucus in colon histology",
        "smooth muscle in colon histology",
        "normal colon mucosa",
        "cancer-associated stroma in colon histology",
        "colorectal adenocarcinoma epithelium",
    ),
    "pneumoniamnist": (NORMAL, film_with("pneumonia")),
    "retinamnist": (
        "retinal fundus without diabetic retinopathy",
        "retinal fundus with mild diabetic retinopathy",
        "retinal fundus with moderate diabetic retinopathy",
        "retinal fundus with severe diabetic retinopathy",
        "retinal fundus with proliferative diabetic retinopathy",
    ),
    "tissuemnist": (
        "collecting duct or connecting tubule cell of the kidney",
        "distal convoluted tubule cell of the kidney",
        "glomerular endothelial cell of the kidney",
        "interstitial endothelial cell of the kidney",
        "leukocyte in the kidney",
        "podocyte of the kidney",
        "proximal tubule cell of the kidney",
        "thick ascending limb cell of the kidney",
    ),
}

PAIRS: dict[str, tuple[tuple[str, str], ...]] = {
    "chestmnist": tuple(pair(words) for words in FINDINGS.values()),
}
"""The sets with several labels an image: for each, what is said of an image with it and of one without it."""

_FIRST_NAMES = {
    "organmnist axial": "organamnist",
    "organmnist coronal": "organcmnist",
    "organmnist sagittal": "organsmnist",
}
"""What version 1 called sets that version 2 has renamed."""


def published_set(stem: str) -> str:
    """Return the data set that a file's name (without its ending) speaks of, whatever stands around it; "" if none.

    `pneumoniamnist_224`, `PneumoniaMNIST (1)` and `copy of pneumoniamnist` are all one set.
    """
    words = re.sub(r"[\W_]+", " ", stem.lower())
    found = {name for name in (*PROMPTS, *PAIRS) if re.search(rf"(?<![a-z]){name}(?![a-z])", words)}
    found |= {name for first, name in _FIRST_NAMES.items() if first in words}
    return found.pop() if len(found) == 1 else ""
