"""Write the locks of an install without CUDA: `python -m requirements.cpu DIRECTORY LOCK…`, with any Python.

PyTorch's builds for the CPU have an index of their own, and other bytes than those that the locks name. So the two come
from there, in the versions of the locks (`torch.txt`, for `pip install --no-deps`), and the other locks are written
without them and without what only their CUDA builds need: 4 GB. Everything else comes by hash, as ever.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from requirements.blocks import blocks

INDEX = "https://download.pytorch.org/whl/cpu"
OF_THE_INDEX = ("torch==", "torchvision==")
OF_CUDA = ("cuda-", "nvidia-", "triton==")
TORCH_FILE = "torch.txt"


def without_cuda(lock: str) -> tuple[list[str], str]:
    """Return what of a lock comes from PyTorch's index, as "name==version", and the lock without that and CUDA."""
    entries = blocks(lock)
    taken = [one.split()[0] for one in entries if one.startswith(OF_THE_INDEX)]
    return taken, "".join(one for one in entries if not one.startswith((*OF_THE_INDEX, *OF_CUDA)))


def main(directory: Path, locks: Sequence[Path]) -> None:
    """Write `torch.txt` and every lock into a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    builds: list[str] = []
    for lock in locks:
        taken, rest = without_cuda(lock.read_text())
        builds += taken
        (directory / lock.name).write_text(rest)
    (directory / TORCH_FILE).write_text("\n".join([f"--index-url {INDEX}", *builds, ""]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
