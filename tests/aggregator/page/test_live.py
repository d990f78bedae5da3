"""The live pages over a real connection: what is answered, to whom, and under which headers."""

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from medforge.aggregator.forge.forge import Forge
from medforge.aggregator.page.page_server import PageServer
from medforge.errors import InvalidInput
from tests.aggregator.page.shown_forge import ShownForge

TOKEN = "correct-horse-battery-staple-of-43-letters_"
SECONDS = 20.0


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


@contextmanager
def served(shown: ShownForge, token: str | None = None) -> Iterator[PageServer]:
    server = PageServer(Forge.open(shown.directory), "127.0.0.1:0", token)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def live(shown: ShownForge) -> Iterator[PageServer]:
    """Pages on loopback, without a token."""
    with served(shown) as server:
        yield server


def ask(server: PageServer, path: str, method: str = "GET", **headers: str) -> Answer:
    connection = http.client.HTTPConnection(server.address, timeout=SECONDS)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def test_pages_are_those_of_the_site(live: PageServer, shown: ShownForge) -> None:
    first = ask(live, "/")
    assert first.status == 200
    assert first.body == ask(live, "/index.html").body
    assert b"One model, built by many hands" in first.body
    assert b'data-position="' in first.body
    for path, kind in (("/page.css", "text/css"), ("/page.js", "text/javascript"), ("/branch/1.html", "text/html")):
        answer = ask(live, path)
        assert (answer.status, answer.headers["content-type"]) == (200, f"{kind}; charset=utf-8")
    assert ask(live, "/branch/99.html").status == 404
    assert ask(live, "/../forge.json").status == 404
    assert ask(live, "/%2e%2e/keys/forge.key").status == 404


@pytest.mark.parametrize("path", ["/", "/page.js", "/no/such/page", "/enter", "/events"])
def test_every_answer_says_what_a_browser_must_not_do(live: PageServer, path: str) -> None:
    headers = ask(live, path, "HEAD").headers
    policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", ["/", "/events", "/enter"])
def test_nothing_can_be_changed(live: PageServer, method: str, path: str) -> None:
    assert ask(live, path, method).status == 405


def test_head_says_what_get_would(live: PageServer) -> None:
    got, said = ask(live, "/held.html"), ask(live, "/held.html", "HEAD")
    assert (said.status, said.body) == (200, b"")
    assert {**got.headers, "date": ""} == {**said.headers, "date": ""}


def test_a_page_that_is_known_is_not_sent_again(live: PageServer) -> None:
    tag = ask(live, "/held.html").headers["etag"]
    again = ask(live, "/held.html", if_none_match=tag)
    assert (again.status, again.body) == (304, b"")
    assert ask(live, "/held.html", if_none_match='"another"').status == 200


def test_a_strange_name_is_turned_away(live: PageServer) -> None:
    for path in ("/", "/events", "/page.css"):
        answer = ask(live, path, Host="evil.example")
        assert answer.status == 421
        assert b"lung" not in answer.body
    assert ask(live, "/", Host=f"localhost:{live.address.rpartition(':')[2]}").status == 200


def test_events_begin_with_where_the_forge_is(live: PageServer) -> None:
    connection = http.client.HTTPConnection(live.address, timeout=SECONDS)
    connection.request("GET", "/events")
    answer = connection.getresponse()
    assert answer.headers["content-type"].startswith("text/event-stream")
    position = ask(live, "/").body.split(b'data-position="')[1].split(b'"')[0]
    assert answer.read1(200) == b"event: changed\ndata: " + position + b"\n\n"
    connection.close()


def test_with_a_token_nobody_else_looks(shown: ShownForge) -> None:
    with served(shown, TOKEN) as server:
        for path in ("/", "/branch/1.html", "/search-index.js", "/page.js", "/events", "/nowhere", "/enter?token=no"):
            answer = ask(server, path)
            assert answer.status == 401, path
            assert not [word for word in (b"lung", b"koeln", b"Branch") if word in answer.body], path
        # what the way in itself needs
        assert b'href="../page.css"' in ask(server, "/branch/1.html").body
        assert ask(server, "/page.css").status == 200

        entered = ask(server, f"/enter?token={TOKEN}")
        assert (entered.status, entered.headers["location"]) == (303, "./")
        cookie = entered.headers["set-cookie"]
        assert TOKEN not in cookie
        assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
        assert "Secure" not in cookie.split("; ")
        behind = ask(server, f"/enter?token={TOKEN}", x_forwarded_proto="https").headers["set-cookie"]
        assert "Secure" in behind.split("; ")

        pair = cookie.partition(";")[0]
        assert b"koeln" in ask(server, "/", Cookie=pair, Host="forge.example").body
        assert ask(server, "/", Cookie=pair[:-1] + ("0" if pair[-1] != "0" else "1")).status == 401


def test_an_address_in_use_is_one_sentence(live: PageServer, shown: ShownForge) -> None:
    forge = Forge.open(shown.directory)
    with pytest.raises(InvalidInput, match=r"cannot be served on .* in use\); choose another address with --page"):
        PageServer(forge, live.address)
    forge.close()


def test_it_stops_while_somebody_watches_and_somebody_is_slow(shown: ShownForge) -> None:
    with served(shown) as server:
        host, _, port = server.address.rpartition(":")
        watching = socket.create_connection((host, int(port)), timeout=SECONDS)
        watching.sendall(f"GET /events HTTP/1.1\r\nHost: {server.address}\r\n\r\n".encode())
        assert watching.recv(12) == b"HTTP/1.1 200"
        slow = socket.create_connection((host, int(port)), timeout=SECONDS)
        slow.sendall(b"GET / HTTP/1.1\r\nHost: ")
        begun = time.monotonic()
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        stopping.join(SECONDS)
        assert not stopping.is_alive()
        assert time.monotonic() - begun < 10
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((host, int(port)), timeout=SECONDS)
        watching.close()
        slow.close()
