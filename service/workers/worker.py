"""A worker: one of several processes that serve the same port."""

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
from service.edge.shared import Edge
from service.inference.admission import Phase
from service.telemetry.worker_table import WorkerSlot
from service.workers.connection_balancer import ConnectionBalancer
from service.workers.server import Server

_PUBLISH_EVERY_TICKS = 10  # uvicorn has ten ticks a second

log = logging.getLogger(__name__)


class Worker(Server):
    """The server of one worker. It shares the socket and the metrics with the others, and stops if its parent exits.

    Args:
        slot: of this worker: number, listening sockets, shared table, parent.
        config: of uvicorn.
        service: what is served.
        certificate: the TLS certificate; None: no TLS.
        edge: what its connections share.
    """

    def __init__(
        self,
        slot: WorkerSlot,
        config: uvicorn.Config,
        service: Service,
        certificate: Certificate | None,
        edge: Edge,
    ) -> None:
        super().__init__(config, service, certificate, edge)
        self._slot, self._totals = slot, service.metrics.aggregate(slot.table, slot.worker)
        self._balancer = ConnectionBalancer(
            slot,
            connections=lambda: len(self.server_state.connections),
            ready=lambda: service.status == Phase.READY.value,
            accept=self._accept,
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Run the app's start-up, then accept connections by the balancer. uvicorn itself gets no sockets: its server
        would accept every connection it can.
        """
        await super().startup(sockets=[])
        try:
            self._balancer.open()
        except OSError as error:  # shut down and exit as uvicorn does when it cannot bind the port
            log.error("cannot listen on the port; the worker exits", extra={"reason": error.strerror})
            await self.lifespan.shutdown()
            sys.exit(STARTUP_FAILURE)
        self._log_started_message(self._slot.listeners)

    async def on_tick(self, counter: int) -> bool:
        """Whether to stop. uvicorn calls this ten times a second."""
        if os.getppid() != self._slot.parent and not self.is_draining:
            log.error("the parent process has exited: this worker shuts down")
            self.handle_exit(signal.SIGTERM, None)
        self._slot.table.beat(self._slot.worker)
        self._balancer.publish_load()
        if counter % _PUBLISH_EVERY_TICKS == 0:
            self._totals.publish()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more connections, and complete the requests in flight."""
        self._balancer.close()
        await super().shutdown(sockets)

    async def _accept(self, connection: socket.socket) -> None:
        """Hand a connection to uvicorn's protocol, as uvicorn's own server does."""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        new_protocol: Callable[..., asyncio.Protocol] = self.config.http_protocol_class
        protocol = partial(
            new_protocol, config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        await asyncio.get_running_loop().connect_accepted_socket(protocol, connection, ssl=self.config.ssl)
