"""Every problem that the OpenAPI document tells of a call that reads images is had there, and no other is told."""

import asyncio
import base64
import json
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx
import numpy as np
import pytest
from PIL import Image

from service.access.keys import Scope, add_key, make_key
from service.core import Service
from service.oip.request import HEADER_LENGTH
from tests.conftest import Connect, MakeService
from tests.drawings import chest, encode, jpeg, png, png_chunk
from tests.fakes import FakeBackend
from tests.openapi import document, problem_types
from tests.problems import assert_problem

IMAGE = jpeg()
NAMED, VERSIONED = "/v2/models/{name}/infer", "/v2/models/{name}/versions/{version}/infer"


@dataclass(frozen=True)
class Provoked:
    """How a problem is had: by settings, by a request, or by what is done to the service before."""

    settings: dict[str, Any] = field(default_factory=dict)
    body: bytes | Callable[[], AsyncIterator[bytes]] = IMAGE
    headers: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    files: list[bytes] = field(default_factory=list)
    scope: Scope | None = None
    before: Callable[[Service], object] = lambda _: None
    times: int = 1


async def slowly() -> AsyncIterator[bytes]:
    yield IMAGE[:10]
    await asyncio.sleep(5)


def grey(width: int, height: int) -> bytes:
    return encode(np.full((height, width), 77, np.uint8), "PNG")


def animated() -> bytes:
    frames = [Image.fromarray(chest(seed)) for seed in range(2)]
    return encode(frames[0], "PNG", save_all=True, append_images=frames[1:])


def chatty() -> bytes:
    return png()[:33] + png_chunk(b"tEXt", b"a\0b") * 2000 + png()[33:]


def fail(service: Service) -> None:
    cast(FakeBackend, service.main.backend).fails = 77


def hold(service: Service) -> None:
    cast(FakeBackend, service.main.backend).hold = threading.Event()


def lose_a_part(service: Service) -> None:
    """Stands for a bug."""
    del service.main.reader


def lose_a_disk(service: Service) -> None:
    folder = cast(Path, service.settings.audit_folder)
    folder.rename(folder.with_name("elsewhere"))


# Of every call that reads images.
COMMON = {
    "unknown-host": Provoked({"allowed_hosts": "xray.example"}),
    "uri-too-long": Provoked(query={"x": "x" * 9000}),
    "unauthorized": Provoked({"keys_file": True}),
    "forbidden": Provoked({"keys_file": True}, scope="metrics"),
    "quota-exceeded": Provoked({"keys_file": True}, scope="predict", times=2),
    "not-ready": Provoked(before=lambda service: service.admission.close()),
    "overloaded": Provoked(before=lambda service: service.admission.seat(service.settings.capacity)),
    "unsupported-encoding": Provoked(headers={"Content-Encoding": "gzip"}),
    "upload-timeout": Provoked({"upload_s": 0.05}, body=slowly),
    "body-too-large": Provoked({"max_body_bytes": 100}),
    "digest-mismatch": Provoked(headers={"Content-Digest": "sha-256=:AAAA:"}),
    "unsupported-media-type": Provoked(body=b"GIF89a and so on"),
    "truncated-image": Provoked(body=IMAGE[:2000]),
    "too-many-pixels": Provoked({"max_pixels": 100_000}),
    "image-too-small": Provoked(body=grey(8, 8)),
    "aspect-ratio": Provoked(body=grey(400, 40)),
    "animated-image": Provoked(body=animated()),
    "unsupported-jpeg": Provoked(body=encode(Image.fromarray(chest()).convert("CMYK"))),
    "too-much-metadata": Provoked(body=chatty()),
    "unlike-training-data": Provoked({"guard": "refuse"}, body=grey(300, 300)),
    "invalid-request": Provoked(query={"operating-point": "balanced"}),
    "model-fault": Provoked(before=fail, body=grey(300, 300)),
    "internal-error": Provoked(before=lose_a_part),
    "audit-unavailable": Provoked(
        {"audit": "required", "audit_folder": True, "audit_max_bytes": 1}, before=lose_a_disk
    ),
    "deadline-exceeded": Provoked({"deadline_s": 0.1}, before=hold),
}
OURS = COMMON | {
    "empty-file": Provoked(files=[b""]),
    "missing-body": Provoked(body=b""),
    "malformed-multipart": Provoked(headers={"Content-Type": "multipart/form-data"}),
    "missing-file": Provoked(body=b"--B--\r\n", headers={"Content-Type": "multipart/form-data; boundary=B"}),
    "too-many-files": Provoked(files=[IMAGE] * 3),
    "unknown-operating-point": Provoked(query={"operating_point": "brave"}),
}
ASKING = json.dumps(
    {
        "inputs": [{"name": "file", "shape": [1], "datatype": "BYTES", "data": [base64.b64encode(IMAGE).decode()]}],
        "parameters": {"operating_point": "brave"},
    }
).encode()
# The Open Inference Protocol's: a bare file, or JSON of the length that is stated.
OIP = COMMON | {
    "empty-file": Provoked(body=b""),
    "unknown-operating-point": Provoked(body=ASKING, headers={HEADER_LENGTH: str(len(ASKING))}),
    "invalid-inference": Provoked(body=b"{}", headers={HEADER_LENGTH: "2"}),
}
CALLS = {"/predict": OURS, "/explain": OURS, NAMED: OIP, VERSIONED: OIP}
# Had by another address, below.
ELSEWHERE = {"unknown-model", "not-found"}


async def ask(client: httpx.AsyncClient, path: str, provoked: Provoked, key: str) -> httpx.Response:
    headers = {"Content-Type": "image/jpeg"} | ({HEADER_LENGTH: "0"} if path.startswith("/v2") else {})
    headers |= provoked.headers | ({"Authorization": f"Bearer {key}"} if provoked.scope else {})
    if provoked.files:
        del headers["Content-Type"]
        sent: dict[str, Any] = {"files": [("file", ("x", data)) for data in provoked.files]}
    else:
        sent = {"content": provoked.body() if callable(provoked.body) else provoked.body}
    answers = [
        await client.post(path.format(name="brightness", version=1), params=provoked.query, headers=headers, **sent)
        for _ in range(provoked.times)
    ]
    return answers[-1]


@pytest.mark.anyio
@pytest.mark.parametrize(("path", "slug"), [(path, slug) for path, told in CALLS.items() for slug in told])
async def test_every_problem_is_had(
    path: str, slug: str, *, make_service: MakeService, connect: Connect, guarded_folder: Path, tmp_path: Path
) -> None:
    provoked = CALLS[path][slug]
    text, key = make_key("ward", [provoked.scope or "predict"], images_per_minute=1)
    add_key(tmp_path / "keys.json", key)
    (tmp_path / "audit").mkdir()
    places = {"keys_file": tmp_path / "keys.json", "audit_folder": tmp_path / "audit"}
    settings = {"model": guarded_folder, "max_images": 2} | provoked.settings
    settings |= {name: path for name, path in places.items() if name in settings}
    service = make_service(backend := FakeBackend(guarded=True), **settings)
    async with connect(service) as client:
        provoked.before(service)
        answer = await ask(client, path, provoked, text)
        if backend.hold:
            backend.hold.set()
    told = problem_types(document()["paths"][path]["post"])
    assert_problem(answer, told[slug], slug, *(["error"] if path.startswith("/v2") else []))


@pytest.mark.parametrize("path", CALLS)
def test_and_no_other_is_told(path: str) -> None:
    told = set(problem_types(document()["paths"][path]["post"]))
    assert told - ELSEWHERE == CALLS[path].keys()


@pytest.mark.anyio
async def test_models_that_there_are_not(make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service()) as client:
        assert_problem(await client.post(NAMED.format(name="nobody")), 404, "unknown-model", "error")
        assert_problem(await client.post(NAMED.format(name="no%2Fbody")), 404, "not-found", "error")
