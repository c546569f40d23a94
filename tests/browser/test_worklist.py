"""The page as a worklist: filter, order, the way through it, counts, the result in words and on paper."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, Route, expect

from tests.browser.pages import CHEST, choose, finished, rows
from tests.drawings import chest, encode

# The stand-in's probability is the brightness, here 0.38 and 0.61; its threshold is 0.4. No contrast: it is flagged.
DARK, BRIGHT = (encode(np.clip(chest(0) * share, 0, 255).astype(np.uint8), "PNG") for share in (0.88, 1.4))
FLAT = encode(np.full((300, 300), 200, np.uint8), "PNG")


@pytest.fixture
def filled(page: Page) -> Page:
    """The page with two images below the threshold, one above, one that the input check rejects, one that failed."""
    choose(page, ("a.png", CHEST), ("dark.png", DARK), ("bright.png", BRIGHT), ("flat.png", FLAT), ("bad.png", b"no"))
    finished(page, 5)
    return page


def names(page: Page) -> list[str]:
    return [name.split("\n")[0] for name in rows(page).all_inner_texts()]


def test_what_the_input_check_rejects_is_in_no_total(filled: Page) -> None:
    progress = filled.locator("#progress")
    expect(progress).to_contain_text("1 unreliable (not counted)")
    expect(progress).to_contain_text("1 failed")
    positive = filled.locator("#list .label.PNEUMONIA:not(.unreliable)").count()
    expect(progress).to_contain_text(f"{positive} PNEUMONIA, {3 - positive} below threshold")


def test_the_list_is_filtered_and_sorted_and_the_way_through_it_follows(filled: Page) -> None:
    expect(filled.locator("#viewer-name")).to_have_text("a.png")  # the first opens by itself
    filled.locator("#sort").select_option("probability-down")
    expect(rows(filled).first).to_contain_text("flat.png")
    shown = [float(text) for text in filled.locator("#list .number").all_inner_texts()]
    assert shown == sorted(shown, reverse=True)
    assert names(filled)[-1] == "bad.png"
    filled.locator("#filter").select_option("positive")
    expect(rows(filled).filter(has_text="Below threshold")).to_have_count(0)
    expect(rows(filled).filter(has_text="flat.png")).to_have_count(0)
    filled.locator("#filter").select_option("negative")
    expect(rows(filled).last).to_contain_text("dark.png")
    seen = names(filled)
    filled.locator("#filter").focus()
    filled.locator("#list .row").first.click()
    for name in seen[1:]:
        filled.get_by_role("button", name="Next").click()
        expect(filled.locator("#viewer-name")).to_have_text(name)
    expect(filled.get_by_role("button", name="Next")).to_be_disabled()
    expect(filled.locator("#place")).to_have_text(f"{len(seen)} of {len(seen)}")
    filled.locator("#filter").select_option("warnings")
    expect(rows(filled)).to_have_count(1)
    filled.locator("#filter").select_option("failed")
    expect(rows(filled)).to_have_text(["bad.pngNot a JPEG, PNG or DICOM image."])
    filled.locator("#filter").select_option("waiting")
    expect(filled.locator("#list-empty")).to_have_text("No image matches.")
    filled.get_by_role("radio", name="Table").check()
    filled.locator("#filter").select_option("failed")
    expect(filled.locator("#rows tr")).to_have_count(1)


def test_the_time_that_is_left_is_estimated(page: Page) -> None:
    passed, held, most = list[Route](), list[Route](), [12]

    def hold_the_last(route: Route) -> None:
        # It asks the page for nothing: Playwright would handle other routes meanwhile.
        (passed if len(passed) < most[0] else held).append(route)
        if route is passed[-1]:
            route.continue_()

    page.route("**/predict*", hold_the_last)
    choose(page, *((f"{number}.png", CHEST) for number in range(16)))
    expect(page.locator("#progress")).to_contain_text("left")
    most[0] = 16
    for route in held:
        route.continue_()
    finished(page, 16)
    expect(page.locator("#progress")).not_to_contain_text("left")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"%PDF-1.7 " + bytes(400), "PDF document: export the radiograph itself"),
        (b"PK\x03\x04" + bytes(400), "Archive (such as ZIP): unpack it"),
        (b"II*\0" + bytes(400), "Picture format that is not supported"),
        (b"\0\0\0\x18ftypheic" + bytes(400), "Picture format that is not supported"),
        (b"\0\0\0\x18ftypmp42" + bytes(400), "Video: export one frontal radiograph"),
        (b"letter", "Not a JPEG, PNG or DICOM image."),
    ],
)
def test_other_formats_are_named_with_what_to_do(page: Page, data: bytes, text: str) -> None:
    choose(page, ("x", data))
    finished(page, 1)
    expect(rows(page).first).to_contain_text(text)


def test_long_names_are_shortened_in_the_middle(page: Page) -> None:
    name = "a_rather_long_name_of_a_file_from_somewhere_else_2026-11-27_lateral.png"
    choose(page, (name, CHEST))
    finished(page, 1)
    shown = rows(page).first.locator(".name")
    expect(shown).to_have_text(name)
    frame, tail = shown.bounding_box(), shown.locator("span").last.bounding_box()
    assert frame
    assert tail
    assert tail["x"] + tail["width"] <= frame["x"] + frame["width"] + 1
    assert shown.locator(".name-start").evaluate("start => start.scrollWidth > start.clientWidth")


def test_the_result_is_copied_as_text(filled: Page) -> None:
    filled.context.grant_permissions(["clipboard-read", "clipboard-write"])
    rows(filled).nth(3).locator(".row").click()
    filled.get_by_role("button", name="Copy result").click()
    expect(filled.locator("#live")).to_have_text("The result was copied.")
    copied = filled.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("flat.png\nPNEUMONIA (unreliable)\n! Outside the training data")
    for part in ("Probability: ", "Threshold: 0.4000 (Balanced)", "Model: brightness 1", "Not a medical device"):
        assert part in copied


def test_predictive_values_at_the_prevalence_of_the_site_by_bayes_theorem(page: Page) -> None:
    choose(page, ("x.png", CHEST))
    finished(page, 1)
    facts = page.locator("#facts")
    expect(facts).not_to_contain_text("prevalence")
    page.get_by_label("Pneumonia among your patients").fill("10")
    expect(facts).to_contain_text("At a prevalence of 10%")
    page.reload()
    choose(page, ("x.png", CHEST))
    finished(page, 1)
    expect(facts).to_contain_text("At a prevalence of 10%")  # remembered
    values: Any = page.evaluate("""async () => {
        const { predictiveValues } = await import("/page/images/points.js");
        const point = { sensitivity: { value: 0.943, low: 0.916, high: 0.966 },
                        specificity: { value: 0.993, low: 0.977, high: 1 } };
        return predictiveValues(point, 0.1);
    }""")
    # The row for 10 % in the card of pneumonia/2, whose figures these are.
    assert values["ppv"] == pytest.approx({"value": 0.934, "low": 0.813, "high": 1}, abs=0.004)
    assert values["npv"] == pytest.approx({"value": 0.994, "low": 0.991, "high": 0.996}, abs=0.001)


def test_the_figures_of_an_operating_point_are_those_of_the_card(page: Page) -> None:
    figures: Any = page.evaluate("""async () => {
        const { figuresOf } = await import("/page/images/points.js");
        const card = "## A\\n\\n### Operating points\\n\\n| operating point | threshold |\\n"
            + "| `balanced` (default) | 0.4000 | 0.943 (0.916 to 0.966) | 0.993 (0.977 to 1.000) | 367 |\\n\\n"
            + "| `balanced` | 1 % | 0.563 (0.283 to 1.000) | 0.999 (0.999 to 1.000) |\\n\\n### B\\n";
        const stated = { value: 0.9, low: 0.8, high: 1 };
        const point = { threshold: 0.4, sensitivity: stated, specificity: stated, chosen_on: "some" };
        const results = { test: { images: 5, patients: 4 } };
        const model = { operating_points: { balanced: point, other: point }, results };
        return [figuresOf(model, card, "balanced", null), figuresOf(model, card, "other", null)];
    }""")
    assert figures[0]["sensitivity"] == {"value": 0.943, "low": 0.916, "high": 0.966}
    assert figures[0]["specificity"]["value"] == 0.993
    assert (figures[0]["images"], figures[0]["patients"]) == (5, 4)
    assert figures[1]["where"] == "some"


def test_the_figures_of_a_population_are_those_of_its_part_of_the_card(page: Page) -> None:
    """Of the point in its table, which is the default one; the others' are of the patients that chose the threshold."""
    figures: Any = page.evaluate("""async () => {
        const { figuresOf } = await import("/page/images/points.js");
        const part = (name, figure) => `**\\`${name}\\`**: some. AUC 0.9 (0.8 to 1.0) on 52 images (38 PNEUMONIA) of `
            + "36 held-out patients (used for nothing), population.\\n\\n| population given | threshold |\\n"
            + `| not known | 0.4000 | 0.95 | 0.1 (0.1 to 0.2) | 0.1 (0.1 to 0.2) |\\n| \\`${name}\\` | 0.4000 `
            + `| 0.952 (0.930 to 0.971) | ${figure} (0.913 to 0.965) | 0.985 (0.962 to 1.000) | 0.963 |\\n\\n`;
        const card = `### Each population\\n\\n${part("adult", "0.902")}${part("child", "0.941")}### B\\n`;
        const stated = { value: 0.9, low: 0.8, high: 1 };
        const points = Object.fromEntries([["balanced", 0.4], ["other", 0.5]].map(([name, threshold]) => (
            [name, { threshold, sensitivity: stated, specificity: stated, chosen_on: "some" }])));
        const model = { populations: { child: { operating_points: points } } };
        return ["balanced", "other"].map((name) => figuresOf(model, card, name, "child"));
    }""")
    assert figures[0]["sensitivity"] == {"value": 0.941, "low": 0.913, "high": 0.965}
    assert figures[0]["specificity"] == {"value": 0.985, "low": 0.962, "high": 1}
    assert (figures[0]["images"], figures[0]["patients"]) == (52, 36)
    assert (figures[1]["sensitivity"]["value"], figures[1]["where"]) == (0.9, "some")


def printed(page: Page, button: str) -> None:
    """Press a button that prints. The page's print() is replaced: a headless browser has no dialog."""
    page.evaluate("window.print = () => { window.printedAs = document.title; }")
    page.get_by_role("button", name=button).click()
    page.emulate_media(media="print")


def test_the_report_of_an_image_has_all_that_belongs_to_it(filled: Page) -> None:
    rows(filled).nth(3).locator(".row").click()
    expect(filled.locator("#heat")).to_be_visible()
    printed(filled, "Print report")
    assert filled.evaluate("printedAs") == "Report flat.png"
    report = filled.locator("#report")
    expect(report).to_be_visible()
    expect(filled.locator("header")).to_be_hidden()
    for text in (
        "Not a medical device",
        "flat.png",
        "unreliable",
        "Outside the training data",
        "Threshold",
        "brightness 1",
    ):
        expect(report).to_contain_text(text)
    for text in (
        "Input check",
        "Operating point",
        "not a lesion outline",
        "Read by (name, date, signature)",
        "Printed",
    ):
        expect(report).to_contain_text(text)
    expect(report.locator("canvas")).to_have_count(2)
    inked = """canvas => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data
        .some((value, at) => at % 4 < 3 && value > 50)"""
    assert report.locator("canvas").first.evaluate(inked)
    assert filled.pdf().startswith(b"%PDF")


def test_the_report_of_the_list_is_what_is_seen(filled: Page) -> None:
    filled.locator("#filter").select_option("failed")
    expect(rows(filled)).to_have_count(1)
    printed(filled, "Print list")
    expect(filled.locator("#report tbody tr")).to_have_count(1)
    expect(filled.locator("#report")).to_contain_text("Not a JPEG, PNG or DICOM image.")
    filled.evaluate("dispatchEvent(new Event('afterprint'))")
    expect(filled.locator("#report")).to_be_empty()


def test_the_report_is_of_the_picture_as_it_was_sent(filled: Page) -> None:
    """Not inverted or turned, whatever is seen on the stage."""
    expect(filled.locator("#heat")).to_be_visible()
    filled.get_by_role("button", name="Invert").click()
    filled.get_by_role("button", name="Rotate").click()
    printed(filled, "Print report")
    size = filled.locator("#report canvas").first.evaluate("canvas => [canvas.width, canvas.height]")
    assert size == list(Image.open(io.BytesIO(CHEST)).size)
