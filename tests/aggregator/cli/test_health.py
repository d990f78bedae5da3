"""`medforge health` from the outside."""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
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
    for address in ("nonsense", "host name:1", "[::1]:1", ":9464"):
        assert run("health", address) not in (0, 70)
        said = capsys.readouterr().err
        assert "Traceback" not in said
        assert "fault of medforge" not in said


@pytest.mark.parametrize("body", [b'{"ok": true}', b'{"ok": true, "checks": [1]}', b"[]", b"no JSON"])
def test_what_answers_otherwise_is_no_forge(body: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert run("health", f"127.0.0.1:{server.server_port}") != 0
    said = capsys.readouterr().err
    assert "no forge" in said
    assert "Traceback" not in said
