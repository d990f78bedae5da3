"""What a spec would run, and whether all of it is here: found out without torch and without a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from medforge.bases.activation import QUICK, activation_of, digest_in
from medforge.bases.configuration import Configuration, read_document
from medforge.bases.hub import HubFile, RemoteFile, TokenizerFiles, WebFile
from medforge.bases.spec import CONFIG_FILE, Checkpoint, Published, Repository, Snapshot
from medforge.bases.text_tower import CONFIG_FILE as TEXT_CONFIG
from medforge.bases.text_tower import VOCABULARIES, can_be_inferred, has_tokenizer, read_config
from medforge.errors import InvalidInput
from medforge.open_clip_tags import config_of, weights_of

_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
# open_clip's order of what a directory may hold (open_clip.factory)
_PREFERRED = (
    *("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin"),
    *("open_clip_pytorch_model.pth", "model.safetensors", "pytorch_model.bin", "pytorch_model.pth", "model.pth"),
)


@dataclass(frozen=True)
class BasePlan:
    """Say what would run: the configuration, and where weights, tokenizer and text tower's configuration lie.

    ``missing`` are the files that are not here; without ``configuration`` it is not even known what would run.
    ``activation`` says where the activation is known from, ``notes`` what cannot be known.
    """

    spec: str
    configuration: Configuration | None = None
    weights: Path | None = None
    tokenizer: Path | None = None
    text_config: Mapping[str, Any] | None = None
    missing: tuple[RemoteFile, ...] = ()
    activation: str = ""
    notes: tuple[str, ...] = field(default=())


def plan_base(spec: str, asked: Published | Checkpoint | Repository | Snapshot) -> BasePlan:
    """Find out what a spec would run, looking at the files of this machine alone.

    Raises InvalidInput or CorruptFile for what cannot run whatever is fetched.
    """
    plan = _planned(spec, asked)
    if plan.configuration is not None and (kind := plan.configuration.convolutional) is not None:
        # before anything is fetched; what the tower itself says of any other is `medforge.tower.split_tower`'s
        raise InvalidInput(
            f"base module {spec} cannot be used: its visual tower, {kind}, has no attention whose query and value "
            "could be adapted; choose a vision transformer as base module"
        )
    return plan


def _planned(spec: str, asked: Published | Checkpoint | Repository | Snapshot) -> BasePlan:
    match asked:
        case Published():
            return _published(spec, asked)
        case Checkpoint():
            return _checkpoint(spec, asked)
        case Repository():
            return _repository(spec, asked)
        case Snapshot():
            return _snapshot(spec, asked)


def _published(spec: str, asked: Published) -> BasePlan:
    own = _architecture(asked.architecture)
    known = weights_of(asked.architecture)
    if asked.tag not in known:
        raise InvalidInput(
            f"open_clip has no weights {asked.tag!r} for {asked.architecture}; it has {', '.join(known) or 'none'}"
        )
    facts = known[asked.tag]
    quick = bool(facts.get(QUICK)) or own.quick_gelu
    of_tag = own.with_activation(quick).preprocessed(facts, spec)
    said = f"as open_clip says of the tag {asked.tag}" if facts.get(QUICK) else f"that of {asked.architecture}"
    wanted = _files_of(facts)
    here = next((path for one in wanted if (path := one.here()) is not None), None)
    plan = BasePlan(spec, of_tag, here, activation=said, missing=() if here else wanted[:1])
    return _with_text(plan)


def _files_of(facts: Mapping[str, Any]) -> tuple[RemoteFile, ...]:
    """Return where a tag's weights are, the first choice first; open_clip's own is the hub."""
    found: list[RemoteFile] = []
    if facts["hf_hub"]:
        repository, _, name = facts["hf_hub"].rpartition("/")
        found.append(HubFile(repository, _safe(name) if name else _WEIGHTS))
    if facts["url"]:
        found.append(WebFile(facts["url"], digest_in(facts["url"])))
    return tuple(found)


def _safe(name: str) -> tuple[str, ...]:
    return (f"{Path(name).stem}.safetensors", name) if name.endswith((".bin", ".pth")) else (name,)


def _checkpoint(spec: str, asked: Checkpoint) -> BasePlan:
    if not asked.path.is_file():
        raise InvalidInput(
            f"base module checkpoint {asked.path} does not exist; check the path after '{asked.architecture}:'"
        )
    own = _architecture(asked.architecture)
    beside = _beside(asked, own)
    quick, said, notes = activation_of(asked, own, beside)
    configuration = own.with_activation(quick)
    if beside is not None:
        configuration = configuration.preprocessed(beside.preprocessing, spec)
    elif not asked.architecture.endswith(".json"):
        configuration, note = _usual_preprocessing(configuration, asked.architecture, spec)
        notes = (*notes, *note)
    plan = BasePlan(spec, configuration, asked.path, activation=said, notes=notes)
    return _with_text(plan, asked.path.parent)


def _beside(asked: Checkpoint, own: Configuration) -> Configuration | None:
    """Return the configuration in a file's own directory, where it is of the same architecture and of this file."""
    document = asked.path.parent / CONFIG_FILE
    if asked.architecture.endswith(".json") or not document.is_file() or asked.path.name not in _PREFERRED:
        return None
    found = read_document(document, str(document))
    theirs, ours = ({**one.architecture, QUICK: None} for one in (found, own))
    return found if theirs == ours else None


def _usual_preprocessing(own: Configuration, named: str, spec: str) -> tuple[Configuration, tuple[str, ...]]:
    """Prepare images as all published weights of an architecture want it; where they differ, as CLIP does."""
    wanted = [own.preprocessed(facts, spec) for facts in weights_of(named).values()]
    if not wanted:
        return own, ()
    if all(one.preprocessing == wanted[0].preprocessing for one in wanted):
        return wanted[0], ()
    return own, (
        f"published weights of {named} were trained on images prepared in several ways, and a file does not say in "
        "which: CLIP's is taken; for another give ARCH as a .json file with model_cfg and preprocess_cfg",
    )


def _repository(spec: str, asked: Repository) -> BasePlan:
    document = HubFile(asked.name, (CONFIG_FILE,))
    weights = HubFile(asked.name, _WEIGHTS)
    if (config := document.here()) is None:
        return BasePlan(spec, missing=(document, weights))
    configuration = read_document(config, spec)
    here = weights.here()
    said = f"as its {CONFIG_FILE} says"
    plan = BasePlan(spec, configuration, here, activation=said, missing=() if here else (weights,))
    return _with_text(plan, config.parent)


def _snapshot(spec: str, asked: Snapshot) -> BasePlan:
    if not asked.path.is_dir():
        raise InvalidInput(f"base module directory {asked.path} does not exist; check the path")
    if not (asked.path / CONFIG_FILE).is_file():
        raise InvalidInput(
            f"{asked.path} holds no {CONFIG_FILE}, which says what its weights are; give ARCH:CHECKPOINT_PATH"
        )
    configuration = read_document(asked.path / CONFIG_FILE, spec)
    plan = BasePlan(spec, configuration, _weights_in(asked.path), activation=f"as its {CONFIG_FILE} says")
    plan = _with_text(plan, asked.path, first=True)
    for one in plan.missing:
        what = "its tokenizer" if isinstance(one, TokenizerFiles) else f"{TEXT_CONFIG} of its text tower"
        assert isinstance(one, HubFile)
        raise InvalidInput(f"{asked.path} lacks {what}; copy that of {one.repository} into it")
    return plan


def _weights_in(directory: Path) -> Path:
    found = [path for suffix in ("safetensors", "bin", "pth", "pt") for path in sorted(directory.glob(f"*.{suffix}"))]
    named = {path.name: path for path in found}
    if (first := next((named[name] for name in _PREFERRED if name in named), None)) is not None:
        return first
    if not found:
        raise InvalidInput(f"{directory} holds no weights; put {_PREFERRED[0]} into it")
    if len(found) > 1:
        raise InvalidInput(
            f"{directory} holds several files of weights, {', '.join(path.name for path in found[:5])}; name the one "
            f"that you mean {_PREFERRED[0]} or {_WEIGHTS[1]}"
        )
    return found[0]


def _with_text(plan: BasePlan, folder: Path | None = None, first: bool = False) -> BasePlan:
    """Find the files of a text tower and a tokenizer of transformers, where a configuration names them.

    They lie in the hub's cache or in ``folder``, beside the weights, which is looked into ``first`` where it is whole.
    """
    assert plan.configuration is not None
    text = plan.configuration.text
    missing: list[RemoteFile] = []
    tokenizer: Path | None = None
    if name := text.get("hf_tokenizer_name"):
        files = TokenizerFiles(str(name), VOCABULARIES)
        beside = folder if folder is not None and has_tokenizer(folder) else _folder(name, folder)
        tokenizer = beside if first and beside else files.here() or beside
        missing += [] if tokenizer else [files]
    config: Mapping[str, Any] | None = None
    if name := text.get("hf_model_name"):
        file = HubFile(str(name), (TEXT_CONFIG,))
        places: Sequence[Path | None] = (_folder(name, folder), folder)
        config = next((found for place in places if place and (found := read_config(place / TEXT_CONFIG))), None)
        if config is None and (here := file.here()) is not None:
            config = read_config(here)
        if config is None and (plan.weights is None or not can_be_inferred(str(name))):
            missing.append(file)
    return replace(plan, tokenizer=tokenizer, text_config=config, missing=(*plan.missing, *missing))


def _folder(name: object, beside: Path | None) -> Path | None:
    """Return the folder that a configuration names by its path, where it does."""
    places = [Path(str(name)), *([beside / str(name)] if beside else [])]
    return next((place for place in places if (place / TEXT_CONFIG).is_file() or has_tokenizer(place)), None)


def _architecture(named: str) -> Configuration:
    """Return an architecture of open_clip's, or what a file configures."""
    if named.endswith(".json"):
        if not Path(named).is_file():
            raise InvalidInput(f"model config {named} does not exist; check the path")
        return read_document(Path(named), named)
    found = config_of(named)
    if found is None:
        raise InvalidInput(
            f"open_clip has no architecture {named!r}; `python -c 'import open_clip; "
            "print(open_clip.list_models())'` lists them"
        )
    return Configuration(found)
