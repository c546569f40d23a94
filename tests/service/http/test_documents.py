"""Documents as pages: the model card for browsers, and what the type of a problem leads to."""

import base64
import hashlib
import re
from html.parser import HTMLParser

import httpx
import pytest

from service import problems
from service.http.documents.negotiation import prefers, qualities
from service.http.documents.rendering import render
from tests import MODELS
from tests.conftest import Connect, MakeService
from tests.openapi import assert_documented
from tests.problems import assert_problem

pytestmark = pytest.mark.anyio
CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
OF_THE_FRAMEWORK_AND_THE_PROXY = {
    "not-found",
    "method-not-allowed",
    "plain-http",
    "too-many-connections",
    "replica-failed",
}


def assert_loads_nothing(answer: httpx.Response) -> None:
    """Check that a page needs nothing else, and that its policy lets its own styles apply."""
    assert not re.search(r"<(script|link|img|iframe|object)|\bsrc=|url\(|@import", answer.text)
    [style] = re.findall(r"<style>(.*?)</style>", answer.text, re.S)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in answer.headers["content-security-policy"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]


class _Balance(HTMLParser):
    open_tags: list[str]

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in {"meta", "hr", "br"}:
            self.open_tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open_tags.pop() == tag


def assert_balanced(html: str) -> None:
    parser = _Balance()
    parser.open_tags = []
    parser.feed(html)
    assert parser.open_tags == []


async def test_the_card_is_a_page_for_browsers_and_markdown_for_others(
    make_service: MakeService, connect: Connect
) -> None:
    async with connect(make_service(model=MODELS / "2")) as client:
        page = await client.get("/model/card", headers={"Accept": CHROME})
        plain = [await client.get("/model/card", headers={"Accept": each}) for each in ("*/*", "text/markdown", "")]
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["vary"] == "Accept"
    assert_loads_nothing(page)
    assert_balanced(page.text)
    assert "<title>pneumonia 2: PNEUMONIA or NORMAL" in page.text
    assert "<th>figure</th>" in page.text
    assert "<td>0.997 (0.994 to 0.999)</td>" in page.text
    assert "|" not in re.sub(r"<style>.*?</style>", "", page.text, flags=re.S)
    for each in plain:
        assert each.headers["content-type"].startswith("text/markdown")
        assert each.headers["vary"] == "Accept"
        assert each.text == (MODELS / "2" / "MODEL_CARD.md").read_text()


@pytest.mark.parametrize("kind", [*problems.kinds(), *problems.COMMAND_LINE], ids=lambda kind: kind.slug)
async def test_the_type_of_every_problem_leads_to_its_page(
    kind: problems.Kind, make_service: MakeService, connect: Connect
) -> None:
    async with connect(make_service()) as client:
        page = await client.get(kind.type)
    assert page.status_code == 200
    assert_loads_nothing(page)
    assert_balanced(page.text)
    assert f">{kind.title}</h1>".replace("'", "&#x27;") in page.text.replace("'", "&#x27;")
    assert ".md)" not in page.text
    assert "<ol" not in page.text
    if kind not in problems.COMMAND_LINE:
        assert f"<strong>{kind.status}</strong>" in page.text


async def test_the_list_of_problems_leads_to_each(make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service()) as client:
        listed = re.findall(r'href="(problems/[a-z-]+)"', (await client.get("/problems")).text)
        names = {name.rpartition("/")[2] for name in listed}
        assert names >= {kind.slug for kind in problems.kinds()} | OF_THE_FRAMEWORK_AND_THE_PROXY
        for each in OF_THE_FRAMEWORK_AND_THE_PROXY:
            assert (await client.get(f"/problems/{each}")).status_code == 200
        assert_problem(await client.get("/problems/none-such"), 404, "not-found")


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (CHROME, True),
        ("text/html", True),
        ("TEXT/HTML ; Q=0.5", True),
        ("text/markdown, text/html;q=0.9", False),
        ("text/markdown;q=0.4, text/html;q=0.9", True),
        ("text/html;q=0, */*", False),
        ("text/html;q=nonsense", True),
        ("*/*", False),
        ("", False),
    ],
)
def test_html_is_sent_only_to_those_who_name_it(accept: str, chosen: bool) -> None:
    assert prefers(accept, "text/html", over="text/markdown") == chosen


def test_what_is_not_accepted_has_no_quality() -> None:
    assert qualities("a/b;q=0.0, c/d;level=1;q=0.25, e/f") == {"c/d": 0.25, "e/f": 1.0}


def test_a_card_of_somebody_else_brings_no_markup() -> None:
    page = render("# <b>x</b> & y\n\n<script>alert(1)</script> [a](javascript:alert(1)) [b](//elsewhere)\n", "")
    assert "<script" not in page
    assert "<b>" not in page
    assert "<title>&lt;b&gt;x&lt;/b&gt; &amp; y</title>" in page
    assert 'href="javascript' not in page
    assert_balanced(page)


def test_headings_are_anchors_and_links_to_documents_are_names() -> None:
    page = render("## Operating points\n\nsee [the audit log](audit.md#what-is-kept) and [this](#x)\n", "")
    assert '<h2 id="operating-points">' in page
    assert '<cite title="docs/audit.md#what-is-kept">the audit log</cite>' in page
    assert '<a href="#x">this</a>' in page


async def test_the_vectors_of_the_guard_come_when_asked_for(make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service(model=MODELS / "3")) as client:
        brief, full = await client.get("/model"), await client.get("/model", params={"full": "1"})
        for wrong in ("full=perhaps", "full=1&full=1", "ful=1"):
            assert_problem(await client.get(f"/model?{wrong}"), 422, "invalid-request")
    assert len(brief.content) < len(full.content) / 2
    for answer, has_vectors in ((brief, False), (full, True)):
        assert_documented(answer)
        for known in answer.json()["input_guard"]["populations"].values():
            assert known["threshold"] > 0
            assert (known["location"] is not None) == (known["scale"] is not None) == has_vectors
