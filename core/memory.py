"""How much memory there is to take."""

from __future__ import annotations

from pathlib import Path

import torch

_SHARE = 4
_UNKNOWN = 2**30
_MEMINFO = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")


def memory_to_keep(device: torch.device, megabytes: int | None = None) -> int:
    """Return how many bytes may be kept on a device: so many megabytes, else a quarter of what is free.

    On a CPU that is what Linux says is available, to this container where it is bounded; else it is taken for 4 GB.
    """
    if megabytes is not None:
        return megabytes * 1_000_000
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0]) // _SHARE
    return min(_available(_MEMINFO), _left_to_group(_GROUP)) // _SHARE


def _available(path: Path) -> int:
    try:
        (line,) = (line for line in path.read_text().splitlines() if line.startswith("MemAvailable:"))
        return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        return _UNKNOWN * _SHARE


def _left_to_group(group: Path) -> int:
    """Return what a control group (version 2) may still take; as good as everything where it has no bound."""
    try:
        bound, taken = ((group / name).read_text().strip() for name in ("memory.max", "memory.current"))
        return max(0, int(bound) - int(taken))
    except (OSError, ValueError):
        return 2**62
