"""``NAME.classifier``: a model with one input and one output, for clients that take no other."""

import json
from typing import Any

import httpx
import numpy as np
import pytest

from contract.image import SIDE
from tests.conftest import Connect, MakeService
from tests.problems import assert_problem

pytestmark = pytest.mark.anyio
MODEL = "/v2/models/brightness.classifier"
LENGTH = "Inference-Header-Content-Length"
PIXELS = np.full((2, SIDE, SIDE, 1), 51, "<f4")
TOP = [{"name": "probabilities", "parameters": {"classification": 1}}]


def in_json(pixels: Any, **more: Any) -> dict[str, Any]:
    tensor = {"name": "pixels", "shape": list(pixels.shape), "datatype": "FP32", "data": pixels.ravel().tolist()}
    return {"inputs": [tensor], **more}


async def send_binary(client: httpx.AsyncClient, pixels: Any, **more: Any) -> httpx.Response:
    body = in_json(pixels, **more)
    del body["inputs"][0]["data"]
    body["inputs"][0]["parameters"] = {"binary_data_size": pixels.nbytes}
    text = json.dumps(body).encode()
    return await client.post(f"{MODEL}/infer", content=text + pixels.tobytes(), headers={LENGTH: str(len(text))})


@pytest.mark.parametrize("path", [MODEL, f"{MODEL}/versions/1"])
async def test_it_has_one_input_and_one_output(make_service: MakeService, connect: Connect, path: str) -> None:
    async with connect(make_service(max_images=7)) as client:
        metadata, config = [(await client.get(f"{path}{what}")).json() for what in ("", "/config")]
        assert (await client.get(f"{path}/ready")).json() == {"name": "brightness.classifier", "ready": True}
    assert (metadata["name"], metadata["versions"]) == ("brightness.classifier", ["1"])
    assert metadata["inputs"] == [{"name": "pixels", "datatype": "FP32", "shape": [-1, SIDE, SIDE, 1]}]
    assert metadata["outputs"] == [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]}]
    assert (config["name"], config["max_batch_size"]) == ("brightness.classifier", 7)
    [source] = config["input"]
    assert (source["data_type"], source["format"], source["dims"]) == ("TYPE_FP32", "FORMAT_NHWC", [SIDE, SIDE, 1])
    assert not source["optional"]
    assert config["output"] == [{"name": "probabilities", "data_type": "TYPE_FP32", "dims": [2]}]


async def test_its_answer_is_that_of_the_whole_model(make_service: MakeService, connect: Connect) -> None:
    bytes_of = {"name": "image", "shape": list(PIXELS.shape), "datatype": "UINT8", "data": [51] * PIXELS.size}
    async with connect(make_service()) as client:
        whole = (await client.post("/v2/models/brightness/infer", json={"inputs": [bytes_of]})).json()
        of_json = (await client.post(f"{MODEL}/infer", json=in_json(PIXELS))).json()
        of_binary = (await send_binary(client, PIXELS)).json()
        raw = await client.post(f"{MODEL}/infer", content=PIXELS[0].tobytes(), headers={LENGTH: "0"})
    assert of_json["model_name"] == "brightness.classifier"
    assert of_json["outputs"] == of_binary["outputs"]
    p = whole["outputs"][0]["data"]
    expected = np.array([[1 - each, each] for each in p], np.float32)
    assert of_json["outputs"][0]["shape"] == [2, 2]
    assert np.array(of_json["outputs"][0]["data"]).reshape(2, 2) == pytest.approx(expected)
    assert np.frombuffer(raw.content[int(raw.headers[LENGTH]) :], "<f4") == pytest.approx(expected[0])


@pytest.mark.parametrize(("point", "first"), [("rule-out", "PNEUMONIA"), ("balanced", "NORMAL")])
async def test_the_first_class_is_the_label(
    *, make_service: MakeService, connect: Connect, choosy_folder: Any, point: str, first: str
) -> None:
    more = {"outputs": TOP, "parameters": {"operating_point": point}}
    async with connect(make_service(model=choosy_folder)) as client:
        answer = (await client.post(f"{MODEL}/infer", json=in_json(PIXELS[:1], **more))).json()
    assert answer["parameters"]["operating_point"] == point
    [classes] = answer["outputs"]
    assert (classes["datatype"], classes["shape"]) == ("BYTES", [1, 1])
    assert classes["data"][0].rpartition(":")[2] == first


async def test_its_answer_names_images_with_warnings(
    make_service: MakeService, connect: Connect, guarded_folder: Any
) -> None:
    pixels = np.concatenate([PIXELS[:1], np.full_like(PIXELS[:1], 255)])
    async with connect(make_service(model=guarded_folder)) as client:
        answer = (await client.post(f"{MODEL}/infer", json=in_json(pixels))).json()
        whole = in_json(pixels.astype(int))
        whole["inputs"][0] |= {"name": "image", "datatype": "UINT8"}
        codes = (await client.post("/v2/models/brightness/infer", json=whole)).json()["outputs"][2]["data"]
    assert any(codes)
    assert answer["parameters"]["warnings"] == "; ".join(f"{n}: {code}" for n, code in enumerate(codes) if code)


@pytest.mark.parametrize(
    "scaled", [PIXELS / 127.5 - 1, PIXELS - 128, PIXELS + 0.5, PIXELS * 6, PIXELS * 1e30], ids=lambda _: ""
)
@pytest.mark.parametrize("binary", [True, False])
async def test_scaled_pixels_are_refused(
    make_service: MakeService, connect: Connect, scaled: Any, binary: bool
) -> None:
    async with connect(make_service()) as client:
        if binary:
            answer = await send_binary(client, scaled.astype("<f4"))
        else:
            answer = await client.post(f"{MODEL}/infer", json=in_json(scaled))
    assert "--scaling NONE" in assert_problem(answer, 400, "invalid-inference", "error")["detail"]


async def test_each_name_has_its_own_inputs_and_outputs(make_service: MakeService, connect: Connect) -> None:
    file = {"inputs": [{"name": "file", "shape": [1], "datatype": "BYTES", "data": [""]}]}
    async with connect(make_service()) as client:
        for path, body in (
            (MODEL, file),
            (MODEL, in_json(PIXELS, outputs=[{"name": "label"}])),
            (MODEL, in_json(PIXELS[:, :100])),
            ("/v2/models/brightness", in_json(PIXELS)),
        ):
            assert_problem(await client.post(f"{path}/infer", json=body), 400, "invalid-inference", "error")
        for content in (b"abc", PIXELS.tobytes(), (PIXELS[0] * np.nan).tobytes()):
            answer = await client.post(f"{MODEL}/infer", content=content, headers={LENGTH: "0"})
            assert_problem(answer, 400, "invalid-inference", "error")
        answer = await client.get("/v2/models/brightness.classifier.classifier")
        assert_problem(answer, 404, "unknown-model", "error")


async def test_it_has_its_own_statistics(make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service()) as client:
        await client.post(f"{MODEL}/infer", json=in_json(PIXELS))
        [own] = (await client.get(f"{MODEL}/stats")).json()["model_stats"]
        every = (await client.get("/v2/models/stats")).json()["model_stats"]
    assert (own["name"], own["inference_count"]) == ("brightness.classifier", 2)
    assert [(each["name"], each["inference_count"]) for each in every] == [
        ("brightness", 0),
        ("brightness.classifier", 2),
    ]
