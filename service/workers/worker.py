"""One of several processes that serve the same port."""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from functools import partial

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from service.access.tls import Certificate
from service.core import Service
from service.inference.admission import Phase
from service.server import Server
from service.telemetry.worker_table import WorkerSlot
from service.workers.connection_balancer import ConnectionBalancer

_PUBLISH_EVERY_TICKS = 10  # of a tenth of a second

log = logging.getLogger(__name__)


class Worker(Server):
    """The server of one worker: it shares a socket and its metrics, and ends when its parent is gone.

    Args:
        place: among the workers.
        config: of uvicorn.
        service: what is served.
        certificate: of TLS, if there is any.
    """

    def __init__(
        self, slot: WorkerSlot, config: uvicorn.Config, service: Service, certificate: Certificate | None
    ) -> None:
        super().__init__(config, service, certificate)
        self._slot, self._totals = slot, service.metrics.share(slot.table, slot.worker)
        self._balancer = ConnectionBalancer(
            slot,
            connections=lambda: len(self.server_state.connections),
            ready=lambda: service.status == Phase.READY.value,
            accept=self._accept,
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin the app's life, then take connections: not by a server of uvicorn's, which takes all it can get."""
        await super().startup(sockets=[])
        try:
            self._balancer.open()
        except OSError as error:  # told as uvicorn tells it, which is how a start ends that could not have the port
            log.error("cannot listen", extra={"reason": error.strerror})
            await self.lifespan.shutdown()
            sys.exit(STARTUP_FAILURE)
        self._log_started_message(self._slot.listeners)

    async def on_tick(self, counter: int) -> bool:
        """Whether to end, asked ten times a second."""
        if os.getppid() != self._slot.parent and not self.is_draining:
            log.error("the parent process is gone: this worker ends")
            self.handle_exit(signal.SIGTERM, None)
        self._balancer.tell()
        if counter % _PUBLISH_EVERY_TICKS == 0:
            self._totals.publish()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, and answer what was accepted."""
        self._balancer.close()
        await super().shutdown(sockets)

    async def _accept(self, connection: socket.socket) -> None:
        """What uvicorn does with a connection that its own server has taken."""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        make: Callable[..., asyncio.Protocol] = self.config.http_protocol_class
        protocol = partial(make, config=self.config, server_state=self.server_state, app_state=self.lifespan.state)
        await asyncio.get_running_loop().connect_accepted_socket(protocol, connection, ssl=self.config.ssl)
