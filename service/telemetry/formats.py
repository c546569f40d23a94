"""How a log line looks: JSON for programs, text for a person at a terminal."""

import logging
import sys
from typing import Literal

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from service.wire import printable

LogFormat = Literal["auto", "json", "text"]
# ``color_message``: uvicorn adds it for terminals.
_RESERVED = [*RESERVED_ATTRS, "color_message"]


def is_text(log_format: LogFormat) -> bool:
    """Whether log lines are text: as the setting says, or because stderr is a terminal."""
    return log_format == "text" or (log_format == "auto" and sys.stderr is not None and sys.stderr.isatty())


def formatter_of(log_format: LogFormat, *, with_pid: bool) -> logging.Formatter:
    """The formatter for a setting; ``with_pid``: each line has the process id."""
    if is_text(log_format):
        return TextFormatter(f"%(asctime)s %(levelname)-7s {'%(process)d ' if with_pid else ''}%(message)s", "%H:%M:%S")
    return JsonFormatter(
        f"%(levelname)s %(name)s {'%(process)d ' if with_pid else ''}%(message)s",
        rename_fields={"levelname": "level", "name": "logger", "process": "pid"},
        timestamp="time",
        reserved_attrs=_RESERVED,
    )


class TextFormatter(logging.Formatter):
    """One line: time, severity, message, and the fields of the record as ``name=value``; traces below it."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, with what is not printable escaped."""
        return printable(super().format(record), keep="\n")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging's name
        """The line without a trace."""
        extra = {name: value for name, value in record.__dict__.items() if name not in _RESERVED and value is not None}
        return printable(
            "  ".join([super().formatMessage(record), *(f"{name}={value}" for name, value in extra.items())])
        )
