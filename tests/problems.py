"""One check for every error answer there is."""

from typing import Any

import httpx


def assert_problem(response: httpx.Response, status: int, slug: str | None = None, *more: str) -> dict[str, Any]:
    """The answer is an RFC 9457 problem of this status and kind, with these members more; returns it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert set(problem) == {"type", "title", "status", "detail", "request_id", *more}
    assert problem["status"] == status
    assert problem["request_id"] == response.headers["x-request-id"]
    assert problem["type"].startswith("/problems/")
    assert all(problem.values())
    if slug:
        assert problem["type"] == f"/problems/{slug}"
    for leak in ("Traceback", ".py", "/home", "site-packages", "0x"):
        assert leak not in response.text
    return problem
