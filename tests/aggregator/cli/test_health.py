"""`medforge health` from the outside."""

import json
import socket
from pathlib import Path

import pytest

from medforge.cli.app import main
from tests.aggregator.serving import Served


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert isinstance(ended.value.code, int | None)
    return ended.value.code or 0


def free_address() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def test_health_of_a_real_server(
    tmp_path: Path, tiny_spec: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # a probe never goes through a proxy
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    at = free_address()
    served = Served(tmp_path / "forge", tiny_spec, "127.0.0.1:0", "--metrics", at)
    try:
        served.wait_ready()
        assert run("health", at) == 0
        assert capsys.readouterr().out.splitlines()[0].split() == ["fold", "worker", "ok", "folds"]
        assert run("health", at, "--live", "--json") == 0
        assert [check["name"] for check in json.loads(capsys.readouterr().out)["checks"]] == ["fold worker"]
        assert served.stop() == 0
    finally:
        if served.process.alive:
            served.kill()
    assert run("health", at) != 0
    assert f"no forge answers probes at {at}" in capsys.readouterr().err


def test_what_is_no_forge_gets_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        at = f"127.0.0.1:{silent.getsockname()[1]}"
        assert run("health", at, "--seconds", "0.2") != 0
    assert "no forge answers probes" in capsys.readouterr().err
    assert run("health", "nonsense") != 0
    assert "Traceback" not in capsys.readouterr().err
