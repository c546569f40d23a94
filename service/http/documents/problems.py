"""The pages at ``/problems``: what the ``type`` of a problem leads to. They are the sections of docs/errors.md."""

import re
from functools import cache

from fastapi import APIRouter, HTTPException, Response

from service.http.documents.markdown import page
from service.problems import COMMAND_LINE, kinds
from service.settings.shipped import shipped

router = APIRouter(include_in_schema=False)


@router.get("/problems")
async def index() -> Response:
    """All kinds of problems."""
    return await page(_text())


@router.get("/problems/{name}")
async def problem(name: str) -> Response:
    """One kind of problem. It requires no key, so that a rejected client can look up the reason."""
    if name not in _sections():
        raise HTTPException(404)
    return await page(_sections()[name])


@cache
def _text() -> str:
    text = shipped("docs/errors.md").read_text(encoding="utf-8")
    # "415. ..." would be an entry of a list.
    text = re.sub(r"^(\d{3})(\.|, with (.*?)\.)", r"**\1**\2", text, flags=re.M)
    return re.sub(r"^## (\S+)$", r"## [\1](problems/\1)", text, flags=re.M)


@cache
def _sections() -> dict[str, str]:
    """Markdown by the name of the problem."""
    titles = {kind.slug: kind.title for kind in (*kinds(), *COMMAND_LINE)}
    _, *parts = re.split(r"^## \[(\S+)\]\(\S+\)$", _text(), flags=re.M)
    return {
        name: f"# {titles.get(name, name.replace('-', ' ').capitalize())}\n\n`/problems/{name}`\n\n{text.strip()}\n\n"
        "[All problems](../problems)\n"
        for name, text in zip(parts[::2], parts[1::2], strict=True)
    }
