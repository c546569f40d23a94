"""Logging: one JSON object per line, on stderr."""

import logging

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter


def configure_logging(level: str, *, with_pid: bool = False) -> None:
    """Send every log line of this process to stderr as JSON, including uvicorn's and Python warnings.

    Args:
        level: minimum severity, in lower case.
        with_pid: whether each line has the process id; for several processes that share stderr.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(
        JsonFormatter(
            f"%(levelname)s %(name)s {'%(process)d ' if with_pid else ''}%(message)s",
            rename_fields={"levelname": "level", "name": "logger", "process": "pid"},
            timestamp="time",
            reserved_attrs=[*RESERVED_ATTRS, "color_message"],  # uvicorn adds it for terminals
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(True)  # Pillow warns of broken metadata
    # uvicorn's access log would record paths and addresses, and duplicate the request lines.
    logging.getLogger("uvicorn.access").disabled = True
