"""What a forge is for good, kept in its directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from medforge.aggregator.forge.formats import unreadable
from medforge.aggregator.merge import MethodSettings
from medforge.aggregator.merge.choosing import completed
from medforge.base_facts import BaseFacts
from medforge.base_mismatch import facts_difference
from medforge.errors import InvalidInput
from medforge.files import canonical_json, read_file, write_atomically
from medforge.manifest import public_spec

if TYPE_CHECKING:
    from medforge.base_module import BaseModule

SETTINGS_FILE = "forge.json"
_PLAN_FILE = "forge.json.new"


class ForgeSettings(BaseModel):
    """Say what a forge is for good: its id, its base module (spec and fingerprint) and how it merges.

    ``base_facts`` are what else the base module says of itself; a forge of an earlier version learns them when it is
    served again. ``blobs`` is where it keeps its finished blobs (`s3://BUCKET/PREFIX`), None for its own directory.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    forge: str
    base_spec: str
    base: str
    method: MethodSettings
    ledger: Literal["internal", "external"] = "internal"
    base_facts: BaseFacts | None = None
    blobs: str | None = None

    @property
    def facts(self) -> BaseFacts:
        """What is known of the base module, without a path of this machine."""
        return self.base_facts or BaseFacts(spec=public_spec(self.base_spec), fingerprint=self.base)


def existing_settings(directory: Path) -> ForgeSettings | None:
    """Read a forge directory's settings, None where no forge is; raise CorruptFile if they are damaged."""
    return read_settings(directory) if (directory / SETTINGS_FILE).exists() else None


def planned_settings(directory: Path) -> ForgeSettings | None:
    """Read the settings of a forge that was being made when its process ended, None where none was."""
    path = directory / _PLAN_FILE
    return _parse(path) if path.exists() else None


def read_settings(directory: Path) -> ForgeSettings:
    """Read a forge directory's settings; raise InvalidInput where there are none, CorruptFile if they are damaged.

    Raises OtherVersion where another version wrote them. The method's package may be missing: such a forge is read and
    decided about, and not folded.
    """
    return _parse(directory / SETTINGS_FILE)


def _parse(path: Path) -> ForgeSettings:
    try:
        return ForgeSettings.model_validate_json(read_file(path, "the forge settings"))
    except ValidationError as error:
        raise unreadable(path, "a forge's settings", error, "restore it from a backup") from error


def write_settings(directory: Path, settings: ForgeSettings, planned: bool = False) -> None:
    """Keep a forge's settings in its directory; `planned` are those of a forge that is just being made."""
    content = canonical_json(settings.model_dump(mode="json", exclude_none=True))
    write_atomically(directory / (_PLAN_FILE if planned else SETTINGS_FILE), content)
    if not planned:
        (directory / _PLAN_FILE).unlink(missing_ok=True)


def check_same(directory: Path, settings: ForgeSettings, base: BaseModule, method: MethodSettings) -> None:
    """Raise InvalidInput unless a forge that is opened again is opened for what it was made for."""
    if settings.base != base.fingerprint:
        raise InvalidInput(
            f"the forge {directory} stands on base module {settings.base[:12]} ({settings.base_spec}), not on "
            f"{base.fingerprint[:12]} ({base.spec}){facts_difference(settings.facts, base.facts)}; serve it with "
            f"--base {settings.base_spec} or elsewhere"
        )
    kept = completed(settings.method)
    if kept != method:
        wanted, given = dict(kept), dict(method)
        different = ", ".join(
            f"{name}={wanted[name]!r} (not {given[name]!r})" for name in wanted if wanted[name] != given[name]
        )
        raise InvalidInput(
            f"the forge {directory} was made with {different}; serve it with these settings or choose another directory"
        )
