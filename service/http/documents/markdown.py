"""Markdown as an HTML page that loads nothing: it has no scripts and pictures, and its styles are inline."""

import asyncio
import base64
import hashlib
from functools import cache
from pathlib import Path

from fastapi import Response
from fastapi.responses import HTMLResponse

HTML = "text/html"


async def page(text: str) -> Response:
    """The response with a Markdown text as a page. It is rendered in a thread, and kept."""
    headers = {
        # Only these styles apply. A bundle's card may come from elsewhere: what it names is not loaded.
        "Content-Security-Policy": f"default-src 'none'; style-src '{style_digest()}'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'",
        "Referrer-Policy": "no-referrer",
        "Vary": "Accept",
    }
    return HTMLResponse(await asyncio.to_thread(_render, text), headers=headers)


def _render(text: str) -> str:
    from service.http.documents.rendering import render  # most services never show a page: 2 MiB, 30 ms at the start

    return render(text, style())


@cache
def style() -> str:
    """The styles of a page."""
    return (Path(__file__).parent / "document.css").read_text(encoding="utf-8")


@cache
def style_digest() -> str:
    """The digest of the styles of a page, as a Content-Security-Policy names it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(style().encode()).digest()).decode()}"
