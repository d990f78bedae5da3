"""A disk of its own, small enough to fill."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class SmallDisk:
    """A mounted file system; `fill` takes its free space away, `free` gives it back."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def fill(self, leave: int = 0) -> None:
        """Leave this many bytes free (rounded up to pages)."""
        there = os.statvfs(self.path)
        with self._ballast.open("ab") as file:
            os.posix_fallocate(file.fileno(), 0, self._held() + max(0, there.f_bavail * there.f_frsize - leave))

    def free(self) -> None:
        """Return all space back."""
        self._ballast.unlink(missing_ok=True)

    def _held(self) -> int:
        return self._ballast.stat().st_size


@contextmanager
def small_disk(path: Path, mebibytes: int) -> Iterator[SmallDisk]:
    """Mount a file system in memory; skips the test where that is not allowed."""
    path.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", path], capture_output=True, text=True, check=False
    )
    if mount.returncode != 0:
        pytest.skip(f"no file system can be mounted ({mount.stderr.strip()}); run the tests under `unshare -rm`")
    try:
        yield SmallDisk(path)
    finally:
        # a killed server's files may be open for another moment
        subprocess.run(["umount", "--lazy", path], check=True)
