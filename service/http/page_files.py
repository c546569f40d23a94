"""The page at ``/``: its files as they are, and the headers that keep it to itself."""

import mimetypes
from pathlib import Path

from fastapi import APIRouter, HTTPException, Response

_FOLDER = Path(__file__).parents[1] / "page"
_INDEX = "index.html"
# Nothing but this service is asked for anything, nothing written into the page runs or looks like something, nobody
# frames it, and what it opens is not told where from. Only for the page: /docs has scripts of its own within its HTML.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
}


def page_router() -> APIRouter:
    """The calls of the page. Its files are read once, here: what is asked for never becomes a path."""
    files = {path.name: path.read_bytes() for path in sorted(_FOLDER.iterdir()) if path.is_file()}
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def index() -> Response:
        """The page itself."""
        return _response(_INDEX, files[_INDEX])

    @router.get("/page/{name}")
    async def part(name: str) -> Response:
        """A file that the page needs."""
        if name not in files:
            raise HTTPException(404)
        return _response(name, files[name])

    return router


def _response(name: str, content: bytes) -> Response:
    kind = {".js": "text/javascript", ".svg": "image/svg+xml"}.get(Path(name).suffix) or mimetypes.guess_type(name)[0]
    return Response(content, media_type=kind, headers=_HEADERS)
