"""An install without CUDA leaves out what only PyTorch's CUDA build needs, and nothing else."""

from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from requirements.cpu import TORCH_FILE, main, without_cuda
from requirements.pins import BASE, lock_file, lock_names, read_pins


def needed_by(package: str, but: set[str]) -> set[str]:
    """Everything that an installed package asks for here, and what that asks for, not going through some packages."""
    found: set[tuple[str, str]] = set()
    waiting = [(package, "")]
    while waiting:
        of, extra = waiting.pop()
        for requirement in map(Requirement, _asked(of)):
            name = canonicalize_name(requirement.name)
            if name in but or (requirement.marker and not requirement.marker.evaluate({"extra": extra})):
                continue
            new = {(name, one) for one in ("", *requirement.extras)} - found
            found |= new
            waiting += new
    return {name for name, _ in found}


def _asked(package: str) -> list[str]:
    try:
        return metadata.requires(package) or []
    except metadata.PackageNotFoundError:
        return []


def test_every_lock_has_torch_once_and_cuda_never(tmp_path: Path) -> None:
    main(tmp_path, [lock_file(name) for name in lock_names()])
    index, *builds = (tmp_path / TORCH_FILE).read_text().splitlines()
    assert index.startswith("--index-url https://")
    locked = {pin.requirement.name: pin.version for pin in read_pins(lock_file(BASE).read_text())}
    assert builds == [f"{name}=={locked[name]}" for name in ("torch", "torchvision")]
    for name in lock_names():
        for pin in read_pins((tmp_path / f"{name}.txt").read_text()):
            assert pin.hashes
            assert not pin.requirement.name.startswith(("torch", "nvidia", "cuda", "triton"))


def test_what_is_left_out_is_needed_by_pytorchs_cuda_build_alone() -> None:
    locked = read_pins(lock_file(BASE).read_text())
    kept = {pin.requirement.name for pin in read_pins(without_cuda(lock_file(BASE).read_text())[1])}
    left_out = {pin.requirement.name for pin in locked} - kept
    if "triton" not in needed_by("torch", set()):
        pytest.skip("PyTorch's build here is one without CUDA")
    assert left_out - {"torch", "torchvision"} <= needed_by("torch", set())
    assert not needed_by("medforge", {"torch", "torchvision"}) & (left_out - {"torch", "torchvision"})
