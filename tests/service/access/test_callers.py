"""How a key may be sent, for whom a trusted proxy calls, and which sites and names are refused."""

import base64
import json
import logging
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.access.keys import add_key, make_key
from service.access.proxies import TrustedProxies, printable_user
from tests.conftest import Connect, MakeService
from tests.drawings import jpeg
from tests.problems import assert_problem

pytestmark = pytest.mark.anyio
IMAGE, JPEG = jpeg(), {"Content-Type": "image/jpeg"}


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, str]:
    text, record = make_key("ward-3", ["predict"])
    add_key(tmp_path / "keys.json", record)
    return tmp_path / "keys.json", text


def basic(password: str, user: str = "anybody") -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


async def post(client: httpx.AsyncClient, **headers: str) -> httpx.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post("/predict", content=IMAGE, headers=JPEG | sent)


async def test_the_ways_to_send_a_key(make_service: MakeService, connect: Connect, keys: tuple[Path, str]) -> None:
    path, key = keys
    async with connect(make_service(keys_file=path)) as client:
        ways = (f"bearer {key}", basic(key), basic(key).replace(" ", "  "))
        for good in ({"X_API_Key": key}, *({"Authorization": way} for way in ways)):
            assert (await post(client, **good)).status_code == 200
            assert (await client.get("/model", headers={n.replace("_", "-"): v for n, v in good.items()})).is_success
        for bad in ("x", "", "Bearer", "Basic", "Basic !", basic("x"), basic(""), f"Digest {key}"):
            assert_problem(await post(client, Authorization=bad), 401, "unauthorized")
        assert_problem(await post(client, X_API_Key="x"), 401, "unauthorized")
        assert_problem(await client.post(f"/predict?key={key}", content=IMAGE, headers=JPEG), 401, "unauthorized")


async def test_a_key_is_not_logged_however_it_is_sent(
    make_service: MakeService, connect: Connect, keys: tuple[Path, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    path, key = keys
    async with connect(make_service(keys_file=path)) as client:
        await post(client, X_API_Key=key)
        await post(client, Authorization=basic(key, user="dr.who"))
    logged = " ".join(
        str(record.__dict__) for record in caplog.records if not record.name.startswith(("http", "async"))
    )
    assert key not in logged
    assert basic(key) not in logged


async def audited(
    make_service: MakeService, connect: Connect, folder: Path, headers: dict[str, str], **settings: Any
) -> Any:
    """The audit's line of one image."""
    (folder / "audit").mkdir()
    service = make_service(audit="required", audit_folder=folder / "audit", **settings)
    async with connect(service) as client:
        assert (await client.post("/predict", content=IMAGE, headers=JPEG | headers)).status_code == 200
    lines = [
        json.loads(line)
        for path in sorted((folder / "audit").rglob("*.jsonl"))
        for line in path.read_text().splitlines()
    ]
    return next(line for line in lines if line["event"] == "read")


@pytest.mark.parametrize(("proxies", "user"), [("127.0.0.0/8", "dr.who"), ("10.0.0.1", None), (None, None)])
async def test_a_trusted_proxy_names_the_person(
    *,
    make_service: MakeService,
    connect: Connect,
    tmp_path: Path,
    keys: tuple[Path, str],
    proxies: str,
    user: str | None,
) -> None:
    path, key = keys
    headers = {"X-API-Key": key, "X-Forwarded-User": "dr.who"}
    settings = {"keys_file": path, "trusted_proxies": proxies}
    line = await audited(make_service, connect, tmp_path, headers, **settings)
    assert (line["caller"], line["user"]) == ("ward-3", user)


async def test_without_a_named_key_no_person_is_believed(
    make_service: MakeService, connect: Connect, tmp_path: Path
) -> None:
    headers = {"X-Forwarded-User": "dr.who"}
    line = await audited(make_service, connect, tmp_path, headers, trusted_proxies="127.0.0.0/8")
    assert (line["caller"], line["user"]) == (None, None)


@pytest.mark.parametrize(
    ("sent", "recorded"), [("DOMAIN\\who", "DOMAIN\\who"), ('a"\x1b[1m', "a%22%1B%5B1m"), ("x" * 999, "x" * 256)]
)
def test_a_person_s_name_is_printable(sent: str, recorded: str) -> None:
    assert printable_user(sent) == recorded


def test_whose_headers_are_believed() -> None:
    proxies = TrustedProxies(["10.1.0.0/16", "::1"])
    assert [proxies.trusts((address, 1)) for address in ("10.1.2.3", "::1", "10.2.0.1", "x")] == [
        True,
        True,
        False,
        False,
    ]
    assert not proxies.trusts(None)


TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    ("sent", "trace"),
    [
        (f"00-{TRACE}-00f067aa0ba902b7-01", TRACE),
        (f"01-{TRACE}-00f067aa0ba902b7-01-more", TRACE),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", None),
        (f"ff-{TRACE}-00f067aa0ba902b7-01", None),
        ("anything\x1b", None),
    ],
)
async def test_the_trace_of_a_request_is_logged_and_audited(
    *,
    make_service: MakeService,
    connect: Connect,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    sent: str,
    trace: str,
) -> None:
    caplog.set_level(logging.INFO)
    line = await audited(make_service, connect, tmp_path, {"traceparent": sent})
    assert line["trace_id"] == trace
    logged = [record.__dict__ for record in caplog.records if record.message == "request"]
    assert [record["trace_id"] for record in logged if record["route"] == "/predict"] == [trace]
    assert "user" not in logged[0]


OWN = {"Origin": "http://localhost:8000", "Host": "localhost:8000"}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        OWN,
        OWN | {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"},
        {"Origin": "https://xray.hospital", "Host": "127.0.0.1:8000", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "https://pacs.example", "Sec-Fetch-Site": "cross-site"},
        {"Host": "[::1]:8000"},
        {"Host": "service:8000"},
    ],
)
async def test_own_pages_programs_and_named_sites_may_call(
    make_service: MakeService, connect: Connect, headers: dict[str, str]
) -> None:
    async with connect(make_service(cors_origins="https://pacs.example")) as client:
        assert (await post(client, **headers)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000", "Host": "localhost:8000"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:3000", "Host": "localhost:8000"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},  # a form
    ],
)
async def test_pages_of_other_sites_may_not_call(
    make_service: MakeService, connect: Connect, headers: dict[str, str]
) -> None:
    async with connect(make_service()) as client:
        assert_problem(await post(client, **headers), 403, "cross-site")
        assert (await client.get("/health", headers=headers)).status_code == 200


async def test_a_link_to_the_page_is_followed_and_a_frame_is_not(make_service: MakeService, connect: Connect) -> None:
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    async with connect(make_service()) as client:
        assert (await client.get("/", headers=link)).status_code == 200
        assert (await client.get("/", headers=link | {"Sec-Fetch-Dest": "iframe"})).status_code == 403


@pytest.mark.parametrize(
    ("settings", "status"),
    [({}, 400), ({"allowed_hosts": "xray.example"}, 200), ({"published_on": "10.0.0.1", "allow_anonymous": True}, 200)],
)
async def test_a_private_service_answers_to_names_of_its_machine(
    make_service: MakeService, connect: Connect, settings: dict[str, Any], status: int
) -> None:
    async with connect(make_service(**settings)) as client:
        answer = await post(client, Host="xray.example:8000")
        assert answer.status_code == status
        if status == 400:
            assert_problem(answer, 400, "unknown-host")


async def test_with_keys_other_sites_need_one(
    make_service: MakeService, connect: Connect, keys: tuple[Path, str]
) -> None:
    path, key = keys
    async with connect(make_service(keys_file=path)) as client:
        assert (await post(client, Origin="https://portal.example", X_API_Key=key)).status_code == 200


@pytest.mark.parametrize("strips", [True, False], ids=["the proxy strips it", "the proxy leaves it"])
@pytest.mark.parametrize("how", ["setting", "header"])
async def test_under_a_path_prefix(make_service: MakeService, connect: Connect, strips: bool, how: str) -> None:
    settings = {"root_path": "/xray/ai"} if how == "setting" else {"trusted_proxies": "127.0.0.1"}
    headers = {"X-Forwarded-Prefix": "/xray/ai/"} if how == "header" else {}
    prefix = "" if strips else "/xray/ai"
    async with connect(make_service(**settings)) as client:
        client.headers.update(headers)
        assert (await client.get(f"{prefix}/")).text.startswith("<!doctype html>")
        assert (await client.post(f"{prefix}/predict", content=IMAGE, headers=JPEG)).status_code == 200
        docs = (await client.get(f"{prefix}/docs")).text
        assert "'/xray/ai/openapi.json'" in docs
        assert 'src="/xray/ai/static-offline-docs/' in docs
        assert (await client.get(f"{prefix}/static-offline-docs/swagger-ui.css")).status_code == 200
        schema = (await client.get(f"{prefix}/openapi.json")).json()
        assert schema["servers"] == [{"url": "/xray/ai"}]
        if not strips:
            page = await client.get("/xray/ai")
            assert (page.status_code, page.headers["location"]) == (308, "/xray/ai/")


@pytest.mark.parametrize("sent", ["/x", "//evil.example", "/x/../y", '/"><script>'])
async def test_a_prefix_is_believed_of_nobody_else(make_service: MakeService, connect: Connect, sent: str) -> None:
    proxies = None if sent == "/x" else "127.0.0.1"
    async with connect(make_service(trusted_proxies=proxies)) as client:
        docs = await client.get("/docs", headers={"X-Forwarded-Prefix": sent})
        assert "'/openapi.json'" in docs.text
        assert sent not in docs.text
        assert "servers" not in (await client.get("/openapi.json")).json()
