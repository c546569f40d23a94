"""What Triton's, KServe's and MLServer's clients and load generators send and ask beyond the core of the protocol."""

import asyncio
import base64
import threading
from typing import Any, cast

import httpx
import numpy as np
import pytest

from service.oip.request_wire import ControlRequest, IndexRequest, InferRequest, OipRequest
from tests.conftest import Connect, MakeService
from tests.drawings import encode
from tests.fakes import FakeBackend
from tests.problems import assert_problem

pytestmark = pytest.mark.anyio
GREY = encode(np.full((300, 300), 51, np.uint8), "PNG")
MODEL = "/v2/models/brightness"


def request(**more: Any) -> dict[str, Any]:
    data = [base64.b64encode(GREY).decode()]
    return {"inputs": [{"name": "file", "shape": [1], "datatype": "BYTES", "data": data}], **more}


async def infer(client: httpx.AsyncClient, body: dict[str, Any]) -> dict[str, Any]:
    answer = await client.post(f"{MODEL}/infer", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def output(answer: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in answer["outputs"] if each["name"] == name)


@pytest.mark.parametrize("path", [MODEL, f"{MODEL}/versions/1"])
async def test_the_configuration(make_service: MakeService, connect: Connect, path: str) -> None:
    async with connect(make_service(max_images=7)) as client:
        config = (await client.get(f"{path}/config")).json()
        metadata = (await client.get(path)).json()
    assert (config["name"], config["max_batch_size"]) == ("brightness", 7)
    assert config["input"] == [
        {"name": "image", "data_type": "TYPE_UINT8", "format": "FORMAT_NHWC", "dims": [200, 200, 1], "optional": True},
        {"name": "file", "data_type": "TYPE_STRING", "format": "FORMAT_NONE", "dims": [1], "optional": True},
    ]
    assert [each["name"] for each in config["output"]] == [each["name"] for each in metadata["outputs"]]
    assert not config["model_transaction_policy"]["decoupled"]


async def test_the_statistics(make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service()) as client:
        before = (await client.get(f"{MODEL}/stats")).json()["model_stats"][0]
        assert (before["inference_count"], before["last_inference"]) == (0, 0)
        await infer(client, request())
        await client.post(f"{MODEL}/infer", json=request(outputs=[{"name": "nothing"}]))
        [after] = (await client.get(f"{MODEL}/versions/1/stats")).json()["model_stats"]
        assert (await client.get("/v2/models/stats")).json()["model_stats"][0] == after
    stages = after["inference_stats"]
    assert (after["inference_count"], after["execution_count"]) == (1, 1)
    assert (stages["success"]["count"], stages["fail"]["count"]) == (1, 1)
    compute = sum(stages[f"compute_{stage}"]["ns"] for stage in ("input", "infer", "output"))
    assert stages["success"]["ns"] == pytest.approx(compute + stages["queue"]["ns"], rel=0.01)


async def test_statistics_and_configuration_of_no_model(make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service()) as client:
        for what in ("stats", "config"):
            assert_problem(await client.get(f"/v2/models/other/{what}"), 404, "unknown-model", "error")


async def test_every_absent_member_may_be_null(make_service: MakeService, connect: Connect) -> None:
    body = request(id=None, parameters=None, outputs=None, model_name=None)
    body["inputs"][0] |= {"parameters": None}
    async with connect(make_service()) as client:
        plain = await infer(client, request())
        assert output(await infer(client, body), "probability") == output(plain, "probability")
        body["outputs"] = [{"name": "probability", "parameters": None}]
        assert output(await infer(client, body), "probability") == output(plain, "probability")


@pytest.mark.parametrize("kind", [InferRequest, IndexRequest, ControlRequest])
def test_the_schema_says_that_every_absent_member_may_be_null(kind: type[OipRequest]) -> None:
    schema = kind.model_json_schema()
    for each in [schema, *schema.get("$defs", {}).values()]:
        for name in each["properties"].keys() - set(each.get("required", [])):
            assert {"type": "null"} in each["properties"][name]["anyOf"]


async def test_a_whole_number_may_be_written_as_a_float(make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service()) as client:
        body = request(parameters={"timeout": 6e7, "priority": 1.0})
        body["inputs"][0]["shape"] = [1.0]
        await infer(client, body)
        for timeout in (0.5, True, "1", 10**400, 1e300):
            answer = await client.post(f"{MODEL}/infer", json=request(parameters={"timeout": timeout}))
            assert_problem(answer, 400, "invalid-inference", "error")


@pytest.mark.parametrize("nested", [True, False])
async def test_files_in_a_column_as_mlserver_sends_them(
    make_service: MakeService, connect: Connect, nested: bool
) -> None:
    body = request()
    body["inputs"][0] |= {"shape": [1, 1], "parameters": {"content_type": "base64"}}
    body["inputs"][0]["data"] = [body["inputs"][0]["data"]] if nested else body["inputs"][0]["data"]
    async with connect(make_service()) as client:
        assert output(await infer(client, body), "probability")["data"] == [pytest.approx(0.2, abs=1e-4)]
        body["inputs"][0]["parameters"] = {"content_type": "pd"}
        assert_problem(await client.post(f"{MODEL}/infer", json=body), 400, "invalid-inference", "error")


@pytest.mark.parametrize(
    ("count", "classes"), [(1, ["0.800000:0:NORMAL"]), (2, ["0.800000:0:NORMAL", "0.200000:1:PNEUMONIA"])]
)
@pytest.mark.parametrize("binary", [True, False])
async def test_classification(
    *, make_service: MakeService, connect: Connect, count: int, classes: list[str], binary: bool
) -> None:
    outputs = [{"name": "probability", "parameters": {"classification": count, "binary_data": binary}}]
    async with connect(make_service()) as client:
        answer = await client.post(f"{MODEL}/infer", json=request(outputs=outputs))
        probability = output(await infer(client, request()), "probability")["data"][0]
    classes = [f"{1 - probability:.6f}:0:NORMAL", f"{probability:.6f}:1:PNEUMONIA"][:count]
    if binary:
        length = int(answer.headers["inference-header-content-length"])
        assert answer.content[length:] == b"".join(len(each).to_bytes(4, "little") + each.encode() for each in classes)
    else:
        tensor = output(answer.json(), "probability")
        assert tensor == {"name": "probability", "shape": [1, len(classes)], "datatype": "BYTES", "data": classes}


async def test_only_the_probability_has_classes(make_service: MakeService, connect: Connect) -> None:
    outputs = [{"name": "label", "parameters": {"classification": 1}}]
    async with connect(make_service()) as client:
        answer = await client.post(f"{MODEL}/infer", json=request(outputs=outputs))
        assert_problem(answer, 400, "invalid-inference", "error")


async def test_the_timeout_of_a_request(make_service: MakeService, connect: Connect) -> None:
    service = make_service(FakeBackend())
    async with connect(service) as client:
        cast(FakeBackend, service.main.backend.current).hold = release = threading.Event()
        name = service.main.name
        late = await client.post(f"/v2/models/{name}/infer", json=request(parameters={"timeout": 50_000}))
        assert_problem(late, 504, "deadline-exceeded", "error")
        release.set()
        await asyncio.sleep(0)
        good = await client.post(f"/v2/models/{name}/infer", json=request(parameters={"timeout": 0}))
        assert good.status_code == 200


async def test_parameters_that_change_nothing_are_ignored_and_named(
    make_service: MakeService, connect: Connect
) -> None:
    async with connect(make_service()) as client:
        answer = await infer(client, request(parameters={"priority": 2, "sequence_id": 0, "sequence_end": False}))
        assert answer["parameters"]["ignored"] == "priority, sequence_end, sequence_id"
        assert "ignored" not in (await infer(client, request()))["parameters"]
        wrong = await client.post(f"{MODEL}/infer", json=request(parameters={"operating_piont": "rule-out"}))
        assert_problem(wrong, 400, "invalid-inference", "error")
