"""The check of every error response."""

from typing import Any

import httpx

from tests.openapi import assert_documented


def assert_problem(response: httpx.Response, status: int, slug: str | None = None, *members: str) -> dict[str, Any]:
    """The response is an RFC 9457 problem of this status and kind, with these additional members, and is listed in the
    OpenAPI document; returns it.
    """
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == (
        "application/json" if "error" in members else "application/problem+json"
    )
    problem: dict[str, Any] = response.json()
    assert set(problem) == {"type", "title", "status", "detail", "request_id", *members}
    assert problem["status"] == status
    assert problem["request_id"] == response.headers["x-request-id"]
    assert problem["type"].startswith("/problems/")
    assert all(problem.values())
    if slug:
        assert problem["type"] == f"/problems/{slug}"
    assert_documented(response)
    for leak in ("Traceback", ".py", "/home", "site-packages", "0x"):
        assert leak not in response.text
    return problem
