"""Which pages of other origins may call (CORS), with refusals that are problems like every other error."""

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from service.errors import CrossSite
from service.http.responses import error_response


class Cors(CORSMiddleware):
    """Starlette's middleware, which answers a preflight request that it refuses with plain text."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        headers = Headers(scope=scope) if scope["type"] == "http" and scope["method"] == "OPTIONS" else Headers()
        if "origin" not in headers or "access-control-request-method" not in headers:
            await super().__call__(scope, receive, send)
            return
        response = self.preflight_response(headers)
        if response.status_code != 200:
            parts = bytes(response.body).decode().removeprefix("Disallowed CORS ")
            error = CrossSite(f"pages of other origins may not call in this way: {parts} (see XRAY_CORS_ORIGINS)")
            refusal = await error_response(Request(scope), error)
            # With them a browser tells the developer of the page what is missing.
            kept = {name: value for name, value in response.headers.items() if name.startswith(("access-", "vary"))}
            refusal.headers.update(kept)
            response = refusal
        await response(scope, receive, send)
