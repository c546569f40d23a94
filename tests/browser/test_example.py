"""examples/predict.mjs in a real browser."""

import base64

import pytest
from playwright.sync_api import Page, Route

from tests import ROOT
from tests.drawings import chest, jpeg

_ASK = """async ([call, image, options]) => {
    const example = await import("/predict.mjs");
    const bytes = Uint8Array.from(atob(image), (sign) => sign.charCodeAt(0));
    try {
        const answer = await example[call]("", new Blob([bytes]), options);
        return answer instanceof Blob ? [answer.type, answer.size] : answer;
    } catch (error) {
        return error instanceof example.RequestFailed ? error.problem : String(error);
    }
}"""


@pytest.fixture
def example(page: Page) -> Page:
    source = (ROOT / "examples" / "predict.mjs").read_text()
    page.route("**/predict.mjs", lambda route: route.fulfill(body=source, content_type="text/javascript"))
    return page


def run_example(page: Page, call: str, image: bytes, **options: str) -> object:
    return page.evaluate(_ASK, [call, base64.b64encode(image).decode(), options])


def test_the_example_predicts_explains_and_reports_errors(example: Page) -> None:
    answer = run_example(example, "predict", jpeg(), operatingPoint="rule-in")
    assert isinstance(answer, dict)
    assert answer["operating_point"] == "rule-in"
    assert answer["predictions"][0]["probability"] == pytest.approx(chest(0).mean() / 258, abs=0.002)
    picture = run_example(example, "explain", jpeg())
    assert isinstance(picture, list)
    assert picture[0] == "image/png"
    assert picture[1] > 10_000
    refused = run_example(example, "predict", b"GIF89a")
    assert isinstance(refused, dict)
    assert refused["type"] == "/problems/unsupported-media-type"


def test_the_example_retries_while_the_service_is_at_capacity(example: Page) -> None:
    asked: list[str] = []

    def full_once(route: Route) -> None:
        asked.append("")
        if len(asked) == 1:
            route.fulfill(status=503, headers={"Retry-After": "1"}, body="{}")
        else:
            route.continue_()

    example.route("**/predict", full_once)
    answer = run_example(example, "predict", jpeg())
    assert isinstance(answer, dict)
    assert len(answer["predictions"]) == 1
    assert len(asked) == 2
