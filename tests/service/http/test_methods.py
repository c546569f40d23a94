"""HEAD wherever GET is, OPTIONS everywhere: load balancers and link checkers send them."""

import pytest

from tests.conftest import Connect, MakeService
from tests.openapi import operations
from tests.problems import assert_problem

pytestmark = pytest.mark.anyio
PATHS = sorted({path for path, _, _ in operations()} | {"/", "/docs", "/openapi.json", "/page/app.js", "/v2/"})
VALUES = {"{name}": "brightness", "{version}": "1"}


def filled(path: str) -> str:
    for name, value in VALUES.items():
        path = path.replace(name, value)
    return path


@pytest.mark.parametrize("path", PATHS)
async def test_head_is_get_without_the_body(connect: Connect, make_service: MakeService, path: str) -> None:
    async with connect(make_service()) as client:
        get, head = await client.get(filled(path)), await client.head(filled(path))
        assert head.status_code == get.status_code
        assert head.content == b""
        if path != "/metrics":  # it counts the requests in between
            assert head.headers["content-length"] == get.headers["content-length"]
        assert head.headers["content-type"] == get.headers["content-type"]


@pytest.mark.parametrize("path", PATHS)
async def test_options_tells_the_methods(connect: Connect, make_service: MakeService, path: str) -> None:
    async with connect(make_service(keys_file=None)) as client:
        options = await client.options(filled(path))
        assert (options.status_code, options.content) == (204, b"")
        allowed = options.headers["allow"].split(", ")
        for method in ("GET", "HEAD", "POST"):
            answer = await client.request(method, filled(path), content=b"")
            assert (answer.status_code == 405) == (method not in allowed), method
        wrong = await client.delete(filled(path))
        assert_problem(wrong, 405, "method-not-allowed", *(["error"] if path.startswith("/v2") else []))
        assert wrong.headers["allow"] == options.headers["allow"]
        assert wrong.headers["allow"] in wrong.json()["detail"]


async def test_options_of_no_endpoint(connect: Connect, make_service: MakeService) -> None:
    async with connect(make_service()) as client:
        assert_problem(await client.options("/nothing"), 404, "not-found")
