"""A declared task: a question with a fixed list of classes, which many hospitals may answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from medforge.digested import DigestedModel
from medforge.errors import CorruptFile, InvalidBranch, InvalidInput
from medforge.files import canonical_json, sha256_bytes
from medforge.manifest import NAME, Line, Manifest
from medforge.overrides import first_fault
from medforge.prompt_form import class_key, looks, normal_form, prompt_fault, texts_fault

# prompts need no torch to be declared, listed and compared by their spelling
if TYPE_CHECKING:
    from medforge.base_module import BaseModule

# features of one text agree to 1e-6 in every batch; those of two texts that a tokenizer tells apart do not
SAME_FEATURES = 1e-5


class TaskClass(BaseModel):
    """Name one class: a key, and the prompt that a model is asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: Annotated[Line, Field(min_length=1, max_length=100)]
    prompt: Annotated[Line, Field(min_length=1, max_length=1000)]


class DeclaredTask(DigestedModel):
    """Hold a task's name, modality (empty where nobody said) and classes. Keys and prompts differ in normal form."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    name: str = Field(pattern=NAME)
    modality: Annotated[Line, Field(max_length=100)] = ""
    classes: tuple[TaskClass, ...] = Field(min_length=2, max_length=1000)

    @model_validator(mode="after")
    def _classes_that_differ(self) -> Self:
        for what, texts in (("key", self.keys), ("prompt", self.prompts)):
            forms = Counter(map(normal_form, texts))
            if "" in forms:
                raise ValueError(f"a class has a {what} in which nothing can be read")
            twice = next((text for text in texts if forms[normal_form(text)] > 1), None)
            if twice is not None:
                raise ValueError(f"two of its classes have the {what} {twice!r}")
        return self

    @property
    def keys(self) -> tuple[str, ...]:
        """The classes' keys, in their order."""
        return tuple(one.key for one in self.classes)

    @property
    def prompts(self) -> tuple[str, ...]:
        """The classes' prompts, in their order."""
        return tuple(one.prompt for one in self.classes)

    def to_bytes(self) -> bytes:
        """Serialise canonically."""
        return canonical_json(self.model_dump(mode="json"))

    @property
    def digest(self) -> str:
        """The sha256 of the canonical bytes."""
        return sha256_bytes(self.to_bytes())

    @classmethod
    def parse(cls, content: bytes, digest: str) -> DeclaredTask:
        """Read a declaration back from its bytes; raises CorruptFile unless they are one with this digest."""
        if sha256_bytes(content) != digest:
            raise CorruptFile(f"task declaration {digest[:12]} has another digest; restore it from a backup")
        try:
            task = cls.model_validate_json(content)
        except ValidationError as error:
            raise CorruptFile(
                f"task declaration {digest[:12]} cannot be read ({first_fault(error)}); use the version that wrote it"
            ) from error
        if task.to_bytes() != content:
            raise CorruptFile(
                f"task declaration {digest[:12]} is not in its canonical spelling; restore it from a backup"
            )
        return task

    @classmethod
    def make(cls, name: str, classes: Sequence[tuple[str, str]], modality: str = "") -> DeclaredTask:
        """Declare a task of classes (key, prompt); raises InvalidInput with what is wrong."""
        if len(classes) < 2:
            raise InvalidInput(f"task {name[:100]!r} would have {len(classes)} classes; give it at least 2")
        try:
            task = cls(
                name=name,
                modality=modality,
                classes=tuple(TaskClass(key=key, prompt=prompt) for key, prompt in classes),
            )
        except ValidationError as error:
            raise InvalidInput(
                f"task {name[:100]!r} cannot be declared: {_fault(error)}; change its name or its classes"
            ) from error
        # not with the fields: what an earlier version declared can still be read
        if fault := prompt_fault(task.prompts) or texts_fault(task.keys, task.modality):
            raise InvalidInput(f"task {name[:100]!r} cannot be declared: {fault}; change its classes")
        return task

    @classmethod
    def of(cls, manifest: Manifest) -> DeclaredTask:
        """Declare the task that a branch answers, with its classes; raises InvalidInput where they are alike."""
        return cls.make(manifest.task, _classes(manifest), manifest.modality or "")

    def places(self, manifest: Manifest) -> tuple[int, ...]:
        """Return, in the order of a branch's prompts, which of the task's classes they are.

        Prompts are compared in normal form, and so are keys where the branch gives them. Raises InvalidBranch for a
        class that the task does not have, one that comes twice, or a key with another class's prompt.
        """
        by_prompt = {normal_form(prompt): place for place, prompt in enumerate(self.prompts)}
        places = [self._place(by_prompt, *pair) for pair in zip(manifest.prompts, _keys(manifest), strict=True)]
        twice = next((place for place, count in Counter(places).items() if count > 1), None)
        if twice is not None:
            raise InvalidBranch(
                f"the branch names class {self.keys[twice]!r} of task {self.name!r} twice; give every class once"
            )
        return tuple(places)

    def extended(self, manifest: Manifest) -> DeclaredTask:
        """Return the task with the classes that a branch brings and it does not have yet, at the end.

        Raises InvalidInput where a new class is too much like another.
        """
        known = set(map(normal_form, self.prompts))
        new = [pair for pair in _classes(manifest) if normal_form(pair[1]) not in known]
        pairs = [(one.key, one.prompt) for one in self.classes]
        return self.make(self.name, [*pairs, *new], self.modality or manifest.modality or "") if new else self

    def _place(self, by_prompt: dict[str, int], prompt: str, key: str | None) -> int:
        place = by_prompt.get(normal_form(prompt))
        if place is None:
            known = ", ".join(map(repr, self.prompts))[:1000]
            raise InvalidBranch(
                f"task {self.name!r} has no class with the prompt {prompt[:200]!r}; its prompts are {known}"
            )
        if key is not None and normal_form(key) != normal_form(self.keys[place]):
            raise InvalidBranch(
                f"the branch calls the class with the prompt {prompt[:200]!r} {key[:100]!r}, which task {self.name!r} "
                f"calls {self.keys[place]!r}; use the task's keys"
            )
        return place


def check_joins(task: DeclaredTask, others: Sequence[DeclaredTask], base: BaseModule | None = None) -> None:
    """Raise InvalidInput where a task shares its name or a prompt with another, or two of its classes a prompt.

    Prompts are compared by how they look and, given a base module, by its text features: what its tokenizer does not
    tell apart, no model that stands on it can. The others are not compared with one another.
    """
    for other in others:
        if normal_form(other.name) == normal_form(task.name):
            raise InvalidInput(f"there is a task {other.name!r} already; choose another name")
    named = [(other.name, prompt) for other in others for prompt in other.prompts]
    owners = {look: (name, prompt) for name, prompt in named for look in looks(prompt)}
    for prompt in task.prompts:
        if (known := next((owners[look] for look in looks(prompt) if look in owners), None)) is not None:
            raise InvalidInput(_alike(known, (task.name, prompt), "read the same"))
    if base is None:
        return
    import torch

    named += [(task.name, prompt) for prompt in task.prompts]
    # by task, as the base keeps features by the tuple of prompts
    features = [base.prompt_features(one.prompts).double().cpu() for one in (*others, task)]
    likeness = torch.cat(features) @ features[-1].T
    for column, prompt in enumerate(task.prompts):
        # what comes after it is compared with it in its turn
        before = likeness[: len(named) - len(task.prompts) + column, column]
        if len(before) and float(before.max()) > 1 - SAME_FEATURES:
            raise InvalidInput(
                _alike(named[int(before.argmax())], (task.name, prompt), "are the same to the base module")
            )


def check_apart(tasks: Sequence[DeclaredTask], base: BaseModule | None = None) -> None:
    """Raise InvalidInput where two tasks share a name or a prompt, or two classes a prompt; see `check_joins`."""
    for place, task in enumerate(tasks):
        check_joins(task, tasks[:place], base)


def _alike(one: tuple[str, str], other: tuple[str, str], how: str) -> str:
    where = f"of task {one[0]!r}" if one[0] == other[0] else f"of tasks {one[0]!r} and {other[0]!r}"
    return f"the prompts {one[1][:200]!r} and {other[1][:200]!r} {where} {how}; word them differently"


def _fault(error: ValidationError) -> str:
    first = error.errors()[0]
    if first["type"] != "string_pattern_mismatch":
        return first_fault(error).removeprefix("content: Value error, ")
    if first["loc"] == ("name",):
        return "a name has 1 to 100 ASCII letters, digits, spaces, '.', '_' and '-', and begins with a letter or digit"
    return f"its {first['loc'][-1]} holds a character that cannot be seen"


def _keys(manifest: Manifest) -> tuple[str | None, ...]:
    return manifest.classes or (None,) * len(manifest.prompts)


def _classes(manifest: Manifest) -> list[tuple[str, str]]:
    pairs = zip(_keys(manifest), manifest.prompts, strict=True)
    return [(class_key(prompt) if key is None else key, prompt) for key, prompt in pairs]
