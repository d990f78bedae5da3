"""What a model is asked for each class: read from a file, or the class's own name, and never what tells it nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from medforge.client.data.tables.text import read_text
from medforge.declared_task import SAME_FEATURES
from medforge.errors import InvalidInput
from medforge.prompt_form import alike_fault, hidden_fault, normal_form

if TYPE_CHECKING:
    from medforge.base_module import BaseModule
    from medforge.client.data.task import Task

PROMPTS_FILE = "prompts.txt"
REMEDY = f"write a line 'CLASS: what it shows' for each class into {PROMPTS_FILE}, or into a file named by prompts=FILE"
_ANSWERS = frozenset({"yes", "no", "true", "false", "positive", "negative", "pos", "neg"})
# control characters, halves of surrogate pairs, ends of lines, and what turns the direction of the text around it
_UNSHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_NUMBERED = re.compile(
    r"(a |an |the |image of |photo of |with |without |positive |negative )*"
    r"(class|label|category|cat|cls|type|target|id|folder|group|finding|output|value|number|no|nr)?[ .]*"
    r"[-+]?\d+([.,]\d+)?"
)


def read_prompts(file: Path, classes: tuple[str, ...]) -> tuple[str, ...]:
    """Return one prompt per class.

    Without the file: the class names with underscores as spaces. With it: `CLASS: prompt` on each line, or one prompt
    on each line in the order of the classes. Raises InvalidInput when they do not match the classes.
    """
    if not file.exists():
        return tuple(map(spoken, classes))
    lines = [line.strip() for line in read_text(file, "the prompts").splitlines() if line.strip()]
    named = {key.strip(): prompt.strip() for key, colon, prompt in (line.partition(":") for line in lines) if colon}
    if len(lines) == len(classes) == len(named) and set(named) == set(classes) and all(named.values()):
        return tuple(named[name] for name in classes)
    if len(lines) == len(classes) and not set(named) & set(classes):
        return tuple(lines)
    raise InvalidInput(
        f"{file} must give one prompt for each of {', '.join(classes)}; write 'CLASS: prompt' on one line per class"
    )


def read_pairs(file: Path, findings: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return, for each finding, what is said of an image with it and of one without it.

    Without the file: "positive FINDING" and "negative FINDING", as the papers have it. With it: `FINDING: WITH |
    WITHOUT` on each line, or `WITH | WITHOUT` in the order of the findings.
    """
    if not file.exists():
        return tuple(f"positive {spoken(name)}" for name in findings), tuple(
            f"negative {spoken(name)}" for name in findings
        )
    halves = [tuple(half.strip() for half in line.split("|")) for line in read_prompts(file, findings)]
    if any(len(pair) != 2 or not all(pair) for pair in halves):
        raise InvalidInput(
            f"{file} must say 'FINDING: WITH | WITHOUT' on each line, because an image may have several findings; for "
            "example 'edema: lung edema | no lung edema'"
        )
    return tuple(pair[0] for pair in halves), tuple(pair[1] for pair in halves)


def spoken(name: str) -> str:
    """Return a class's name as people say it."""
    return name.replace("_", " ").strip()


def check_names(task: Task) -> None:
    """Refuse names of classes, and prompts, that a terminal or a page would obey or that UTF-8 cannot hold."""
    for name in (*task.own_names, *task.texts):
        odd = _UNSHOWN.search(name)
        if odd:
            raise InvalidInput(
                f"{task.name}: the class or prompt '{name}' holds {_spelt(odd[0])}, which cannot be shown; rename its "
                f"folder, or mend the file that names it"
            )


def check_prompts(task: Task) -> None:
    """Refuse prompts that a model or a reader cannot tell apart, and those that number the classes.

    What is refused of a branch is refused here already, before anything is computed. A source can be opened without
    this check where a declaration gives the classes other prompts. Raises InvalidInput.
    """
    if fault := hidden_fault("class prompt", task.texts):
        raise InvalidInput(f"{task.name}: {fault}; {REMEDY}")
    seen: dict[str, int] = {}
    for place, prompt in enumerate(task.texts):
        twin = seen.setdefault(_alike(prompt), place)
        if twin != place:
            raise InvalidInput(
                f"{task.name}: the classes '{_name(task, twin)}' and '{_name(task, place)}' would get one prompt, "
                f"'{prompt}'; {REMEDY}, or put their images into one class"
            )
    numbered = [prompt for prompt in task.texts if says_nothing(prompt)]
    if numbered:
        raise InvalidInput(f"{task.name}: the prompt '{numbered[0]}' does not say what the images show; {REMEDY}")
    if fault := alike_fault("class prompts", task.texts):
        raise InvalidInput(f"{task.name}: {fault}; {REMEDY}")


def check_told_apart(task: Task, base: BaseModule) -> None:
    """Refuse prompts that are one text to the base module, which reads as much of it as its tokenizer takes."""
    features = base.prompt_features(task.texts).double().cpu()
    likeness = (features @ features.T).triu(diagonal=1)
    one, other = divmod(int(likeness.argmax()), len(features))
    if float(likeness[one, other]) > 1 - SAME_FEATURES:
        raise InvalidInput(
            f"{task.name}: the prompts '{task.texts[one][:200]}' and '{task.texts[other][:200]}' are one to the base "
            "module, which reads the beginning of a text alone; let them differ from the beginning"
        )


def vague(task: Task) -> tuple[str, ...]:
    """Return a sentence where a prompt is an answer or a letter, for a person to hear; nothing where none is."""
    found = [text for text in task.texts if _alike(text) in _ANSWERS or len(re.findall(r"[^\W\d_]", text)) == 1]
    if not found:
        return ()
    quoted = ", ".join(f"'{text}'" for text in found[:4])
    return (f"the prompts {quoted} say little of what the images show: {REMEDY}",)


def says_nothing(prompt: str) -> bool:
    """Say whether a prompt only numbers its class, as `0` and `class 1` do."""
    return re.search(r"[^\W\d_]", prompt) is None or _NUMBERED.fullmatch(_alike(prompt)) is not None


def _alike(prompt: str) -> str:
    """Return the form in which two prompts are one: hyphens and underscores between words are spaces."""
    return " ".join(re.sub(r"_|(?<=\w)-(?=\w)", " ", normal_form(prompt)).split())


def _spelt(character: str) -> str:
    point = ord(character)
    if 0xDC80 <= point <= 0xDCFF:  # how Python keeps a byte of a name that is not UTF-8
        return f"the byte {point - 0xDC00:02X} of another encoding than UTF-8"
    return f"the character U+{point:04X}"


def _name(task: Task, place: int) -> str:
    return task.own_names[place % len(task.own_names)]
