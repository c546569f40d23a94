"""Bad inputs, each sent to a real server on a real socket and followed by a good request."""

import base64
import gzip
import hashlib
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from contract.header import PNG_MAGIC
from tests.drawings import chest, encode, jpeg, png, png_chunk
from tests.e2e.server import Server, running
from tests.problems import assert_problem
from tests.waiting import until

BODY_LIMIT = 4_000_000
MAX_IMAGES = 8
JPEG = {"Content-Type": "image/jpeg"}


@pytest.fixture(scope="module")
def server(bundle_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    with running(bundle_folder, folder, max_body_bytes=BODY_LIMIT, max_images=MAX_IMAGES) as server:
        yield server


@pytest.fixture(autouse=True)
def _server_unharmed(server: Server) -> Iterator[None]:
    """Check after every test: bounded memory, no leaked descriptor or file, and the next good request is answered."""
    before, descriptors = server.resident_mib(), open_descriptors(server)
    yield
    with server.client() as client:
        assert client.post("/predict", content=jpeg(), headers=JPEG).status_code == 200
    assert server.resident_mib() - before < 100
    until(lambda: not list(server.scratch.iterdir()))
    until(lambda: open_descriptors(server) <= descriptors + 2)
    assert "Traceback" not in server.log


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with server.client() as client:
        yield client


def open_descriptors(server: Server) -> int:
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def post(client: httpx.Client, body: bytes, content_type: str | None = "image/jpeg", **headers: str) -> httpx.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(
        "/predict", content=body, headers={**({"Content-Type": content_type} if content_type else {}), **sent}
    )


def part(name: str = "file", filename: str | None = "x.jpeg", data: bytes = b"", boundary: str = "B") -> bytes:
    where = f'; filename="{filename}"' if filename is not None else ""
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{where}\r\n\r\n'
    return head.encode() + data + b"\r\n"


def multipart(
    client: httpx.Client, *parts: bytes, end: bytes = b"--B--\r\n", boundary: str | None = "B"
) -> httpx.Response:
    kind = "multipart/form-data" + (f"; boundary={boundary}" if boundary else "")
    return post(client, b"".join(parts) + end, kind)


def head(request: bytes) -> bytes:
    return b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\n" + request


def status_of(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer[:100]
    return int(answer.split()[1])


# Row 1
@pytest.mark.parametrize("content_type", ["image/jpeg", None])
def test_an_empty_body(client: httpx.Client, content_type: str | None) -> None:
    assert_problem(post(client, b"", content_type), 400, "missing-body")


@pytest.mark.parametrize("content_type", [None, "image/jpg", "image/pjpeg", "application/octet-stream; x=y"])
def test_the_bytes_say_what_it_is(client: httpx.Client, content_type: str | None) -> None:
    assert post(client, jpeg(), content_type).status_code == 200
    assert_problem(post(client, b"hello", content_type), 415, "unsupported-media-type")


# Row 2
def test_a_multipart_without_a_boundary(client: httpx.Client) -> None:
    assert_problem(multipart(client, part(data=jpeg()), boundary=None), 400, "malformed-multipart")


@pytest.mark.parametrize(
    "body",
    [
        part(data=jpeg(), boundary="OTHER") + b"--OTHER--\r\n",
        part(data=jpeg()),
        part(data=jpeg())[:-1000],
        b"only a preamble\r\n",
        b"--B\r\nContent-Disposition: form-data\r\n\r\nx\r\n--B--\r\n",
        b"--B\r\nno colon here\r\n\r\nx\r\n--B--\r\n",
    ],
    ids=["wrong boundary", "never closed", "cut", "preamble only", "no name", "broken header"],
)
def test_a_broken_multipart(client: httpx.Client, body: bytes) -> None:
    assert_problem(multipart(client, body, end=b""), 400, "malformed-multipart")


# Row 3
@pytest.mark.parametrize(
    "body",
    [part("image", data=jpeg()), part(filename=None, data=b"text"), part(filename=None, data=bytes(250_000)), b""],
    ids=["other name", "no filename", "no filename, long", "no part"],
)
def test_a_multipart_without_a_file(client: httpx.Client, body: bytes) -> None:
    assert_problem(multipart(client, body), 422, "missing-file")


def test_one_file_too_many(client: httpx.Client) -> None:
    parts = [part(data=jpeg())] * (MAX_IMAGES + 1)
    assert multipart(client, *parts[1:]).status_code == 200
    assert_problem(multipart(client, *parts), 400, "too-many-files")


# Row 4
def test_a_file_of_zero_bytes(client: httpx.Client) -> None:
    assert_problem(multipart(client, part()), 422, "empty-file")


# Row 5
@pytest.mark.parametrize(
    "body",
    [
        part(data=b"x") * 1001,
        part("field", None, b"x") * 10_000,
        b"--B\r\nX-Long: " + b"x" * 65536 + b'\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n',
        part("field", None, b"x" * 200_000),
    ],
    ids=["1001 files", "10000 fields", "64 kB header", "long field"],
)
def test_a_multipart_body_made_to_exhaust_resources(client: httpx.Client, body: bytes) -> None:
    assert_problem(multipart(client, body), 400)


def test_a_boundary_of_300_characters(client: httpx.Client) -> None:
    long = "b" * 300
    response = multipart(client, part(data=jpeg(), boundary=long), end=f"--{long}--\r\n".encode(), boundary=long)
    assert_problem(response, 400, "malformed-multipart")


# Row 6
def test_a_content_length_over_the_limit_is_refused_before_the_body(server: Server) -> None:
    answer = server.raw(head(b"Content-Length: %d\r\n\r\n" % (BODY_LIMIT + 1)))
    assert status_of(answer) == 413
    assert b"body-too-large" in answer
    assert b"connection: close" in answer.lower()


def test_a_body_at_the_limit_is_read(client: httpx.Client) -> None:
    image = jpeg()
    assert post(client, image + b"\0" * (BODY_LIMIT - len(image))).status_code == 200
    assert_problem(post(client, image + b"\0" * (BODY_LIMIT - len(image) + 1)), 413, "body-too-large")


# Row 7
@pytest.mark.parametrize("kind", [b"image/jpeg", b"multipart/form-data; boundary=B"], ids=["raw", "multipart"])
def test_a_chunked_body_is_refused_when_it_exceeds_the_limit(server: Server, kind: bytes) -> None:
    start = part(data=jpeg())[:-2]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in [start, *[b"\0" * 100_000] * (BODY_LIMIT // 100_000)])
    answer = server.raw(head(b"Transfer-Encoding: chunked\r\n\r\n").replace(b"image/jpeg", kind) + chunks)
    assert status_of(answer) == 413


# Row 8
def test_a_body_shorter_than_its_length_times_out(bundle_folder: Path, tmp_path: Path) -> None:
    with running(bundle_folder, tmp_path, upload_s=0.5) as server:
        answer = server.raw(head(b"Content-Length: 5000\r\n\r\nabc"))
    assert status_of(answer) == 408
    assert b"upload-timeout" in answer


def test_a_body_longer_than_its_length_is_cut_there(server: Server) -> None:
    image = jpeg()
    answer = server.raw(head(b"Content-Length: %d\r\n\r\n" % (len(image) - 100)) + image)
    assert status_of(answer) in {400, 422}  # 400 if the rest has arrived by then: it is not a request


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"Content-Length: three\r\n\r\nabc",
        b"Content-Length: -3\r\n\r\nabc",
        b"Content-Length: 3\r\nContent-Length: 5\r\n\r\nabc",
        b"Transfer-Encoding: chunked\r\n\r\nXYZ\r\nabc\r\n",
    ],
    ids=["both", "word", "negative", "two", "bad chunk"],
)
def test_contradicting_lengths(server: Server, headers: bytes) -> None:
    assert status_of(server.raw(head(headers))) in {400, 415}


# Row 9
def test_65537_chunks_of_one_byte(server: Server) -> None:
    body = jpeg() + b"\0" * 70_000
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body[:65537]) + b"0\r\n\r\n"
    assert status_of(server.raw(head(b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n") + chunks)) == 200


@pytest.mark.parametrize("charset", ["undefined", "idna", "hex", "utf-16"])
def test_a_multipart_with_a_charset(client: httpx.Client, charset: str) -> None:
    body = b"A preamble.\r\n" + part(data=jpeg()) + b"--B--  \r\n"
    assert post(client, body, f"multipart/form-data; boundary=B; charset={charset}").status_code == 200


# Row 10
@pytest.mark.parametrize("encoding", ["", "Identity"])
def test_a_body_that_is_said_not_to_be_compressed(client: httpx.Client, encoding: str) -> None:
    assert post(client, jpeg(), Content_Encoding=encoding).status_code == 200


def test_a_body_in_gzip(client: httpx.Client) -> None:
    small = gzip.compress(jpeg())
    digest = f"sha-256=:{base64.b64encode(hashlib.sha256(small).digest()).decode()}:"
    assert post(client, small, Content_Encoding="gzip", Content_Digest=digest).status_code == 200
    assert_problem(post(client, small[:-9], Content_Encoding="gzip"), 415, "unsupported-encoding")


def test_a_gzip_bomb(client: httpx.Client) -> None:
    assert_problem(post(client, gzip.compress(bytes(50_000_000)), Content_Encoding="gzip"), 413, "body-too-large")


def test_a_deflate_bomb(client: httpx.Client) -> None:
    bomb = zlib.compress(bytes(50_000_000))
    assert_problem(post(client, bomb, Content_Encoding="deflate"), 413, "body-too-large")


@pytest.mark.parametrize("encoding", ["gzip", "br"])
def test_another_compression_is_not_inflated(client: httpx.Client, encoding: str) -> None:
    bomb = zlib.compress(b"\0" * 10_000_000)
    assert_problem(post(client, bomb, Content_Encoding=encoding), 415, "unsupported-encoding")


# Rows 11 and 12
OTHER = {
    "text": b"hello",
    "html": b"<html><script>alert(1)</script>",
    "pdf": b"%PDF-1.7\n",
    "zip": b"PK\x03\x04" + b"\0" * 30,
    "exe": b"MZ\x90\0" + b"\0" * 60,
    "random": np.random.default_rng(0).bytes(5000),
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n",
    "heic": b"\0\0\0\x18ftypheic" + b"\0" * 40,
    **{kind.lower(): encode(chest(), kind) for kind in ("GIF", "BMP", "TIFF", "WEBP", "AVIF", "JPEG2000")},
}


@pytest.mark.parametrize("kind", OTHER)
def test_other_formats_by_their_bytes_not_their_name(client: httpx.Client, kind: str) -> None:
    assert_problem(post(client, OTHER[kind]), 415, "unsupported-media-type")
    assert_problem(multipart(client, part(filename="xray.jpeg", data=OTHER[kind])), 415, "unsupported-media-type")


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/json", "image/gif", "application/dicom+json", "multipart/mixed"]
)
def test_a_content_type_that_is_not_served(client: httpx.Client, content_type: str) -> None:
    assert "Content-Type" in assert_problem(post(client, jpeg(), content_type), 415, "unsupported-media-type")["detail"]


# Row 13
def test_of_several_pictures_in_one_jpeg_the_first_is_read(client: httpx.Client) -> None:
    mpo = encode(Image.fromarray(chest()), "MPO", save_all=True, append_images=[Image.fromarray(chest(1))])
    answers = [post(client, data).json()["predictions"][0]["probability"] for data in (mpo, encode(chest()))]
    assert answers[0] == answers[1]


# Row 14
@pytest.mark.parametrize("kept", [0.01, 0.5, 0.99])
@pytest.mark.parametrize("width", [300, 2400])
def test_a_jpeg_cut_short(client: httpx.Client, kept: float, width: int) -> None:
    whole = encode(chest(width=width, height=width))
    assert_problem(post(client, whole[: int(kept * len(whole))]), 422, "truncated-image")
    assert_problem(post(client, whole[: int(kept * len(whole))] + b"\xff\xd9"), 422, "truncated-image")


# Rows 15 and 16
@pytest.mark.parametrize("kind", ["raw", "multipart"])
def test_a_body_changed_in_transit_is_refused_by_its_digest(client: httpx.Client, kind: str) -> None:
    image = jpeg() + b"what follows the picture is not looked at"
    whole = image if kind == "raw" else part(data=image) + b"--B--\r\n"
    content_type = "image/jpeg" if kind == "raw" else "multipart/form-data; boundary=B"
    digest = f"sha-256=:{base64.b64encode(hashlib.sha256(whole).digest()).decode()}:"
    changed = whole.replace(b"not looked", b"NOT looked")
    assert post(client, whole, content_type, Content_Digest=digest).status_code == 200
    assert post(client, changed, content_type).status_code == 200
    assert_problem(post(client, changed, content_type, Content_Digest=digest), 400, "digest-mismatch")
    assert post(client, whole, content_type, Content_Digest="md5=:AAAA:").status_code == 200  # unknown: ignored


def test_zeroes_in_the_middle_of_the_pixels_are_found_if_they_cost_any(client: httpx.Client) -> None:
    image = bytearray(jpeg())
    middle = len(image) // 2
    image[middle : middle + 200] = bytes(200)
    assert_problem(post(client, bytes(image)), 422, "truncated-image")


def test_bytes_after_the_picture_are_not_looked_at(client: httpx.Client) -> None:
    assert post(client, jpeg() + b"PK\x03\x04<script>").status_code == 200


# Rows 17 to 19
@pytest.mark.parametrize("side", [65535, 15000, 10000])
def test_too_many_pixels_are_refused_before_they_are_decoded(client: httpx.Client, side: int) -> None:
    image = bytearray(jpeg())
    at = image.index(b"\xff\xc0")
    image[at + 5 : at + 9] = side.to_bytes(2) * 2
    assert_problem(post(client, bytes(image)), 422, "too-many-pixels")


def test_a_small_file_of_225_million_pixels(client: httpx.Client) -> None:
    row = zlib.compress(bytes(1 + 15000 // 8) * 15000, 9)
    ihdr = struct.pack(">IIBBBBB", 15000, 15000, 1, 0, 0, 0, 0)
    bomb = PNG_MAGIC + png_chunk(b"IHDR", ihdr) + png_chunk(b"IDAT", row) + png_chunk(b"IEND", b"")
    assert len(bomb) < 40_000
    assert_problem(post(client, bomb), 422, "too-many-pixels")


# Row 20
@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iCCP"])
def test_a_png_of_endless_chunks(client: httpx.Client, kind: bytes) -> None:
    data = b"a\0\0" + zlib.compress(b"b" * 10)
    one, image = png_chunk(kind, data), png()
    assert_problem(post(client, image[:33] + one * 100_000 + image[33:]), 422 if len(one) * 1e5 < BODY_LIMIT else 413)


def test_a_png_with_a_profile_that_inflates_to_much(client: httpx.Client) -> None:
    data = b"icc\0\0" + zlib.compress(b"\0" * 50_000_000, 9)
    image = png()
    assert post(client, image[:33] + png_chunk(b"iCCP", data) + image[33:]).status_code == 200  # it is not inflated


# Row 21
def test_an_animated_png(client: httpx.Client) -> None:
    frames = [Image.fromarray(chest(seed)) for seed in range(3)]
    data = encode(frames[0], "PNG", save_all=True, append_images=frames[1:])
    assert_problem(post(client, data), 422, "animated-image")


# Row 22
@pytest.mark.parametrize(
    ("width", "height", "slug"),
    [(1, 1, "image-too-small"), (1, 10_000, "image-too-small"), (16, 16, "image-too-small"), (400, 40, "aspect-ratio")],
)
def test_too_small_or_too_narrow(client: httpx.Client, width: int, height: int, slug: str) -> None:
    assert_problem(post(client, encode(np.zeros((height, width), np.uint8), "PNG"), "image/png"), 422, slug)


# Row 23
def test_sixteen_bits_are_scaled_not_clipped(client: httpx.Client) -> None:
    deep = encode(chest().astype(np.uint16) * 257, "PNG")
    answers = [post(client, data, "image/png").json()["predictions"][0]["probability"] for data in (deep, png())]
    assert answers[0] == pytest.approx(answers[1], abs=1e-4)


# Row 24
@pytest.mark.parametrize("marker", [0xC3, 0xC9], ids=["lossless", "arithmetic"])
def test_codings_of_jpeg_that_are_not_read(client: httpx.Client, marker: int) -> None:
    assert_problem(post(client, jpeg().replace(b"\xff\xc0", bytes([0xFF, marker]), 1)), 422, "unsupported-jpeg")


def test_twelve_bit_jpeg(client: httpx.Client) -> None:
    data = bytearray(jpeg())
    data[data.index(b"\xff\xc0") + 4] = 12
    assert_problem(post(client, bytes(data)), 422, "unsupported-jpeg")


# Row 25
def test_cmyk(client: httpx.Client) -> None:
    assert_problem(post(client, encode(Image.fromarray(chest()).convert("CMYK"))), 422, "unsupported-jpeg")


# Rows 26 to 28
def test_transparency_lies_on_black(client: httpx.Client) -> None:
    clear = encode(Image.new("LA", (300, 300), (255, 0)), "PNG")
    assert post(client, clear, "image/png").json()["predictions"][0]["probability"] == 0


@pytest.mark.parametrize("orientation", [2, 3, 6, 8])
def test_exif_orientation_is_read(client: httpx.Client, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    rotated, upright = (post(client, data).json()["predictions"][0]["warnings"] for data in (jpeg(exif=exif), jpeg()))
    assert [warning["code"] for warning in rotated] == ["exif_orientation_applied"]
    assert upright == []


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0<script>alert(1)</script>'; DROP TABLE",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x08\0" * 30,
        b"Exif\0\0" + b"x" * 60_000,
    ],
)
def test_hostile_metadata_is_neither_executed_nor_echoed(client: httpx.Client, server: Server, exif: bytes) -> None:
    response = post(client, jpeg(exif=exif))
    assert response.status_code in {200, 422}
    for leak in ("script", "DROP"):
        assert leak not in response.text + server.log


# Row 31
@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "a\0b",
        "x" * 1000,
        "\u202egpj.exe",
        "<img src=x onerror=alert(1)>",
        "a;b=c",
        "Jane Doe 1970-01-01",
    ],
)
def test_a_file_name_is_only_echoed(client: httpx.Client, server: Server, name: str) -> None:
    response = client.post("/predict", files=[("file", (name, jpeg(), "image/jpeg"))])
    if response.status_code == 200:
        assert response.headers["content-type"] == "application/json"
        assert len(response.json()["predictions"]) == 1
    else:
        assert_problem(response, 400, "malformed-multipart")
    for leak in ("passwd", "onerror", "Jane"):
        assert leak not in server.log


@pytest.mark.parametrize(
    "disposition", ['filename="x\r\nX-Evil: 1"', "filename*=UTF-8''r%C3%B6ntgen.jpg", 'filename="' + "x" * 5000 + '"']
)
def test_file_names_in_other_encodings(client: httpx.Client, disposition: str) -> None:
    body = f'--B\r\nContent-Disposition: form-data; name="file"; {disposition}\r\n\r\n'.encode() + jpeg() + b"\r\n"
    response = multipart(client, body)
    assert response.status_code in {200, 400, 422}
    assert "x-evil" not in response.headers


# Row 32
@pytest.mark.parametrize("sent", [b"a\r\nX-Evil: 1", b"x" * 8000, b"\xff\xfe", b"{}"])
def test_a_hostile_request_id(server: Server, sent: bytes) -> None:
    answer = server.raw(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Request-ID: " + sent + b"\r\n\r\n")
    assert b"x-evil" not in answer.lower()
    assert b"x" * 8000 not in answer
    assert status_of(answer) in {200, 400}


# Row 33
@pytest.mark.parametrize("accept", ["image/png", "text/html", "*/*;q=0", "what"])
def test_the_answer_is_json_for_any_accept_header(client: httpx.Client, accept: str) -> None:
    assert post(client, jpeg(), Accept=accept).headers["content-type"] == "application/json"


# Row 40
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/predict", 405),
        ("PUT", "/predict", 405),
        ("POST", "/health", 405),
        ("POST", "/predict/", 404),
        ("GET", "//health", 404),
        ("GET", "/%2e%2e/%2e%2e/etc/passwd", 404),
        ("GET", "/static-offline-docs/../../../etc/passwd", 404),
        ("GET", "/static-offline-docs/%2e%2e/%2e%2e/core.py", 404),
        ("GET", "/no/such/thing", 404),
        ("GET", "/health?" + "x" * 9000, 414),
        ("POST", "/" + "x" * 9000, 414),
    ],
)
def test_wrong_methods_and_paths(client: httpx.Client, method: str, path: str, status: int) -> None:
    response = client.request(method, f"{client.base_url}".rstrip("/") + path)
    assert_problem(response, status)
    if status == 405:
        assert response.headers["allow"]


# Row 43
def test_http_1_0(server: Server) -> None:
    assert status_of(server.raw(b"GET /health HTTP/1.0\r\n\r\n")) == 200


def test_pipelined_requests_are_each_answered(server: Server) -> None:
    image = jpeg()
    request = head(b"Content-Length: %d\r\n\r\n" % len(image)) + image
    last = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert server.raw(request * 3 + last).count(b"HTTP/1.1 200 OK") == 4


def test_expect_100_continue(server: Server) -> None:
    image = jpeg()
    request = head(b"Expect: 100-continue\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(image)) + image
    assert b"HTTP/1.1 200 OK" in server.raw(request)


def test_options_of_the_server_itself(server: Server) -> None:
    assert status_of(server.raw(b"OPTIONS * HTTP/1.0\r\n\r\n")) == 204
    assert status_of(server.raw(b"GET * HTTP/1.0\r\n\r\n")) == 404


def test_a_whole_url_may_name_an_ipv6_address(server: Server) -> None:
    request = (
        b"GET http://[::1]:8000/model HTTP/1.1\r\nHost: x\r\nOrigin: http://[::1]:8000\r\nConnection: close\r\n\r\n"
    )
    assert status_of(server.raw(request)) == 200


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "PATCH"])
@pytest.mark.parametrize("path", ["/predict", "/health", "/model", "/metrics", "/docs", "/openapi.json"])
def test_other_methods_are_not_internal_errors(client: httpx.Client, method: str, path: str) -> None:
    assert client.request(method, path).status_code in {200, 204, 405}


def test_a_connection_without_a_request_is_not_an_error(server: Server) -> None:
    assert server.raw(b"", finish=True) == b""
    assert server.raw(b"\r\n\r\nGARBAGE\r\n\r\n")[:12] in {b"", b"HTTP/1.1 400"}


def test_every_log_line_is_json(server: Server) -> None:
    lines: list[dict[str, Any]] = server.log_lines
    assert lines
    assert all({"time", "level", "logger", "message"} <= set(line) for line in lines)
