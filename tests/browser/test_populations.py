"""A model of several populations on the page: the user says which patients these are, and images are read again."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from contract.bundle import read_bundle
from tests import BUNDLED_MODEL
from tests.browser.conftest import load_page, new_context
from tests.browser.pages import CHEST, choose, finished
from tests.e2e.server import Server, running

POPULATIONS = read_bundle(BUNDLED_MODEL).manifest.populations
PREDICT = re.compile(r"/predict\?")


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(BUNDLED_MODEL, tmp_path_factory.mktemp("populations")) as server:
        yield server


@contextmanager
def opened(browser: Browser, server: Server) -> Iterator[tuple[Page, list[str]]]:
    """The page, and for which populations images were asked for; empty where none was stated."""
    context, asked = new_context(browser), list[str]()
    page = context.new_page()
    page.on("request", lambda request: asked.append(stated(request.url)) if PREDICT.search(request.url) else None)
    load_page(page, server.url)
    yield page, asked
    context.close()


def stated(url: str) -> str:
    return parse_qs(urlsplit(url).query).get("population", [""])[0]


def threshold(population: str) -> str:
    return f"{POPULATIONS[population].operating_points['balanced'].threshold:.4f}"


def test_images_are_asked_for_again_for_the_population_that_is_chosen(browser: Browser, hospital: Server) -> None:
    with opened(browser, hospital) as (page, asked):
        select, facts = page.locator("#population"), page.locator("#facts")
        expect(select.locator("option")).to_have_text(["All patients", "Adults", "Children"])
        choose(page, ("x.png", CHEST), ("y.png", CHEST), ("z.txt", b"no"))
        finished(page, 3)
        select.select_option("adult")
        finished(page, 3)
        expect(facts).to_contain_text(f"{threshold('adult')} (Balanced, Adults)")
        expect(page.locator("#point option:checked")).to_contain_text(f"at {float(threshold('adult')):.2f} or above")
        select.select_option("")
        expect(facts).not_to_contain_text("Adults")
        finished(page, 3)
    assert asked == [*[""] * 3, *["adult"] * 2, *[""] * 2]


@pytest.mark.parametrize("width", [1366, 1024, 360])
def test_nothing_overflows(browser: Browser, hospital: Server, width: int) -> None:
    with opened(browser, hospital) as (page, _):
        page.set_viewport_size({"width": width, "height": 768})
        expect(page.locator("#population")).to_be_in_viewport()
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_an_answer_for_the_population_of_before_is_not_shown(browser: Browser, hospital: Server) -> None:
    with opened(browser, hospital) as (page, asked):
        go_on, held = threading.Event(), list[Route]()

        def hold_first(route: Route) -> None:
            if held or go_on.is_set():
                route.continue_()
            else:
                held.append(route)

        page.route(PREDICT, hold_first)
        with page.expect_request(PREDICT):
            choose(page, ("x.png", CHEST))
        page.locator("#population").select_option("child")
        go_on.set()
        held[0].continue_()
        finished(page, 1)
        expect(page.locator("#facts")).to_contain_text(f"{threshold('child')} (Balanced, Children)")
    assert asked == ["", "child"]


def test_the_setting_is_chosen_at_first(browser: Browser, tmp_path: Path) -> None:
    with running(BUNDLED_MODEL, tmp_path, population="adult") as server, opened(browser, server) as (page, asked):
        expect(page.locator("#population option:checked")).to_have_text("Adults")
        choose(page, ("x.png", CHEST))
        finished(page, 1)
        page.locator("#population").select_option(index=0)
        finished(page, 1)
        expect(page.locator("#facts")).not_to_contain_text("Adults")
    assert asked == ["adult", "unknown"]


def test_a_model_of_one_population_has_nothing_to_choose(page: Page) -> None:
    expect(page.locator("#point")).to_be_visible()
    expect(page.locator("#population")).to_be_hidden()


def test_several_warnings_are_told_apart_in_a_table(page: Page) -> None:
    text: str = page.evaluate("""async () => {
        const { cellsOf } = await import("/page/worklist/table.js");
        const warnings = [{ code: "no_window" }, { code: "other_population" }];
        const model = { name: "brightness", version: "1" };
        const result = { label: "NORMAL", probability: 0.1, threshold: 0.4, point: "balanced" };
        return cellsOf({ name: "1", verdict: { ...result, warnings, model } }).warnings;
    }""")
    assert text == "No window: brightness may be wrong \u00b7 Another population: check the age"


def test_the_figures_of_a_site_name_it_and_its_collected_images_are_no_prevalence(page: Page) -> None:
    """A site's bundle states the share of the ill among the images that it was made from, which were chosen."""
    found: dict[str, str | None] = page.evaluate("""async () => {
        const { Served } = await import("/page/service/served.js");
        const { termsOf } = await import("/page/viewer/facts.js");
        const figure = { value: 0.9, low: 0.8, high: 1 };
        const point = { threshold: 0.4, sensitivity: figure, specificity: figure, chosen_on: "half of them" };
        const site = { name: "Ours", population: null, prevalence: 0.5, measured_on: { images: 5, patients: 4 } };
        const served = new Served();
        served.model = { site, operating_points: { balanced: point } };
        const model = { name: "brightness", version: "1" };
        const result = { label: "NORMAL", probability: 0.1, threshold: 0.4, point: "balanced", population: null };
        const verdict = { ...result, warnings: [], model, guardScore: null, isOfServedModel: true };
        const terms = Object.fromEntries(termsOf({ verdict, facts: null }, served));
        return { figures: terms["Operating point"], prevalence: served.prevalence };
    }""")
    assert "of 4 patients of Ours on whom nothing was chosen" in str(found["figures"])
    assert found["prevalence"] is None
