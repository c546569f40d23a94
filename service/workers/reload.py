"""Replaces the served model on SIGHUP, in a process that serves alone."""

import asyncio
import logging
import signal
import threading

from service.core import Service
from service.errors import ModelConflict, UnsoundModel
from service.inference.admission import Phase

log = logging.getLogger(__name__)


class ReloadOnSignal:
    """Reads XRAY_MODEL again after SIGHUP, once the service is ready and no other change of its models is under way.

    Args:
        service: what is served.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._requested = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Handle SIGHUP from now on. Without effect outside the main thread, and where there is no such signal."""
        if hasattr(signal, "SIGHUP") and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGHUP, lambda *_: self.request())

    def request(self) -> None:
        """Have the model replaced; several requests before the next ``step`` are one."""
        self._requested = True

    def step(self) -> None:
        """Begin what was requested. Called by the event loop several times a second."""
        is_idle = self._task is None or self._task.done()
        if self._requested and is_idle and self._service.admission.phase is Phase.READY:
            self._requested = False
            self._task = asyncio.create_task(self._reload(), name="reload")

    async def _reload(self) -> None:
        try:
            await self._service.reload()
        except UnsoundModel:
            pass  # logged where it was found
        except ModelConflict:
            self._requested = True  # tried again at the next step
        except Exception:
            log.exception("replacing the model failed: the old one stays in service")
