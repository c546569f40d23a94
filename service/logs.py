"""Logging: one JSON object a line, on stderr."""

import logging
from logging.config import dictConfig

from pythonjsonlogger.core import RESERVED_ATTRS

_FORMAT = "%(levelname)s %(name)s %(message)s"


def configure_logging(level: str) -> None:
    """Send every log line of this process, uvicorn's too, to stderr as JSON.

    Args:
        level: least severe level, in lower case.
    """
    dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "json": {
                    "()": "pythonjsonlogger.json.JsonFormatter",
                    "format": _FORMAT,
                    "rename_fields": {"levelname": "level", "name": "logger"},
                    "timestamp": "time",
                    "reserved_attrs": [*RESERVED_ATTRS, "color_message"],  # uvicorn's, for terminals
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
            "root": {"handlers": ["stderr"], "level": level.upper()},
        }
    )
    logging.captureWarnings(True)  # Pillow warns of broken metadata
    # Its access lines hold paths and addresses, and would double the request lines.
    logging.getLogger("uvicorn.access").disabled = True
