"""The outermost middleware: a request id and a log record for every request, and a response for every exception.

Pure ASGI, because Starlette's ``BaseHTTPMiddleware`` hides from a route that its client has disconnected.
"""

from collections.abc import Awaitable, Callable

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import errors
from service.http import responses
from service.http.middleware.prefix import Prefix
from service.http.middleware.site import SiteCheck
from service.problems import HEADERS
from service.telemetry.metrics import CLIENT_GONE, Metrics
from service.telemetry.record import RequestRecord

REQUEST_ID = "X-Request-ID"
_Fields = list[tuple[bytes, bytes]]
_REQUEST_ID, _POLICY = b"x-request-id", b"content-security-policy"
_MAX_URI_BYTES = 8192
IMAGE_ROUTES = frozenset({"/predict", "/explain", "/render"})
# The HTML of Swagger UI has an inline script, and sets styles by script; it shows an image response from a blob URL.
_DOCS_POLICY = (
    b"default-src 'self'; script-src 'self' 'unsafe-inline'; "
    b"style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; base-uri 'none'; frame-ancestors 'none'"
)
_DOCS_HEADERS = [(name, _DOCS_POLICY if name == _POLICY else value) for name, value in HEADERS]


class RequestContext:
    """ASGI middleware.

    Args:
        app: the wrapped app.
        metrics: counts the requests.
        site: checks which sites may call.
        prefix: the path prefix of the service.
        check: raises if no image can be admitted. It runs first for a request that sends images, because an
            overloaded service must reject at next to no cost. None: only the endpoint itself checks.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        site: SiteCheck,
        prefix: Prefix,
        check: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._app, self._metrics, self._site, self._prefix = app, metrics, site, prefix
        self._check_admission = check

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, and log and count it however it ends."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)
        record = RequestRecord.of(headers.get(REQUEST_ID, ""), headers.get("traceparent", ""))
        scope.setdefault("state", {})["record"] = record
        is_head = scope["method"] == "HEAD"
        if is_head:  # every endpoint of GET, without its body (RFC 9110 section 9.3.2)
            scope = {**scope, "method": "GET"}

        async def send_with_headers(message: Message) -> None:
            if is_head and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            if message["type"] == "http.response.start":
                record.status = message["status"]
                defaults = _DOCS_HEADERS if scope["path"].startswith("/docs") else HEADERS
                message["headers"] = _completed(message.get("headers", []), record.request_id, defaults)
            await send(message)

        try:
            await self._handle(scope, receive, send_with_headers)
        finally:
            record.route = getattr(scope.get("route"), "path", record.route)
            record.emit(self._metrics)

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        record: RequestRecord = scope["state"]["record"]
        try:
            if len(scope["raw_path"]) + len(scope["query_string"]) > _MAX_URI_BYTES:
                raise errors.UriTooLong(f"path and query may have at most {_MAX_URI_BYTES} bytes")
            headers = Headers(scope=scope)
            self._site.check(scope, headers)
            if (address := self._prefix.apply(scope, headers)) is not None:
                return await RedirectResponse(address, 308)(scope, receive, send)
            if scope["method"] == "POST":
                record.cancel_if_gone = scope["path"] in IMAGE_ROUTES or scope["path"].endswith("/infer")
                if self._check_admission and scope["path"] in IMAGE_ROUTES:
                    record.route = scope["path"]
                    await self._check_admission()
            await self._app(scope, receive, send)
        except ClientDisconnect:
            record.outcome = "client-gone"
        except Exception as error:
            response = await responses.error_response(Request(scope), error)
            if record.status != CLIENT_GONE:
                raise  # the response has begun: only the connection can be closed now
            await response(scope, receive, send)


def _completed(headers: _Fields, request_id: str, defaults: _Fields) -> _Fields:
    """The header fields of a response with its request id, and with the defaults that it does not set itself."""
    present = {name for name, _ in headers}
    kept = [each for each in headers if each[0] != _REQUEST_ID] if _REQUEST_ID in present else headers
    missing = [each for each in defaults if each[0] not in present]
    return [*kept, (_REQUEST_ID, request_id.encode()), *missing]
