"""What differs between the base module that a branch was made on and the one it is brought to, in words."""

from __future__ import annotations

from medforge.base_facts import BaseFacts
from medforge.bases.spec import EMBEDDED
from medforge.errors import BaseMismatch
from medforge.image_geometry import CLIP_MEAN, CLIP_STD, Preprocessing
from medforge.manifest import Manifest


def base_mismatch(manifest: Manifest, base: BaseFacts, stands: str) -> BaseMismatch:
    """Return the error to raise for a branch of another base module.

    ``stands`` says in words where ``base`` is used, as in "this forge stands on". What differs is named as far as
    manifest and facts tell.
    """
    return BaseMismatch(
        f"the branch was made on base module {manifest.base[:12]} ({manifest.base_spec}), but {stands} "
        f"{base.fingerprint[:12]} ({base.spec}){_difference(manifest, base)}; train it on the forge's base"
    )


def check_same_base(trained: BaseFacts, base: BaseFacts) -> None:
    """Raise BaseMismatch, naming what differs, where a workspace's base module is not the one it was trained on."""
    if trained.fingerprint != base.fingerprint:
        raise BaseMismatch(
            f"the workspace was trained on base module {trained.fingerprint[:12]} ({trained.spec}), and that spec is "
            f"{base.fingerprint[:12]} here{facts_difference(trained, base)}; bring the base it was trained on, or "
            "begin another workspace"
        )


def facts_difference(theirs: BaseFacts, ours: BaseFacts) -> str:
    """Say, after a colon, what two base modules differ in; nothing where one of them does not say enough."""
    if theirs.architecture is None:
        return ""
    return _said(_activation_of(theirs), theirs.preprocessing, ours)


def _difference(manifest: Manifest, base: BaseFacts) -> str:
    return _said(_activation(manifest), manifest.preprocessing or _usual(manifest), base)


def _said(theirs: str, known: Preprocessing | None, base: BaseFacts) -> str:
    if base.architecture is None or base.preprocessing is None:
        return ""
    ours = _activation_of(base)
    said = [] if theirs == ours else [f"it computed {theirs} where {ours} is due"]
    if known is not None:
        due = base.preprocessing
        said += [
            f"its images were prepared by {name} {_spell(getattr(known, name))} where {_spell(getattr(due, name))} is "
            "due"
            for name in Preprocessing.model_fields
            if getattr(known, name) != getattr(due, name)
        ]
    return f": {', '.join(said)}" if said else ": its weights, architecture or tokenizer are others"


def _activation_of(base: BaseFacts) -> str:
    return "QuickGELU" if (base.architecture or {}).get("quick_gelu") else "GELU"


def _activation(manifest: Manifest) -> str:
    # an earlier version wrote no activation, and named an architecture that says it
    named = manifest.base_spec.replace(":", "/").partition("/")[0].endswith("-quickgelu")
    return "QuickGELU" if manifest.activation is not None or named else "GELU"


def _usual(manifest: Manifest) -> Preprocessing | None:
    """Return what a manifest that says nothing means: CLIP's own preprocessing; None of an embedded base's."""
    if manifest.base_spec in EMBEDDED:
        return None
    return Preprocessing(size=manifest.image_size, mean=CLIP_MEAN, std=CLIP_STD)


def _spell(value: object) -> str:
    return " ".join(f"{one:g}" for one in value) if isinstance(value, tuple) else str(value)
