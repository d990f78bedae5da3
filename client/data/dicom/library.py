"""pydicom, loaded when a DICOM file is read, and silent: its warnings quote headers."""

from __future__ import annotations

import logging
import warnings
from functools import cache
from importlib.util import find_spec
from types import ModuleType

from medforge.errors import InvalidInput

INSTALL = "pip install 'medforge[dicom]'"
INSTALL_GPL = "pip install 'medforge[dicom-gpl]'"


@cache
def pydicom() -> ModuleType:
    """Import pydicom. Raises InvalidInput where it is not installed."""
    try:
        import pydicom
        import pydicom.config
        import pydicom.pixels
    except ImportError as error:
        raise InvalidInput(f"a DICOM file can only be read with pydicom; install it: {INSTALL}") from error
    # A warning about a bad value prints the value, and values of a header must not be printed.
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
    warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")
    return pydicom


def has_gpl_codec() -> bool:
    """Say whether the codec is installed that reads JPEG of 12 bits and lossless JPEG."""
    return find_spec("libjpeg") is not None
