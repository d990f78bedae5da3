"""What is installed is what pyproject.toml asks for, by hash, from wherever: offline, of the locks as they are."""

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from requirements.pins import BASE, ROOT, Pin, lock_file, lock_names, project, read_pins

REMEDY = "make lock"
# one of each kind that the locks serve, as markers see them
PLATFORMS = [
    {"sys_platform": system, "platform_system": name, "platform_machine": machine, "python_version": python,
     "python_full_version": f"{python}.0", "os_name": "nt" if system == "win32" else "posix"}
    for system, name, machine in (
        ("linux", "Linux", "x86_64"), ("linux", "Linux", "aarch64"), ("darwin", "Darwin", "arm64"),
        ("win32", "Windows", "AMD64"),
    )
    for python in ("3.11", "3.12", "3.13")
]  # fmt: skip


def meant(requirement: Requirement, platform: dict[str, str]) -> bool:
    return requirement.marker is None or requirement.marker.evaluate(platform)


@cache
def pins(name: str) -> list[Pin]:
    return read_pins(lock_file(name).read_text())


def asked(name: str) -> list[Requirement]:
    """Return what an install asks for, an extra of our own taken as what it asks for."""
    about = project()["project"]
    build = project()["build-system"]["requires"]
    texts = [*about["dependencies"], *build] if name == BASE else about["optional-dependencies"][name]
    found: list[Requirement] = []
    for requirement in map(Requirement, texts):
        own = requirement.name == about["name"]
        found += [one for extra in requirement.extras for one in asked(extra)] if own else [requirement]
    return found


@pytest.mark.parametrize("name", lock_names())
def test_every_requirement_is_locked_at_a_version_that_fits_on_every_platform(name: str) -> None:
    for platform in PLATFORMS:
        there = {
            canonicalize_name(pin.requirement.name): pin.version
            for pin in [*pins(BASE), *pins(name)]
            if meant(pin.requirement, platform)
        }
        for requirement in asked(name):
            if meant(requirement, platform):
                version = there.get(canonicalize_name(requirement.name))
                assert version is not None, f"{requirement} is in no lock of {name}; run {REMEDY}"
                assert requirement.specifier.contains(version, prereleases=True), f"{requirement}: {version}; {REMEDY}"


def test_there_is_a_lock_for_every_extra_and_none_besides() -> None:
    found = {path.stem for path in lock_file(BASE).parent.glob("*.txt")}
    assert found == set(lock_names()), f"run {REMEDY}, and delete what it did not write"


@pytest.mark.parametrize("name", lock_names())
def test_every_entry_is_one_version_with_digests_and_nothing_else(name: str) -> None:
    text = lock_file(name).read_text()
    # no address: where files come from is the installer's choice, and what they are is not
    assert not re.search(r"://|(?m:^\s*-[a-zA-Z])|--(?!hash=sha256:)| @ ", text)
    for pin in pins(name):
        (specifier,) = pin.requirement.specifier
        assert specifier.operator == "=="
        assert Version(pin.version)
        assert pin.hashes, f"{pin.requirement} has no digest; run {REMEDY}"
        assert len(set(pin.hashes)) == len(pin.hashes)


def test_all_locks_name_the_same_version_of_a_package_on_a_platform() -> None:
    for platform in PLATFORMS:
        found: dict[str, tuple[str, tuple[str, ...]]] = {}
        for name in lock_names():
            for pin in pins(name):
                if meant(pin.requirement, platform):
                    entry = (pin.version, pin.hashes)
                    assert found.setdefault(canonicalize_name(pin.requirement.name), entry) == entry


def test_make_installs_from_the_locks_by_hash_and_nothing_without(tmp_path: Path) -> None:
    said = subprocess.run(
        ["make", "--dry-run", "--always-make", f"VENV={tmp_path}/venv", "install"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    installs = [line for line in said.splitlines() if "pip install" in line]
    by_hash = [line for line in installs if "--require-hashes" in line]
    assert by_hash == [line for line in installs if "--requirement" in line]
    assert all(f"requirements/{name}.txt" in by_hash[0] for name in (BASE, "dev"))
    assert all("--no-deps" in line and "--no-build-isolation" in line for line in installs if line not in by_hash)
    assert len(installs) == 2


def test_an_entry_is_read_with_its_marker_and_all_its_digests() -> None:
    one, two = "a" * 64, "b" * 64
    text = (
        f"# said\nSome_Thing==1.2 ; sys_platform == 'linux' \\\n    --hash=sha256:{one} \\\n    --hash=sha256:{two}\n"
    )
    (pin,) = read_pins(text)
    assert (pin.requirement.name, pin.version, pin.hashes) == ("Some_Thing", "1.2", (one, two))
    assert str(pin.requirement.marker) == 'sys_platform == "linux"'
