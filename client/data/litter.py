"""What machines leave in folders of images and nobody means by it: the one list of names that are passed over."""

from __future__ import annotations

import re

LITTER: dict[str, tuple[str, ...]] = {
    "macOS": (
        ".DS_Store", "._*", "__MACOSX", ".AppleDouble", ".Spotlight-V100", ".Trashes", ".fseventsd", ".TemporaryItems",
        ".DocumentRevisions-V100", ".VolumeIcon.icns", ".localized", ".apdisk", "Icon\r",
    ),
    "Windows": (
        "Thumbs.db", "Thumbs.db:encryptable", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "$RECYCLE.BIN",
        "System Volume Information", "~$*",
    ),
    "Linux": (".directory", ".hidden", ".Trash-*", ".nfs*", ".fuse_hidden*", "lost+found"),
    "network drives": ("@eaDir", "#recycle", "@Recycle", "@Recently-Snapshot", ".@__thumb", ".snapshot", "#snapshot"),
    "version control": (
        ".git", ".gitkeep", ".gitignore", ".gitattributes", ".gitmodules", ".keep", ".svn", ".hg", ".dvc", ".dvcignore",
    ),
    "Python": (".ipynb_checkpoints", "__pycache__", ".venv"),
    "synchronising": (
        ".dropbox", ".dropbox.attr", ".dropbox.cache", ".stfolder", ".stversions", ".stignore", ".~lock.*", ".sync",
    ),
    "editors": ("*~", "*.swp", "*.swo", ".idea", ".vscode"),
    "unfinished downloads": ("*.part", "*.partial", "*.crdownload", "*.download", "*.filepart", "*.aria2", "*.tmp"),
}  # fmt: skip
"""Names by what leaves them, compared without case; a star stands for anything."""

_UNFINISHED = "unfinished downloads"


def is_litter(name: str) -> bool:
    """Say whether a file or folder of this name was left by a program and holds no data."""
    return _ANY.fullmatch(name) is not None


def is_unfinished(name: str) -> bool:
    """Say whether a file of this name is what has come of a download so far."""
    return _PART.fullmatch(name) is not None


def _pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(re.escape(name).replace(r"\*", ".*") for name in names), re.IGNORECASE | re.DOTALL)


_ANY = _pattern(tuple(name for names in LITTER.values() for name in names))
_PART = _pattern(LITTER[_UNFINISHED])
