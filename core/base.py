"""Find and load a base module by its spec."""

from medforge.base_module import BaseModule, batches, choose_device
from medforge.bases.building import build
from medforge.bases.obtaining import obtain
from medforge.bases.spec import Embedded, parse_spec
from medforge.embedded import load_embedded

__all__ = ["BaseModule", "batches", "choose_device", "load_ahead", "load_base"]

_ahead: dict[tuple[str, str, str], BaseModule] = {}


def load_ahead(spec: str, device: str, dtype: str) -> None:
    """Load a base module that the next `load_base` of the same words takes; a process that is forked has it already.

    Raises as `load_base` does.
    """
    base = load_base(spec, device, dtype)
    # what a tokenizer reads at its first text is read now
    base.tokenizer([""])
    _ahead[spec, device, dtype] = base


def load_base(spec: str, device: str = "auto", dtype: str = "fp32") -> BaseModule:
    """Load a base module.

    ``spec`` is ``medforge-tiny`` (embedded), ``ARCH/PRETRAINED_TAG`` (open_clip's registry), ``ARCH:CHECKPOINT_PATH``
    (a local file; ARCH may also be the path of an open_clip ``.json`` model config), ``hf-hub:…`` or
    ``hf-local:DIRECTORY``. What it names is what runs: activation, preprocessing and tokenizer are those of the tag or
    of the configuration. No code of a file is run.

    Raises InvalidInput for an unknown spec, a missing file or a failed download; CorruptFile for a broken checkpoint,
    and for weights that do not fit or are not finite.
    """
    if (ready := _ahead.pop((spec, device, dtype), None)) is not None:
        return ready
    asked = parse_spec(spec)
    if isinstance(asked, Embedded):
        clip, tokenizer, card = load_embedded(spec)
        return BaseModule(clip, tokenizer, spec, card["model"], card["mean"], card["std"], device, dtype)
    plan = obtain(spec, asked)
    built = build(plan)
    assert plan.configuration is not None
    wanted = plan.configuration.preprocessing
    return BaseModule(
        built.clip,
        built.tokenizer,
        spec,
        plan.configuration.architecture,
        wanted["mean"],
        wanted["std"],
        device,
        dtype,
        geometry=plan.configuration.geometry,
    )
