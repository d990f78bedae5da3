"""The bill of materials: valid by the schema, whole, and the same bytes each time."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.utils import canonicalize_name

from medforge.embedded import DIGESTS
from requirements.pins import BASE, ROOT, lock_file, lock_names, read_pins
from requirements.sbom import bill_of_materials


@pytest.fixture(scope="module")
def bill() -> str:
    return bill_of_materials()


def test_is_valid_by_the_schema_and_a_spoilt_one_is_not(bill: str) -> None:
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(bill) is None
    short = json.loads(bill)
    short.update(components=short["components"][:1], dependencies=[])
    assert validator.validate_str(json.dumps(short)) is None
    short["components"][0]["type"] = "book"
    assert validator.validate_str(json.dumps(short)) is not None


def test_has_every_pin_of_every_lock_with_its_digests_and_the_weights(bill: str) -> None:
    components = json.loads(bill)["components"]
    libraries = {one["purl"]: one for one in components if one["type"] == "library"}
    for name in lock_names():
        for pin in read_pins(lock_file(name).read_text()):
            found = libraries[f"pkg:pypi/{canonicalize_name(pin.requirement.name)}@{pin.version}"]
            digests = {one["content"] for one in found["externalReferences"][0]["hashes"]}
            assert digests == set(pin.hashes)
            assert name != BASE or found["scope"] == "required"
    (model,) = [one for one in components if one["type"] == "machine-learning-model"]
    assert model["hashes"] == [{"alg": "SHA-256", "content": DIGESTS["medforge_tiny.safetensors"]}]
    assert libraries["pkg:pypi/pytest@" + _version("pytest")]["scope"] == "excluded"


def test_another_process_in_another_place_writes_the_same_bytes(bill: str, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-m", "requirements.sbom", str(tmp_path / "new" / "bill.json")]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    written = (tmp_path / "new" / "bill.json").read_text()
    assert written == bill
    assert "timestamp" not in written
    assert str(Path.home()) not in written
    assert str(ROOT) not in written


def _version(name: str) -> str:
    return next(pin.version for pin in read_pins(lock_file("dev").read_text()) if pin.requirement.name == name)
