"""What is rejected before it is received: the same routes and response as when the application itself rejects it."""

import pytest

from service.edge.rejection import rejection
from service.telemetry.record import RequestRecord
from service.workers.overload import overload_of
from tests.conftest import Connect, MakeService

pytestmark = pytest.mark.anyio


async def test_an_early_rejection_has_the_header_fields_and_the_problem_of_a_late_one(
    make_service: MakeService, connect: Connect
) -> None:
    service = make_service()
    overload = overload_of(service)
    async with connect(service) as client:
        assert overload("/predict") is None
        service.admission.add_images(service.settings.capacity)
        late = await client.post("/predict", content=b"x", headers={"X-Request-ID": "mine"})
    rejected = overload("/predict")
    assert rejected
    route, error = rejected
    head, _, body = rejection(error, service.metrics, RequestRecord.of("mine", ""), closes=False).partition(b"\r\n\r\n")
    status, *fields = head.decode().split("\r\n")
    assert (route, status, body) == ("/predict", "HTTP/1.1 503 Service Unavailable", late.content)
    assert dict(field.split(": ", 1) for field in fields) == dict(late.headers)


@pytest.mark.parametrize("path", ["/predict", "/explain", "/render", "/xray/predict"])
def test_images_are_rejected_early_below_the_prefix_of_a_proxy_too(make_service: MakeService, path: str) -> None:
    service = make_service(root_path="/xray")
    service.admission.add_images(service.settings.capacity)
    rejected = overload_of(service)(path)
    assert rejected
    assert rejected[0] == path.removeprefix("/xray")


@pytest.mark.parametrize("path", ["/feedback", "/v2/models/pneumonia/infer", "/predict/", "/other/predict"])
def test_nothing_else_is_rejected_early(make_service: MakeService, path: str) -> None:
    service = make_service(root_path="/xray")
    service.admission.add_images(service.settings.capacity)
    assert overload_of(service)(path) is None


def test_with_cors_nothing_is_rejected_early(make_service: MakeService) -> None:
    """An early rejection has no CORS header, without which a page could not read it."""
    service = make_service(cors_origins="http://other.hospital")
    service.admission.add_images(service.settings.capacity)
    assert overload_of(service)("/predict") is None
