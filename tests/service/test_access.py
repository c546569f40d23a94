"""Who may call what."""

import httpx
import pytest
from fastapi import Depends

from service.access import needs
from service.app import create_app
from tests.conftest import MakeService


@pytest.mark.anyio
async def test_what_is_done_to_the_service_takes_a_key(make_service: MakeService) -> None:
    app = create_app(make_service())
    app.add_api_route("/admin", lambda: {}, dependencies=[Depends(needs("admin"))])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        refused = await client.get("/admin")
    assert (refused.status_code, refused.json()["type"]) == (403, "/problems/forbidden")
