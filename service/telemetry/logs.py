"""Logging: one JSON object a line, on stderr."""

import logging

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter


def configure_logging(level: str, *, tell_process: bool = False) -> None:
    """Send every log line of this process, uvicorn's and warnings too, to stderr as JSON.

    Args:
        level: least severe level, in lower case.
        tell_process: whether each line has the process id, where several processes share stderr.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(
        JsonFormatter(
            f"%(levelname)s %(name)s {'%(process)d ' if tell_process else ''}%(message)s",
            rename_fields={"levelname": "level", "name": "logger", "process": "pid"},
            timestamp="time",
            reserved_attrs=[*RESERVED_ATTRS, "color_message"],  # uvicorn's, for terminals
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(True)  # Pillow warns of broken metadata
    # Its access lines hold paths and addresses, and would double the request lines.
    logging.getLogger("uvicorn.access").disabled = True
