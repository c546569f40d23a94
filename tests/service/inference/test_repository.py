"""Models beside the main one: listing, loading, unloading, and the errors."""

import asyncio
import base64
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from contract.bundle import GRAPH, MANIFEST
from service.__main__ import FAILED, WRONG_USE, main
from service.access.keys import Scope, add_key, make_key
from tests.bundles import GUARD, POINTS, brightness_graph, write_brightness_bundle
from tests.conftest import Connect, MakeService
from tests.drawings import encode
from tests.fakes import FakeBackend
from tests.problems import assert_problem
from tests.waiting import until_async

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("untried")]
GREY = encode(np.full((200, 200), 102, np.uint8), "PNG")
REQUEST = {
    "inputs": [{"name": "file", "shape": [1], "datatype": "BYTES", "data": [base64.b64encode(GREY).decode()]}],
    "outputs": [{"name": "probability"}],
}
MODELS, CONTROL = "/v2/models", "/v2/repository/models"


def write(folder: Path, name: str, version: str, full: float = 255.0, **changes: Any) -> Path:
    """A bundle whose full brightness is this grey level: its probability identifies the model."""
    graph = brightness_graph(full=full, features=2 if "input_guard" in changes else 0)
    return write_brightness_bundle(folder / name / version, graph, name=name, version=version, **changes)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """The models brightness 1, 2 and 10, and other 3."""
    folder = tmp_path / "models"
    for version, full in (("1", 255.0), ("2", 510.0), ("10", 1020.0)):
        write(folder, "brightness", version, full)
    write(folder, "other", "3", 408.0)
    return folder


MakeControlled = Callable[..., Any]


@pytest.fixture
def controlled(make_service: MakeService, models: Path, tmp_path: Path) -> MakeControlled:
    """Makes services of brightness 2 with model control, and a key with these scopes."""

    def make(*scopes: Scope, **changes: Any) -> tuple[Any, dict[str, str]]:
        text, key = make_key("-".join(scopes) or "all", scopes or ["admin", "predict", "metrics"])
        add_key(tmp_path / "keys.json", key)
        settings = {"model": models / "brightness" / "2", "model_control": True, "keys_file": tmp_path / "keys.json"}
        return make_service(**settings | changes), {"Authorization": f"Bearer {text}"}

    return make


async def infer(client: httpx.AsyncClient, model: str, key: dict[str, str]) -> float | int:
    """The probability from a model, or the status of an error."""
    answer = await client.post(f"{MODELS}/{model}/infer", json=REQUEST, headers=key)
    return float(answer.json()["outputs"][0]["data"][0]) if answer.status_code == 200 else answer.status_code


async def ready(client: httpx.AsyncClient, key: dict[str, str]) -> list[str]:
    index = await client.post("/v2/repository/index", json={"ready": True}, headers=key)
    return [f"{entry['name']}/{entry['version']}" for entry in index.json()]


async def test_models_are_loaded_and_unloaded_and_each_gives_its_own_results(
    controlled: MakeControlled, connect: Connect
) -> None:
    service, key = controlled()
    async with connect(service) as client:
        index = (await client.post("/v2/repository/index", headers=key)).json()
        assert [(entry["name"], entry["version"], entry["state"], entry["reason"]) for entry in index] == [
            ("brightness", "1", "UNAVAILABLE", "not loaded"),
            ("brightness", "2", "READY", ""),
            ("brightness", "10", "UNAVAILABLE", "not loaded"),
            ("other", "3", "UNAVAILABLE", "not loaded"),
        ]
        assert await infer(client, "brightness", key) == pytest.approx(0.2, abs=1e-4)
        assert await infer(client, "brightness/versions/1", key) == 404
        for query, loaded in (("?version=1", "1"), ("", "10"), ("?version=2", "2"), ("?version=10", "10")):
            answer = await client.post(f"{CONTROL}/brightness/load{query}", headers=key, json={})
            assert (answer.status_code, answer.json()["version"], answer.json()["state"]) == (200, loaded, "READY")
        assert (await client.post(f"{CONTROL}/other/load", headers=key)).status_code == 200
        assert await ready(client, key) == ["brightness/1", "brightness/2", "brightness/10", "other/3"]
        for model, probability in (
            ("brightness/versions/1", 0.4),
            ("brightness/versions/2", 0.2),
            ("brightness/versions/10", 0.1),
            ("brightness", 0.2),  # the one that is served, not the highest
            ("other", 0.25),
        ):
            assert await infer(client, model, key) == pytest.approx(probability, abs=1e-4), model
        assert (await client.get(f"{MODELS}/brightness", headers=key)).json()["versions"] == ["1", "2", "10"]
        dependents = {"parameters": {"unload_dependents": False}}
        gone = await client.post(f"{CONTROL}/brightness/unload?version=10", headers=key, json=dependents)
        assert [(entry["version"], entry["state"]) for entry in gone.json()] == [("10", "UNAVAILABLE")]
        assert (await client.post(f"{CONTROL}/other/unload", headers=key)).status_code == 200
        assert await infer(client, "brightness/versions/10", key) == await infer(client, "other", key) == 404
        assert await ready(client, key) == ["brightness/1", "brightness/2"]
        assert (await client.get("/health", headers=key)).json()["model"] == {"name": "brightness", "version": "2"}


async def test_the_main_model_cannot_be_unloaded(controlled: MakeControlled, connect: Connect) -> None:
    service, key = controlled()
    async with connect(service) as client:
        await client.post(f"{CONTROL}/brightness/load?version=1", headers=key)
        for query in ("", "?version=2"):
            refused = await client.post(f"{CONTROL}/brightness/unload{query}", headers=key)
            assert_problem(refused, 409, "model-conflict", "error")
        assert await ready(client, key) == ["brightness/1", "brightness/2"]


@pytest.mark.parametrize(
    ("control", "scopes", "status", "slug"),
    [
        (False, ("admin",), 403, "forbidden"),
        (True, ("predict", "metrics"), 403, "forbidden"),
        (True, None, 401, "unauthorized"),
    ],
)
async def test_model_control_needs_the_setting_and_the_scope_admin(  # noqa: PLR0917
    controlled: MakeControlled, connect: Connect, control: bool, scopes: Any, status: int, slug: str
) -> None:
    service, key = controlled(*(scopes or ()), model_control=control)
    async with connect(service) as client:
        for what in ("load", "unload"):
            refused = await client.post(f"{CONTROL}/brightness/{what}?version=1", headers=key if scopes else {})
            problem = assert_problem(refused, status, slug, "error")
            assert ("XRAY_MODEL_CONTROL" in problem["detail"]) is not control
    assert len(service.repository.models) == 1


async def test_model_control_needs_keys(make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service(model_control=True)) as client:
        assert_problem(await client.post(f"{CONTROL}/brightness/load"), 403, "forbidden", "error")


@pytest.mark.parametrize(
    "path",
    [
        "nothing/load",
        "brightness/load?version=7",
        "brightness/load?version=..",
        "brightness/load?version=%2e%2e%2f1",
        "brightness/load?version=1%0a",
        "brightness/load?version=",
        "../load",
        "%2e%2e/load?version=models",
        "..%2fmodels%2fbrightness/load?version=1",
        "brightness%00/load",
        "hidden/load?version=0",
        "nothing/unload",
        "brightness/unload?version=1",
    ],
)
async def test_a_name_is_never_a_path(controlled: MakeControlled, connect: Connect, models: Path, path: str) -> None:
    write(models, "hidden", "1").rename(models / "hidden" / "0")
    service, key = controlled()
    async with connect(service) as client:
        problem = assert_problem(await client.post(f"{CONTROL}/{path}", headers=key), 404, None, "error")
        assert "models" not in problem["detail"].replace("/index lists", "")
    assert len(service.repository.models) == 1


@pytest.mark.parametrize(
    ("body", "query", "status", "slug"),
    [
        (b"{", "", 400, "invalid-inference"),
        (b'{"parameters": {"config": "{}"}}', "", 400, "invalid-inference"),
        (b'{"parameters": {"file:1/model.onnx": "AAAA"}}', "", 400, "invalid-inference"),
        (b'{"parameters": {"unload_dependents": true}}', "", 400, "invalid-inference"),
        (b'{"version": "1"}', "", 400, "invalid-inference"),
        (b"", "?versions=1", 422, "invalid-request"),
        (b"", "?version=1&version=2", 422, "invalid-request"),
    ],
)
async def test_no_parameters_but_the_version_are_accepted(  # noqa: PLR0917
    controlled: MakeControlled, connect: Connect, body: bytes, query: str, status: int, slug: str
) -> None:
    service, key = controlled()
    async with connect(service) as client:
        refused = await client.post(f"{CONTROL}/brightness/load{query}", headers=key, content=body)
    assert_problem(refused, status, slug, "error")
    assert len(service.repository.models) == 1


def _flip(folder: Path) -> None:
    graph = folder / GRAPH
    graph.write_bytes(graph.read_bytes()[:-1] + b"?")


def _rename(folder: Path) -> None:
    manifest = folder / MANIFEST
    manifest.write_text(manifest.read_text().replace('"name": "other"', '"name": "another"'))


@pytest.mark.parametrize(
    ("break_it", "settings", "words"),
    [
        (_flip, {}, "other/3/model.onnx: SHA-256 differs from manifest.json"),
        (_rename, {}, "other/3/manifest.json: it names another model, another/3"),
        (lambda folder: (folder / MANIFEST).write_text("{}"), {}, "other/3/manifest.json: name: it is missing"),
        (lambda folder: (folder / GRAPH).unlink(), {}, "other/3/model.onnx: No such file"),
        (None, {"guard": "refuse"}, "XRAY_GUARD=refuse, but this bundle has no input guard"),
        (None, {"operating_point": "rule-out"}, "XRAY_OPERATING_POINT: there is no 'rule-out'"),
    ],
)
async def test_a_model_that_cannot_be_served_affects_no_other(  # noqa: PLR0917
    controlled: MakeControlled, connect: Connect, models: Path, break_it: Any, settings: dict[str, Any], words: str
) -> None:
    if break_it:
        break_it(models / "other" / "3")
    main_model = write(models, "main", "1", operating_points=POINTS, input_guard=GUARD)
    service, key = controlled(model=main_model, **settings)
    async with connect(service) as client:
        refused = await client.post(f"{CONTROL}/other/load", headers=key)
        problem = assert_problem(refused, 422, "unsound-model", "error")
        assert problem["detail"].startswith(words)
        assert str(models) not in refused.text
        assert await ready(client, key) == ["main/1"]
        assert (await client.get("/v2/health/ready")).status_code == 200
        again = await client.post(f"{CONTROL}/brightness/load?version=1", headers=key)
        assert again.status_code == (422 if settings else 200)


async def test_loading_and_unloading_are_logged(
    controlled: MakeControlled, connect: Connect, models: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _flip(models / "other" / "3")
    caplog.set_level("INFO", "service.inference.repository")
    service, key = controlled()
    async with connect(service) as client:
        for call in (
            "brightness/load?version=1",
            "brightness/load?version=1",
            "other/load",
            "brightness/unload?version=1",
        ):
            await client.post(f"{CONTROL}/{call}", headers=key)
    records = [record for record in caplog.records if record.name == "service.inference.repository"]
    assert [(record.message, record.model, record.model_version) for record in records] == [  # type: ignore[attr-defined]
        ("a model was loaded", "brightness", "1"),
        ("a model was not loaded", "other", "3"),
        ("a model was unloaded", "brightness", "1"),
    ]
    assert "SHA-256" in records[1].reason  # type: ignore[attr-defined]


async def test_a_model_that_fails_its_warm_up_is_not_loaded(
    controlled: MakeControlled, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, key = controlled()
    backend = FakeBackend()
    backend.fails = 0
    monkeypatch.setattr("service.inference.model.OnnxBackend", lambda *_, **__: backend)
    async with connect(service) as client:
        refused = await client.post(f"{CONTROL}/other/load", headers=key)
        problem = assert_problem(refused, 422, "unsound-model", "error")
        assert problem["detail"] == "the model fails on a blank image"
        assert await infer(client, "other", key) == 404
        assert (await client.get("/v2/health/ready")).status_code == 200
        assert [task.get_name() for task in asyncio.all_tasks() if "batcher other" in task.get_name()] == []


async def test_unloading_completes_the_requests_in_flight_first(
    controlled: MakeControlled, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, key = controlled()
    backend = FakeBackend()
    monkeypatch.setattr("service.inference.model.OnnxBackend", lambda *_, **__: backend)
    async with connect(service) as client:
        assert (await client.post(f"{CONTROL}/other/load", headers=key)).status_code == 200
        backend.hold = threading.Event()
        in_flight = [asyncio.create_task(infer(client, "other", key)) for _ in range(6)]
        await until_async(lambda: service.admission.images_in_flight == 6)
        unloading = asyncio.create_task(client.post(f"{CONTROL}/other/unload", headers=key))
        await until_async(lambda: len(service.repository.models) == 1)
        assert await infer(client, "other", key) == 404
        busy = await client.post(f"{CONTROL}/brightness/load", headers=key)
        assert_problem(busy, 409, "model-conflict", "error")
        assert not unloading.done()
        another = asyncio.create_task(infer(client, "brightness", key))  # it has to wait: all models share the CPUs
        backend.hold.set()
        assert await asyncio.gather(*in_flight) == [pytest.approx(0.4, abs=1e-4)] * 6
        assert await another == pytest.approx(0.2, abs=1e-4)
        assert (await unloading).status_code == 200
        assert (await client.post(f"{CONTROL}/other/load", headers=key)).status_code == 200


async def test_under_load_every_result_is_of_the_requested_version(
    controlled: MakeControlled, connect: Connect
) -> None:
    """Version 1 is loaded and unloaded repeatedly under requests for it: each gets its result, or 404."""
    service, key = controlled()
    results: list[float | int] = []
    async with connect(service) as client:
        done = asyncio.Event()

        async def keep_requesting(model: str) -> None:
            while not done.is_set():
                results.append(await infer(client, model, key))

        clients = [asyncio.create_task(keep_requesting("brightness/versions/1")) for _ in range(4)]
        for _ in range(20):
            assert (await client.post(f"{CONTROL}/brightness/load?version=1", headers=key)).status_code == 200
            before = len(results)
            await until_async(lambda: 0.4 in (round(answer, 4) for answer in results[before:]))  # noqa: B023  at once
            assert (await client.post(f"{CONTROL}/brightness/unload?version=1", headers=key)).status_code == 200
        done.set()
        await asyncio.gather(*clients)
    assert {round(answer, 4) for answer in results} == {404, 0.4}


async def test_a_failing_model_is_not_ready_and_affects_no_other(
    controlled: MakeControlled, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, key = controlled()
    backend = FakeBackend()
    monkeypatch.setattr("service.inference.model.OnnxBackend", lambda *_, **__: backend)
    async with connect(service) as client:
        await client.post(f"{CONTROL}/other/load", headers=key)
        backend.fails = 102
        for _ in range(3):
            assert await infer(client, "other", key) == 500
        assert (await client.get(f"{MODELS}/other/ready", headers=key)).status_code == 503
        assert (await client.get(f"{MODELS}/brightness/ready", headers=key)).status_code == 200
        assert (await client.get("/v2/health/ready")).status_code == 503
        assert (await client.get("/health/ready")).status_code == 200
        assert await ready(client, key) == ["brightness/2"]
        assert await infer(client, "brightness", key) == pytest.approx(0.2, abs=1e-4)


def labelled(metrics: str) -> float:
    """The number of images that got a label."""
    lines = [line for line in metrics.splitlines() if line.startswith("xray_predictions_total{")]
    assert lines
    return sum(float(line.rpartition(" ")[2]) for line in lines)


async def test_the_metrics_of_guard_and_labels_count_the_main_model_only(
    controlled: MakeControlled, connect: Connect, models: Path
) -> None:
    write(models, "guarded", "1", input_guard=GUARD)
    service, key = controlled(model=models / "guarded" / "1")
    async with connect(service) as client:
        write(models, "guarded", "2", input_guard=GUARD)
        await client.post(f"{CONTROL}/guarded/load", headers=key)
        assert isinstance(await infer(client, "guarded/versions/2", key), float)
        before = (await client.get("/metrics", headers=key)).text
        assert isinstance(await infer(client, "guarded/versions/1", key), float)
        after = (await client.get("/metrics", headers=key)).text
    assert "xray_guard_score_count 0.0" in before
    assert labelled(before) == 0
    assert "xray_guard_score_count 1.0" in after
    assert labelled(after) == 1


async def test_a_draining_service_loads_no_model(controlled: MakeControlled, connect: Connect) -> None:
    service, key = controlled()
    async with connect(service) as client:
        service.admission.close()
        refused = await client.post(f"{CONTROL}/brightness/load", headers=key)
        assert_problem(refused, 503, "not-ready", "error")


async def test_other_models_are_loaded_at_start(
    controlled: MakeControlled, connect: Connect, models: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "service.core")
    service, key = controlled(model_control=False)
    service.repository.load_at_start(["other/3", "brightness/2", "brightness/1"])
    async with connect(service) as client:
        assert await ready(client, key) == ["brightness/1", "brightness/2", "other/3"]
        assert await infer(client, "other", key) == pytest.approx(0.25, abs=1e-4)
    loaded = [vars(record) for record in caplog.records if record.message == "a model was loaded"]
    assert [(each["model"], each["model_version"]) for each in loaded] == [("other", "3"), ("brightness", "1")]


async def test_the_repository_is_that_of_the_bundle_or_the_setting(
    make_service: MakeService, connect: Connect, models: Path, bundle_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "model").symlink_to(models / "other" / "3")
    elsewhere = write(tmp_path, "bundle", "1").rename(tmp_path / "mounted")
    for settings, others in (
        ({"model": models / "other" / "3"}, 4),
        ({"model": tmp_path / "model"}, 4),
        ({"model": elsewhere}, 1),
        ({"model": elsewhere, "repository": models}, 5),
    ):
        async with connect(make_service(**settings)) as client:
            assert len((await client.post("/v2/repository/index")).json()) == others, settings


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--load", "other"], WRONG_USE, "XRAY_LOAD: 'other' does not name a model: use NAME/VERSION"),
        (["--load", "../3"], WRONG_USE, "XRAY_LOAD: '../3' does not name a model"),
        (["--load", "other/4"], WRONG_USE, "XRAY_LOAD: there is no other/4 in "),
        (["--load", "brightness/1,other/3"], FAILED, ""),
        (["--repository", "nowhere"], WRONG_USE, "XRAY_REPOSITORY: nowhere is not a folder"),
    ],
)
def test_a_model_that_cannot_be_loaded_at_start_is_an_error_in_one_line(
    options: list[str], code: int, words: str, models: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    _flip(models / "other" / "3")
    given = ["--model", str(models / "brightness" / "2"), "--device", "cpu", "--log-level", "error", *options]
    assert main(["serve", "--port", "0", *given]) == code
    printed = capfd.readouterr().err
    assert printed.count("\n") == 1
    assert printed.startswith(f"xray-service: {words}")
    assert words or "SHA-256 differs from manifest.json" in printed
