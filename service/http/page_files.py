"""The browser page at ``/``: its static files, and the security headers that isolate it."""

import mimetypes
from pathlib import Path

from fastapi import APIRouter, HTTPException, Response

from service.http.documents.markdown import style_digest

_FOLDER = Path(__file__).parents[1] / "page"
_INDEX = "index.html"
# The page loads from and connects to this service only, injected text can neither run as script nor apply styles, no
# site can frame the page, and links send no referrer. For the page only: the HTML of /docs has inline scripts. The one
# inline style is that of the rendered model card, which the page takes apart.
_HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; script-src 'self'; style-src 'self' '{style_digest()}'; "
    "img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
}


def page_router() -> APIRouter:
    """The routes of the page. The files are read once, here, so a requested name never becomes a file system path."""
    files = {path.relative_to(_FOLDER).as_posix(): path.read_bytes() for path in _FOLDER.rglob("*") if path.is_file()}
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def index() -> Response:
        """The HTML of the page."""
        return _response(_INDEX, files[_INDEX])

    @router.get("/page/{name:path}")
    async def part(name: str) -> Response:
        """A script, style sheet, image or table of texts of the page."""
        if name not in files:
            raise HTTPException(404)
        return _response(name, files[name])

    return router


def _response(name: str, content: bytes) -> Response:
    kind = {".js": "text/javascript", ".svg": "image/svg+xml"}.get(Path(name).suffix) or mimetypes.guess_type(name)[0]
    return Response(content, media_type=kind, headers=_HEADERS)
