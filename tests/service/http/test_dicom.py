"""DICOM objects over HTTP: answered like pictures, also among others, by threads and by decoder processes."""

import io
from pathlib import Path
from typing import Any

import httpx
import imagecodecs
import numpy as np
import pydicom
import pytest

from service.inference.decoding.messages import Message
from tests.bundles import POINTS, POPULATIONS, write_brightness_bundle
from tests.conftest import Connect, MakeService
from tests.dicom_objects import compressed, drawn, grey16
from tests.drawings import chest, png
from tests.problems import assert_problem

pytestmark = pytest.mark.anyio
BY_AGE = {
    "child": POPULATIONS["child"].model_copy(update={"from_age": 1.0, "below_age": 6.0}),
    "adult": POPULATIONS["adult"].model_copy(update={"from_age": 18.0, "below_age": None}),
}
DICOM = {"Content-Type": "application/dicom"}
AGE_CONTRADICTS = (
    "the age in the DICOM object is of the population child, but the image was judged as one of the population adult"
)


async def test_an_object_and_its_png_have_the_same_answer(make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service()) as client:
        theirs = (await client.post("/predict", content=png())).json()["predictions"][0]
        ours = (await client.post("/predict", content=drawn(chest()), headers=DICOM)).json()["predictions"][0]
    assert ours == theirs


async def test_a_bad_object_among_good_files_costs_nobody_else(make_service: MakeService, connect: Connect) -> None:
    sent = [drawn(), drawn(Modality="CT"), png(), drawn()[:2000], drawn(chest())]
    async with connect(make_service()) as client:
        answer = await client.post("/predict", files=[("file", (f"{n}", data)) for n, data in enumerate(sent)])
    entries = answer.json()["predictions"]
    slugs = [entry["error"] and entry["error"]["type"].rpartition("/")[2] for entry in entries]
    assert slugs == [None, "unsupported-modality", None, "truncated-image", None]


async def test_the_warnings_of_an_object_are_in_its_answer(make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service()) as client:
        answer = await client.post("/predict", content=drawn(ViewPosition="LL", WindowWidth=None))
        explained = await client.post("/explain", content=drawn(ViewPosition="LL"))
    warnings = answer.json()["predictions"][0]["warnings"]
    assert [warning["code"] for warning in warnings] == ["lateral_view", "no_window"]
    assert explained.headers["X-Warnings"] == "lateral_view"


async def test_a_costly_object_is_decoded_in_a_process_with_the_same_answer(
    make_service: MakeService, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.kron(grey16(), np.ones((8, 8), np.uint16))
    coded = imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k", bitspersample=12)
    sent = compressed(coded, pixels, "1.2.840.10008.1.2.4.90", PatientAge="061Y", WindowWidth=None)
    service = make_service()
    asked: list[object] = []
    ask = service.decoder._processes.ask

    async def counted(request: Message) -> Message:
        asked.append(request)
        return await ask(request)

    monkeypatch.setattr(service.decoder._processes, "ask", counted)
    async with connect(service) as client:
        costly = (await client.post("/predict", content=sent)).json()["predictions"][0]
        plain = drawn(pixels, PatientAge="061Y", WindowWidth=None)
        cheap = (await client.post("/predict", content=plain)).json()["predictions"][0]
    assert len(asked) == 1
    assert costly == cheap
    assert [warning["code"] for warning in costly["warnings"]] == ["age_outside_model", "no_window"]


@pytest.mark.parametrize(
    ("age", "setting", "query", "expected"),
    [
        ("061Y", None, "", "adult"),
        ("003Y", None, "", "child"),
        ("010Y", None, "", None),
        (None, None, "", None),
        (None, "adult", "", "adult"),
        ("003Y", "adult", "", "child"),
        ("003Y", None, "?population=adult", "adult"),
        ("003Y", None, "?population=unknown", None),
        ("061Y", None, "?operating_point=rule-in", "adult"),
    ],
)
async def test_the_age_chooses_the_population_unless_the_request_states_it(  # noqa: PLR0917
    age: str | None,
    setting: str | None,
    query: str,
    expected: str | None,
    make_service: MakeService,
    connect: Connect,
    tmp_path: Path,
) -> None:
    folder = write_brightness_bundle(tmp_path / "m" / "1", operating_points=POINTS, populations=BY_AGE)
    async with connect(make_service(model=folder, population=setting)) as client:
        answer = (await client.post(f"/predict{query}", content=drawn(PatientAge=age))).json()
        files = [("file", ("1", drawn(PatientAge=age))), ("file", ("2", png()))]
        of_two = (await client.post(f"/predict{query}", files=files)).json()
    point = answer["operating_point"]
    thresholds = POINTS[point] if expected is None else BY_AGE[expected].operating_points[point]
    assert (answer["population"], answer["predictions"][0]["threshold"]) == (expected, thresholds.threshold)
    assert of_two["predictions"][0] == answer["predictions"][0] | {"filename": "1"}
    stated = {"?population=adult": "adult", "?population=unknown": None}.get(query, setting)
    assert of_two["predictions"][1]["population"] == of_two["population"] == stated
    contradicted = [each for each in answer["predictions"][0]["warnings"] if each["code"] == "other_population"]
    assert [each["detail"].partition(":")[0] for each in contradicted] == (
        [AGE_CONTRADICTS] if (age, query) == ("003Y", "?population=adult") else []
    )


async def test_ages_outside_the_setting_are_refused(make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service(dicom_ages="18-120", dicom_checks="refuse")) as client:
        assert_problem(await client.post("/predict", content=drawn(PatientAge="003Y")), 422, "unsupported-age")
        assert (await client.post("/predict", content=drawn(PatientAge="120Y"))).status_code == 200


async def test_without_the_extra_the_answer_names_it(
    make_service: MakeService, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "dicom.picture", None)

    async def detail(client: httpx.AsyncClient, path: str) -> str:
        answer = await client.post(path, content=drawn())
        assert_problem(answer, 415, "unsupported-media-type")
        return str(answer.json()["detail"])

    async with connect(make_service()) as client:
        assert "xray-inference[dicom]" in await detail(client, "/predict")
        assert "xray-inference[dicom]" in await detail(client, "/explain")


ACCEPT = {"Accept": "application/dicom"}


async def test_a_report_and_a_capture_are_answered_to_one_object(make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service()) as client:
        plain = (await client.post("/predict", content=drawn())).json()["predictions"][0]
        report = await client.post("/predict", content=drawn(), headers=ACCEPT)
        again = await client.post("/predict", files=[("file", ("1", drawn()))], headers=ACCEPT)
        capture = await client.post("/explain?format=side-by-side", content=drawn(), headers=ACCEPT)
    read = [pydicom.dcmread(io.BytesIO(each.content)) for each in (report, again, capture)]
    assert [each.headers["content-type"] for each in (report, again, capture)] == ["application/dicom"] * 3
    assert [each.Modality for each in read] == ["SR", "SR", "OT"]
    assert read[0].SOPInstanceUID == read[1].SOPInstanceUID
    assert report.headers["X-Label"] == capture.headers["X-Label"] == plain["label"]
    assert float(report.headers["X-Probability"]) == plain["probability"]
    assert read[2].Columns > 2 * 400
    assert {each.StudyInstanceUID for each in read} == {"2.25.1002"}


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/dicom", "application/dicom"),
        ("application/dicom, application/json;q=0.5", "application/dicom"),
        ("APPLICATION/DICOM;q=0.1", "application/dicom"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("application/dicom+json", "application/json"),
        ("application/dicom;q=0", "application/json"),
        ("text/html", "application/json"),
    ],
)
async def test_accept_decides_between_json_and_a_report(
    accept: str, kind: str, make_service: MakeService, connect: Connect
) -> None:
    async with connect(make_service()) as client:
        answer = await client.post("/predict", content=drawn(), headers={"Accept": accept})
        problem = await client.post("/predict", content=drawn(Modality="CT"), headers={"Accept": accept})
    assert answer.headers["content-type"] == kind
    assert_problem(problem, 422, "unsupported-modality")


async def test_what_is_not_one_object_gets_406_or_what_else_is_accepted(
    make_service: MakeService, connect: Connect
) -> None:
    two = [("file", ("1", drawn())), ("file", ("2", drawn()))]
    async with connect(make_service()) as client:
        requests: list[dict[str, Any]] = [{"content": png()}, {"files": two}]
        for request in requests:
            assert_problem(await client.post("/predict", headers=ACCEPT, **request), 406, "not-acceptable")
            either = {"Accept": "application/dicom, */*;q=0.1"}
            assert (await client.post("/predict", headers=either, **request)).status_code == 200
        assert_problem(await client.post("/explain", headers=ACCEPT, content=png()), 406, "not-acceptable")
        heatmap = await client.post("/explain?format=heatmap", headers=ACCEPT, content=drawn())
        assert_problem(heatmap, 406, "not-acceptable")
