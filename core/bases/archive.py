"""PyTorch's files that are zip archives: which they are, and what a TorchScript archive says of its activation.

Nothing here needs torch, and nothing runs what the archive holds.
"""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

_LARGEST = 1 << 26
# what OpenAI's archives hold beside the weights
_OPENAI = (b"input_resolution", b"context_length", b"vocab_size")
_QUICK = re.compile(r"1\.702")


def is_archive(path: Path) -> bool:
    """Say whether a file is a zip archive, as PyTorch writes since 1.6."""
    return zipfile.is_zipfile(path)


def archive_root(archive: zipfile.ZipFile) -> str:
    """Return the folder that all of an archive lies in; raises KeyError where it is none of PyTorch's."""
    found = {name.partition("/")[0] for name in archive.namelist() if name.endswith("/data.pkl")}
    if len(found) != 1:
        raise KeyError("data.pkl")
    return found.pop()


def activation_in(path: Path) -> str | None:
    """Return the activation, quick_gelu or gelu, that an archive of PyTorch's says; None where it says none.

    The code of a TorchScript archive is read as text: OpenAI's has a class QuickGELU, which is x · sigmoid(1.702 x).
    Weights with the fields of OpenAI's own files, saved again in whatever way, are OpenAI's: QuickGELU.
    """
    if not is_archive(path):
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            root = archive_root(archive)
            text = "\n".join(
                archive.read(entry).decode("utf-8", "replace")
                for entry in archive.infolist()
                if entry.filename.startswith(f"{root}/code/") and entry.filename.endswith(".py") and _is_small(entry)
            )
            fields = archive.read(f"{root}/data.pkl") if _is_small(archive.getinfo(f"{root}/data.pkl")) else b""
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, RuntimeError):
        return None
    if "QuickGELU" in text or "quick_gelu" in text or _QUICK.search(text):
        return "quick_gelu"
    if re.search(r"(?i)\bgelu\b", text):
        return "gelu"
    return "quick_gelu" if all(name in fields for name in _OPENAI) else None


def _is_small(entry: zipfile.ZipInfo) -> bool:
    return entry.file_size < _LARGEST
