"""Every problem that an endpoint for images lists in the OpenAPI document can be caused, and no other is listed."""

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
from tests.dicom_objects import compressed, drawn, grey16
from tests.drawings import chest, encode, jpeg, png, png_chunk
from tests.fakes import FakeBackend
from tests.openapi import document, problem_types
from tests.problems import assert_problem
from tests.waiting import never

IMAGE = jpeg()
NAMED, VERSIONED = "/v2/models/{name}/infer", "/v2/models/{name}/versions/{version}/infer"


@dataclass(frozen=True)
class Cause:
    """What causes a problem: settings, a request, or a change to the service before it."""

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
    await never()


def grey(width: int, height: int) -> bytes:
    return encode(np.full((height, width), 77, np.uint8), "PNG")


def animated() -> bytes:
    frames = [Image.fromarray(chest(seed)) for seed in range(2)]
    return encode(frames[0], "PNG", save_all=True, append_images=frames[1:])


def chatty() -> bytes:
    return png()[:33] + png_chunk(b"tEXt", b"a\0b") * 2000 + png()[33:]


def fail(service: Service) -> None:
    cast(FakeBackend, service.main.backend.current).fails = 77


def hold(service: Service) -> None:
    cast(FakeBackend, service.main.backend.current).hold = threading.Event()


def break_the_service(service: Service) -> None:
    """Stands for a bug."""
    del service.main.reader


def remove_the_audit_folder(service: Service) -> None:
    folder = cast(Path, service.settings.audit_folder)
    folder.rename(folder.with_name("elsewhere"))


# For every endpoint that takes images.
COMMON = {
    "unknown-host": Cause({"allowed_hosts": "xray.example"}),
    "cross-site": Cause(headers={"Origin": "https://evil.example"}),
    "uri-too-long": Cause(query={"x": "x" * 9000}),
    "unauthorized": Cause({"keys_file": True}),
    "forbidden": Cause({"keys_file": True}, scope="metrics"),
    "quota-exceeded": Cause({"keys_file": True}, scope="predict", times=2),
    "not-ready": Cause(before=lambda service: service.admission.close()),
    "overloaded": Cause(before=lambda service: service.admission.add_images(service.settings.capacity)),
    "unsupported-encoding": Cause(headers={"Content-Encoding": "gzip"}),
    "upload-timeout": Cause({"upload_s": 0.05}, body=slowly),
    "body-too-large": Cause({"max_body_bytes": 100}),
    "digest-mismatch": Cause(headers={"Content-Digest": "sha-256=:AAAA:"}),
    "unsupported-media-type": Cause(body=b"GIF89a and so on"),
    "truncated-image": Cause(body=IMAGE[:2000]),
    "too-many-pixels": Cause({"max_pixels": 100_000}),
    "image-too-small": Cause(body=grey(8, 8)),
    "aspect-ratio": Cause(body=grey(400, 40)),
    "animated-image": Cause(body=animated()),
    "unsupported-jpeg": Cause(body=encode(Image.fromarray(chest()).convert("CMYK"))),
    "too-much-metadata": Cause(body=chatty()),
    "unsupported-transfer-syntax": Cause(body=compressed(b"\0\0", grey16(), "1.2.840.10008.1.2.4.100")),
    "unusable-object": Cause(body=drawn(Rows=None)),
    "unsupported-modality": Cause(body=drawn(Modality="CT")),
    "for-processing": Cause(body=drawn(PresentationIntentType="FOR PROCESSING")),
    "multi-frame": Cause(body=drawn(NumberOfFrames=2)),
    "unsupported-view": Cause({"dicom_checks": "refuse"}, body=drawn(ViewPosition="LL")),
    "unsupported-body-part": Cause({"dicom_checks": "refuse"}, body=drawn(BodyPartExamined="HAND")),
    "unsupported-age": Cause({"dicom_checks": "refuse", "dicom_ages": "18-120"}, body=drawn(PatientAge="003Y")),
    "unlike-training-data": Cause({"guard": "refuse"}, body=grey(300, 300)),
    "invalid-request": Cause(query={"operating-point": "balanced"}),
    "model-fault": Cause(before=fail, body=grey(300, 300)),
    "internal-error": Cause(before=break_the_service),
    "audit-unavailable": Cause(
        {"audit": "required", "audit_folder": True, "audit_max_bytes": 1}, before=remove_the_audit_folder
    ),
    "deadline-exceeded": Cause({"deadline_s": 0.1}, before=hold),
}
OURS = COMMON | {
    "empty-file": Cause(files=[b""]),
    "not-acceptable": Cause(headers={"Accept": "application/dicom"}),
    "missing-body": Cause(body=b""),
    "malformed-multipart": Cause(headers={"Content-Type": "multipart/form-data"}),
    "missing-file": Cause(body=b"--B--\r\n", headers={"Content-Type": "multipart/form-data; boundary=B"}),
    "too-many-files": Cause(files=[IMAGE] * 3),
    "unknown-operating-point": Cause(query={"operating_point": "brave"}),
    "unknown-population": Cause(query={"population": "martian"}),
}


def infer_json(**parameters: str) -> bytes:
    tensor = {"name": "file", "shape": [1], "datatype": "BYTES", "data": [base64.b64encode(IMAGE).decode()]}
    return json.dumps({"inputs": [tensor], "parameters": parameters}).encode()


UNKNOWN_POINT, UNKNOWN_POPULATION = infer_json(operating_point="brave"), infer_json(population="martian")
# For the Open Inference Protocol: a raw file, or JSON with its length in the header.
OIP = COMMON | {
    "empty-file": Cause(body=b""),
    "unknown-operating-point": Cause(body=UNKNOWN_POINT, headers={HEADER_LENGTH: str(len(UNKNOWN_POINT))}),
    "unknown-population": Cause(body=UNKNOWN_POPULATION, headers={HEADER_LENGTH: str(len(UNKNOWN_POPULATION))}),
    "invalid-inference": Cause(body=b"{}", headers={HEADER_LENGTH: "2"}),
}
CALLS = {"/predict": OURS, "/explain": OURS, NAMED: OIP, VERSIONED: OIP}
# Caused by another URL, in the last test.
BY_URL = {"unknown-model", "not-found"}


async def send(client: httpx.AsyncClient, path: str, cause: Cause, key: str) -> httpx.Response:
    headers = {"Content-Type": "image/jpeg"} | ({HEADER_LENGTH: "0"} if path.startswith("/v2") else {})
    headers |= cause.headers | ({"Authorization": f"Bearer {key}"} if cause.scope else {})
    if cause.files:
        del headers["Content-Type"]
        body: dict[str, Any] = {"files": [("file", ("x", data)) for data in cause.files]}
    else:
        body = {"content": cause.body() if callable(cause.body) else cause.body}
    answers = [
        await client.post(path.format(name="brightness", version=1), params=cause.query, headers=headers, **body)
        for _ in range(cause.times)
    ]
    return answers[-1]


@pytest.mark.anyio
@pytest.mark.parametrize(("path", "slug"), [(path, slug) for path, causes in CALLS.items() for slug in causes])
async def test_every_listed_problem_can_be_caused(
    path: str, slug: str, *, make_service: MakeService, connect: Connect, guarded_folder: Path, tmp_path: Path
) -> None:
    cause = CALLS[path][slug]
    text, key = make_key("ward", [cause.scope or "predict"], images_per_minute=1)
    add_key(tmp_path / "keys.json", key)
    (tmp_path / "audit").mkdir()
    paths = {"keys_file": tmp_path / "keys.json", "audit_folder": tmp_path / "audit"}
    settings = {"model": guarded_folder, "max_images": 2} | cause.settings
    settings |= {name: path for name, path in paths.items() if name in settings}
    service = make_service(backend := FakeBackend(guarded=True), **settings)
    async with connect(service) as client:
        cause.before(service)
        answer = await send(client, path, cause, text)
        if backend.hold:
            backend.hold.set()
    listed = problem_types(document()["paths"][path]["post"])
    assert_problem(answer, listed[slug], slug, *(["error"] if path.startswith("/v2") else []))


@pytest.mark.parametrize("path", CALLS)
def test_no_other_problem_is_listed(path: str) -> None:
    listed = set(problem_types(document()["paths"][path]["post"]))
    assert listed - BY_URL == CALLS[path].keys()


@pytest.mark.anyio
async def test_unknown_models(make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service()) as client:
        assert_problem(await client.post(NAMED.format(name="nobody")), 404, "unknown-model", "error")
        assert_problem(await client.post(NAMED.format(name="no%2Fbody")), 404, "not-found", "error")
