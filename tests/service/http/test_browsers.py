"""Headers for browsers: those of every response, CORS, and the accepted host names."""

import httpx
import pytest
from pydantic import ValidationError

from service.settings import Settings, explain
from tests.conftest import Connect, MakeService
from tests.drawings import jpeg
from tests.problems import assert_problem

PAGE = "https://pacs.hospital"
JPEG = {"Content-Type": "image/jpeg"}


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/", "/health", "/model", "/nowhere", "/docs", "/openapi.json", "/page/app.js"])
async def test_every_response_has_the_security_headers(make_service: MakeService, connect: Connect, path: str) -> None:
    async with connect(make_service()) as client:
        headers = (await client.get(path)).headers
    policy = headers["Content-Security-Policy"]
    assert policy.startswith(("default-src 'none'", "default-src 'self'"))
    assert "frame-ancestors 'none'" in policy
    assert ("'unsafe-inline'" in policy) == (path == "/docs")
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "no-store" in headers["Cache-Control"]
    assert "Server" not in headers


@pytest.mark.anyio
async def test_without_cors_origins_no_other_origin_may_call(make_service: MakeService, connect: Connect) -> None:
    preflight = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
    async with connect(make_service()) as client:
        preflighted = await client.options("/predict", headers=preflight)
        answer = await client.post("/predict", content=jpeg(), headers=JPEG | {"Origin": PAGE})
        assert_problem(answer, 403, "cross-site")
        for each in (preflighted, answer):
            assert not any(name.startswith("access-control") for name in each.headers)


@pytest.mark.anyio
async def test_only_the_listed_origins_may_call(make_service: MakeService, connect: Connect) -> None:
    preflight = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    async with connect(make_service(cors_origins=f"{PAGE}, http://ris.hospital:8080")) as client:
        for origin, allowed in ((PAGE, True), ("http://ris.hospital:8080", True), ("https://evil.example", False)):
            preflighted = await client.options("/predict", headers=preflight | {"Origin": origin})
            assert (preflighted.status_code == 200) is allowed
            answer = await client.post("/predict", content=jpeg(), headers=JPEG | {"Origin": origin})
            assert answer.status_code == (200 if allowed else 403)
            assert answer.headers.get("Access-Control-Allow-Origin") == (origin if allowed else None)
            assert "Access-Control-Allow-Credentials" not in answer.headers
        refused = await client.post("/predict", content=b"no image", headers=JPEG | {"Origin": PAGE})
        assert refused.status_code == 415
        assert refused.headers["Access-Control-Allow-Origin"] == PAGE  # the page of that origin can read the problem
        assert "X-Request-ID" in refused.headers["Access-Control-Expose-Headers"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"Origin": "https://evil.example"}, "origin"),
        ({"Access-Control-Request-Method": "DELETE"}, "method"),
        ({"Access-Control-Request-Headers": "x-evil"}, "headers"),
    ],
)
async def test_a_refused_preflight_is_a_problem(
    asked: dict[str, str], named: str, make_service: MakeService, connect: Connect
) -> None:
    headers = {"Origin": PAGE, "Access-Control-Request-Method": "POST"} | asked
    async with connect(make_service(cors_origins=PAGE)) as client:
        refused = await client.options("/predict", headers=headers)
    assert f": {named} (" in assert_problem(refused, 403, "cross-site")["detail"]
    assert refused.headers["Access-Control-Allow-Methods"] == "GET, POST"
    assert refused.headers.get("Access-Control-Allow-Origin") == (PAGE if named != "origin" else None)
    assert refused.headers["Vary"].startswith("Origin")


@pytest.mark.parametrize("origin", ["*", "pacs.hospital", "https://pacs.hospital/", "null", "https://a/b"])
def test_an_invalid_origin_is_a_settings_error(origin: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(cors_origins=f"{PAGE},{origin}")
    assert explain(caught.value).startswith(f"XRAY_CORS_ORIGINS: {origin!r} is not an origin")


@pytest.mark.parametrize("host", ["*", "xray.hospital:8443", "::1", "https://xray.hospital", "röntgen.hospital"])
def test_an_allowed_host_that_no_request_can_have_is_a_settings_error(host: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(allowed_hosts=f"localhost,{host}")
    assert explain(caught.value).startswith(f"XRAY_ALLOWED_HOSTS: {host!r} is not a host name")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("host", "accepted"),
    [
        ("xray.hospital", True),
        ("XRAY.hospital:8443", True),
        ("[::1]:8000", True),
        ("evil.example", False),
        ("xray.hospital.evil.example", False),
        ("", False),
    ],
)
async def test_requests_to_other_host_names_are_rejected(
    host: str, accepted: bool, make_service: MakeService, connect: Connect
) -> None:
    async with connect(make_service(allowed_hosts="xray.hospital, [::1]")) as client:
        answer = await client.get("/model", headers={"Host": host})
        health = await client.get("/health/ready", headers={"Host": host})
    assert health.status_code == 200  # an orchestrator probes by IP address
    assert answer.status_code == (200 if accepted else 400)
    if not accepted:
        assert answer.json()["type"] == "/problems/unknown-host"


@pytest.mark.anyio
async def test_without_allowed_hosts_any_name_is_accepted(make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service()) as client:
        answer: httpx.Response = await client.get("/model", headers={"Host": "anything"})
    assert answer.status_code == 200
