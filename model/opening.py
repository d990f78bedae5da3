"""Where a merged model is: a checkout, a forge's directory, or a forge that is served somewhere."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from shutil import rmtree

from medforge.aggregator.forge.model_card import card_of
from medforge.aggregator.forge.names import stable_or_named
from medforge.aggregator.forge.reader import ForgeReader, open_reader
from medforge.aggregator.forge.settings import SETTINGS_FILE, read_settings
from medforge.base import load_base
from medforge.base_module import BaseModule
from medforge.errors import BaseMismatch, CorruptFile, InvalidInput
from medforge.item import ForgeItem
from medforge.model.engines.choice import check_engine, open_tower
from medforge.model.merged_model import MergedModel
from medforge.model_card import ModelCard
from medforge.model_directory import CARD_FILE, load_model, save_model
from medforge.progress import remark
from medforge.proto.connection import Connection
from medforge.user_cache import cache_folder


def open_model(
    where: Path | None,
    connection: Connection | None = None,
    *,
    commit: str | None = None,
    base: str | BaseModule | None = None,
    device: str = "auto",
    dtype: str = "fp32",
    memory: int | None = None,
    engine: str = "torch",
) -> MergedModel:
    """Open a merged model: a directory that `medforge checkout` wrote, a forge's directory, or over a connection.

    Of a forge it is the stable commit (the newest that sites have reviewed), or the one of that name. ``base`` is
    a base module, or the spec of one, where the model's own does not load as it is named; ``memory`` as `MergedModel`
    has it. ``engine`` (torch, onnx, openvino) runs the image tower.

    Raises InvalidInput, BaseMismatch or CorruptFile with the reason.
    """
    card, item = _find(where, connection, commit)
    check_engine(engine, item, dtype)
    if isinstance(base, BaseModule):
        found = base
    else:
        of_base = (device, dtype) if engine == "torch" else ("cpu" if device == "auto" else device, "fp32")
        found = load_base(base or _spec(card, where), *of_base)
    if found.fingerprint != card.base.fingerprint:
        raise BaseMismatch(
            f"the model stands on base module {card.base.fingerprint[:12]} ({card.base.spec}), not on "
            f"{found.fingerprint[:12]} ({found.spec}); give its own with --base"
        )
    item.check(found)
    return MergedModel(card, item, found, memory, open_tower(engine, found, dtype))


def _find(where: Path | None, connection: Connection | None, commit: str | None) -> tuple[ModelCard, ForgeItem]:
    if where is not None and connection is None and not (where / SETTINGS_FILE).exists():
        if commit is not None:
            raise InvalidInput(f"{where} is no forge, and holds one commit; leave --commit out")
        return load_model(where)
    with open_reader(where, connection) as view:
        for line in view.said():
            remark(line)
        return _read(view, commit, cached=connection is not None)


def _read(view: ForgeReader, name: str | None, cached: bool) -> tuple[ModelCard, ForgeItem]:
    chosen = stable_or_named(view, name, view.tags(), view.reviews().stable)
    kept = cache_folder() / "models" / chosen.digest
    if cached and (kept / CARD_FILE).is_file():
        try:
            return load_model(kept)
        except CorruptFile:
            # what is in the cache is only a copy
            rmtree(kept, ignore_errors=True)
    item, members = view.item(chosen), view.arrivals_by_number(chosen.members)
    card = card_of(chosen, item, view.identity(), members, view.display_names(), view.privacy_claims())
    if cached:
        # where nothing can be kept, or another process has kept it meanwhile, this one has it in memory
        with suppress(InvalidInput, OSError):
            save_model(kept, card, item)
    return card, item


def _spec(card: ModelCard, where: Path | None) -> str:
    """Return the spec to load; a forge's own directory knows where its checkpoint lies."""
    if where is not None and (where / SETTINGS_FILE).exists():
        return read_settings(where).base_spec
    return card.base.loadable_spec()
