"""What pyproject says of the rooms must be all of them."""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROOMS = {"core": "medforge"} | {
    name: f"medforge.{name}" for name in ("proto", "client", "aggregator", "model", "simulation")
}
HEAVY = ("torch", "flwr", "grpc", "sqlalchemy", "PIL", "numpy", "sklearn", "matplotlib", "open_clip", "peft")


def settings() -> dict[str, dict]:  # type: ignore[type-arg]
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]


def test_every_package_is_installed() -> None:
    found = set()
    for folder, package in ROOMS.items():
        for init in (ROOT / folder).rglob("__init__.py"):
            found.add(".".join([package, *init.parent.relative_to(ROOT / folder).parts]))
    assert set(settings()["setuptools"]["packages"]) == found


def test_import_contract_names_every_module_of_core() -> None:
    found = {f"medforge.{path.stem}" for path in (ROOT / "core").glob("*.py")} - {
        "medforge.__init__",
        "medforge.__main__",
        "medforge.api",  # stands above the rooms
    }
    found |= {f"medforge.{path.parent.name}" for path in (ROOT / "core").glob("*/__init__.py")}
    found -= {"medforge.extension"}  # so does this
    contracts = {contract["name"]: contract for contract in settings()["importlinter"]["contracts"]}
    assert set(contracts["Core imports no other room"]["source_modules"]) == found


def test_command_starts_without_the_heavy_libraries() -> None:
    code = (
        f"import sys; from medforge.cli import build_app; build_app(); print([m for m in {HEAVY} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
