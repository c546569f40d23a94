"""Static checks of the page's files: allowed addresses and scripts, size, texts and their languages, contrast."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from httpx import Response

from service import problems
from service.client.results import COLUMNS
from service.http.documents.markdown import style_digest
from service.http.drawing import PLASMA
from tests import ROOT
from tests.conftest import Connect, MakeService
from tests.problems import assert_problem

pytestmark = pytest.mark.anyio
PAGE = ROOT / "service" / "page"
FILES = sorted(path for path in PAGE.rglob("*") if path.is_file())
MODULES = [path for path in FILES if path.suffix == ".js"]
LANGUAGES = sorted((PAGE / "languages").iterdir())
COLOURS = (PAGE / "styles" / "colours.css").read_text()
RULES = "".join((PAGE / "styles" / f"{name}.css").read_text() for name in ("page", "viewer", "narrow"))
# Placeholders of a text, as say() fills them in.
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
# Foregrounds and backgrounds, by the variables in colours.css: WCAG requires 4.5 for text, 3 for edges of controls.
TEXTS = ("text", "quiet", "focus", "positive", "negative", "warning", "error")
BACKGROUNDS = ("page", "panel", "raised")
SHAPES = ("edge", "focus", "positive", "negative", "text", "quiet")


def name_of(path: Path) -> str:
    """Its name below ``/page``."""
    return path.relative_to(PAGE).as_posix()


def colours(theme: str) -> dict[str, str]:
    """The variables of a theme; the light theme overrides some of the dark one."""
    blocks = re.findall(r":root(?:\[data-theme=\"(\w+)\"\])? \{(.*?)\n\}", COLOURS, re.S)
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
        answers = [await client.get("/"), *[await client.get(f"/page/{name_of(path)}") for path in FILES]]
    for answer in answers:
        assert answer.status_code == 200
        directives = policy(answer)
        assert directives.pop("img-src") == "'self' blob:"
        assert directives.pop("require-trusted-types-for") == "'script'"
        assert directives.pop("style-src") == f"'self' '{style_digest()}'"
        assert {directives[name] for name in ("script-src", "connect-src")} == {"'self'"}
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


@pytest.mark.parametrize("name", ["nope.js", "..%2Fapp.py", "%2e%2e/app.py", ".", "app.js/", "common"])
async def test_there_are_no_other_files(make_service: MakeService, connect: Connect, name: str) -> None:
    async with connect(make_service()) as client:
        assert_problem(await client.get(f"/page/{name}"), 404, "not-found")


def test_it_is_small() -> None:
    languages = sum(path.stat().st_size for path in LANGUAGES)
    assert sum(path.stat().st_size for path in FILES) - languages < 130_000
    assert max(path.stat().st_size for path in LANGUAGES) < 24_000  # the page loads one of them


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_no_other_address_is_named(path: Path) -> None:
    text = path.read_text().replace("http://www.w3.org/2000/svg", "")  # a namespace, not an address
    assert not re.findall(r"https?:|wss?:|[\"'(]//", text)


def test_nothing_is_inline() -> None:
    html = (PAGE / "index.html").read_text()
    assert not re.findall(r"<style|\sstyle=|\son\w+=|javascript:", html)
    assert re.findall(r"<script[^>]*>([^<]*)</script>", html) == [""]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_nothing_is_stored_and_no_text_becomes_markup(path: Path) -> None:
    stores = r"sessionStorage|indexedDB|caches\b|\.cookie|serviceWorker"
    if path.name != "preferences.js":  # the one place that stores: three preferences, by their name
        stores += "|localStorage"
    assert not re.findall(rf"{stores}|innerHTML|outerHTML|insertAdjacent|eval\(", path.read_text())


def flat(texts: Any, path: str = "") -> dict[str, str]:
    """The texts of a language by their path, as say() takes it; the items of lists by their number."""
    if isinstance(texts, str):
        return {path: texts}
    entries = texts.items() if isinstance(texts, dict) else enumerate(texts)
    return {name: text for key, value in entries for name, text in flat(value, f"{path}.{key}".strip(".")).items()}


def texts_of(path: Path) -> dict[str, str]:
    return flat(json.loads(path.read_text()))


ENGLISH = texts_of(PAGE / "languages" / "en.json")


def test_every_text_is_in_the_languages_and_used() -> None:
    rest = "".join(path.read_text() for path in FILES if path.suffix != ".json")
    used = set(re.findall(r"data-(?:text|label|hint)=\"([\w.]+)\"", rest)) | set(re.findall(r"say\(\"([\w.]+)\"", rest))
    assert used - ENGLISH.keys() == set()
    groups = {name.partition(".")[0] for name in re.findall(r"(?:say|find)\([^)]*?`(\w+)\.", rest)}
    groups |= set(re.findall(r"list\(\"(\w+)\"", rest)) | set(re.findall(r": `(\w+)\.\$", rest))
    names = {name for name in ENGLISH if name not in used and name.partition(".")[0] not in groups}
    assert {name for name in names if f'"{name}"' not in rest} == set()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_text_stands_in_a_module(path: Path) -> None:
    """Two words after another within quotes are a text, unless nobody reads it: an error of the program, a header."""
    code = re.sub(r"^\s*(//|\*|/\*).*$|(?<!:)//.*$|throw new Error\(.*", "", path.read_text(), flags=re.M)
    found = re.findall(r"[\"`']([A-Z]?[a-z]{2,} [a-z]{2,}[^\"`']*)[\"`']", code)
    class_names = set(re.findall(r"className[:=] \"([^\"]*)\"", code))
    assert set(found) - class_names <= {"Not for"}  # of the model card


def test_no_text_stands_in_the_html() -> None:
    html = (PAGE / "index.html").read_text()
    body = re.sub(r"<!--.*?-->|<noscript>.*?</noscript>", "", html[html.index("<body>") :], flags=re.S)
    assert [text.strip() for text in re.findall(r">([^<]+)<", body) if re.search(r"[a-zA-Z]{2}", text)] == []
    assert not re.findall(r"\s(?:aria-label|title|placeholder)=", html)


@pytest.mark.parametrize("path", LANGUAGES, ids=lambda path: path.stem)
def test_every_language_is_complete(path: Path) -> None:
    """The same texts as in English, with the same placeholders, and none left in English but names and units."""
    texts = texts_of(path)
    assert texts.keys() == ENGLISH.keys()
    assert [name for name, text in texts.items() if not text.strip()] == []
    placeholders = {name: sorted(set(_PLACEHOLDER.findall(text))) for name, text in ENGLISH.items()}
    assert {name: sorted(set(_PLACEHOLDER.findall(text))) for name, text in texts.items()} == placeholders
    if path.stem != "en":
        sentences = [name for name, text in ENGLISH.items() if len(re.sub(r"\{\w+\}", "", text).split()) > 3]
        assert [name for name in sentences if texts[name] == ENGLISH[name]] == []


def test_every_language_can_be_chosen() -> None:
    offered = re.search(r"LANGUAGES = \{(.*?)\};", (PAGE / "common" / "texts.js").read_text(), re.S)
    assert offered
    assert set(re.findall(r"(\w+): \"", offered[1])) == {path.stem for path in LANGUAGES}


def test_every_problem_and_warning_has_a_text() -> None:
    slugs = {kind.slug for kind in problems.kinds()}
    named = {name.removeprefix("problems.") for name in ENGLISH if name.startswith("problems.")}
    of_the_page = {"unreadable-file", "unreachable", "unknown"}
    assert named - slugs == of_the_page
    warnings = {name.partition(".")[2] for name in ENGLISH if name.startswith("warnings.")}
    assert warnings == {name.partition(".")[2] for name in ENGLISH if name.startswith("shortWarnings.")}
    documented = set(re.findall(r"`(\w+_\w+)`", (ROOT / "docs" / "dicom.md").read_text()))
    of_any_image = {"exif_orientation_applied", "bit_depth_unclear", "unlike_training_data", "other_population"}
    assert of_any_image <= warnings
    assert warnings - of_any_image <= documented


def test_the_csv_has_the_columns_of_the_command_line() -> None:
    listed = re.search(r"COLUMNS = \[(.*?)\];", (PAGE / "images" / "csv.js").read_text(), re.S)
    assert listed
    assert tuple(re.findall(r"\"(\w+)\"", listed[1])) == COLUMNS


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
    assert set(re.findall(r"#[0-9a-f]{3,8}\b(?=[;, ])", RULES)) == {"#000", "#000a", "#e8edf1"}


def test_the_legend_has_the_colours_of_the_heatmap() -> None:
    ramp = re.search(r"--ramp: (.*);", COLOURS)
    assert ramp
    assert ramp[1].split(", ") == [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in PLASMA]
