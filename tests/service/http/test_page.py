"""Static checks of the page's files: allowed addresses and scripts, size, texts, contrast."""

import re
from pathlib import Path

import pytest
from httpx import Response

from service.http.drawing import PLASMA
from tests import ROOT
from tests.conftest import Connect, MakeService
from tests.problems import assert_problem

pytestmark = pytest.mark.anyio
FILES = sorted((ROOT / "service" / "page").iterdir())
MODULES = [path for path in FILES if path.suffix == ".js"]
STYLE = (ROOT / "service" / "page" / "style.css").read_text()
# Foregrounds and backgrounds, by the variables in style.css: WCAG requires 4.5 for text, 3 for edges of controls.
TEXTS = ("text", "quiet", "focus", "positive", "negative", "warning", "error")
BACKGROUNDS = ("page", "panel", "raised")
SHAPES = ("edge", "focus", "positive", "negative", "text", "quiet")


def colours(theme: str) -> dict[str, str]:
    """The variables of a theme; the light theme overrides some of the dark one."""
    blocks = re.findall(r":root(?:\[data-theme=\"(\w+)\"\])? \{(.*?)\n\}", STYLE, re.S)
    found = {name: dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block)) for name, block in blocks}
    return found[""] | found.get(theme, {})


def luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def policy(response: Response) -> dict[str, str]:
    """The directives of a Content-Security-Policy."""
    return dict(part.strip().partition(" ")[::2] for part in response.headers["content-security-policy"].split(";"))


async def test_the_page_and_its_files_come_with_a_strict_policy(make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service()) as client:
        answers = [await client.get("/"), *[await client.get(f"/page/{path.name}") for path in FILES]]
    for answer in answers:
        assert answer.status_code == 200
        directives = policy(answer)
        assert directives.pop("img-src") == "'self' blob:"
        assert directives.pop("require-trusted-types-for") == "'script'"
        assert {directives[name] for name in ("script-src", "style-src", "connect-src")} == {"'self'"}
        assert {directives[name] for name in ("default-src", "frame-ancestors", "base-uri", "form-action")} == {
            "'none'"
        }
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
    kinds = {path.suffix: answer.headers["content-type"] for path, answer in zip(FILES, answers[1:], strict=True)}
    assert kinds[".js"].startswith("text/javascript")
    assert kinds[".css"].startswith("text/css")
    assert kinds[".svg"].startswith("image/svg+xml")
    assert answers[0].headers["content-type"].startswith("text/html")
    assert "set-cookie" not in str([answer.headers for answer in answers])


async def test_the_policy_is_the_pages_own(make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service()) as client:
        docs, page = [(await client.get(path)).headers["content-security-policy"] for path in ("/docs", "/")]
        assert "unsafe-inline" in docs  # Swagger UI uses an inline script
        assert docs != page


@pytest.mark.parametrize("name", ["nope.js", "..%2Fapp.py", "%2e%2e/app.py", ".", "app.js/"])
async def test_there_are_no_other_files(make_service: MakeService, connect: Connect, name: str) -> None:
    async with connect(make_service()) as client:
        assert_problem(await client.get(f"/page/{name}"), 404, "not-found")


def test_it_is_small() -> None:
    assert sum(path.stat().st_size for path in FILES) < 100_000


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_other_address_is_named(path: Path) -> None:
    text = path.read_text().replace("http://www.w3.org/2000/svg", "")  # a namespace, not an address
    assert not re.findall(r"https?:|wss?:|[\"'(]//", text)


def test_nothing_is_inline() -> None:
    html = (ROOT / "service" / "page" / "index.html").read_text()
    assert not re.findall(r"<style|\sstyle=|\son\w+=|javascript:", html)
    assert re.findall(r"<script[^>]*>([^<]*)</script>", html) == [""]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_nothing_is_stored_and_no_text_becomes_markup(path: Path) -> None:
    stores = r"localStorage|sessionStorage|indexedDB|caches\b|\.cookie|serviceWorker"
    assert not re.findall(rf"{stores}|innerHTML|outerHTML|insertAdjacent|eval\(", path.read_text())


def test_every_text_is_in_one_place_and_used() -> None:
    texts = (ROOT / "service" / "page" / "texts.js").read_text()
    rest = "".join(path.read_text() for path in FILES if path.name != "texts.js")
    used = set(re.findall(r"(?:data-text|data-label)=\"(\w+)\"", rest)) | set(re.findall(r"say\([\"`](\w+)", rest))
    defined = set(re.findall(r"^  (\w+):", texts, re.M))
    assert used - defined == set()
    assert {name for name in defined - used if f'"{name}"' not in rest and f"TEXTS.{name}" not in rest + texts} == set()


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_the_contrast_is_wcag_aa(theme: str) -> None:
    found = colours(theme)
    pairs = [(text, background, 4.5) for text in TEXTS for background in BACKGROUNDS]
    pairs += [(shape, background, 3) for shape in SHAPES for background in BACKGROUNDS]
    pairs.append(("on-focus", "focus", 4.5))
    ratios = {pair: contrast(found[pair[0]], found[pair[1]]) for pair in pairs}
    assert {pair: ratio for pair, ratio in ratios.items() if ratio < pair[2]} == {}


def test_the_contrast_is_computed_correctly() -> None:
    """Two known ratios: black on white, and the lightest grey that passes."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


def test_every_colour_is_a_variable() -> None:
    """Otherwise the test of contrast would not cover it. Exception: the black behind the radiograph and its text."""
    rules = STYLE[STYLE.index("* { box-sizing") :]
    assert set(re.findall(r"#[0-9a-f]{3,8}\b(?=[;, ])", rules)) == {"#000", "#000a", "#e8edf1"}


def test_the_legend_has_the_colours_of_the_heatmap() -> None:
    ramp = re.search(r"--ramp: (.*);", STYLE)
    assert ramp
    assert ramp[1].split(", ") == [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in PLASMA]
