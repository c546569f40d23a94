"""Log lines as text."""

import io
import logging
import sys

import pytest

from service.telemetry.formats import LogFormat, TextFormatter, formatter_of, is_text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def line(**extra: object) -> str:
    record = logging.makeLogRecord({"levelname": "INFO", "msg": "request", "created": 0.0, **extra})
    return formatter_of("text", with_pid=False).format(record)


def test_a_line_has_its_fields() -> None:
    text = line(route="/predict", status=200, caller=None)
    assert text.endswith("INFO    request  route=/predict  status=200")


def test_control_characters_are_escaped() -> None:
    text = line(reason="\x1b[2J\nforged")
    assert "\x1b" not in text
    assert "\\x1b[2J\\nforged" in text


def test_a_trace_follows() -> None:
    try:
        raise ValueError("x")
    except ValueError:
        text = line(exc_info=sys.exc_info())
    assert text.splitlines()[-1] == "ValueError: x"


@pytest.mark.parametrize(
    ("log_format", "stream", "expected"),
    [
        ("auto", Terminal(), True),
        ("auto", io.StringIO(), False),
        ("json", Terminal(), False),
        ("text", io.StringIO(), True),
    ],
)
def test_auto_is_text_at_a_terminal(
    log_format: LogFormat, stream: io.StringIO, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    assert is_text(log_format) == expected
    assert isinstance(formatter_of(log_format, with_pid=True), TextFormatter) == expected
