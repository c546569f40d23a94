"""The process: a service on a port, until SIGTERM, and then an orderly end."""

import sys
import time
from collections.abc import Callable
from types import FrameType

import uvicorn

from service.access.tls import Certificate, load_certificate
from service.app import create_app
from service.core import Service

# After the deadline of the last accepted request there is nothing left to wait for but slow readers of answers.
SLOW_READERS_S = 5
# How long the event loop may keep Python's lock from threads that compute, while it has something to do without end.
_TURN_S = 0.001


class Server(uvicorn.Server):
    """uvicorn, with a time between SIGTERM and closing the port in which health checks see 503.

    In that time requests are refused with 503 and Retry-After; what was accepted before is answered. uvicorn by itself
    closes the port at once, and ends by raising the signal again, so that the exit code is not 0.
    """

    def __init__(self, config: uvicorn.Config, service: Service, certificate: Certificate | None) -> None:
        super().__init__(config)
        self._service, self._certificate = service, certificate
        self._closes_at: float | None = None

    @property
    def is_ending(self) -> bool:
        """Whether the end has begun."""
        return self._closes_at is not None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin the end. Called in the main thread, between two steps of the event loop."""
        self._service.admission.close()
        if self._closes_at is None:
            self._closes_at = time.monotonic() + self._service.settings.drain_s

    async def on_tick(self, counter: int) -> bool:
        """Whether to close the port, asked ten times a second."""
        if self._certificate:
            self._certificate.reload_if_changed()
        drained = self._closes_at is not None and time.monotonic() >= self._closes_at
        return await super().on_tick(counter) or drained


def serve(service: Service, kind: Callable[[uvicorn.Config, Service, Certificate | None], Server] = Server) -> bool:
    """Serve until SIGTERM or SIGINT, with a server of this kind. Returns whether the port could be opened.

    Raises:
        SettingsError: the certificate cannot be used, or the audit not be written.
    """
    sys.setswitchinterval(_TURN_S)
    settings = service.settings
    certificate = load_certificate(settings)
    config = uvicorn.Config(
        create_app(service),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        ssl_context_factory=(lambda *_: certificate.context) if certificate else None,
        timeout_graceful_shutdown=int(settings.deadline_s + settings.upload_s) + SLOW_READERS_S,
    )
    server = kind(config, service, certificate)
    try:
        server.run()
    except SystemExit:  # how uvicorn ends when the port is taken, which it has logged
        return False
    return True
