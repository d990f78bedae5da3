"""A forge's name that only the system's resolver knows: push and doctor find the same."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from medforge.aggregator.identity.invite import invite
from medforge.base_module import BaseModule
from tests.aggregator.serving import serving
from tests.making import make_branch

NAME = "forge.only-here.test"


@pytest.fixture(scope="module")
def resolver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that answers for one name more than /etc/hosts and DNS, as a module of nsswitch.conf does."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("a name of its own for one process needs Linux and a C compiler")
    made = tmp_path_factory.mktemp("names") / "names.so"
    source = Path(__file__).with_name("system_names.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", made, source, "-ldl"], check=True)
    return made


def test_a_name_that_is_in_no_dns(resolver: Path, tmp_path: Path, tiny_base: BaseModule) -> None:
    with serving(tmp_path / "forge", tiny_base, tls=True) as (forge, at):
        kit = invite(forge, "Centre A", f"{NAME}:{at.rpartition(':')[2]}", tmp_path / "kit")
        make_branch(tiny_base, contributor="Centre A").save(tmp_path / "branch")

        def run(*module: object) -> str:
            environment = os.environ | {"LD_PRELOAD": str(resolver)}
            command = [sys.executable, "-m", *map(str, module)]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
            assert done.returncode == 0, done.stderr
            return done.stdout

        found = {one["check"]: one for one in json.loads(run("medforge", "doctor", "--kit", kit.directory, "--json"))}
        assert (found["DNS"]["what"], found["forge"]["state"]) == (f"{NAME} is 127.0.0.1", "ok")
        assert json.loads(run("tests.e2e.pushing", tmp_path / "branch", kit.directory))["arrival"] == 1


def test_a_name_that_nobody_knows_is_said_so(tmp_path: Path, tiny_base: BaseModule) -> None:
    with serving(tmp_path / "forge", tiny_base, tls=True) as (forge, _):
        kit = invite(forge, "Centre A", "no-such-host.invalid:50051", tmp_path / "kit")
    command = [sys.executable, "-m", "medforge", "log", "--kit", str(kit.directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode != 0
    assert "this machine's resolver knows no address for no-such-host.invalid; check the spelling" in done.stderr
