"""The outermost layer of the app: a request id and a record for every request, and an answer for every exception.

Pure ASGI, because Starlette's ``BaseHTTPMiddleware`` hides from a route that its client has gone.
"""

import asyncio
import re
import time
import uuid
from collections.abc import Callable, Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import errors
from service.errors import ServiceError
from service.http import responses as answers
from service.telemetry.metrics import CLIENT_GONE, HEALTH, Metrics, RequestRecord

REQUEST_ID = "X-Request-ID"
SAFE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PORT = re.compile(r":\d*$")
_MAX_URI_BYTES = 8192
# A refusal takes half a millisecond of the event loop and of Python's lock, which threads that compute need, too.
_REFUSAL_EVERY_S = 0.002
# Calls that images are sent to.
_READING = frozenset({"/predict", "/explain"})


# For every answer that does not say otherwise: nobody on the way keeps it, it is what its type says, and no browser
# runs, loads or frames anything because of it. No Strict-Transport-Security: it would hold for whatever else is served
# under the same name, on any port, which is for the hospital to say.
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
# Swagger UI's own HTML has its script inline, and styles by script; an answered picture is a blob.
_DOCS_HEADERS = {
    **_HEADERS,
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'unsafe-inline'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; base-uri 'none'; frame-ancestors 'none'",
}


class RequestContext:
    """ASGI middleware.

    Args:
        app: the app below.
        metrics: where requests are counted.
        hosts: names that requests may be addressed to, without port; empty: any. Health checks may use any.
        knock: raises if no image would be let in now. Asked before anything else is done for a request to have some
            read: a service that has more to do than it can must refuse at next to no cost. None: the call itself asks.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        hosts: Collection[str] = (),
        check: Callable[[], object] | None = None,
    ) -> None:
        self._app, self._metrics, self._hosts = app, metrics, {host.lower() for host in hosts}
        self._knock, self._next_refusal = check, 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, whatever becomes of it."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        record = RequestRecord(_request_id(Headers(scope=scope)))
        scope.setdefault("state", {})["record"] = record

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID] = record.request_id
                for name, value in (_DOCS_HEADERS if scope["path"].startswith("/docs") else _HEADERS).items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._answer(scope, receive, send_with_headers)
        finally:
            record.route = getattr(scope.get("route"), "path", record.route)
            record.emit(self._metrics)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        record: RequestRecord = scope["state"]["record"]
        try:
            if len(scope["raw_path"]) + len(scope["query_string"]) > _MAX_URI_BYTES:
                raise errors.UriTooLong(f"an address may have {_MAX_URI_BYTES} bytes")
            if self._hosts and not scope["path"].startswith(HEALTH) and _host(scope) not in self._hosts:
                raise errors.UnknownHost("the Host of this request is not a name of this service")
            if self._knock and scope["path"] in _READING and scope["method"] == "POST":
                record.route = scope["path"]
                await self._come_in(self._knock)
            await self._app(scope, receive, send)
        except ClientDisconnect:
            record.outcome = "client-gone"
        except Exception as error:
            response = await answers.answer(Request(scope), error)
            if record.status != CLIENT_GONE:
                raise  # the answer had begun: only the connection can be closed now
            await response(scope, receive, send)

    async def _come_in(self, check: Callable[[], object]) -> None:
        """Who is refused is refused at a bounded rate, so that many who ask again at once do not keep the service from
        answering anybody; and looks once more when it is their turn.
        """
        try:
            check()
        except ServiceError:
            now = time.monotonic()
            turn = max(now, self._next_refusal)
            self._next_refusal = turn + _REFUSAL_EVERY_S
            if turn == now:
                raise
            await asyncio.sleep(turn - now)
            check()


def _request_id(headers: Headers) -> str:
    sent = headers.get(REQUEST_ID, "")
    return sent if SAFE_ID.fullmatch(sent) else uuid.uuid4().hex


def _host(scope: Scope) -> str:
    """The name that a request is addressed to: without port, lower case, an IPv6 address in its brackets."""
    return _PORT.sub("", Headers(scope=scope).get("host", "")).lower()
