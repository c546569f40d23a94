"""``POST /feedback``: the later truth about an image, kept in the audit log."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.access.keys import Scope, add_key, make_key
from service.audit import search
from service.audit.line import ImageRead
from service.core import Service
from service.http import feedback
from tests.conftest import Connect, MakeService
from tests.drawings import jpeg
from tests.problems import assert_problem
from tests.service.audit.test_recorder import recorded

pytestmark = pytest.mark.anyio
IMAGES = [jpeg(seed) for seed in range(3)]
DIGESTS = [hashlib.sha256(image).hexdigest() for image in IMAGES]


@dataclass
class Ward:
    """A service with an audit log, and a client with all keys that it needs."""

    service: Service
    client: httpx.AsyncClient
    folder: Path
    keys: dict[Scope, str]

    async def analyse(self, images: Sequence[bytes], request_id: str) -> None:
        sent = [("file", (str(number), image)) for number, image in enumerate(images)]
        headers = {"X-Request-ID": request_id, "X-API-Key": self.keys["predict"]}
        assert (await self.client.post("/predict", files=sent, headers=headers)).status_code == 200

    async def report(self, scope: Scope = "feedback", /, **body: Any) -> httpx.Response:
        return await self.client.post("/feedback", json=body, headers={"X-API-Key": self.keys[scope]})


@pytest.fixture
async def ward(make_service: MakeService, connect: Connect, tmp_path: Path) -> AsyncIterator[Ward]:
    async with opened(make_service, connect, tmp_path) as found:
        yield found


@asynccontextmanager
async def opened(make_service: MakeService, connect: Connect, folder: Path, **settings: Any) -> AsyncIterator[Ward]:
    keys: dict[Scope, str] = {}
    scopes: list[Scope] = ["predict", "feedback"]
    for scope in scopes:
        keys[scope], key = make_key(f"key-{scope}", [scope])
        add_key(folder / "keys.json", key)
    (folder / "audit").mkdir()
    fixed = {"audit": "required", "audit_folder": folder / "audit", "keys_file": folder / "keys.json"}
    service = make_service(**fixed | settings)
    async with connect(service) as client:
        yield Ward(service, client, folder / "audit", keys)


async def test_the_truth_is_recorded_with_the_image(ward: Ward) -> None:
    await ward.analyse(IMAGES[:1], "one")
    answer = await ward.report(
        request_id="one", label="PNEUMONIA", reader="reader-2", read_at="2026-11-26T12:00:00+01:00"
    )
    assert answer.status_code == 200, answer.text
    [line] = recorded(ward.folder, "feedback")
    assert answer.json() == {
        "request_id": "one",
        "image": 0,
        "image_sha256": DIGESTS[0],
        "label": "PNEUMONIA",
        "recorded_at": line["time"],
    }
    assert (line["analysed"], line["image"], line["image_sha256"]) == ("one", 0, DIGESTS[0])
    assert (line["caller"], line["request_id"]) == ("key-feedback", answer.headers["x-request-id"])
    assert (line["truth"], line["reader"], line["read_at"]) == ("PNEUMONIA", "reader-2", "2026-11-26T12:00:00+01:00")


async def test_feedback_right_after_an_answer_that_did_not_wait_for_the_disk(
    make_service: MakeService, connect: Connect, tmp_path: Path
) -> None:
    async with opened(make_service, connect, tmp_path, audit="on") as ward:
        await ward.analyse(IMAGES[:1], "one")
        assert (await ward.report(request_id="one", label="NORMAL")).status_code == 200
        assert [line["truth"] for line in recorded(ward.folder, "feedback")] == ["NORMAL"]


async def test_of_several_images_one_is_named(ward: Ward) -> None:
    await ward.analyse(IMAGES, "three")
    assert "name one" in assert_problem(await ward.report(request_id="three", label="NORMAL"), 422)["detail"]
    by_number = await ward.report(request_id="three", label="NORMAL", image=2)
    by_digest = await ward.report(request_id="three", label="PNEUMONIA", image_sha256=DIGESTS[1])
    withdrawn = await ward.report(request_id="three", label=None, image=2)
    assert [each.json()["image"] for each in (by_number, by_digest, withdrawn)] == [2, 1, 2]
    lines = recorded(ward.folder, "feedback")
    assert [(each["image_sha256"], each["truth"]) for each in lines] == [
        (DIGESTS[2], "NORMAL"),
        (DIGESTS[1], "PNEUMONIA"),
        (DIGESTS[2], None),
    ]
    assert [each["image"] for each in recorded(ward.folder)] == [0, 1, 2]


async def test_an_id_that_was_used_twice_is_not_guessed(ward: Ward) -> None:
    for image in IMAGES[:2]:
        await ward.analyse([image], "same")
    assert_problem(await ward.report(request_id="same", label="NORMAL"), 422, "invalid-feedback")
    assert (await ward.report(request_id="same", label="NORMAL", image_sha256=DIGESTS[0])).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "slug"),
    [
        ({"request_id": "nobody", "label": "NORMAL"}, 404, "unknown-request"),
        ({"request_id": "two", "label": "NORMAL", "image": 2}, 422, "invalid-feedback"),
        ({"request_id": "two", "label": "NORMAL", "image": 1}, 422, "invalid-feedback"),  # it got no answer
        ({"request_id": "two", "label": "NORMAL", "image_sha256": "0" * 64}, 422, "invalid-feedback"),
        ({"request_id": "two", "label": "ILL"}, 422, "invalid-feedback"),
        ({"request_id": "two"}, 422, "invalid-feedback"),
        ({"request_id": 't"wo', "label": "NORMAL"}, 422, "invalid-feedback"),
        ({"request_id": "two", "label": "NORMAL", "patient": "Meier"}, 422, "invalid-feedback"),
        ({"request_id": "two", "label": "NORMAL", "reader": "a\nb"}, 422, "invalid-feedback"),
        ({"request_id": "two", "label": "NORMAL", "read_at": "yesterday"}, 422, "invalid-feedback"),
        ({"request_id": "two", "label": "NORMAL", "read_at": 20261128}, 422, "invalid-feedback"),
        ({"request_id": "two", "label": "NORMAL", "image": False}, 422, "invalid-feedback"),
        ({"request_id": "two", "label": "NORMAL", "image": "0"}, 422, "invalid-feedback"),
    ],
)
async def test_wrong_feedback_is_refused_and_not_recorded(
    ward: Ward, body: dict[str, Any], status: int, slug: str
) -> None:
    await ward.analyse([IMAGES[0], b"no image"], "two")
    problem = assert_problem(await ward.report(**body), status, slug)
    assert "Meier" not in problem["detail"]
    assert recorded(ward.folder, "feedback") == []
    assert (await ward.report(request_id="two", label="NORMAL")).json()["image"] == 0


async def test_the_scope_is_required(ward: Ward, make_service: MakeService, connect: Connect) -> None:
    assert_problem(await ward.report("predict", request_id="one", label="NORMAL"), 403, "forbidden")
    async with connect(make_service()) as client:
        assert_problem(await client.post("/feedback", json={}), 403, "forbidden")


async def test_without_an_audit_log_there_is_no_feedback(
    make_service: MakeService, connect: Connect, tmp_path: Path
) -> None:
    async with opened(make_service, connect, tmp_path, audit="off") as ward:
        problem = assert_problem(await ward.report(request_id="one", label="NORMAL"), 403, "forbidden")
    assert "XRAY_AUDIT is off" in problem["detail"]


async def test_what_does_not_reach_the_disk_is_not_acknowledged(ward: Ward) -> None:
    await ward.analyse(IMAGES[:1], "one")
    [file] = ward.folder.glob("1/audit-*.jsonl")
    kept = file.read_bytes()
    file.unlink()
    file.with_name("audit-00000000.jsonl").write_bytes(kept)
    assert_problem(await ward.report(request_id="one", label="NORMAL"), 503, "audit-unavailable")


async def test_a_request_is_found_across_pieces_and_files(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_PIECE_BYTES", 100)
    for number in range(5):
        await ward.analyse(IMAGES[number % 3 :][:1], f"r{number}")
    for number in range(5):
        [line] = await asyncio.to_thread(search.find_images, ward.folder, f"r{number}")
        assert (line.request_id, line.image_sha256) == (f"r{number}", DIGESTS[number % 3])


async def test_an_altered_line_is_no_image(ward: Ward) -> None:
    await ward.analyse(IMAGES[:1], "one")
    [file] = ward.folder.glob("1/audit-*.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert lines[-1]["event"] == "read"
    file.write_text(
        file.read_text().replace('"NORMAL"', '"PNEUMONIA"').replace('"request_id":"one"', '"request_id":"two"')
    )
    assert_problem(await ward.report(request_id="two", label="NORMAL"), 404, "unknown-request")


@pytest.mark.parametrize(
    "case", [({"workers": 2, "audit": "on"}, 200), ({"workers": 1, "audit": "on"}, 404), ({"workers": 2}, 404)]
)
async def test_the_line_of_another_worker_may_come_a_moment_later(
    case: tuple[dict[str, Any], int],
    make_service: MakeService,
    connect: Connect,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings, status = case
    searches: list[str] = []

    def find_later(folder: Path, request_id: str) -> list[ImageRead]:
        searches.append(request_id)
        return search.find_images(folder, request_id) if len(searches) > 2 else []

    monkeypatch.setattr(feedback, "find_images", find_later)
    monkeypatch.setattr(feedback, "_PAUSES_S", (0, 0))
    async with opened(make_service, connect, tmp_path, **settings) as ward:
        await ward.analyse(IMAGES[:1], "one")
        assert (await ward.report(request_id="one", label="NORMAL")).status_code == status
