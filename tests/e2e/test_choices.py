"""A real server of a bundle with all optional parts: operating points, an input guard, an int8 graph."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests import MODELS
from tests.bundles import GUARD, INT8_FULL, POINTS
from tests.commands import SERVICE, run
from tests.drawings import encode, jpeg
from tests.e2e.server import Server, running
from tests.problems import assert_problem
from tests.waiting import until

# This bundle is older than guards and int8 graphs, and is still served.
FIRST_BUNDLE = MODELS / "1"
GREY, BLACK = (encode(np.full((200, 200), level, np.uint8), "PNG") for level in (200, 0))
PNG = {"Content-Type": "image/png"}


@pytest.fixture(scope="module")
def warning(guarded_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(guarded_folder, tmp_path_factory.mktemp("warning"), max_batch=8) as server:
        yield server


@pytest.fixture(scope="module")
def refusing(guarded_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings: dict[str, Any] = {
        "guard": "refuse",
        "precision": "float32",
        "operating_point": "rule-out",
        "max_batch": 8,
    }
    with running(guarded_folder, tmp_path_factory.mktemp("refusing"), **settings) as server:
        yield server


def post(server: Server, *images: bytes, query: str = "") -> httpx.Response:
    sent = [("file", (str(number), data, "image/png")) for number, data in enumerate(images)]
    with server.client() as client:
        return client.post(f"/predict{query}", files=sent)


def test_health_model_log_and_metrics_agree_on_what_is_in_use(warning: Server, refusing: Server) -> None:
    for server, graph, precision, point, guard in (
        (warning, "model.int8.onnx", "int8", "balanced", "warn"),
        (refusing, "model.onnx", "float32", "rule-out", "refuse"),
    ):
        health = server.get("/health").json()
        model = server.get("/model").json()
        ready = next(line for line in server.log_lines if line["message"] == "ready")
        assert (health["graph"], health["precision"]) == (graph, precision)
        for source in (model, ready):
            assert (source["graph"], source["operating_point"], source["guard"]) == (graph, point, guard)
        assert f'graph="{graph}"' in server.get("/metrics").text
        full = INT8_FULL if precision == "int8" else 255
        answer = post(server, jpeg()).json()
        assert answer["operating_point"] == point
        assert answer["predictions"][0]["probability"] == pytest.approx(0.4362 * 255 / full, abs=5e-4)


def test_every_operating_point_labels_by_its_own_threshold(warning: Server) -> None:
    for name, point in POINTS.items():
        answer = post(warning, jpeg(0), jpeg(1), query=f"?operating_point={name}").json()
        assert answer["operating_point"] == name
        for entry in answer["predictions"]:
            assert entry["threshold"] == point.threshold
            assert (entry["label"] == "PNEUMONIA") == (entry["probability"] >= point.threshold)
            assert (entry["label"] == "PNEUMONIA") == (name != "rule-in")


@pytest.mark.parametrize(
    ("query", "slug"),
    [
        ("?operating_point=brave", "unknown-operating-point"),
        ("?operating_point=", "unknown-operating-point"),
        ("?operating_point", "unknown-operating-point"),
        ("?operating_point=%ff%00%0d%0aX-Evil:%201", "unknown-operating-point"),
        ("?operating_point=rule-out%20", "unknown-operating-point"),
        ("?operating_point=" + "x" * 7000, "unknown-operating-point"),
        ("?operating_point=rule-out&operating_point=rule-in", "invalid-request"),
        ("?operating_point[]=rule-out", "invalid-request"),
        ("?Operating_Point=rule-out", "invalid-request"),
        ("?a=" + "&b=" * 500, "invalid-request"),
    ],
)
def test_a_malformed_query_is_refused_before_the_body_is_read(warning: Server, query: str, slug: str) -> None:
    """The body could not be read, because it has no type. The same connection serves the next request."""
    with warning.client() as client:
        answered = assert_problem(client.post(f"/predict{query}", content=b"\0" * 3_000_000), 422, slug)
        assert client.post("/predict", content=jpeg(), headers=PNG).status_code == 200
    assert "Evil" not in str(answered)
    if slug == "unknown-operating-point":
        assert answered["detail"].endswith(": balanced, rule-out, rule-in")


def test_each_image_is_flagged_by_its_own_score(warning: Server) -> None:
    images = [jpeg(0), GREY, jpeg(1), BLACK, jpeg(2)]
    together = post(warning, *images).json()["predictions"]
    alone = [post(warning, image).json()["predictions"][0] for image in images]
    codes = [[caution["code"] for caution in entry["warnings"]] for entry in together]
    assert codes == [[], ["unlike_training_data"], [], ["unlike_training_data"], []]
    assert together[3]["guard_score"] is alone[3]["guard_score"] is None
    for row in (0, 1, 2, 4):
        for key in ("probability", "guard_score"):
            assert together[row][key] == pytest.approx(alone[row][key], abs=1e-5)
        assert (together[row]["guard_score"] > GUARD.threshold) == (row == 1)


def test_refused_images_do_not_affect_the_others(refusing: Server) -> None:
    assert_problem(post(refusing, GREY), 422, "unlike-training-data")
    answer = post(refusing, jpeg(0), GREY, BLACK, jpeg(1))
    kinds = [entry["error"] and entry["error"]["type"] for entry in answer.json()["predictions"]]
    assert answer.status_code == 200
    assert kinds == [None, "/problems/unlike-training-data", "/problems/unlike-training-data", None]

    def flagged() -> list[Any]:
        return [line["flagged"] for line in refusing.log_lines if line.get("route") == "/predict"]

    until(lambda: flagged()[-2:] == [1, 2])  # a thread of the service writes the log
    assert "Traceback" not in refusing.log


def test_openapi_knows_the_parameter_and_the_fields(warning: Server) -> None:
    schema = warning.get("/openapi.json").json()
    parameters = schema["paths"]["/predict"]["post"]["parameters"]
    assert [parameter["name"] for parameter in parameters if parameter.get("in") == "query"] == [
        "operating_point",
        "population",
    ]
    models = schema["components"]["schemas"]
    answer = post(warning, jpeg()).json()
    assert models["PredictResponse"]["properties"].keys() == answer.keys()
    assert models["Prediction"]["properties"].keys() == answer["predictions"][0].keys()
    assert models["Health"]["properties"].keys() == warning.get("/health").json().keys()
    assert "No such operating point" in schema["paths"]["/predict"]["post"]["responses"]["422"]["description"]


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--operating-point", "brave"], 2, "XRAY_OPERATING_POINT: there is no 'brave'; "),
        (["--guard", "refuse"], 2, "XRAY_GUARD=refuse, but this bundle has no input guard"),
        (["--precision", "int8"], 2, "XRAY_PRECISION=int8, but this bundle has no model.int8.onnx"),
        (["--precision", "int8", "--device", "cuda"], 2, "XRAY_PRECISION=int8 is for the CPU"),
    ],
)
def test_what_the_bundle_cannot_do_stops_the_start_in_one_line(options: list[str], code: int, words: str) -> None:
    ended = run([*SERVICE, "serve", "--model", FIRST_BUNDLE, "--port", "0", *options])
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (code, "", 1)
    assert ended.stderr.startswith(f"xray-service: {words}")


def test_the_first_bundle_goes_on_as_before(tmp_path: Path) -> None:
    """It has one operating point, no guard and one graph."""
    with running(FIRST_BUNDLE, tmp_path) as server:
        answer = post(server, jpeg(), GREY).json()
        model = server.get("/model").json()
    assert (model["graph"], model["operating_point"], model["guard"]) == ("model.onnx", "balanced", "off")
    assert answer["operating_point"] == "balanced"
    for entry in answer["predictions"]:
        assert (entry["guard_score"], entry["warnings"], entry["error"]) == (None, [], None)
        assert entry["threshold"] == model["operating_points"]["balanced"]["threshold"]
