"""A hospital and its forge over years, as processes over mutual TLS: asked for, answered, another CA, renewed."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from medforge.proto.errors import NotAllowed
from medforge.proto.kit import Kit
from medforge.proto.passphrase import VARIABLE
from tests.aggregator.serving import Served
from tests.programs import Program

FORGES = {VARIABLE: "the passphrase of the forge"}
HOSPITALS = {VARIABLE: "the passphrase of the hospital"}


class House:
    """Run commands in one place, with the passphrase of its keys."""

    def __init__(self, place: Path, passphrase: dict[str, str]) -> None:
        self.place, self.passphrase = place, passphrase
        self.place.mkdir()

    def run(self, *words: object, code: int = 0) -> str:
        """What a command prints, or what it complains of where it should fail."""
        log, printed = self.place / "log", self.place / "printed"
        for path in (log, printed):
            path.unlink(missing_ok=True)
        ended = Program(words, log, printed=printed, environment=self.passphrase).wait(200)
        assert ended == code, log.read_text()
        return (log if code else printed).read_text()

    def doctor(self, kit: Path) -> dict[str, dict[str, Any]]:
        return {one["check"]: one for one in json.loads(self.run("doctor", "--kit", kit, "--json"))}


@pytest.mark.timeout(600)
def test_from_a_request_over_another_ca_to_the_next_request(
    tmp_path: Path, tiny_spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All keys are encrypted, and neither house knows the passphrase of the other."""
    maintainer, hospital = House(tmp_path / "maintainer", FORGES), House(tmp_path / "hospital", HOSPITALS)
    forge = ("--forge", tmp_path / "forge")
    kit, renewed = hospital.place / "kit", hospital.place / "renewed"
    server = Served(tmp_path / "forge", tiny_spec, "127.0.0.1:0", "--tls", environment=FORGES)
    try:
        at = server.wait_ready()

        def answer(asked: Path, *options: object) -> None:
            out = maintainer.place / asked.name
            request = ("--request", asked / "request.json", "--address", at, "--out", out)
            assert "it holds no private key" in maintainer.run("invite", *request, *forge, *options)
            shutil.copytree(out, asked, dirs_exist_ok=True)

        hospital.run("request", "Centre A", "--out", kit)
        answer(kit)
        assert hospital.doctor(kit)["forge"]["state"] == "ok"
        assert "renew until then: Centre A" in maintainer.run("rotate-ca", *forge, "--overlap", 60)
        found = hospital.doctor(kit)
        assert found["forge"]["state"] == found["CA"]["state"] == "ok"
        assert "the kit knows both" in found["CA"]["what"]

        hospital.run("request", "--kit", kit, "--out", renewed)
        answer(renewed, "--renew")
        for directory in (kit, renewed):
            assert hospital.doctor(directory)["forge"]["state"] == "ok"
        monkeypatch.setenv(VARIABLE, HOSPITALS[VARIABLE])
        assert Kit.load(renewed).ends > Kit.load(kit).ends

        maintainer.run("revoke", "Centre A", *forge)
        for directory in (kit, renewed):
            assert "was revoked on" in hospital.run("log", "--kit", directory, code=NotAllowed.exit_code)
    finally:
        server.stop()
    assert "BAD" not in maintainer.run("fsck", *forge, "--quick")
