"""Who may call what: keys, scopes, quotas, and a service that others can reach without any."""

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute

from service.__main__ import WRONG_USE, main
from service.access.authentication import needs
from service.access.keyring import LOOK_EVERY_S
from service.access.keys import Scope, add_key, make_key, revoke_key
from service.app import create_app
from tests.conftest import Connect, MakeService
from tests.drawings import jpeg

IMAGE = jpeg()
JPEG = {"Content-Type": "image/jpeg"}
# Open to whoever can reach the service: health, and what is the same for everybody and public anyway.
OPEN = {"/", "/page/{name}", "/health", "/health/live", "/health/ready", "/docs", "/docs/oauth2-redirect"}
OPEN |= {"/v2/health/live", "/v2/health/ready"}
MODEL, VERSION = "/v2/models/{name}", "/v2/models/{name}/versions/{version}"
V2 = {"/v2", "/v2/repository/index", *(f"/v2/repository/models/{{name}}/{what}" for what in ("load", "unload"))}
V2 |= {f"{model}{what}" for model in (MODEL, VERSION) for what in ("", "/ready", "/infer")}


def bearing(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


AddKey = Callable[..., str]


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def add(keys_file: Path) -> AddKey:
    """Makes a key and gives its text."""

    def added(name: str = "ward-3", *scopes: Scope, **more: Any) -> str:
        text, key = make_key(name, scopes or ["predict"], **more)
        add_key(keys_file, key)
        return text

    return added


async def post(client: httpx.AsyncClient, path: str = "/predict", **headers: str) -> httpx.Response:
    return await client.post(path, content=IMAGE, headers=JPEG | headers)


def slug(response: httpx.Response) -> str:
    return str(response.json()["type"]).rpartition("/")[2]


@pytest.mark.anyio
async def test_without_keys_anybody_reads_and_nobody_administers(make_service: MakeService) -> None:
    app = create_app(make_service())
    app.add_api_route("/admin", lambda: {}, dependencies=[Depends(needs("admin"))])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        assert (await client.get("/metrics")).status_code == 200
        assert (await client.get("/model", headers=bearing("anything"))).status_code == 200
        refused = await client.get("/admin")
    assert (refused.status_code, slug(refused)) == (403, "forbidden")


@pytest.mark.anyio
async def test_with_keys_each_call_takes_one_with_its_scope(
    make_service: MakeService, connect: Connect, keys_file: Path, add: AddKey
) -> None:
    ward, prometheus = add("ward-3"), add("prometheus", "metrics")
    async with connect(make_service(keys_file=keys_file)) as client:
        for path in ("/predict", "/explain"):
            nobody = await post(client, path)
            assert (nobody.status_code, slug(nobody)) == (401, "unauthorized")
            assert nobody.headers["WWW-Authenticate"] == "Bearer"
            assert nobody.headers["Connection"] == "close"  # the body is not read
            assert (await post(client, path, **bearing(ward))).status_code == 200
            assert slug(await post(client, path, **bearing(prometheus))) == "forbidden"
        for path, right, wrong in (("/metrics", prometheus, ward), ("/model", ward, prometheus)):
            assert (await client.get(path)).status_code == 401
            assert (await client.get(path, headers=bearing(right))).status_code == 200
            assert (await client.get(path, headers=bearing(wrong))).status_code == 403
        for path in ("/", "/health", "/health/live", "/v2/health/ready", "/docs", "/openapi.json"):
            assert (await client.get(path)).status_code == 200


@pytest.mark.anyio
async def test_what_is_no_key_of_this_service_opens_nothing(
    make_service: MakeService, connect: Connect, keys_file: Path, add: AddKey
) -> None:
    key = add()
    other, _ = make_key("elsewhere", ["predict"])
    wrong = [key[:-1], key + "A", key.upper(), other, key[:18] + other[18:], "xray_", "é" * 40, f"{key} {key}"]
    async with connect(make_service(keys_file=keys_file)) as client:
        for text in wrong:
            header = {"Authorization": f"Bearer {text}".encode()}
            refused = await client.get("/model", headers=header)  # type: ignore[arg-type]
            assert refused.status_code == 401
            assert text not in refused.text
        for scheme in ("Basic", "bearer2", ""):
            assert (await client.get("/model", headers={"Authorization": f"{scheme} {key}"})).status_code == 401
        assert (await client.get("/model", headers={"Authorization": f"bEARER {key}"})).status_code == 200
        assert (await client.get("/model", params={"key": key})).status_code == 401


@pytest.mark.anyio
async def test_keys_come_and_go_while_the_service_runs(
    make_service: MakeService, connect: Connect, keys_file: Path, add: AddKey, caplog: pytest.LogCaptureFixture
) -> None:
    old = add("old")
    async with connect(make_service(keys_file=keys_file)) as client:

        async def status(key: str) -> int:
            return (await client.get("/model", headers=bearing(key))).status_code

        async def becomes(key: str, wanted: int) -> bool:
            until = time.monotonic() + 10 * LOOK_EVERY_S
            while (await status(key)) != wanted and time.monotonic() < until:
                await asyncio.sleep(LOOK_EVERY_S / 10)
            return (await status(key)) == wanted

        new = add("new")
        assert await becomes(new, 200)
        assert await status(old) == 200
        revoke_key(keys_file, "old")
        assert await becomes(old, 401)
        keys_file.write_text("{")  # somebody edits it by hand, badly
        await asyncio.sleep(1.1 * LOOK_EVERY_S)
        assert (await status(new), await status(old)) == (200, 401)
        assert "the keys cannot be read: those read last stay in force" in caplog.messages
        keys_file.write_text('{"keys": []}')
        assert await becomes(new, 401)


@pytest.mark.anyio
async def test_an_expired_key_is_none(
    make_service: MakeService, connect: Connect, keys_file: Path, add: AddKey
) -> None:
    key = add()
    stored = json.loads(keys_file.read_text())
    for expires, status in (("2020-01-01T00:00:00Z", 401), ("2999-01-01T00:00:00Z", 200)):
        stored["keys"][0]["expires_at"] = expires
        keys_file.write_text(json.dumps(stored))
        async with connect(make_service(keys_file=keys_file)) as client:
            assert (await client.get("/model", headers=bearing(key))).status_code == status


@pytest.mark.anyio
async def test_a_key_has_its_quota_and_no_other_feels_it(
    make_service: MakeService, connect: Connect, keys_file: Path, add: AddKey
) -> None:
    small, large = add("small", images_per_minute=3), add("large")
    parts = [("file", ("a.jpg", IMAGE, "image/jpeg"))] * 4
    async with connect(make_service(keys_file=keys_file)) as client:
        assert (await client.post("/predict", files=parts, headers=bearing(small))).status_code == 200
        refused = await post(client, **bearing(small))
        assert (refused.status_code, slug(refused)) == (429, "quota-exceeded")
        # Four of three: the debt and the one that is asked for, at one image in 20 s.
        assert 20 <= int(refused.headers["Retry-After"]) <= 40
        assert (await post(client, **bearing(large))).status_code == 200
        assert (await client.get("/model", headers=bearing(small))).status_code == 200


@pytest.mark.anyio
async def test_keys_may_be_for_some_while_everybody_reads(
    make_service: MakeService, connect: Connect, keys_file: Path, add: AddKey
) -> None:
    ward = add()
    async with connect(make_service(keys_file=keys_file, allow_anonymous=True)) as client:
        assert (await post(client)).status_code == 200
        assert (await post(client, **bearing("xray_wrong"))).status_code == 401
        for headers, status in (({}, 401), (bearing(ward), 403)):  # whom a key would help is told so
            refused = await client.post("/v2/repository/models/brightness/load", headers=headers)
            assert refused.status_code == status


@pytest.mark.anyio
async def test_the_log_names_the_caller_and_never_the_key(
    make_service: MakeService, connect: Connect, keys_file: Path, add: AddKey, caplog: pytest.LogCaptureFixture
) -> None:
    key = add("ward-3")
    with caplog.at_level("DEBUG"):
        async with connect(make_service(keys_file=keys_file)) as client:
            await post(client, **bearing(key))
            await post(client, f"/predict?key={key}", **bearing(key))
    lines = [record.__dict__ for record in caplog.records if record.name == "service.request"]
    assert [line["caller"] for line in lines if line["route"] == "/predict"] == ["ward-3", "ward-3"]
    # The client's own library tells the address it asks; nothing of the service does.
    assert not any(key in str(record.__dict__) for record in caplog.records if not record.name.startswith("http"))
    assert key not in keys_file.read_text()


def test_every_call_asks_for_a_scope_or_is_known_to_be_open(make_service: MakeService) -> None:
    app = create_app(make_service())
    guarded = {route.path for route in _routes(app) if _asks(route.dependant)}
    assert {route.path for route in _routes(app)} - guarded == OPEN


def _routes(app: FastAPI) -> list[APIRoute]:
    found = [route for route in app.routes if isinstance(route, APIRoute)]
    for included in app.routes:
        router = getattr(included, "original_router", None)
        found += [route for route in getattr(router, "routes", []) if isinstance(route, APIRoute)]
    return found


def _asks(dependant: Any) -> bool:
    return getattr(dependant.call, "__qualname__", "").startswith(("needs.", "authorize_prediction")) or any(
        _asks(each) for each in dependant.dependencies
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
def test_a_service_that_others_reach_asks_for_keys_or_says_that_it_does_not(  # noqa: PLR0917
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
    monkeypatch.setattr("service.server.serve", lambda service: True)
    monkeypatch.setattr("service.cli.commands.configure_logging", lambda *_, **__: None)
    given = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
    code = main(["serve", "--model", str(bundle_folder), "--device", "cpu", *given])
    assert code == (0 if starts else WRONG_USE)
    told = capsys.readouterr().err
    assert ("others can reach the service" in told) is not starts
    assert starts or (told.count("\n") == 1 and "XRAY_KEYS_FILE" in told and "XRAY_ALLOW_ANONYMOUS=1" in told)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file or directory"),
        ("{", "Invalid JSON"),
        ('{"keys": [{}]}', "keys.0.name: Field required"),
        ('{"kyes": []}', "kyes: Extra inputs are not permitted"),
    ],
)
def test_a_file_of_keys_that_cannot_be_used_stops_the_start(
    content: str | None, words: str, keys_file: Path, bundle_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        keys_file.write_text(content)
    given = ["serve", "--model", str(bundle_folder), "--device", "cpu", "--keys-file", str(keys_file)]
    assert main(given) == WRONG_USE
    told = capfd.readouterr().err
    assert told.startswith(f"xray-service: XRAY_KEYS_FILE: {keys_file}: {words}")
    assert told.count("\n") == 1


@pytest.mark.anyio
async def test_the_schema_says_which_calls_take_a_key(make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service()) as client:
        schema = (await client.get("/openapi.json")).json()
    assert schema["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    taking = {
        path for path, calls in schema["paths"].items() if any("security" in operation for operation in calls.values())
    }
    assert taking == {"/predict", "/explain", "/model", "/model/card", "/metrics"} | V2
    assert {"401", "403", "429"} <= schema["paths"]["/predict"]["post"]["responses"].keys()
