"""``POST /predict``: both kinds of body, one image and many, and the rejections."""

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator
from types import SimpleNamespace

import numpy as np
import pytest

from service.inference.reader import Reader, Reading
from tests.bundles import THRESHOLD
from tests.conftest import Connect, MakeService, change_settings
from tests.drawings import encode, jpeg, png
from tests.fakes import FakeBackend
from tests.problems import assert_problem
from tests.waiting import DEADLINE_S, never, until_async

pytestmark = pytest.mark.anyio
JPEG = {"Content-Type": "image/jpeg"}


def files(*images: bytes) -> list[tuple[str, tuple[str, bytes, str]]]:
    return [("file", (f"{number}.jpeg", data, "image/jpeg")) for number, data in enumerate(images)]


async def test_raw_and_multipart_give_the_same_answer(make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service()) as client:
        raw = (await client.post("/predict", content=jpeg(), headers=JPEG)).json()
        multipart = (await client.post("/predict", files=files(jpeg()))).json()
    assert raw["predictions"][0].pop("filename") is None
    assert multipart["predictions"][0].pop("filename") == "0.jpeg"
    assert raw["predictions"] == multipart["predictions"]
    assert raw["provider"] == "CPUExecutionProvider"
    assert raw["model"] == {"name": "brightness", "version": "1"}


async def test_the_label_compares_probability_and_threshold(make_service: MakeService, connect: Connect) -> None:
    levels = [0, int(255 * THRESHOLD) - 1, int(255 * THRESHOLD) + 1, 255]
    images = [encode(np.full((200, 200), level, np.uint8), "PNG") for level in levels]
    async with connect(make_service()) as client:
        answer = (await client.post("/predict", files=files(*images))).json()
    assert [entry["label"] for entry in answer["predictions"]] == ["NORMAL", "NORMAL", "PNEUMONIA", "PNEUMONIA"]
    assert [entry["probability"] for entry in answer["predictions"]] == pytest.approx(
        [v / 255 for v in levels], abs=1e-4
    )
    assert {entry["threshold"] for entry in answer["predictions"]} == {THRESHOLD}
    assert all(entry["warnings"] == [] and entry["error"] is None for entry in answer["predictions"])


async def test_the_response_is_the_same_with_and_without_fastapi(make_service: MakeService, connect: Connect) -> None:
    """With CORS origins, FastAPI routes the request; without them, DirectPredict does."""
    responses = []
    for origins in (None, "http://other.hospital"):
        async with connect(make_service(cors_origins=origins)) as client:
            for query in (
                "",
                "?operating_point=balanced",
                "?operating_point=",
                "?operating_point=none",
                "?population=adult",
                "?other=1",
            ):
                for body in (jpeg(), b"no image"):
                    headers = {"Content-Type": "image/jpeg", "X-Request-ID": "same"}
                    answer = await client.post(f"/predict{query}", content=body, headers=headers)
                    responses.append((answer.status_code, answer.headers["content-type"], answer.content))
                    assert ("server-timing" in answer.headers) == (answer.status_code == 200)
    assert responses[: len(responses) // 2] == responses[len(responses) // 2 :]
    assert {status for status, *_ in responses} == {200, 415, 422}


async def test_predictions_come_in_the_order_sent(make_service: MakeService, connect: Connect) -> None:
    images = [jpeg(seed) for seed in range(10)]
    async with connect(make_service(max_batch=3)) as client:
        alone = [
            (await client.post("/predict", content=data, headers=JPEG)).json()["predictions"][0] for data in images
        ]
        together = (await client.post("/predict", files=files(*images))).json()["predictions"]
    assert [entry["filename"] for entry in together] == [f"{number}.jpeg" for number in range(10)]
    assert [e["probability"] for e in together] == pytest.approx([e["probability"] for e in alone], abs=1e-6)
    assert len({entry["probability"] for entry in together}) == 10


async def test_a_bad_image_among_good_ones_has_its_own_error(make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service()) as client:
        response = await client.post("/predict", files=files(jpeg(0), jpeg(1)[:2000], b"", png(2)))
        metrics = (await client.get("/metrics")).text
    assert response.status_code == 200
    entries = response.json()["predictions"]
    assert [entry["label"] is None for entry in entries] == [False, True, True, False]
    assert entries[1]["error"]["type"] == "/problems/truncated-image"
    assert entries[2]["error"]["type"] == "/problems/empty-file"
    assert entries[1]["error"]["request_id"] == response.json()["request_id"]
    assert entries[1]["probability"] is entries[1]["threshold"] is None
    assert 'xray_images_failed_total{problem="/problems/empty-file"} 1.0' in metrics


async def test_the_problem_of_a_single_image_is_the_response(make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service()) as client:
        for response in (
            await client.post("/predict", content=jpeg()[:2000], headers=JPEG),
            await client.post("/predict", files=files(jpeg()[:2000])),
        ):
            assert_problem(response, 422, "truncated-image")


@pytest.mark.parametrize("sent", ["abc-1.2_X", "x" * 64])
async def test_a_request_id_is_kept(make_service: MakeService, connect: Connect, sent: str) -> None:
    async with connect(make_service()) as client:
        response = await client.post("/predict", content=jpeg(), headers={**JPEG, "X-Request-ID": sent})
    assert response.headers["x-request-id"] == response.json()["request_id"] == sent


@pytest.mark.parametrize("sent", ["", "x" * 65, "a b", "a\tb", "käse".encode(), "<script>", "a/b"])
async def test_an_unsafe_request_id_is_replaced(make_service: MakeService, connect: Connect, sent: str | bytes) -> None:
    headers: list[tuple[bytes, bytes]] = [
        (b"Content-Type", b"image/jpeg"),
        (b"X-Request-ID", sent if isinstance(sent, bytes) else sent.encode()),
    ]
    async with connect(make_service()) as client:
        response = await client.post("/predict", content=jpeg(), headers=headers)
    assert response.status_code == 200
    assert response.headers["x-request-id"] == response.json()["request_id"]
    assert len(response.json()["request_id"]) == 32


async def test_requests_over_capacity_are_rejected_before_any_work(make_service: MakeService, connect: Connect) -> None:
    backend = FakeBackend()
    service = make_service(backend, capacity=2, max_images=2)
    async with connect(service) as client:
        backend.hold = threading.Event()
        in_flight = [asyncio.create_task(client.post("/predict", content=jpeg(n), headers=JPEG)) for n in range(2)]
        await until_async(lambda: service.admission.images_in_flight == 2)
        refused = await client.post("/predict", content=jpeg(3), headers=JPEG)
        backend.hold.set()
        answered = await asyncio.gather(*in_flight)
        again = await client.post("/predict", content=jpeg(3), headers=JPEG)
    assert_problem(refused, 503, "overloaded")
    assert int(refused.headers["retry-after"]) >= 1
    assert [response.status_code for response in (*answered, again)] == [200, 200, 200]
    assert service.admission.images_in_flight == 0


@pytest.mark.parametrize("origins", [None, "http://other.hospital"])
async def test_an_overloaded_service_rejects_before_it_validates_anything(
    make_service: MakeService, connect: Connect, origins: str | None
) -> None:
    """With CORS, too, where the rejection must pass through CORSMiddleware."""
    service = make_service(cors_origins=origins)
    async with connect(service) as client:
        service.admission.add_images(service.settings.capacity)
        origin = {"Origin": "http://other.hospital"} if origins else {}
        refused = await client.post("/predict", content=jpeg(), headers=JPEG | origin)
        assert_problem(refused, 503, "overloaded")
        assert refused.headers["retry-after"]
        assert ("access-control-allow-origin" in refused.headers) == (origins is not None)
        assert 'xray_requests_total{route="/predict",status="503"} 1.0' in (await client.get("/metrics")).text
        assert (await client.get("/predict")).status_code == 405


async def test_a_second_rejection_is_delayed_and_admitted_if_there_is_room_by_then(
    make_service: MakeService, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn, waits_s = asyncio.Event(), list[float]()

    async def sleep(seconds: float) -> None:
        waits_s.append(seconds)
        await turn.wait()

    monkeypatch.setattr("service.workers.overload._REJECTION_INTERVAL_S", 0.2)
    monkeypatch.setattr("service.workers.overload.time", SimpleNamespace(monotonic=lambda: 100.0))
    monkeypatch.setattr("service.workers.overload.asyncio", SimpleNamespace(sleep=sleep))
    service = make_service()
    async with connect(service) as client:
        service.admission.add_images(service.settings.capacity)
        assert (await client.post("/predict", content=jpeg())).status_code == 503
        second = asyncio.create_task(client.post("/predict", content=jpeg(), headers={"Content-Type": "image/jpeg"}))
        await until_async(lambda: waits_s)
        service.admission.images_in_flight = 0
        turn.set()
        assert (await second).status_code == 200
    assert waits_s == pytest.approx([0.2])


async def test_every_image_of_a_request_counts_against_capacity(make_service: MakeService, connect: Connect) -> None:
    backend = FakeBackend()
    service = make_service(backend, capacity=4, max_images=4)
    async with connect(service) as client:
        backend.hold = threading.Event()
        in_flight = asyncio.create_task(client.post("/predict", files=files(jpeg(0), jpeg(1))))
        await until_async(lambda: service.admission.images_in_flight == 2)
        assert_problem(await client.post("/predict", files=files(*map(jpeg, range(3)))), 503, "overloaded")
        assert service.admission.images_in_flight == 2
        backend.hold.set()
        assert (await in_flight).status_code == 200


async def test_bodies_over_the_byte_limit_together_are_rejected(make_service: MakeService, connect: Connect) -> None:
    backend, image = FakeBackend(), jpeg()
    service = make_service(backend, max_body_bytes=len(image), max_held_bytes=2 * len(image) - 1)
    async with connect(service) as client:
        backend.hold = threading.Event()
        in_flight = asyncio.create_task(client.post("/predict", content=image, headers=JPEG))
        await until_async(lambda: service.admission.bytes_in_flight == len(image))
        assert_problem(await client.post("/predict", content=image, headers=JPEG), 503, "overloaded")
        backend.hold.set()
        assert (await in_flight).status_code == 200
    assert service.admission.bytes_in_flight == 0


async def test_past_the_deadline_is_504_and_later_requests_succeed(make_service: MakeService, connect: Connect) -> None:
    backend = FakeBackend()
    service = make_service(backend)
    async with connect(service) as client:
        backend.hold = threading.Event()
        change_settings(service, deadline_s=0.2)
        assert_problem(await client.post("/predict", content=jpeg(), headers=JPEG), 504, "deadline-exceeded")
        assert service.admission.images_in_flight == 0
        change_settings(service, deadline_s=DEADLINE_S)
        backend.hold.set()
        assert (await client.post("/predict", content=jpeg(), headers=JPEG)).status_code == 200


async def test_an_image_past_the_deadline_does_not_take_the_others_along(
    make_service: MakeService, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, read = jpeg(1), Reader.read

    async def read_or_wait(reader: Reader, image: bytes, *, explain: bool = False) -> Reading:
        if image == slow:
            await never()
        return await read(reader, image, explain=explain)

    monkeypatch.setattr(Reader, "read", read_or_wait)
    service = make_service(deadline_s=1)
    async with connect(service) as client:
        answer = await client.post("/predict", files=files(jpeg(0), slow, b"text", jpeg(2)))
        assert_problem(await client.post("/predict", files=files(slow, slow)), 504, "deadline-exceeded")
    assert answer.status_code == 200
    first, second, third, fourth = answer.json()["predictions"]
    assert (first["error"], fourth["error"]) == (None, None)
    assert second["error"]["type"] == "/problems/deadline-exceeded"
    assert third["error"]["type"] == "/problems/unsupported-media-type"
    assert service.admission.images_in_flight == 0


async def test_a_failing_model_is_a_500_without_details(
    make_service: MakeService, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    backend = FakeBackend()
    async with connect(make_service(backend)) as client:
        backend.fails = 0
        black = encode(np.zeros((200, 200), np.uint8), "PNG")
        response = await client.post("/predict", content=black, headers=JPEG)
        assert (await client.post("/predict", content=jpeg(), headers=JPEG)).status_code == 200
    assert "told to fail" not in assert_problem(response, 500, "model-fault")["detail"]
    assert "told to fail" in caplog.text


async def test_after_failures_in_a_row_the_service_is_not_ready(make_service: MakeService, connect: Connect) -> None:
    backend = FakeBackend()
    async with connect(make_service(backend)) as client:
        backend.fails = 0
        black = encode(np.zeros((200, 200), np.uint8), "PNG")
        for _ in range(3):
            await client.post("/predict", content=black, headers=JPEG)
        assert (await client.get("/health/ready")).status_code == 503
        assert (await client.get("/health")).json()["status"] == "failing"
        assert (await client.get("/health/live")).status_code == 200
        await client.post("/predict", content=jpeg(), headers=JPEG)
        assert (await client.get("/health/ready")).status_code == 200


async def test_an_unexpected_exception_is_a_500_without_details(
    make_service: MakeService, connect: Connect, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def secret(*_: object) -> None:
        raise KeyError("/etc/secret")

    monkeypatch.setattr("service.http.predictions.read_all", secret)
    async with connect(make_service()) as client:
        response = await client.post("/predict", content=jpeg(), headers=JPEG)
    assert "secret" not in json.dumps(assert_problem(response, 500, "internal-error"))
    assert response.headers["x-request-id"] == response.json()["request_id"]
    assert "/etc/secret" in caplog.text


async def test_the_log_has_one_line_a_request_and_no_file_name(
    make_service: MakeService, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with connect(make_service()) as client:
        caplog.clear()
        await client.post("/predict", files=[("file", ("Jane_Doe_1970.jpeg", jpeg(), "image/jpeg"))])
        await client.post("/predict", files=[("file", ("Jane_Doe_1970.jpeg", b"GIF89a", "image/jpeg"))])
    lines = [record for record in caplog.records if record.name == "service.request"]
    assert [(line.outcome, line.status) for line in lines] == [("ok", 200), ("unsupported-media-type", 415)]  # type: ignore[attr-defined]
    assert lines[0].batch_size == 1  # type: ignore[attr-defined]
    assert lines[0].inference_ms > 0  # type: ignore[attr-defined]
    assert "Jane" not in caplog.text + str([vars(line) for line in lines])


async def test_a_large_multipart_body_is_not_written_to_disk(
    make_service: MakeService, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.SpooledTemporaryFile.rollover", lambda self: pytest.fail("spooled to disk"))
    image = png() + b"\0" * 3_000_000
    async with connect(make_service()) as client:
        assert (await client.post("/predict", files=files(image, image))).status_code == 200


async def test_a_slow_upload_times_out(make_service: MakeService, connect: Connect) -> None:
    async def trickle() -> AsyncIterator[bytes]:
        yield jpeg()[:100]
        await never()

    async with connect(make_service(upload_s=0.1)) as client:
        response = await client.post("/predict", content=trickle(), headers=JPEG)
    assert_problem(response, 408, "upload-timeout")
