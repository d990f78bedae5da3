"""Read a page as steps: what is typed where, what is left out, and what is brought from one place to another."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

_PART = re.compile(
    r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```[ \t]*$|^<!-- follow: (?P<order>[^\n]*?) -->[ \t]*$",
    re.MULTILINE | re.DOTALL,
)
_SHELL = ("sh", "bash")
MAIN = "main"


@dataclass(frozen=True)
class Step:
    """Say where a step stands (``page.md:LINE``) and at which place it is done."""

    where: str
    place: str


@dataclass(frozen=True)
class Typed(Step):
    """Hold what is typed into a terminal, and what should be seen then (None: whatever is seen)."""

    text: str
    terminal: str
    seen: str | None = None


@dataclass(frozen=True)
class LeftOut(Step):
    """Hold what is not typed, and why."""

    text: str
    reason: str


@dataclass(frozen=True)
class HandOver(Step):
    """Say that a file is given away under a name, or that something is done."""

    name: str
    path: str | None


@dataclass(frozen=True)
class WaitFor(Step):
    """Say that a file is waited for, and where it is put."""

    name: str
    path: str | None


@dataclass(frozen=True)
class Interrupt(Step):
    """Say that Ctrl-C is pressed in a terminal."""

    terminal: str


def steps_of(page: Path) -> list[Step]:
    """Return the steps of a page, in order. Raises ValueError where one cannot be understood."""
    text = page.read_text(encoding="utf-8")
    steps: list[Step] = []
    place = ""
    for part in _PART.finditer(text):
        where = f"{page.name}:{text.count(chr(10), 0, part.start()) + 1}"
        words, given = _words(part["order"] or part["info"] or "", where)
        at = given.pop("at", place)
        if part["order"] is not None:
            if not words:
                place = at
            else:
                steps.append(_order(where, at, words, given))
        elif words[:1] == ["text"] and steps and isinstance(last := steps[-1], Typed):
            steps[-1] = Typed(last.where, last.place, last.text, last.terminal, part["text"])
        elif words and words[0] in _SHELL:
            steps.append(_block(where, at, part["text"], given))
        if not at and (words[:1] in (["sh"], ["bash"]) or part["order"]):
            raise ValueError(f"{where} says nowhere at which place it is done")
    return steps


def _words(line: str, where: str) -> tuple[list[str], dict[str, str]]:
    words = shlex.split(line)
    given = dict(word.split("=", 1) for word in words if "=" in word)
    strange = given.keys() - {"at", "terminal", "not-followed", "from", "to"}
    if strange:
        raise ValueError(f"{where} says {sorted(strange)[0]}=, which nobody understands")
    return [word for word in words if "=" not in word], given


def _block(where: str, place: str, text: str, given: dict[str, str]) -> Step:
    if "not-followed" in given:
        return LeftOut(where, place, text, given["not-followed"])
    return Typed(where, place, text, given.get("terminal", MAIN))


def _order(where: str, place: str, words: list[str], given: dict[str, str]) -> Step:
    verb, *names = words
    if len(names) == 1:
        if verb == "hand-over":
            return HandOver(where, place, names[0], given.get("from"))
        if verb == "wait-for":
            return WaitFor(where, place, names[0], given.get("to"))
        if verb == "ctrl-c":
            return Interrupt(where, place, names[0])
    raise ValueError(f"{where} orders {' '.join(words)!r}, which nobody understands")
