"""The Open Inference Protocol: responses, and every kind of invalid request."""

import asyncio
import base64
import json
import math
import struct
import threading
import tracemalloc
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openapi_spec_validator import validate

from contract.image import SIDE, to_pixels
from service.errors import InvalidInference
from service.oip.request import parse
from service.oip.views import WHOLE
from tests.bundles import THRESHOLD
from tests.conftest import Connect, MakeService, change_settings
from tests.drawings import encode, jpeg, png
from tests.fakes import FakeBackend
from tests.problems import assert_problem
from tests.waiting import DEADLINE_S, until_async

pytestmark = pytest.mark.anyio
INFER = "/v2/models/brightness/infer"
LENGTH = "Inference-Header-Content-Length"
PIXELS = SIDE * SIDE
GREY, BLACK = (encode(np.full((200, 200), level, np.uint8), "PNG") for level in (200, 0))


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def files(*images: bytes, **more: Any) -> dict[str, Any]:
    tensor = {"name": "file", "shape": [len(images)], "datatype": "BYTES", "data": [text(data) for data in images]}
    return {"inputs": [tensor], **more}


def image(data: Any = (), count: int = 1, **changes: Any) -> dict[str, Any]:
    tensor = {"name": "image", "shape": [count, SIDE, SIDE, 1], "datatype": "UINT8", "data": data}
    return {"inputs": [tensor | changes]}


def with_binary(request: dict[str, Any], binary: bytes, size: int | None = None) -> tuple[bytes, dict[str, str]]:
    """A body of JSON followed by binary data, and its header."""
    request["inputs"][0].pop("data", None)
    request["inputs"][0]["parameters"] = {"binary_data_size": len(binary) if size is None else size}
    head = json.dumps(request).encode()
    return head + binary, {LENGTH: str(len(head))}


def elements(*images: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(data)) + data for data in images)


def outputs(response: httpx.Response) -> dict[str, list[Any]]:
    assert response.status_code == 200, response.text
    return {output["name"]: output["data"] for output in response.json()["outputs"]}


def assert_refused(response: httpx.Response, status: int = 400, slug: str = "invalid-inference") -> str:
    """The response is a problem with the member ``error`` of the protocol; returns its text."""
    problem = assert_problem(response, status, slug, "error")
    assert problem["error"] == problem["detail"]
    return str(problem["error"])


async def test_every_way_to_send_an_image_gives_what_predict_gives(make_service: MakeService, connect: Connect) -> None:
    images = [jpeg(0), png(1), jpeg(2)]
    pixels = np.stack([to_pixels(data) for data in images])
    parts = [("file", (str(number), data, "image/jpeg")) for number, data in enumerate(images)]
    async with connect(make_service()) as client:
        expected = (await client.post("/predict", files=parts)).json()["predictions"]
        ways = [
            await client.post(INFER, json=files(*images)),
            await client.post(INFER, json=image(pixels.ravel().tolist(), 3)),
            await client.post(INFER, json=image(pixels.tolist(), 3)),
        ]
        for body, header in (
            with_binary(files(*images), elements(*images)),
            with_binary(image(count=3), pixels.tobytes()),
        ):
            ways.append(await client.post(INFER, content=body, headers=header))
    for way in ways:
        values = outputs(way)
        assert values["probability"] == pytest.approx([entry["probability"] for entry in expected], abs=1e-6)
        assert values["label"] == [entry["label"] for entry in expected]
        assert values["warnings"] == ["", "", ""]


async def test_the_response_has_model_operating_point_and_provider(make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service()) as client:
        named = await client.post(INFER, json=files(jpeg(), id="a/ b\n\u00e9"))
        unnamed = await client.post(INFER, json=files(jpeg()), headers={"X-Request-ID": "mine"})
    answer = named.json()
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("brightness", "1", "a/ b\n\u00e9")
    assert answer["parameters"] == {
        "operating_point": "balanced",
        "threshold": THRESHOLD,
        "provider": "CPUExecutionProvider",
    }
    assert [(output["datatype"], output["shape"]) for output in answer["outputs"]] == [
        ("FP32", [1]),
        ("BYTES", [1]),
        ("BYTES", [1]),
    ]
    assert unnamed.json()["id"] == "mine"
    assert "inference;dur=" in named.headers["server-timing"]


async def test_outputs_come_as_requested_in_json_or_binary(make_service: MakeService, connect: Connect) -> None:
    requested = [
        {"name": "heatmap", "parameters": {"binary_data": True}},
        {"name": "label", "parameters": {"binary_data": True}},
        {"name": "probability", "parameters": {"binary_data": False}},
    ]
    request = files(GREY, BLACK, outputs=requested, parameters={"binary_data_output": True})
    async with connect(make_service()) as client:
        response = await client.post(INFER, json=request)
        as_json = outputs(await client.post(INFER, json=files(GREY, BLACK, outputs=[{"name": "heatmap"}])))
    length = int(response.headers[LENGTH])
    heatmap, label, probability = json.loads(response.content[:length])["outputs"]
    binary = response.content[length:]
    assert response.headers["content-type"] == "application/octet-stream"
    assert (heatmap["shape"], heatmap["parameters"]) == ([2, 8, 8], {"binary_data_size": 2 * 64 * 4})
    assert "data" not in heatmap
    maps = np.frombuffer(binary[: 2 * 64 * 4], "<f4").reshape(2, 8, 8)
    assert maps[0] == pytest.approx(200 / 255, abs=1e-4)
    assert maps[1] == pytest.approx(0)
    assert list(as_json) == ["heatmap"]
    assert as_json["heatmap"] == pytest.approx(maps.ravel().tolist())
    assert binary[2 * 64 * 4 :] == elements(b"PNEUMONIA", b"NORMAL")
    assert (label["datatype"], label["parameters"]) == ("BYTES", {"binary_data_size": 9 + 6 + 8})
    assert probability["data"] == pytest.approx([200 / 255, 0], abs=1e-4)


async def test_a_raw_file_is_a_request(make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service()) as client:
        response = await client.post(INFER, content=GREY, headers={LENGTH: "0"})
        length = int(response.headers[LENGTH])
        first = json.loads(response.content[:length])["outputs"][0]
        assert (first["name"], first["parameters"]) == ("probability", {"binary_data_size": 4})
        assert struct.unpack_from("<f", response.content, length)[0] == pytest.approx(200 / 255, abs=1e-4)
        assert_refused(await client.post(INFER, content=b"", headers={LENGTH: "0"}), 422, "empty-file")


async def test_guard_and_operating_point_are_those_of_predict(
    guarded_folder: Any, make_service: MakeService, connect: Connect
) -> None:
    infer = "/v2/models/brightness/infer"
    async with connect(make_service(model=guarded_folder)) as client:
        answer = await client.post(infer, json=files(jpeg(), GREY, BLACK, parameters={"operating_point": "rule-in"}))
        metrics = (await client.get("/metrics")).text
        unknown = await client.post(infer, json=files(jpeg(), parameters={"operating_point": "brave"}))
    values = outputs(answer)
    assert answer.json()["parameters"]["operating_point"] == "rule-in"
    assert values["label"] == ["NORMAL"] * 3
    assert values["warnings"] == ["", "unlike_training_data", "unlike_training_data"]
    assert values["guard_score"][0] < 2 < values["guard_score"][1]
    assert values["guard_score"][2] is None
    assert 'xray_predictions_total{label="NORMAL",operating_point="rule-in"} 3.0' in metrics
    assert "xray_guard_flagged_total 2.0" in metrics
    assert_refused(unknown, 422, "unknown-operating-point")
    async with connect(make_service(model=guarded_folder, guard="refuse")) as client:
        refused = await client.post(infer, json=files(jpeg(), GREY))
        assert assert_refused(refused, 422, "unlike-training-data").startswith("image 1 of 0 to 1: ")
    async with connect(make_service(model=guarded_folder, guard="off")) as client:
        assert "guard_score" not in outputs(await client.post(infer, json=files(GREY)))
        assert_refused(await client.post(infer, json=files(GREY, outputs=[{"name": "guard_score"}])))


async def test_requests_for_heatmaps_are_not_counted_as_predictions(
    guarded_folder: Any, make_service: MakeService, connect: Connect
) -> None:
    async with connect(make_service(model=guarded_folder)) as client:
        await client.post(INFER, json=files(GREY, outputs=[{"name": "heatmap"}, {"name": "label"}]))
        metrics = (await client.get("/metrics")).text
    assert "xray_guard_flagged_total 0.0" in metrics
    counted = [line for line in metrics.splitlines() if line.startswith("xray_predictions_total{")]
    assert counted
    assert all(line.endswith(" 0.0") for line in counted)


async def test_one_bad_image_fails_the_request_and_is_named(make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service()) as client:
        several = await client.post(INFER, json=files(jpeg(), jpeg()[:2000], b"GIF89a"))
        alone = await client.post(INFER, json=files(jpeg()[:2000]))
        assert_refused(await client.post(INFER, json=files(b"GIF89a")), 415, "unsupported-media-type")
    message = assert_refused(alone, 422, "truncated-image")
    assert assert_refused(several, 422, "truncated-image") == f"image 1 of 0 to 2: {message}"


async def test_metadata(make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service()) as client:
        for path in ("/v2", "/v2/"):
            server = (await client.get(path)).json()
            assert server["name"] == "xray-inference"
            assert {"binary_tensor_data", "model_repository"} <= set(server["extensions"])
        model, version = [(await client.get(f"/v2/models/brightness{end}")).json() for end in ("", "/versions/1")]
        assert model == version
        assert (model["name"], model["versions"], model["platform"]) == ("brightness", ["1"], "onnx_onnxv1")
        assert model["inputs"] == [
            {"name": "image", "datatype": "UINT8", "shape": [-1, 200, 200, 1]},
            {"name": "file", "datatype": "BYTES", "shape": [-1, 1]},
        ]
        assert [output["name"] for output in model["outputs"]] == ["probability", "label", "warnings", "heatmap"]
        for end in ("", "/versions/1"):
            ready = await client.get(f"/v2/models/brightness{end}/ready")
            assert (ready.status_code, ready.json()) == (200, {"name": "brightness", "ready": True})
        for path in ("/v2/models/other", "/v2/models/brightness/versions/2", "/v2/models/brightness/versions/1/ready/"):
            assert "error" in (await client.get(path)).json()
        assert_refused(await client.get("/v2/models/brightness/versions/7/ready"), 404, "unknown-model")
        assert_refused(await client.post("/v2/models/%2e%2e/infer", json=files(GREY)), 404, "unknown-model")
        assert_refused(await client.get("/v2/models/brightness/infer"), 405, "method-not-allowed")


async def test_health_follows_the_service(make_service: MakeService, connect: Connect) -> None:
    backend = FakeBackend()
    service = make_service(backend, max_images=1)
    async with connect(service) as client:

        async def readiness() -> list[tuple[int, bool]]:
            paths = ("/v2/health/live", "/v2/health/ready", "/v2/models/brightness/ready")
            answers = [await client.get(path) for path in paths]
            return [(answer.status_code, answer.json()[key]) for answer, key in zip(answers, KEYS, strict=True)]

        KEYS = ("live", "ready", "ready")  # noqa: N806
        assert await readiness() == [(200, True)] * 3
        backend.fails = 0
        for _ in range(3):
            assert_refused(await client.post(INFER, json=files(BLACK)), 500, "model-fault")
        assert await readiness() == [(200, True), (503, False), (503, False)]
        await client.post(INFER, json=files(GREY))
        assert await readiness() == [(200, True)] * 3
        service.admission.close()
        assert await readiness() == [(200, True), (503, False), (503, False)]
        assert_refused(await client.post(INFER, json=files(GREY)), 503, "not-ready")


def deep(levels: int) -> bytes:
    return b'{"inputs":' + b"[" * levels + b"]" * levels + b"}"


FLAT = [0] * PIXELS
FILE = files(GREY)["inputs"][0]
BAD: dict[str, Any] = {
    "no body": b"",
    "no JSON": b"hello",
    "not UTF-8": b'{"id": "\xff"}',
    "cut short": json.dumps(files(GREY)).encode()[:-1],
    "two objects": b"{} {}",
    "a list": b"[]",
    "null": b"null",
    "10,000 deep": deep(10_000),
    "100,000 deep": b"[" * 100_000,
    "an integer of a million digits": b'{"inputs": [' + b"9" * 1_000_000 + b"]}",
    "a million empty lists": b'{"inputs": [' + b"[]," * 1_000_000 + b"[]]}",
    "a million members": json.dumps(dict.fromkeys(range(1_000_000), 0)).encode(),
    "NaN": json.dumps(image([math.nan] * PIXELS)).encode(),
    "Infinity": json.dumps(image([math.inf] * PIXELS)).encode(),
    "1e309": json.dumps(image(["?"] * PIXELS)).replace('"?"', "1e309").encode(),
    "300,000 inputs that are none": b'{"inputs": [' + b"0," * 300_000 + b"0]}",
    "300,000 outputs that are none": json.dumps(files(GREY, outputs=[0] * 300_000)).encode(),
    "nested pixels of five images": image(np.zeros((5, SIDE, SIDE, 1), int).tolist(), 5),
    "no inputs": {},
    "inputs is no list": {"inputs": FILE},
    "inputs is empty": {"inputs": []},
    "the same input twice": {"inputs": [FILE, FILE]},
    "both inputs": {"inputs": [FILE, image(FLAT)["inputs"][0]]},
    "an unknown input": {"inputs": [FILE | {"name": "input_1"}]},
    "an input without a shape": {"inputs": [{key: FILE[key] for key in ("name", "datatype", "data")}]},
    "an unknown member": files(GREY, output=[]),
    "an unknown parameter": files(GREY, parameters={"operating_piont": "rule-out"}),
    "a parameter of another type": files(GREY, parameters={"binary_data_output": 1}),
    "shared memory": {"inputs": [FILE | {"parameters": {"shared_memory_region": "x", "shared_memory_byte_size": 1}}]},
    "an id that is no text": files(GREY, id=7),
    "an id without end": files(GREY, id="x" * 100_000),
    "an unknown output": files(GREY, outputs=[{"name": "features"}]),
    "an output twice": files(GREY, outputs=[{"name": "label"}, {"name": "label"}]),
    "a classification": files(GREY, outputs=[{"name": "label", "parameters": {"classification": 2}}]),
    "another datatype": image(FLAT, datatype="FP32"),
    "no datatype": image(FLAT, datatype="UINT9"),
    "the other input's datatype": image(FLAT, datatype="BYTES"),
    "a shape of -1": image(FLAT, shape=[-1, SIDE, SIDE, 1]),
    "a shape of 0": image([], shape=[0, SIDE, SIDE, 1]),
    "a shape of 2^63": image(FLAT, shape=[2**63, SIDE, SIDE, 1]),
    "a shape that overflows": image(FLAT, shape=[2**31 - 1] * 4),
    "a shape of a fraction": image(FLAT, shape=[1.5, SIDE, SIDE, 1]),
    "a shape of truth": image(FLAT, shape=[True, SIDE, SIDE, 1]),
    "an empty shape": image(FLAT, shape=[]),
    "another shape": image(FLAT, shape=[1, 1, SIDE, SIDE]),
    "a long shape": image(FLAT, shape=[1] * 1000),
    "too few numbers": image(FLAT[:-1]),
    "too many numbers": image([*FLAT, 0]),
    "no numbers": image([]),
    "no data": image(None),
    "numbers below 0": image([-1, *FLAT[1:]]),
    "numbers over 255": image([256, *FLAT[1:]]),
    "fractions": image([0.5, *FLAT[1:]]),
    "truth values": image([True, *FLAT[1:]]),
    "text for numbers": image(["0", *FLAT[1:]]),
    "null for a number": image([None, *FLAT[1:]]),
    "lists nested wrongly": image([FLAT]),
    "lists nested raggedly": image([[[[0]] * SIDE] * (SIDE - 1) + [[[0]] * (SIDE - 1)]]),
    "lists and numbers": image([[[[0]] * SIDE] * (SIDE - 1) + [0]]),
    "lists nested too deep": image([[[[[0]]] * SIDE] * SIDE]),
    "more images than may come": files(*[b""] * 9),
    "more pixels than may come": image(FLAT * 9, count=9),
    "more files than stated": {"inputs": [FILE | {"data": FILE["data"] * 2}]},
    "fewer files than stated": {"inputs": [FILE | {"shape": [2]}]},
    "files of two columns": {"inputs": [FILE | {"shape": [1, 2], "data": [FILE["data"] * 2]}]},
    "numbers for files": {"inputs": [FILE | {"data": [7]}]},
    "a file that is not base64": {"inputs": [FILE | {"data": ["\u00e9"]}]},
    "a file with line breaks": {"inputs": [FILE | {"data": [text(GREY)[:76] + "\n" + text(GREY)[76:]]}]},
    "a file without padding": {"inputs": [FILE | {"data": ["QQ"]}]},
    "a file as data: URI": {"inputs": [FILE | {"data": [f"data:image/png;base64,{text(GREY)}"]}]},
    "a file in URL-safe letters": {"inputs": [FILE | {"data": ["_-_-"]}]},
    "binary data stated and none sent": {"inputs": [FILE | {"data": None, "parameters": {"binary_data_size": 9}}]},
    "data and binary data": {"inputs": [FILE | {"parameters": {"binary_data_size": 0}}]},
    "binary data of a negative size": {"inputs": [FILE | {"data": None, "parameters": {"binary_data_size": -1}}]},
}


def test_a_request_costs_no_more_memory_than_a_multiple_of_its_size() -> None:
    """Even if every element is wrong: pydantic would keep an error of a kilobyte or more for each."""
    many = 300_000
    one = json.dumps(FILE).encode()
    for body in (
        b"{" + b",".join(b'"%d":0' % number for number in range(many)) + b"}",
        b'{"inputs":[' + one + b'],"parameters":{' + b",".join(b'"%d":0' % n for n in range(many)) + b"}}",
        b'{"inputs":[' + b",".join([b"0"] * many) + b"]}",
        b'{"inputs":[' + one + b'],"outputs":[' + b",".join([b"0"] * many) + b"]}",
        b'{"inputs":[{"name":"file","datatype":"BYTES","shape":[' + b",".join([b'"x"'] * many) + b"]}]}",
    ):
        tracemalloc.start()
        with pytest.raises(InvalidInference):
            parse(body, None, max_images=8, view=WHOLE)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 64 * len(body), body[:60]


async def test_invalid_requests_are_rejected_and_later_ones_succeed(
    make_service: MakeService, connect: Connect
) -> None:
    service = make_service(max_images=8)
    async with connect(service) as client:
        for name, sent in BAD.items():
            body = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
            refused = await client.post(INFER, content=body)
            assert refused.status_code == 400, (name, refused.text)
            assert len(assert_refused(refused)) < 200, name
        assert (await client.post(INFER, json=files(GREY))).status_code == 200
        assert_refused(await client.post(f"{INFER}?operating_point=balanced", json=files(GREY)), 422, "invalid-request")
    assert service.admission.images_in_flight == service.admission.bytes_in_flight == 0


@pytest.mark.parametrize(
    "length", ["-1", "+1", "1e3", "0x10", "many", "", " ", "1" * 5000, "99999999", "\u0661", "1, 1"]
)
async def test_an_impossible_header_length(make_service: MakeService, connect: Connect, length: str) -> None:
    body, _ = with_binary(files(), elements(GREY))
    async with connect(make_service()) as client:
        assert_refused(await client.post(INFER, content=body, headers={LENGTH: length.encode()}))  # type: ignore[arg-type]


async def test_binary_data_that_do_not_match_their_size(make_service: MakeService, connect: Connect) -> None:
    one, two, data = files(), files(), elements(GREY)
    one["inputs"][0]["shape"], two["inputs"][0]["shape"] = [1], [2]
    bodies = [
        with_binary(one, data, len(data) - 1),
        with_binary(one, data, len(data) + 1),
        with_binary(one, data, 2**70),
        with_binary(one, data[:-1]),
        with_binary(one, data + b"\0"),
        with_binary(one, data[:3]),
        with_binary(one, b""),
        with_binary(one, struct.pack("<I", 2**32 - 1) + GREY),
        with_binary(one, elements(GREY, GREY)),
        with_binary(two, data),
        with_binary(image(), b"\0" * (PIXELS - 1)),
        with_binary(image(), b"\0" * (PIXELS + 1)),
        with_binary(image(count=2), b"\0" * PIXELS),
    ]
    async with connect(make_service()) as client:
        for body, header in bodies:
            assert_refused(await client.post(INFER, content=body, headers=header))
        body, header = with_binary(one, data)
        assert_refused(await client.post(INFER, content=body))  # without the header the whole body is JSON
        early = {LENGTH: str(int(header[LENGTH]) - 1)}
        assert_refused(await client.post(INFER, content=body, headers=early))
        assert (await client.post(INFER, content=body, headers=header)).status_code == 200


async def test_the_limits_of_admission_hold_for_the_protocol(make_service: MakeService, connect: Connect) -> None:
    service = make_service(max_body_bytes=100_000, capacity=4, max_images=4)
    async with connect(service) as client:
        assert_refused(await client.post(INFER, content=b"x" * 100_001), 413, "body-too-large")
        assert_refused(await client.post("/v2/repository/index", content=b" " * 70_000), 413, "body-too-large")
        zipped = {"Content-Encoding": "gzip"}
        assert_refused(await client.post(INFER, content=b"x", headers=zipped), 415, "unsupported-encoding")
        with service.admission.admit() as reservation:
            reservation.add_images(2)
            assert_refused(await client.post(INFER, json=files(GREY, GREY, GREY)), 503, "overloaded")
            reservation.add_images(2)
            assert_refused(await client.post(INFER, json=files(GREY)), 503, "overloaded")
        assert (await client.post(INFER, json=files(GREY, GREY, GREY))).status_code == 200
    assert service.admission.images_in_flight == service.admission.bytes_in_flight == 0


async def test_parsing_blocks_no_other_request_and_has_a_deadline(
    make_service: MakeService, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, release = threading.Event(), threading.Event()

    def slow(*given: Any, **more: Any) -> Any:
        begun.set()
        release.wait(DEADLINE_S)
        return parse(*given, **more)

    monkeypatch.setattr("service.oip.routes.parse", slow)
    service = make_service(deadline_s=1)
    async with connect(service) as client:
        large = asyncio.create_task(client.post(INFER, json=files(GREY)))
        await until_async(begun.is_set)
        change_settings(service, deadline_s=DEADLINE_S)
        assert (await client.get("/v2/health/live")).status_code == 200
        predicted = await client.post("/predict", content=GREY, headers={"Content-Type": "image/png"})
        assert predicted.status_code == 200
        assert_refused(await large, 504, "deadline-exceeded")
        release.set()
        assert (await client.post(INFER, json=files(GREY))).status_code == 200


async def test_the_openapi_document_describes_the_protocol(make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service()) as client:
        schema = (await client.get("/openapi.json")).json()
        call = schema["paths"]["/v2/models/{name}/versions/{version}/infer"]["post"]
        content = call["requestBody"]["content"]["application/json"]
        assert (await client.post(INFER, json=content["schema"]["examples"][0])).status_code == 200
    validate(schema)
    assert set(content["schema"]["properties"]) >= {"id", "parameters", "inputs", "outputs"}
    assert "$ref" not in json.dumps(content["schema"])
    assert {"200", "400", "401", "403", "404", "408", "413", "415", "422", "429", "500", "503", "504"} <= set(
        call["responses"]
    )
    assert set(call["responses"]["200"]["content"]) == {"application/json", "application/octet-stream"}
    assert LENGTH in [parameter.get("name") for parameter in call["parameters"]]


@given(st.binary(max_size=300), st.none() | st.integers(-5, 400).map(str) | st.text(max_size=5))
def test_any_bytes_are_parsed_or_rejected(body: bytes, header_length: str | None) -> None:
    try:
        parsed = parse(body, header_length, max_images=4, view=WHOLE)
    except InvalidInference:
        return
    assert list(parsed.images) == [body]  # only a raw file is that short


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=4), st.data())
def test_binary_elements_are_split_where_they_were_joined(images: list[bytes], data: st.DataObject) -> None:
    request = files(*images)
    body, header = with_binary(request, elements(*images))
    assert list(parse(body, header[LENGTH], max_images=4, view=WHOLE).images) == images
    flip = data.draw(st.integers(int(header[LENGTH]), len(body) - 1))
    broken = bytearray(body)
    broken[flip] ^= 0xFF
    try:
        found = list(parse(bytes(broken), header[LENGTH], max_images=4, view=WHOLE).images)
    except InvalidInference:
        return
    assert elements(*found) == bytes(broken[int(header[LENGTH]) :])  # type: ignore[arg-type]
