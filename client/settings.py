"""What a workspace works on, as it is kept, and whether that is what is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from medforge.base_check import resolve_base
from medforge.client.data.catalogue import same_source
from medforge.client.privacy.spending import EarlierBranch
from medforge.contributor_name import IDENTIFIER, check_name
from medforge.declared_task import DeclaredTask
from medforge.errors import InvalidInput


class Settings(BaseModel):
    """Say what a workspace works on. Every field shapes the branch; device and threads do not, and are not kept.

    `source` and `base` hold absolute paths. `contributor` is who was named for it so far; the name that counts is that
    of the commit. `start` is the digest of the forge item that training began from, None where it began on the bare
    base module; of a routed one `start_task` is the task whose expert it was. `declared` is the forge's declaration of
    the task, where one was given, and `class_map` the key of its class for each of the site's own folders. `statistics`
    says whether class statistics may be sent; it can be changed until the push. `inspected` says that every image is
    looked at before work, and look-alikes stay on one side of a split; workspaces of 0.1.0 know no such thing.
    `earlier` are branches of the same images, with which this one may spend `epsilon_total`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    contributor: Annotated[str, AfterValidator(check_name)] | None = None
    task: str | None = Field(None, pattern=IDENTIFIER)
    base: str = "medforge-tiny"
    recipe: dict[str, Any]
    seed: int = Field(0, ge=0)
    dtype: str = "fp32"
    start: str | None = None
    start_task: str | None = None
    declared: DeclaredTask | None = None
    class_map: dict[str, str] | None = None
    statistics: bool = True
    inspected: bool = False
    epsilon_total: float | None = Field(None, gt=0)
    earlier: tuple[EarlierBranch, ...] = ()

    @property
    def method(self) -> str:
        """The recipe's distillation method."""
        return str(self.recipe["distill"]["method"])

    @property
    def distillation_steps(self) -> int:
        """How many steps the recipe distils."""
        return int(self.recipe["distill"]["steps"])

    @property
    def plugin(self) -> str:
        """The kind of plugin that the recipe trains."""
        return str(self.recipe["train"]["plugin"]["kind"])

    @property
    def epsilon(self) -> float | None:
        """The ε that is asked for, None without differential privacy."""
        return self._asked("epsilon")

    @property
    def delta(self) -> float | None:
        """The δ that is asked for, None without differential privacy."""
        return self._asked("delta")

    def _asked(self, name: str) -> float | None:
        asked = self.recipe.get("privacy")
        return None if asked is None else float(asked[name])


def make_settings(values: Mapping[str, object]) -> Settings:
    """Build settings. Raises InvalidInput naming the option that cannot be used."""
    try:
        return Settings.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        raise InvalidInput(
            f"option --{name} cannot be {first['input']!r}; names are ASCII letters, digits, spaces, '.', '_' and '-'"
            if first["type"] == "string_pattern_mismatch"
            else f"option --{name} cannot be {first['input']!r}; {_said(first['msg'])}"
        ) from error


def _said(message: str) -> str:
    """Write pydantic's words as ours begin."""
    return message[:1].lower() + message[1:]


def difference(name: str, kept: object, wanted: object) -> tuple[str, str]:
    """Say with what a workspace was begun instead, and what to do about it."""
    if name == "recipe":
        what = "with another recipe or other --recipe-set or --epochs options"
        return what, "leave them out to go on with its own"
    if name == "start":
        return "from another merged model, or from none", "leave --from out to go on with its own"
    if name == "start_task":
        return "from another task's expert", "leave --from-task out to go on with its own"
    if name == "declared":
        return "with another declaration of its task, or with none", "leave --task-file out to go on with its own"
    if name == "class_map":
        return "with another map of its folders, or with none", "leave --map out to go on with its own"
    if name == "earlier":
        return "after other branches of its images, or after none", "leave --earlier out to go on with its own"
    if name in ("epsilon", "delta") and kept is None:
        return "without differential privacy", "leave --epsilon out to go on without"
    return f"with {name} {kept!r}, not {wanted!r}", f"give {kept!r} again"


def agree(name: str, kept: object, wanted: object) -> bool:
    """Say whether a setting is what is wanted, however that is spelt."""
    if name == "source":
        return same_source(str(kept), str(wanted))
    if name == "base":
        return resolve_base(str(kept)) == resolve_base(str(wanted))
    if isinstance(kept, DeclaredTask):
        return kept == (DeclaredTask.model_validate(wanted) if isinstance(wanted, dict) else wanted)
    return kept == wanted
