"""The outermost layer of the app: a request id and a record for every request, and an answer for every exception.

Pure ASGI, because Starlette's ``BaseHTTPMiddleware`` hides from a route that its client has gone.
"""

import re
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import errors
from service.telemetry import CLIENT_GONE, Metrics, RequestRecord

REQUEST_ID = "X-Request-ID"
_SAFE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_MAX_URI_BYTES = 8192


class RequestContext:
    """ASGI middleware.

    Args:
        app: the app below.
        metrics: where requests are counted.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, whatever becomes of it."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        record = RequestRecord(_request_id(Headers(scope=scope)))
        scope.setdefault("state", {})["record"] = record

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                _add_headers(MutableHeaders(scope=message), record.request_id)
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
            await self._app(scope, receive, send)
        except ClientDisconnect:
            record.outcome = "client-gone"
        except Exception as error:
            response = await errors.answer(Request(scope), error)
            if record.status != CLIENT_GONE:
                raise  # the answer had begun: only the connection can be closed now
            await response(scope, receive, send)


def _request_id(headers: Headers) -> str:
    sent = headers.get(REQUEST_ID, "")
    return sent if _SAFE_ID.fullmatch(sent) else uuid.uuid4().hex


def _add_headers(headers: MutableHeaders, request_id: str) -> None:
    headers[REQUEST_ID] = request_id
    headers.setdefault("Cache-Control", "no-store")
    headers.setdefault("X-Content-Type-Options", "nosniff")
