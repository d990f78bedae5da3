"""What every forge item is: what the main branch adds to the base module, as files and as a model."""

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from medforge.base_module import BaseModule
from medforge.errors import BaseMismatch, CorruptFile, InvalidInput
from medforge.files import AnyPath, digest_of_files, parse_json, read_file, write_files
from medforge.peft_format import CONFIG_FILE, WEIGHTS_FILE
from medforge.plugin import Plugin, check_plugin

ITEM_FILE = "forge_item.json"
ITEM_DIRECTORY = "item"
"""Where a merged model's directory has the item's files, beside what says for people what it is."""
_KINDS: dict[str, type["ForgeItem"]] = {}


class ForgeItem(ABC):
    """Hold a merged model, given the base module; ``kind`` is how its card names it."""

    kind: ClassVar[str]
    base_fingerprint: str

    def __init_subclass__(cls) -> None:
        _KINDS[cls.kind] = cls

    @classmethod
    @abstractmethod
    def read(cls, files: Mapping[str, bytes], card: Mapping[str, Any]) -> "ForgeItem":
        """Make the item of a card and its files; raises KeyError, ValueError, TypeError or OverflowError for none."""

    @abstractmethod
    def logits(self, base: BaseModule, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """Return class logits [n, C], float32, of normalised images; their softmax is the class probability."""

    @abstractmethod
    def weight_change(self, base: BaseModule) -> dict[str, Tensor]:
        """Return the item as one weight change [out, in] a site, float32; raise InvalidInput for several networks."""

    @abstractmethod
    def _build_files(self) -> dict[str, bytes]: ...

    @cached_property
    def _files(self) -> dict[str, bytes]:
        return self._build_files()

    def files(self) -> dict[str, bytes]:
        """Return the item as named files, the same bytes for the same item."""
        return dict(self._files)

    @cached_property
    def digest(self) -> str:
        """The sha256 of the item's files."""
        return digest_of_files(self._files)

    def save(self, directory: AnyPath) -> None:
        """Write the item's files."""
        write_files(directory, self._files)

    @property
    def shares(self) -> Mapping[str, float]:
        """The share of each branch (by digest) in its task, where the item's cards say so; else none."""
        return {}

    @abstractmethod
    def plugins(self) -> tuple[Plugin, ...]:
        """Return the plugins that the item is made of."""

    def check(self, base: BaseModule) -> None:
        """Raise BaseMismatch where the item was merged on another base module, InvalidBranch where it does not fit."""
        if self.base_fingerprint != base.fingerprint:
            raise BaseMismatch(
                f"the forge item belongs to base module {self.base_fingerprint[:12]}, not to {base.fingerprint[:12]}; "
                "give the forge's base with --base"
            )
        for plugin in self.plugins():
            check_plugin(plugin, base)

    @staticmethod
    def load(directory: Path) -> "ForgeItem":
        """Read the item of a merged model's directory, or one that lies there alone, as 0.1.0 wrote it.

        Raises InvalidInput or CorruptFile with the reason.
        """
        if (directory / ITEM_DIRECTORY / ITEM_FILE).is_file():
            directory = directory / ITEM_DIRECTORY
        paths = [p for p in sorted(directory.rglob("*")) if p.is_file() and not p.name.startswith(".")]
        if directory / ITEM_FILE not in paths:
            raise InvalidInput(f"{directory} holds no {ITEM_FILE}; make it with `medforge checkout`")
        return ForgeItem.parse({str(p.relative_to(directory)): read_file(p, "the forge item") for p in paths})

    @staticmethod
    def parse(files: Mapping[str, bytes], kinds: Collection[str] | None = None) -> "ForgeItem":
        """Read an item of these kinds (any) from its files; raises CorruptFile where they do not make one."""
        try:
            card = parse_json(files[ITEM_FILE])
            if kinds is not None and card["kind"] not in kinds:
                raise ValueError(f"it is of the kind {str(card['kind'])[:80]!r}")
            return _KINDS[card["kind"]].read(files, card)
        except (KeyError, ValueError, TypeError, OverflowError) as error:
            what = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
            raise CorruptFile(f"the forge item is not whole ({what}); check it out again") from error


def digest_in(name: object) -> str:
    """Return a digest that a card holds; raises ValueError for what is none."""
    # the name becomes a path when the item is saved, and a received item may come from anybody
    if not isinstance(name, str) or re.fullmatch(r"[0-9a-f]{64}", name) is None:
        raise ValueError(f"{str(name)[:80]!r} is no digest")
    return name


def under(directory: str, plugin: Plugin) -> dict[str, bytes]:
    """Return a plugin's files below a directory of the item."""
    return {f"{directory}/{name}": data for name, data in plugin.files().items()}


def plugin_in(files: Mapping[str, bytes], directory: str) -> Plugin:
    """Read the plugin that an item has below a directory; raises KeyError or InvalidBranch where there is none."""
    return Plugin.parse({name: files[f"{directory}/{name}"] for name in (CONFIG_FILE, WEIGHTS_FILE)}, directory)
