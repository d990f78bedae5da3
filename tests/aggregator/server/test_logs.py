"""What a forge says of itself on stderr."""

import io
import json
import logging
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.identity.invite import invite
from medforge.aggregator.logs import about, configure
from medforge.aggregator.server.call_log import log_call
from medforge.aggregator.server.call_record import CallRecord
from medforge.base_module import BaseModule
from medforge.client.push import push
from medforge.errors import InvalidInput
from medforge.proto import forge_pb2 as pb
from medforge.proto.connection import Connection
from medforge.proto.errors import NotAllowed, NotFound
from medforge.proto.kit import Kit
from medforge.proto.remote import RemoteForge
from tests.aggregator.serving import Served
from tests.making import make_branch


@pytest.fixture
def restored() -> Iterator[None]:
    """The loggers as they were before the test."""
    root, ours = logging.getLogger(), logging.getLogger("medforge")
    handlers, level, our_level = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    ours.setLevel(our_level)


def refused(sentence: str = "no") -> CallRecord:
    call = CallRecord("Submit", "ipv4:192.0.2.1:5", "Centre A", {"branch": "b" * 64})
    call.code, call.kind, call.sentence = "PERMISSION_DENIED", "NotAllowed", sentence
    return call


@pytest.mark.usefixtures("restored")
class TestFormats:
    def lines(self, form: str, level: int, *calls: CallRecord) -> list[str]:
        stream = io.StringIO()
        configure(form, stream, level)
        for call in calls:
            log_call(call)
        return stream.getvalue().splitlines()

    def test_json_has_every_field_and_text_says_it(self) -> None:
        (line,) = self.lines("json", logging.INFO, refused())
        said = json.loads(line)
        assert datetime.fromisoformat(said.pop("at")).tzinfo is not None
        assert said == {
            "level": "INFO",
            "event": "submit",
            "sentence": f"Submit by Centre A (branch {'b' * 64}): refused (NotAllowed): no",
            "caller": "Centre A",
            "branch": "b" * 64,
            "peer": "ipv4:192.0.2.1:5",
            "seconds": 0.0,
            "cpu_seconds": 0.0,
            "status": "PERMISSION_DENIED",
            "refusal": "NotAllowed",
        }
        (text,) = self.lines("text", logging.INFO, refused())
        assert text.endswith(f" INFO {said['sentence']}")

    def test_what_changes_nothing_is_for_debugging_alone(self) -> None:
        calls = [
            CallRecord(method, "ipv4:192.0.2.1:5", "192.0.2.1")
            for method in ("Describe", "Upload", "Submit", "Withdraw")
        ]
        assert [json.loads(line)["event"] for line in self.lines("json", logging.INFO, *calls)] == [
            "submit",
            "withdraw",
        ]
        assert len(self.lines("json", logging.DEBUG, *calls)) == 4

    @pytest.mark.parametrize("form", ["text", "json"])
    def test_a_peers_words_begin_no_line_of_their_own(self, form: str) -> None:
        call = refused("a\n2026-01-01 INFO forged\x1b[2J\u2028line")
        call.caller = "Centre\r\nB"
        (line,) = self.lines(form, logging.INFO, call)
        assert "\x1b" not in line

    def test_a_failure_keeps_its_traceback_in_its_own_object(self) -> None:
        stream = io.StringIO()
        configure("json", stream)
        try:
            raise ValueError("broken")
        except ValueError:
            logging.getLogger("medforge.test").exception("it failed", extra=about("failed", arrival=3, commit=None))
        said = json.loads(stream.getvalue())
        assert (said["event"], said["arrival"], said["level"]) == ("failed", 3, "ERROR")
        assert "ValueError: broken" in said["traceback"]
        assert "commit" not in said

    def test_an_unknown_format_gets_a_sentence(self) -> None:
        with pytest.raises(InvalidInput, match="'xml' is no form of log; choose one of: text, json"):
            configure("xml")


def test_a_real_server_tells_a_machine_what_happened_and_no_secret(
    tmp_path: Path, tiny_base: BaseModule, tiny_spec: str
) -> None:
    """One process, mutual TLS: a push with a kit, a refusal, the fold, the end; every line of stderr is one object."""
    served = Served(tmp_path / "forge", tiny_spec, "127.0.0.1:0", "--tls", "--log-format", "json")
    try:
        at = served.wait_ready()
        forge = Forge.open(tmp_path / "forge")
        kit = invite(forge, "Centre A", at, tmp_path / "kit")
        branch = make_branch(tiny_base, contributor="Centre A")
        branch.save(tmp_path / "branch")
        receipt = push(tmp_path / "branch", Connection(at, kit), tmp_path / "receipt.json")
        with RemoteForge(Connection(at, kit)) as remote:
            other = make_branch(tiny_base, 1, contributor="Centre B")
            with pytest.raises(NotAllowed):
                remote.submit(other.manifest.to_bytes(), kit.sign_submit(other.digest))
            with pytest.raises(NotFound):
                remote.item("0" * 64)
            commit = next(remote.watch())
            assert remote.status(branch.digest).state == pb.BRANCH_STATE_FOLDED
        assert served.stop() == 0
    finally:
        if served.process.alive:
            served.kill()
    text = served.errors.read_text()
    lines: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]
    assert all({"at", "level", "event", "sentence"} <= set(line) for line in lines)
    by_event = {line["event"]: line for line in lines}
    assert next(line["event"] for line in lines if line["event"] != "note") == "listening"
    assert by_event["stopping"]["at"] <= lines[-1]["at"]
    assert lines[-1]["event"] == "stopped"

    submits = [line for line in lines if line["event"] == "submit"]
    assert [(s["contributor"], s["branch"], s.get("arrival"), s["status"]) for s in submits] == [
        ("Centre A", branch.digest, receipt.arrival, "OK"),
        ("Centre B", other.digest, None, "PERMISSION_DENIED"),
    ]
    assert submits[0]["peer"].startswith("ipv4:127.0.0.1:")
    assert submits[0]["seconds"] > 0
    assert "is Centre B's, but the call came under the certificate of Centre A" in submits[1]["sentence"]
    assert by_event["download"]["refusal"] == "NotFound"
    folded = by_event["folded"]
    assert (folded["contributor"], folded["arrival"], folded["branch"]) == ("Centre A", 1, branch.digest)
    assert folded["commit"] == Forge.open(tmp_path / "forge").ledger.commits()[0][1].digest
    assert commit[0] == 1
    assert folded["seconds"] > 0
    # what is asked often and changes nothing is not told
    assert not {"describe", "findmissing", "upload", "status", "watch"} & set(by_event)
    assert secrets(kit, tmp_path / "forge", kit.sign_submit(branch.digest)) & set(_words(text)) == set()
    assert "PRIVATE KEY" not in text


def secrets(kit: Kit, forge: Path, signature: bytes) -> set[str]:
    """Every line of every key file, and the signature in hex."""
    files = [kit.directory / "client.key", kit.directory / "signing.key", *(forge / "keys").glob("*.key")]
    found = {line for file in files for line in file.read_text().splitlines() if "KEY" not in line}
    assert len(found) >= 4
    return found | {signature.hex()}


def _words(text: str) -> Iterator[str]:
    for line in text.splitlines():
        yield from line.replace('"', " ").replace("\\n", " ").split()


@pytest.mark.usefixtures("restored")
def test_a_connection_that_is_lost_is_a_line_without_a_traceback() -> None:
    stream = io.StringIO()
    configure("text", stream)
    try:
        raise ConnectionError("password=secret")
    except ConnectionError:
        logging.getLogger("sqlalchemy.pool.impl.QueuePool").error("Exception during reset or similar", exc_info=True)
    (line,) = stream.getvalue().splitlines()
    assert line.endswith("ERROR Exception during reset or similar: the ledger does not answer (ConnectionError)")
