"""Authentication and authorisation: keys, scopes, quotas, and services that are reachable without keys."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute

from service.__main__ import WRONG_USE, main
from service.access.authentication import require_scope
from service.access.keys import Scope, add_key, make_key, revoke_key
from service.workers.app import create_app
from tests.conftest import Connect, MakeService
from tests.drawings import jpeg
from tests.waiting import until_async

IMAGE = jpeg()
JPEG = {"Content-Type": "image/jpeg"}
# Open to every client: health, and static content that is public anyway.
OPEN = {"/", "/page/{name:path}", "/health", "/health/live", "/health/ready", "/version", "/docs"}
OPEN |= {"/docs/oauth2-redirect", "/v2/health/live", "/v2/health/ready", "/problems", "/problems/{name}"}
MODEL, VERSION = "/v2/models/{name}", "/v2/models/{name}/versions/{version}"
V2 = {"/v2", "/v2/repository/index", *(f"/v2/repository/models/{{name}}/{what}" for what in ("load", "unload"))}
V2 |= {f"{model}{what}" for model in (MODEL, VERSION) for what in ("", "/config", "/ready", "/stats", "/infer")}
V2.add("/v2/models/stats")


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


AddKey = Callable[..., str]


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def add(keys_file: Path) -> AddKey:
    """Creates a key and returns its text."""

    def add_to_file(name: str = "ward-3", *scopes: Scope, **more: Any) -> str:
        text, key = make_key(name, scopes or ["predict"], **more)
        add_key(keys_file, key)
        return text

    return add_to_file


async def post(client: httpx.AsyncClient, path: str = "/predict", **headers: str) -> httpx.Response:
    return await client.post(path, content=IMAGE, headers=JPEG | headers)


def slug(response: httpx.Response) -> str:
    return str(response.json()["type"]).rpartition("/")[2]


@pytest.mark.anyio
async def test_without_keys_anonymous_clients_predict_and_do_not_administer(make_service: MakeService) -> None:
    app = create_app(make_service())
    app.add_api_route("/admin", lambda: {}, dependencies=[Depends(require_scope("admin"))])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        assert (await client.get("/metrics")).status_code == 200
        assert (await client.get("/model", headers=bearer("anything"))).status_code == 200
        rejected = await client.get("/admin")
    assert (rejected.status_code, slug(rejected)) == (403, "forbidden")


@pytest.mark.anyio
async def test_with_keys_each_call_requires_one_with_its_scope(
    make_service: MakeService, connect: Connect, keys_file: Path, add: AddKey
) -> None:
    ward, prometheus = add("ward-3"), add("prometheus", "metrics")
    async with connect(make_service(keys_file=keys_file)) as client:
        for path in ("/predict", "/explain", "/render"):
            anonymous = await post(client, path)
            assert (anonymous.status_code, slug(anonymous)) == (401, "unauthorized")
            assert anonymous.headers["WWW-Authenticate"] == "Bearer"
            assert anonymous.headers["Connection"] == "close"  # the body is not received
            assert (await post(client, path, **bearer(ward))).status_code == 200
            assert slug(await post(client, path, **bearer(prometheus))) == "forbidden"
        for path, right, wrong in (("/metrics", prometheus, ward), ("/model", ward, prometheus)):
            assert (await client.get(path)).status_code == 401
            assert (await client.get(path, headers=bearer(right))).status_code == 200
            assert (await client.get(path, headers=bearer(wrong))).status_code == 403
        for path in ("/", "/health", "/health/live", "/v2/health/ready", "/docs", "/openapi.json"):
            assert (await client.get(path)).status_code == 200


@pytest.mark.anyio
async def test_invalid_keys_are_rejected(
    make_service: MakeService, connect: Connect, keys_file: Path, add: AddKey
) -> None:
    key = add()
    other, _ = make_key("elsewhere", ["predict"])
    wrong = [key[:-1], key + "A", key.upper(), other, key[:18] + other[18:], "xray_", "é" * 40, f"{key} {key}"]
    async with connect(make_service(keys_file=keys_file)) as client:
        for text in wrong:
            header = {"Authorization": f"Bearer {text}".encode()}
            rejected = await client.get("/model", headers=header)  # type: ignore[arg-type]
            assert rejected.status_code == 401
            assert text not in rejected.text
        for scheme in ("Basic", "bearer2", ""):
            assert (await client.get("/model", headers={"Authorization": f"{scheme} {key}"})).status_code == 401
        assert (await client.get("/model", headers={"Authorization": f"bEARER {key}"})).status_code == 200
        assert (await client.get("/model", params={"key": key})).status_code == 401


@pytest.mark.anyio
async def test_key_changes_take_effect_while_the_service_runs(
    make_service: MakeService, connect: Connect, keys_file: Path, add: AddKey, caplog: pytest.LogCaptureFixture
) -> None:
    old = add("old")
    async with connect(make_service(keys_file=keys_file)) as client:

        async def status(key: str) -> int:
            return (await client.get("/model", headers=bearer(key))).status_code

        async def becomes(key: str, wanted: int) -> None:
            async def is_it() -> bool:
                return await status(key) == wanted

            await until_async(is_it)

        async def is_logged() -> bool:
            await status(old)
            return "cannot reload the API keys: the keys loaded last stay in force" in caplog.messages

        new = add("new")
        await becomes(new, 200)
        assert await status(old) == 200
        revoke_key(keys_file, "old")
        await becomes(old, 401)
        keys_file.write_text("{")  # a slip while editing by hand
        await until_async(is_logged)
        assert (await status(new), await status(old)) == (200, 401)
        keys_file.write_text('{"keys": []}')
        await becomes(new, 401)


@pytest.mark.anyio
async def test_an_expired_key_is_rejected(
    make_service: MakeService, connect: Connect, keys_file: Path, add: AddKey
) -> None:
    key = add()
    stored = json.loads(keys_file.read_text())
    for expires, status in (("2020-01-01T00:00:00Z", 401), ("2999-01-01T00:00:00Z", 200)):
        stored["keys"][0]["expires_at"] = expires
        keys_file.write_text(json.dumps(stored))
        async with connect(make_service(keys_file=keys_file)) as client:
            assert (await client.get("/model", headers=bearer(key))).status_code == status


@pytest.mark.anyio
async def test_a_quota_limits_its_key_and_no_other(
    make_service: MakeService, connect: Connect, keys_file: Path, add: AddKey
) -> None:
    small, large = add("small", images_per_minute=3), add("large")
    parts = [("file", ("a.jpg", IMAGE, "image/jpeg"))] * 4
    async with connect(make_service(keys_file=keys_file)) as client:
        assert (await client.post("/predict", files=parts, headers=bearer(small))).status_code == 200
        rejected = await post(client, **bearer(small))
        assert (rejected.status_code, slug(rejected)) == (429, "quota-exceeded")
        # Four images on a quota of three: one in debt and one requested, at 20 s per image.
        assert 20 <= int(rejected.headers["Retry-After"]) <= 40
        assert (await post(client, **bearer(large))).status_code == 200
        assert (await client.get("/model", headers=bearer(small))).status_code == 200


@pytest.mark.anyio
async def test_keys_and_anonymous_access_can_be_combined(
    make_service: MakeService, connect: Connect, keys_file: Path, add: AddKey
) -> None:
    ward = add()
    async with connect(make_service(keys_file=keys_file, allow_anonymous=True)) as client:
        assert (await post(client)).status_code == 200
        assert (await post(client, **bearer("xray_wrong"))).status_code == 401
        for headers, status in (({}, 401), (bearer(ward), 403)):  # 401 where a key would help
            rejected = await client.post("/v2/repository/models/brightness/load", headers=headers)
            assert rejected.status_code == status


@pytest.mark.anyio
async def test_the_log_names_the_caller_and_never_the_key(
    make_service: MakeService, connect: Connect, keys_file: Path, add: AddKey, caplog: pytest.LogCaptureFixture
) -> None:
    key = add("ward-3")
    with caplog.at_level("DEBUG"):
        async with connect(make_service(keys_file=keys_file)) as client:
            await post(client, **bearer(key))
            await post(client, f"/predict?key={key}", **bearer(key))
    lines = [record.__dict__ for record in caplog.records if record.name == "service.request"]
    assert [line["caller"] for line in lines if line["route"] == "/predict"] == ["ward-3", "ward-3"]
    # The HTTP client library logs the URL; the service never does.
    assert not any(key in str(record.__dict__) for record in caplog.records if not record.name.startswith("http"))
    assert key not in keys_file.read_text()


def test_every_route_requires_a_scope_or_is_known_to_be_open(make_service: MakeService) -> None:
    app = create_app(make_service())
    protected = {route.path for route in _routes(app) if _requires_scope(route.dependant)}
    assert {route.path for route in _routes(app)} - protected == OPEN


def _routes(app: FastAPI) -> list[APIRoute]:
    found = [route for route in app.routes if isinstance(route, APIRoute)]
    for included in app.routes:
        router = getattr(included, "original_router", None)
        found += [route for route in getattr(router, "routes", []) if isinstance(route, APIRoute)]
    return found


def _requires_scope(dependant: Any) -> bool:
    return getattr(dependant.call, "__qualname__", "").startswith(("require_scope.", "authorize_prediction")) or any(
        _requires_scope(dependency) for dependency in dependant.dependencies
    )


@pytest.mark.parametrize(
    ("options", "starts"),
    [
        ({}, True),
        ({"host": "localhost"}, True),
        ({"host": "::1"}, True),
        ({"host": "0.0.0.0"}, False),  # noqa: S104
        ({"host": "10.0.0.7"}, False),
        ({"host": "xray.hospital"}, False),
        ({"host": "0.0.0.0", "published_on": "127.0.0.1"}, True),  # noqa: S104
        ({"published_on": "10.0.0.7"}, False),
        ({"host": "0.0.0.0", "allow_anonymous": "1"}, True),  # noqa: S104
        ({"host": "0.0.0.0", "keys_file": "keys.json"}, True),  # noqa: S104
    ],
)
def test_a_reachable_service_requires_keys_or_explicit_anonymous_access(  # noqa: PLR0917
    options: dict[str, str],
    starts: bool,
    keys_file: Path,
    add: AddKey,
    bundle_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    add()
    monkeypatch.chdir(keys_file.parent)
    monkeypatch.setattr("service.workers.server.serve", lambda service: True)
    monkeypatch.setattr("service.cli.commands.configure_logging", lambda *_, **__: None)
    given = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
    code = main(["serve", "--model", str(bundle_folder), "--device", "cpu", "--port", "0", *given])
    assert code == (0 if starts else WRONG_USE)
    stderr = capsys.readouterr().err
    assert ("other machines can reach the service" in stderr) is not starts
    assert starts or (stderr.count("\n") == 1 and "XRAY_KEYS_FILE" in stderr and "XRAY_ALLOW_ANONYMOUS=1" in stderr)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file or directory"),
        ("{", "Invalid JSON"),
        ('{"keys": [{}]}', "keys.0.name: it is missing"),
        ('{"kyes": []}', "kyes: it is not known"),
    ],
)
def test_an_unusable_key_file_prevents_the_start(
    content: str | None, message: str, keys_file: Path, bundle_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        keys_file.write_text(content)
    given = ["serve", "--model", str(bundle_folder), "--device", "cpu", "--keys-file", str(keys_file)]
    assert main([*given, "--port", "0"]) == WRONG_USE
    stderr = capfd.readouterr().err
    assert stderr.startswith(f"xray-service: XRAY_KEYS_FILE: {keys_file}: {message}")
    assert stderr.count("\n") == 1


@pytest.mark.anyio
async def test_the_schema_documents_which_calls_require_a_key(make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service()) as client:
        schema = (await client.get("/openapi.json")).json()
    assert schema["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    secured = {
        path for path, calls in schema["paths"].items() if any("security" in operation for operation in calls.values())
    }
    assert (
        secured
        == {"/predict", "/explain", "/render", "/feedback", "/model", "/model/card", "/model/reload", "/metrics"} | V2
    )
    assert {"401", "403", "429"} <= schema["paths"]["/predict"]["post"]["responses"].keys()
