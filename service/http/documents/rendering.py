"""Markdown to a complete HTML page."""

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from html import escape

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header><a href="../">xray-inference</a></header>
<main>
{body}</main>
</body>
</html>
"""


@lru_cache(maxsize=128)
def render(text: str, style: str) -> str:
    """The HTML of a page. HTML in the Markdown is shown as text. The title is the first heading.

    Args:
        text: the Markdown.
        style: the styles, CSS.
    """
    parser = _parser()
    tokens = parser.parse(text)
    headings = [tokens[at + 1].content for at, token in enumerate(tokens) if token.type == "heading_open"]
    body = parser.renderer.render(tokens, parser.options, {})
    return _PAGE.format(title=escape(headings[0] if headings else "xray-inference"), style=style, body=body)


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.core.ruler.push("anchors", _anchors)
    parser.core.ruler.push("documents", _documents)
    # A wide table scrolls by itself, also with the keyboard.
    parser.add_render_rule("table_open", _opened)
    parser.add_render_rule("table_close", _closed)
    return parser


def _anchors(state: StateCore) -> None:
    """Give each heading an id, so that links can lead to it."""
    for heading, content in zip(state.tokens, state.tokens[1:], strict=False):
        if heading.type == "heading_open":
            heading.attrSet("id", re.sub(r"[^a-z0-9]+", "-", content.content.lower()).strip("-"))


def _documents(state: StateCore) -> None:
    """Turn a link to another document of the project, which the service does not have, into its name."""
    for token in state.tokens:
        leads_away = False
        for child in token.children or []:
            target = str(child.attrGet("href") or "")
            if child.type == "link_open" and re.match(r"[\w./-]+\.md(#|$)", target):
                child.type, child.tag, child.attrs = "em_open", "cite", {"title": f"docs/{target}"}
                leads_away = True
            elif child.type == "link_close" and leads_away:
                child.type, child.tag, leads_away = "em_close", "cite", False


def _opened(renderer: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: EnvType) -> str:
    return '<div class="table" role="region" aria-label="Table" tabindex="0">\n' + renderer.renderToken(
        tokens, at, options, env
    )


def _closed(renderer: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: EnvType) -> str:
    return f"{renderer.renderToken(tokens, at, options, env)}</div>\n"
