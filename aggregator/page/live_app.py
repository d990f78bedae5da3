"""The live pages as an ASGI application: it only reads, and says so in every header that a browser obeys."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, MutableMapping
from importlib.resources import files
from threading import Event
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from medforge.aggregator.logs import in_words
from medforge.aggregator.page.addresses import STYLE
from medforge.aggregator.page.door import COOKIE, Door
from medforge.aggregator.page.live_pages import KINDS, LivePage, LivePages
from medforge.errors import MedForgeError

_log = logging.getLogger(__name__)
_EVERY_SECONDS = 1.0
_STILL_SECONDS = 15.0
_MOST_READERS = 64
_DAYS = 30
_HEADERS = {
    # scripts and styles are files of the site: what somebody wrote cannot become one, whatever a template forgot
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    # asked for again each time, so that nobody is shown what was withdrawn
    "cache-control": "private, no-cache",
}


class Changes:
    """Tell any number of readers in one event loop that a forge has changed; it is looked at once a second for all."""

    def __init__(self, position: Callable[[], str], ending: Event, seconds: float = _EVERY_SECONDS) -> None:
        self._read = position
        self._ending = ending
        self._seconds = seconds
        self._looking = asyncio.Lock()
        self._looked = float("-inf")
        self._position = ""
        self.readers = 0

    async def stream(self) -> AsyncIterator[str]:
        """Yield server-sent events: at once where the forge is, then whenever it is elsewhere, until it ends."""
        self.readers += 1
        said, spoke = "", time.monotonic()
        try:
            while not self._ending.is_set():
                position = await self._now()
                if position != said:
                    yield f"event: changed\ndata: {position}\n\n"
                    said, spoke = position, time.monotonic()
                elif time.monotonic() - spoke > _STILL_SECONDS:
                    # a reader that has gone is noticed by this
                    yield ": still here\n\n"
                    spoke = time.monotonic()
                await asyncio.sleep(self._seconds)
        finally:
            self.readers -= 1

    async def _now(self) -> str:
        async with self._looking:
            if time.monotonic() - self._looked >= self._seconds:
                try:
                    self._position = await run_in_threadpool(self._read)
                except (MedForgeError, SQLAlchemyError) as error:
                    _log.warning("the page cannot read the forge just now (%s)", in_words(error))
                self._looked = time.monotonic()
        return self._position


class LiveApp:
    """Answer GET and HEAD: pages, the events that tell of news, and the way in for whoever has the token.

    ``asgi`` is the application. Streams of events end once ``ending`` is set.
    """

    def __init__(self, pages: LivePages, door: Door, ending: Event) -> None:
        self._pages = pages
        self._door = door
        self._changes = Changes(pages.position, ending)
        routes = [
            Route("/enter", self._enter, methods=["GET"]),
            Route("/events", self._events, methods=["GET"]),
            Route("/{path:path}", self._page, methods=["GET"]),
        ]
        self.asgi: ASGIApp = _Guarded(Starlette(routes=routes), door)

    async def _page(self, request: Request) -> Response:
        path = request.path_params["path"]
        if not self._admits(request):
            return _shut(path) if path != STYLE else _answer(request, await run_in_threadpool(self._pages.style))
        try:
            found = await run_in_threadpool(self._pages.page, path)
            if found is None:
                lost = await run_in_threadpool(self._pages.lost, path)
                return Response(lost, 404, media_type=KINDS["html"])
        except (MedForgeError, SQLAlchemyError) as error:
            _log.warning("the page cannot read the forge just now (%s)", in_words(error))
            return Response("the forge cannot be read just now; its maintainer finds the reason in its log\n", 503)
        return _answer(request, found)

    async def _events(self, request: Request) -> Response:
        if not self._admits(request):
            return Response("the page asks for a token; open it anew\n", 401)
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        if self._changes.readers >= _MOST_READERS:
            return Response("too many pages are open; this one is not live\n", 503, {"retry-after": "60"})
        # a proxy that collects what it passes on would hold news back
        return StreamingResponse(
            self._changes.stream(), media_type="text/event-stream", headers={"x-accel-buffering": "no"}
        )

    async def _enter(self, request: Request) -> Response:
        proof = self._door.proof(request.query_params.get("token", ""))
        if proof is None:
            return _shut("enter")
        answer = RedirectResponse("./", 303)
        secure = request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"
        answer.set_cookie(COOKIE, proof, max_age=_DAYS * 86400, httponly=True, samesite="lax", secure=secure)
        return answer

    def _admits(self, request: Request) -> bool:
        return self._door.admits(request.cookies.get(COOKIE, ""))


class _Guarded:
    """Turn away who asks under a strange name, and put the headers on every answer."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        app = self._app if self._door.knows_host(_host(scope)) else _STRANGE
        await app(scope, receive, with_headers)


_STRANGE = Response("this page is for this machine alone; open it under 127.0.0.1 or localhost\n", 421)


def _host(scope: MutableMapping[str, Any]) -> str:
    named = [value for name, value in scope["headers"] if name == b"host"]
    return named[0].decode("latin-1") if len(named) == 1 else ""


def _answer(request: Request, page: LivePage) -> Response:
    headers = {"etag": page.tag}
    if request.headers.get("if-none-match") == page.tag:
        return Response(status_code=304, headers=headers)
    return Response(page.data, media_type=page.kind, headers=headers)


def _shut(path: str) -> Response:
    template = files("medforge.aggregator.page").joinpath("templates", "door.html").read_text("utf-8")
    return Response(template.replace("UP/", "../" * path.count("/")), 401, media_type=KINDS["html"])
