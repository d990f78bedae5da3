"""Whether a base module, device and compute dtype can be had, as far as a look tells that loads nothing."""

from __future__ import annotations

from medforge.bases.obtaining import check_obtainable
from medforge.bases.spec import EMBEDDED, Embedded, parse_spec, resolve_base
from medforge.errors import InvalidInput

__all__ = ["DTYPES", "EMBEDDED", "EVERYWHERE", "check_base", "resolve_base"]

DTYPES = ("fp32", "bf16", "fp16")
EVERYWHERE = ("auto", "cpu")
"""Devices that every machine has."""


def check_base(spec: str, device: str = "auto", dtype: str = "fp32") -> None:
    """Refuse what plainly cannot be loaded, so that a command can say so before it writes anything.

    Imports torch only for a device beside the CPU, and fetches nothing: of what is not here, its server is asked once
    whether it answers. Raises InvalidInput with the sentence that loading would end with.
    """
    if dtype not in DTYPES:
        raise InvalidInput(f"dtype {dtype!r} is not known; choose one of {', '.join(DTYPES)}")
    asked = parse_spec(spec)
    if not isinstance(asked, Embedded):
        check_obtainable(spec, asked)
    if device not in EVERYWHERE:
        from medforge.base_module import choose_device

        choose_device(device)
