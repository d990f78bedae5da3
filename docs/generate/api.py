"""docs/reference-api.md, from the docstrings of the public API."""

import inspect
import re
from collections.abc import Callable
from functools import cached_property
from types import ModuleType

import medforge
from docs.generate.markdown import cell, code, notice, page, table
from medforge.extension import methods, sources

_INTRODUCTION = """
`import medforge` gives what stands here, and [two more modules](#for-packages) what packages need that bring
merge methods or data sources; every other module may change in any version. The package is typed, and what it
names is loaded when it is first used, so importing it takes no time. A mistake that you can mend is a
`medforge.MedForgeError`: one sentence, with the remedy.

```python runnable
import medforge

base = medforge.load_base("medforge-tiny")
plugins = [medforge.load_plugin(f"{centre}/branch/plugin") for centre in ("lung", "colon")]
merged = medforge.merge(plugins, method="ties", base=base)
print(medforge.score(merged, base, medforge.open_task("tissue:lung", base)).acc)
```
"""
_FOR_PACKAGES = """
A package that brings a [merge method](how-to-add-a-merge-method.md) or a [data source](how-to-add-a-data-source.md)
imports these two modules and no other; their names stay as they are for as long as those above.
"""
_CONSTANTS = {"READING_OPTIONS": "Options that every source of image files takes: `window` and `megapixels`."}
# What of each class may be relied on. Methods and properties are described by their docstrings, plain attributes here.
_PROMISED = {
    "BaseModule": {
        "spec": "what it was loaded by",
        "fingerprint": "sha256 of architecture and weights, the same on every device and in every dtype",
        "image_size": "width and height of the images it takes, in pixels",
        "device": "where it computes",
        "sites": "the layers that a plugin adapts",
        "normalise": "",
        "embed_all": "",
        "logits": "",
    },
    "Plugin": {
        "settings": "kind (lora, dora or svd-lora), rank, alpha and ranks of single layers",
        "base_fingerprint": "the base module it was trained on",
        "digest": "",
        "sites": "",
        "deltas": "",
        "save": "",
    },
    "DistilledDataset": {
        "images": "learned images, float16 [n, 3, S, S], normalised as the base module takes them",
        "labels": "the class of each, int64 [n]",
        "prompts": "the class prompts",
        "ipc": "",
        "pixels": "",
        "digest": "",
        "save": "",
    },
    "Branch": {
        "manifest": "task, prompts, contributor, base, recipe, validation scores, and the digest of every file",
        "plugin": "the plugin",
        "distilled": "the distilled dataset",
        "digest": "",
        "check": "",
        "save": "",
    },
    "ForgeItem": {
        "base_fingerprint": "the base module it was merged on",
        "digest": "",
        "logits": "",
        "weight_change": "",
        "plugins": "",
        "shares": "",
        "check": "",
        "save": "",
    },
    "MergedModel": {
        "card": "what it says of itself: `tasks`, `members`, `base`, `recipe`, `commit`, and `who(branch)` sent what",
        "item": "the forge item",
        "base": "the base module",
        "tasks": "",
        "predict": "",
    },
    "Prediction": {
        "task": "",
        "key": "",
        "prompt": "",
        "task_probability": "",
        "class_probability": "",
        "probability": "",
        "ranking": "the likeliest classes, each with the six above",
        "distance": "how far the image lies from the task's nearest class mean, none without a router",
        "percentile": "the share of the sites' validation images that lies nearer, none where uncalibrated",
        "none_of_these": "whether that share is above the threshold",
        "calibrated": "",
        "answered_by": "the branches (by digest) whose plugins answered",
    },
    "Commit": {
        "digest": "",
        "kind": "fold, remove or restore",
        "parent": "the digest of the commit before, none for the first",
        "arrival": "the arrival that came or went",
        "contributor": "whose it is",
        "task": "its task",
        "branch": "its digest",
        "members": "the arrivals that the main branch is made of from here on",
        "method": "the merge method and its settings",
        "coefficients": "every member's coefficient, by branch digest; none where the forge item has `shares`",
        "metrics": "accuracy (`acc`) and `loss` on each task's distilled images",
        "software": "the versions it was folded with",
        "item": "the forge item's digest, none where nobody is left",
    },
    "Task": {
        "name": "its name",
        "prompts": "one prompt for each class",
        "negatives": "of a multi-label task, the prompts that say that a finding is absent",
        "train": "a split: `images` (sliced to uint8 [n, 3, S, S]) and `labels`",
        "validation": "another",
        "test": "and the one that results are reported on",
        "splits": "",
        "multi_label": "",
    },
    "Metrics": {
        "acc": "accuracy",
        "auc": "area under the ROC curve",
        "loss": "cross-entropy",
    },
    "MergeListing": {
        "summary": "what it does",
        "source": "who published it",
        "modes": "(level, coefficients), the default first",
        "distilled": "whether it searches on distilled data, so that it needs branches",
        "any_order": "the modes whose result does not depend on the order of arrival",
        "parameters": "what it takes: default, range and meaning by name",
    },
    "MedForgeError": {},
}


def build() -> str:
    """Return the page."""
    functions = [name for name in medforge.__all__ if inspect.isfunction(getattr(medforge, name))]
    classes = [name for name in medforge.__all__ if inspect.isclass(getattr(medforge, name))]
    return page(
        notice("the docstrings of medforge/api.py"),
        "# The Python API",
        _INTRODUCTION,
        "## Functions",
        *(_function(name) for name in functions),
        "## Classes",
        "The functions above make them; what is listed is what you may rely on.",
        *(_class(name) for name in classes),
        "## For packages",
        _FOR_PACKAGES,
        *(_extension(module) for module in (methods, sources)),
    )


def _extension(module: ModuleType) -> str:
    rows = [
        (code(name), cell(_CONSTANTS.get(name) or _first_sentence(getattr(module, name)))) for name in module.__all__
    ]
    return page(f"### {module.__name__}", table(("name", ""), rows))


def _function(name: str) -> str:
    function = getattr(medforge, name)
    return page(f"### {name}", f"```python\n{name}{_signature(function)}\n```", _prose(function))


def _class(name: str) -> str:
    kind = getattr(medforge, name)
    rows = [_member(kind, member, about) for member, about in _PROMISED[name].items()]
    return page(f"### {name}", _prose(kind), table(("member", ""), rows) if rows else "")


def _member(kind: type, name: str, about: str) -> tuple[str, str]:
    found = inspect.getattr_static(kind, name, None)
    if inspect.isfunction(found):
        return code(f"{name}{_signature(found)}"), cell(_first_sentence(found))
    if isinstance(found, property | cached_property):
        return code(name), cell(_first_sentence(found))
    assert about, f"{kind.__name__}.{name} is neither a method nor a property; say what it is"
    return code(name), cell(about)


def _signature(function: Callable[..., object]) -> str:
    signature = inspect.signature(function, eval_str=True)
    kept = [one for one in signature.parameters.values() if one.name not in ("self", "cls")]
    text = str(signature.replace(parameters=kept))
    text = re.sub(r"\b(?:[A-Za-z_]+\.)+(?=[A-Za-z_])", "", text)
    return re.sub(r"\bListing\b", "MergeListing", text.replace("str | PathLike[str]", "str | Path"))


def _first_sentence(documented: object) -> str:
    return (inspect.getdoc(documented) or "").split("\n\n")[0].replace("``", "`")


def _prose(documented: object) -> str:
    text = re.sub(r"``([^`]+)``", r"`\1`", inspect.getdoc(documented) or "")
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))
