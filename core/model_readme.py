"""The README of a merged model: a model card in words, with Hugging Face's block of metadata at its head."""

from __future__ import annotations

import json
import re

from medforge.base_check import EMBEDDED
from medforge.manifest import LEVELS
from medforge.model_card import CardTask, ModelCard

_SHOWN = 50


def write_readme(card: ModelCard, has_figure: bool) -> str:
    """Return the README, Markdown; what contributors wrote is escaped."""
    parts = [_metadata(card), _head(card), _intended(card), _tasks(card)]
    if has_figure:
        parts.append("![Accuracy on every task's distilled images, beside guessing](scores.svg)")
    parts += [_use(card), _members(card), _made(card)]
    return "\n\n".join(parts) + "\n"


def _metadata(card: ModelCard) -> str:
    tags = ["medforge", "model-merging", "medical-imaging", card.kind]
    lines = ["---", "library_name: medforge", "pipeline_tag: zero-shot-image-classification"]
    # JSON strings are YAML strings, whatever is in them
    lines += [f"base_model: {json.dumps(card.base.spec)}", "tags:", *(f"- {json.dumps(tag)}" for tag in tags), "---"]
    return "\n".join(lines)


def _head(card: ModelCard) -> str:
    tasks = f"{len(card.tasks)} task{'s' * (len(card.tasks) != 1)}"
    senders = len({one.who for one in card.members})
    branches = f"{len(card.members)} branch{'es' * (len(card.members) != 1)}"
    return (
        f"# A medical image model of {tasks}\n\n"
        f"MedForge merged it from {branches} of {senders} contributor{'s' * (senders != 1)}, who kept their images. "
        f"It stands on the frozen base module {_code(card.base.spec)}, of which you need a copy."
    )


def _intended(card: ModelCard) -> str:
    text = (
        "## Intended use\n\n"
        "For research: to sort images of the tasks below into their classes, or say that an image is none of these. "
        "It is no medical device, and nobody has tested it on your patients: measure it on your own images first "
        "(`medforge evaluate`)."
    )
    if card.base.spec in EMBEDDED:
        text += (
            f"\n\n**Not for patients.** The base module {_code(card.base.spec)} is small, and was trained on drawn "
            "images to try MedForge out."
        )
    return text


def _tasks(card: ModelCard) -> str:
    lines = ["## Tasks", ""]
    lines += ["| task | modality | classes | accuracy | none of these |", "|---|---|---|---|---|"]
    lines += [_task_row(task) for task in card.tasks]
    lines += [
        "",
        "Accuracy is measured on distilled images, not on real ones. *None of these* is said of an image that lies "
        f"further off than {LEVELS[-2]:.0%} of the sites' own validation images; a task whose sites sent no such "
        "distances is uncalibrated: of its images it is never said.",
        "",
        "### Classes and prompts",
        "",
    ]
    for task in card.tasks:
        lines.append(f"- **{_text(task.name)}**: {'; '.join(_class(*pair) for pair in _pairs(task))}")
    return "\n".join(lines)


def _task_row(task: CardTask) -> str:
    acc = "unknown" if task.acc is None else f"{task.acc:.2f}"
    none = "uncalibrated" if task.furthest is None else f"beyond {task.furthest:.1f}"
    return f"| {_text(task.name)} | {_text(task.modality)} | {len(task.classes)} | {acc} | {none} |"


def _pairs(task: CardTask) -> list[tuple[str, str]]:
    return [(one.key, one.prompt) for one in task.classes]


def _class(key: str, prompt: str) -> str:
    return f"{_text(key)} ({_code(prompt)})"


def _use(card: ModelCard) -> str:
    return (
        "## How to use it\n\n"
        "```sh\nmedforge predict THIS_DIRECTORY images/ --csv answers.csv\n```\n\n"
        '```python\nimport medforge\n\nmodel = medforge.load("THIS_DIRECTORY")\n'
        'for prediction in model.predict(["image.png"]):\n    print(prediction.task, prediction.key, '
        "prediction.probability, prediction.none_of_these)\n```"
    )


def _members(card: ModelCard) -> str:
    head = "| arrival | contributor | task | share | branch | differential privacy (claimed) |"
    lines = ["## Who contributed", "", head, "|---|---|---|---|---|---|"]
    for one in card.members[:_SHOWN]:
        share = "" if one.share is None else f"{one.share:.3f}"
        arrival = "" if one.arrival is None else str(one.arrival)
        claim = "none" if one.privacy is None else str(one.privacy)
        lines.append(f"| {arrival} | {_text(one.who)} | {_text(one.task)} | {share} | `{one.branch[:12]}` | {claim} |")
    if len(card.members) > _SHOWN:
        lines += ["", f"And {len(card.members) - _SHOWN} more; model.json names them all."]
    return "\n".join(lines)


def _made(card: ModelCard) -> str:
    lines = ["## How it was made", ""]
    if card.commit is not None:
        lines.append(
            f"- commit `{card.commit.digest}` of forge `{_plain(card.commit.forge)}`, at arrival {card.commit.arrival}"
        )
    lines += [
        f"- method {_code(str(card.recipe.method.get('method', 'unknown')))}, seed {card.recipe.seed}; every setting "
        "is in model.json, and the same branches in the same order under the same settings give the same bytes",
        f"- forge item `{card.item}`",
        f"- base module {_code(card.base.spec)}, fingerprint `{card.base.fingerprint}`",
    ]
    if (seen := card.base.preprocessing) is not None:
        mean, std = (" ".join(f"{value:g}" for value in values) for values in (seen.mean, seen.std))
        way = {
            "shortest": f"shortest side {seen.size} pixels ({seen.interpolation}), centre square",
            "longest": f"longest side {seen.size} pixels ({seen.interpolation}), filled with grey {seen.fill}",
            "squash": f"{seen.size} by {seen.size} pixels ({seen.interpolation}), whatever they were",
        }[seen.resize_mode]
        lines.append(f"- images: RGB, {way}, mean {mean}, deviation {std}")
    lines.append(f"- MedForge {_plain(card.medforge)}")
    return "\n".join(lines)


def _text(text: str) -> str:
    """Escape what Markdown or HTML would obey."""
    escaped = re.sub(r"([\\`*_\[\]|~])", r"\\\1", text)
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _code(text: str) -> str:
    """Write a text as code, in a table too."""
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    padded = f" {text} " if text.startswith("`") or text.endswith("`") else text
    return f"{ticks}{padded}{ticks}".replace("|", r"\|")


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._+-]", "", text)
