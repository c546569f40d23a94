"""The Open Inference Protocol with an independent client, NVIDIA's ``tritonclient``, against a real server."""

import base64
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

from contract.image import to_pixels
from service.access.keys import add_key, make_key
from tests import BUNDLED_MODEL
from tests.drawings import jpeg, png
from tests.e2e.server import Server, running
from tests.programs import needs
from tests.waiting import DEADLINE_S

NAME = "pneumonia"
IMAGES = [jpeg(0), jpeg(1, quality=70), png(2)]
PIXELS = np.stack([to_pixels(data) for data in IMAGES])
FIRST = BUNDLED_MODEL.parent / "1"
BUNDLED = BUNDLED_MODEL.name
_LONG_TIMEOUTS = {"connection_timeout": DEADLINE_S, "network_timeout": DEADLINE_S}


class Hospital:
    """A service of both bundled models, with its administrator's key."""

    def __init__(self, server: Server, key: str) -> None:
        self.server, self._key = server, key
        self.address = f"127.0.0.1:{server.port}"
        self.client = triton.InferenceServerClient(self.address, concurrency=4, **_LONG_TIMEOUTS)

    @property
    def headers(self) -> dict[str, str]:
        """The key as headers; a new dictionary each time, because the client modifies it."""
        return {"Authorization": f"Bearer {self._key}"}

    def infer(self, inputs: list[Any], version: str = "", **more: Any) -> Any:
        """Send an inference request; returns the client's result object."""
        return self.client.infer(NAME, inputs, version, headers=self.headers, **more)

    def index(self) -> dict[str, str]:
        """The state of each version."""
        entries = self.client.get_model_repository_index(headers=self.headers)
        assert {entry["name"] for entry in entries} == {NAME}
        return {entry["version"]: entry["state"] for entry in entries}


def with_ready(*versions: str) -> dict[str, str]:
    """The states of all bundled versions, of which only these are loaded."""
    bundled = (folder.name for folder in BUNDLED_MODEL.parent.iterdir())
    return {version: "READY" if version in versions else "UNAVAILABLE" for version in bundled}


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    folder = tmp_path_factory.mktemp("hospital")
    text, key = make_key("admin", ["admin", "predict"])
    add_key(folder / "keys.json", key)
    with running(BUNDLED_MODEL, folder, keys_file=folder / "keys.json", model_control=1, load=f"{NAME}/1") as server:
        found = Hospital(server, text)
        yield found
        found.client.close()


@pytest.fixture(scope="module")
def expected(hospital: Hospital, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """The answers of ``/predict`` for the images, by version."""
    with running(FIRST, tmp_path_factory.mktemp("first")) as first:
        return {"1": predicted(first, {}), BUNDLED: predicted(hospital.server, hospital.headers)}


def predicted(server: Server, headers: dict[str, str]) -> list[dict[str, Any]]:
    sent = [("file", (str(number), data)) for number, data in enumerate(IMAGES)]
    with server.client() as client:
        answer = client.post("/predict", files=sent, headers=headers)
    found: list[dict[str, Any]] = answer.json()["predictions"]
    return found


def as_files(*, binary: bool = True) -> Any:
    tensor = triton.InferInput("file", [len(IMAGES)], "BYTES")
    images = IMAGES if binary else [base64.b64encode(data) for data in IMAGES]
    return tensor.set_data_from_numpy(np.array(images, object), binary_data=binary)


def as_pixels(*, binary: bool = True) -> Any:
    tensor = triton.InferInput("image", list(PIXELS.shape), "UINT8")
    return tensor.set_data_from_numpy(PIXELS, binary_data=binary)


def assert_same(result: Any, expected: list[dict[str, Any]]) -> None:
    probability = [entry["probability"] for entry in expected]
    assert result.as_numpy("probability") == pytest.approx(np.array(probability), abs=1e-6)
    assert words(result, "label") == [entry["label"] for entry in expected]


def words(result: Any, output: str) -> list[str]:
    """An output of type BYTES as text: the client returns bytes for binary outputs and text for JSON."""
    return [each if isinstance(each, str) else each.decode() for each in result.as_numpy(output)]


def test_metadata_and_readiness(hospital: Hospital) -> None:
    client, headers = hospital.client, hospital.headers
    assert client.is_server_live()
    assert client.is_server_ready()
    server = client.get_server_metadata(headers=headers)
    assert (server["name"], "binary_tensor_data" in server["extensions"]) == ("xray-inference", True)
    for version in ("", "1", BUNDLED):
        assert client.is_model_ready(NAME, version, headers=headers)
        model = client.get_model_metadata(NAME, version, headers=headers)
        assert (model["name"], model["versions"]) == (NAME, ["1", BUNDLED])
        guarded = "guard_score" in [output["name"] for output in model["outputs"]]
        assert guarded == (version != "1")
    assert not client.is_model_ready(NAME, "3", headers=headers)
    assert not client.is_model_ready(NAME)  # no key
    assert hospital.index() == with_ready("1", BUNDLED)


@pytest.mark.parametrize("version", ["1", BUNDLED, ""])
@pytest.mark.parametrize("sent", [as_files, as_pixels])
@pytest.mark.parametrize("binary", [True, False])
def test_every_kind_of_request_gives_the_result_of_predict(
    hospital: Hospital, expected: dict[str, list[dict[str, Any]]], version: str, sent: Any, binary: bool
) -> None:
    outputs = [triton.InferRequestedOutput(name, binary_data=binary) for name in ("probability", "label", "heatmap")]
    result = hospital.infer([sent(binary=binary)], version, outputs=outputs, request_id="seven")
    assert_same(result, expected[version or BUNDLED])
    answer = result.get_response()
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("seven", NAME, version or BUNDLED)
    heatmap = result.as_numpy("heatmap")
    assert (heatmap.dtype, heatmap.ndim, len(heatmap)) == (np.float32, 3, len(IMAGES))
    assert 0 <= heatmap.min() <= heatmap.max() <= 1


def test_by_default_all_outputs_but_the_heatmap_are_returned(
    hospital: Hospital, expected: dict[str, list[dict[str, Any]]]
) -> None:
    result = hospital.infer([as_files()])
    assert_same(result, expected[BUNDLED])
    scores = [entry["guard_score"] for entry in expected[BUNDLED]]
    assert result.as_numpy("guard_score") == pytest.approx(np.array(scores), abs=1e-5)
    codes = [", ".join(caution["code"] for caution in entry["warnings"]) for entry in expected[BUNDLED]]
    assert words(result, "warnings") == codes
    assert result.as_numpy("heatmap") is None


def test_asynchronous_requests_get_their_own_answers(
    hospital: Hospital, expected: dict[str, list[dict[str, Any]]]
) -> None:
    versions = ["1", BUNDLED] * 6
    asked = [hospital.client.async_infer(NAME, [as_files()], each, headers=hospital.headers) for each in versions]
    for version, each in zip(versions, asked, strict=True):
        assert_same(each.get_result(timeout=DEADLINE_S), expected[version])


@pytest.mark.anyio
async def test_the_client_for_asyncio(hospital: Hospital, expected: dict[str, list[dict[str, Any]]]) -> None:
    async with triton_aio.InferenceServerClient(hospital.address) as client:
        assert await client.is_server_ready()
        assert (await client.get_model_metadata(NAME, headers=hospital.headers))["name"] == NAME
        for sent in (as_files(), as_pixels(), as_pixels(binary=False)):
            assert_same(await client.infer(NAME, [sent], headers=hospital.headers), expected[BUNDLED])
        with pytest.raises(InferenceServerException, match="no model of this name and version is loaded"):
            await client.infer("nothing", [as_files()], headers=hospital.headers)


@pytest.mark.parametrize("sent", ["gzip", "deflate"])
@pytest.mark.parametrize("accepted", [None, "gzip", "deflate"])
def test_requests_may_be_compressed(
    hospital: Hospital, expected: dict[str, list[dict[str, Any]]], sent: str, accepted: str | None
) -> None:
    compressed: dict[str, Any] = {"request_compression_algorithm": sent, "response_compression_algorithm": accepted}
    assert_same(hospital.infer([as_files()], **compressed), expected[BUNDLED])


@pytest.mark.parametrize("asynchronous", [True, False])
def test_the_calls_of_a_client_for_image_classification(
    hospital: Hospital, expected: dict[str, list[dict[str, Any]]], asynchronous: bool
) -> None:
    """What Triton's ``image_client`` does, with the pixels of the image contract."""
    client, name = hospital.client, f"{NAME}.classifier"
    model = client.get_model_metadata(name, headers=hospital.headers)
    config = client.get_model_config(name, headers=hospital.headers)
    [source], [output] = model["inputs"], model["outputs"]
    assert (len(config["input"]), config["input"][0]["format"], output["datatype"]) == (1, "FORMAT_NHWC", "FP32")
    assert config["max_batch_size"] >= len(PIXELS)
    tensor = triton.InferInput(source["name"], PIXELS.shape, source["datatype"])
    given = {
        "inputs": [tensor.set_data_from_numpy(PIXELS.astype(np.float32))],
        "outputs": [triton.InferRequestedOutput(output["name"], class_count=2)],
        "headers": hospital.headers,
    }
    result = client.async_infer(name, **given).get_result() if asynchronous else client.infer(name, **given)
    classes = [[each.decode().split(":") for each in row] for row in result.as_numpy(output["name"])]
    for (first, second), entry in zip(classes, expected[BUNDLED], strict=True):
        assert (first[2], {first[2], second[2]}) == (entry["label"], {"NORMAL", "PNEUMONIA"})
        values = {each[2]: float(each[0]) for each in (first, second)}
        assert values["PNEUMONIA"] == pytest.approx(entry["probability"], abs=2e-6)


def test_an_operating_point_may_be_named(hospital: Hospital) -> None:
    answer = hospital.infer([as_files()], parameters={"operating_point": "rule-out"}).get_response()
    points = hospital.server.get("/model", headers=hospital.headers).json()["operating_points"]
    assert answer["parameters"]["threshold"] == points["rule-out"]["threshold"]


def test_the_client_shows_why_a_request_was_refused(hospital: Hospital) -> None:
    bad = triton.InferInput("file", [2], "BYTES").set_data_from_numpy(np.array([jpeg(), jpeg()[:999]], object))
    with pytest.raises(InferenceServerException, match="image 1 of 0 to 1: ") as cut:
        hospital.infer([bad])
    assert cut.value.status() == "422"
    floats = triton.InferInput("image", [1, 200, 200, 1], "FP32")
    floats.set_data_from_numpy(np.zeros((1, 200, 200, 1), np.float32))
    with pytest.raises(InferenceServerException, match="image: it must be UINT8") as wrong:
        hospital.infer([floats])
    assert wrong.value.status() == "400"
    with pytest.raises(InferenceServerException, match="this call requires an API key"):
        hospital.client.infer(NAME, [as_files()])
    with pytest.raises(InferenceServerException, match="parameters"):
        hospital.infer([as_files()], parameters={"threshold": 0.1})
    assert hospital.infer([as_files()], sequence_id=7).as_numpy("probability").shape == (3,)


def test_versions_are_unloaded_and_loaded_again(hospital: Hospital, expected: dict[str, list[dict[str, Any]]]) -> None:
    client, one = hospital.client, {"version": "1"}
    client.unload_model(NAME, headers=hospital.headers, query_params=one)
    try:
        assert hospital.index() == with_ready(BUNDLED)
        assert not client.is_model_ready(NAME, "1", headers=hospital.headers)
        with pytest.raises(InferenceServerException, match="is loaded"):
            hospital.infer([as_files()], "1")
        with pytest.raises(InferenceServerException, match="requires an API key"):
            client.load_model(NAME, query_params=one)
        with pytest.raises(InferenceServerException, match="cannot be unloaded"):
            client.unload_model(NAME, headers=hospital.headers)
        with pytest.raises(InferenceServerException, match="parameters"):
            client.load_model(NAME, headers=hospital.headers, config="{}")
    finally:
        client.load_model(NAME, headers=hospital.headers, query_params=one)
    assert hospital.index() == with_ready("1", BUNDLED)
    assert_same(hospital.infer([as_files()], "1"), expected["1"])


def test_loading_is_off_by_default(bundled_server: Server) -> None:
    with triton.InferenceServerClient(f"127.0.0.1:{bundled_server.port}", **_LONG_TIMEOUTS) as client:
        assert client.get_model_metadata(NAME)["versions"] == [BUNDLED]
        for control in (client.load_model, client.unload_model):
            with pytest.raises(InferenceServerException) as refused:
                control(NAME, query_params={"version": "1"})
            assert refused.value.status() == "403"
        states = {entry["version"]: entry["state"] for entry in client.get_model_repository_index()}
        assert states == with_ready(BUNDLED)


@needs("curl")
def test_curl_sends_a_bare_file(bundled_server: Server, tmp_path: Path) -> None:
    """Triton's raw binary request: the body is the only input, and the outputs follow the JSON."""
    (tmp_path / "xray.jpeg").write_bytes(IMAGES[0])
    command = ["curl", "-sS", "--data-binary", f"@{tmp_path / 'xray.jpeg'}", "-H", "Content-Type: image/jpeg"]
    command += ["-H", "Inference-Header-Content-Length: 0", "-D", str(tmp_path / "headers")]
    url = f"{bundled_server.url}/v2/models/{NAME}/infer"
    body = subprocess.run([*command, url], check=True, capture_output=True).stdout
    lines = (tmp_path / "headers").read_text().lower().splitlines()
    length = next(int(line.split()[1]) for line in lines if line.startswith("inference-header-content-length:"))
    result = triton.InferenceServerClient.parse_response_body(body, header_length=length)
    expected = predicted(bundled_server, {})[:1]
    assert_same(result, expected)


def test_the_server_is_unharmed_by_these_tests(hospital: Hospital) -> None:
    assert "Traceback" not in hospital.server.log
    assert hospital.server.resident_mib() < 400
    callers = {line["caller"] for line in hospital.server.log_lines if line.get("route", "").endswith("/infer")}
    assert callers == {"admin", None}
