"""What kind of processor computes: everything that decides how a library orders a sum, and nothing else."""

import os
import platform
import re
from functools import cache
from pathlib import Path

import torch

# what changes the kernels that torch, oneDNN, MKL and OpenBLAS choose
_INSTRUCTIONS = re.compile(r"^(avx|amx|fma|sse4|asimd|sve|bf16|i8mm)")
_OVERRIDES = (
    "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA",
    "DNNL_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "OPENBLAS_CORETYPE",
)


@cache
def processor_kind() -> dict[str, str]:
    """Describe this processor as a commit records it.

    Architecture, vendor, the vector instructions that libraries choose their kernels by, torch's own choice, and what
    the environment overrides. ``threads`` is how many
    threads an operation runs on, always 1 (see `determinism`): how many chunks ran side by side changes nothing and is
    left out, so that forges of few and of many cores have the same commits.
    """
    facts = _cpuinfo()
    flags = facts.get("flags", facts.get("Features", "")).split()
    kind = {
        "architecture": platform.machine(),
        "vendor": facts.get("vendor_id", facts.get("CPU implementer", platform.processor())),
        "instructions": " ".join(sorted({flag for flag in flags if _INSTRUCTIONS.match(flag)})),
        "torch": torch.backends.cpu.get_cpu_capability(),
        "threads": "1",
    }
    return kind | {name: os.environ[name] for name in _OVERRIDES if name in os.environ}


def _cpuinfo() -> dict[str, str]:
    """Return the first processor's fields of Linux's /proc/cpuinfo; none elsewhere."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
