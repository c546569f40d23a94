"""``python -m tests.e2e.faulty``: the service, with faults that files in the folder FAULTS switch on.

``hang``: a model call does not return while the file exists, and writes the file ``hangs``. ``fail``: a model call
raises. ``batcher``: the batcher itself fails after its next call. ``loop``: the event loop hangs after the next image.
``start``: a bundle is not read while the file exists. Calls count as hanging after half a second, so that tests need
not wait long.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

from contract.bundle import Bundle
from service import core
from service.__main__ import main
from service.inference.backend import OnnxBackend, Outputs
from service.inference.loading import bundles
from service.settings import Settings
from service.telemetry.metrics import Metrics
from service.workers import grace

_FAULTS = Path(os.environ["FAULTS"])
_POLL_S = 0.01
_predict, _read = OnnxBackend.predict, bundles._read
_batch_done, _image_analysed = Metrics.batch_done, Metrics.image_analysed


def _faulty_predict(*arguments: Any, **options: Any) -> Outputs:
    while (_FAULTS / "hang").exists():
        (_FAULTS / "hangs").touch()
        time.sleep(_POLL_S)
    if (_FAULTS / "fail").exists():
        raise RuntimeError("told to fail")
    return _predict(*arguments, **options)


def _faulty_batch_done(*arguments: Any) -> None:
    if (_FAULTS / "batcher").exists():
        raise ZeroDivisionError
    _batch_done(*arguments)


def _faulty_image_analysed(*arguments: Any) -> None:
    while (_FAULTS / "loop").exists():
        time.sleep(_POLL_S)
    _image_analysed(*arguments)


def _faulty_read(settings: Settings, folder: Path) -> Bundle:
    while (_FAULTS / "start").exists():
        time.sleep(_POLL_S)
    return _read(settings, folder)


if __name__ == "__main__":
    bundles._read = _faulty_read
    core._SHORTEST_DEADLINE_S = 0.5
    grace._ALARM_MARGIN_S = 300  # where the machine pauses, the kernel's alarm would come before the forced exit
    OnnxBackend.predict = _faulty_predict  # type: ignore[method-assign]
    Metrics.batch_done = _faulty_batch_done  # type: ignore[method-assign, assignment]
    Metrics.image_analysed = _faulty_image_analysed  # type: ignore[method-assign, assignment]
    sys.exit(main())
