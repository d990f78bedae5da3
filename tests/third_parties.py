"""Packages outside the tree: installed for real, and seen by this process or by others."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import invalidate_caches
from pathlib import Path

from medforge.registry import offered

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
EXAMPLE_PACKAGES = (EXAMPLES / "merge-method", EXAMPLES / "data-source")


def install(target: Path, *sources: Path) -> None:
    """Install packages with pip, from their source alone."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps"]
    options = ["--no-index", "--no-build-isolation", "--target", str(target)]
    subprocess.run([*pip, *options, *map(str, sources)], check=True, capture_output=True, text=True)


def install_examples(directory: Path) -> Path:
    """Install the example packages from a copy, for a build leaves files beside the source; return where they are."""
    ignored = shutil.ignore_patterns("build", "*.egg-info", "__pycache__")
    copies = [shutil.copytree(package, directory / package.name, ignore=ignored) for package in EXAMPLE_PACKAGES]
    install(directory / "site", *copies)
    return directory / "site"


@contextmanager
def seen(site: Path) -> Iterator[None]:
    """Let this process see the packages of a directory."""
    before = set(sys.modules)
    sys.path.insert(0, str(site))
    invalidate_caches()
    offered.cache_clear()
    try:
        yield
    finally:
        sys.path.remove(str(site))
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(site)):
                del sys.modules[name]
        invalidate_caches()
        offered.cache_clear()


def medforge(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process that sees the packages of a directory."""
    environment = os.environ | {"PYTHONPATH": str(site), "COLUMNS": "160"}
    command = [sys.executable, "-m", "medforge", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=200)
