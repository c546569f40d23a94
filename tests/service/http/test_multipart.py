"""Forms as clients of every kind write them are split as RFC 2046 says; what is no form is refused in words."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import MalformedRequest
from service.http.uploads.multipart import boundary_of, split

BOUNDARY = b"frontier"


def form(content: bytes = b"\0\r\n\xff", disposition: bytes = b'form-data; name="file"; filename="a.png"') -> bytes:
    head = b"--frontier\r\nContent-Disposition: " + disposition + b"\r\nContent-Type: image/png\r\n\r\n"
    return head + content + b"\r\n--frontier--\r\n"


def parts(body: bytes) -> list[tuple[str, str | None, bytes]]:
    return [(part.name, part.filename, bytes(part.content)) for part in split(body, BOUNDARY)]


@pytest.mark.parametrize(
    "body",
    [
        form(),
        form()[:-2],
        form() + b"an epilogue\r\n--frontier\r\n",
        b"This is a message in MIME format.\r\n" + form(),
        b"\r\n" + form(),
        form().replace(b"frontier\r\n", b"frontier \t \r\n").replace(b"frontier--", b"frontier--  "),
        form().replace(b"form-data; name", b"form-data;\r\n name"),
        form().replace(b"Content-Disposition", b"content-disposition"),
    ],
    ids=["plain", "no last line end", "epilogue", "preamble", "empty line", "padding", "folded", "lower case"],
)
def test_one_part_is_found(body: bytes) -> None:
    assert parts(body) == [("file", "a.png", b"\0\r\n\xff")]


def test_what_looks_like_a_boundary_is_content() -> None:
    content = b"x--frontier\r\n x --frontier-- \r\n--frontiers\r\n--frontier-\r\n"
    assert parts(form(content)) == [("file", "a.png", content)]


def test_an_empty_part_and_no_part() -> None:
    assert parts(form(b"")) == [("file", "a.png", b"")]
    assert parts(b"--frontier--\r\n") == []


@pytest.mark.parametrize(
    ("disposition", "filename"),
    [
        ('form-data; name="file"; filename="Röntgen.png"'.encode(), "Röntgen.png"),
        (b'form-data; name="file"; filename="R\xf6ntgen.png"', "Röntgen.png"),
        (b"form-data; name=\"file\"; filename*=UTF-8''r%C3%B6ntgen.jpg", "röntgen.jpg"),
        (b'form-data; name="file"; filename*="UTF-8\'\'r%C3%B6ntgen.jpg"', "röntgen.jpg"),
        (b"form-data; name=\"file\"; filename*=iso-8859-1'de'r%F6ntgen.jpg", "röntgen.jpg"),
        (b"form-data; name=file; filename=a.png", "a.png"),
        (b'form-data; filename=""; name="file"', ""),
        (b'form-data; name="file"', None),
    ],
)
def test_names_as_clients_write_them(disposition: bytes, filename: str | None) -> None:
    assert parts(form(disposition=disposition))[0][:2] == ("file", filename)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"only a preamble\r\n",
        form()[:-12],
        form().replace(b"frontier", b"other"),
        form().replace(b"Content-Type:", b"Content-Type"),
        form(disposition=b"form-data"),
        b"--frontier\r\n\r\nno headers\r\n--frontier--\r\n",
        form(disposition=b"form-data; name=" + b"x" * 10_000),
        b"--frontierX\r\n" * 10_000,
    ],
)
def test_what_is_no_form_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedRequest, match="cannot be parsed"):
        parts(body)


@pytest.mark.parametrize("charset", ["", "; charset=utf-8", "; charset=undefined", "; charset=idna", "; charset=zlib"])
def test_a_charset_means_nothing(charset: str) -> None:
    assert boundary_of(f'multipart/form-data; boundary="frontier"{charset}') == BOUNDARY


@pytest.mark.parametrize("boundary", ["", "; boundary=", "; boundary=" + "b" * 71])
def test_a_boundary_that_cannot_be_one_is_refused(boundary: str) -> None:
    with pytest.raises(MalformedRequest):
        boundary_of(f"multipart/form-data{boundary}")


@given(
    st.lists(st.sampled_from([b"--frontier", b"\r\n", b"--", b": ", b'Content-Disposition: form-data; name="a"', b"x"]))
)
def test_any_bytes_are_parts_or_refused(pieces: list[bytes]) -> None:
    with contextlib.suppress(MalformedRequest):
        parts(b"".join(pieces))
