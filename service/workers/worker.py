"""A worker: one of several processes that serve the same port."""

import logging
import os
import signal

import uvicorn

from service.access.tls import Certificate
from service.core import Service
from service.edge.shared import Edge
from service.telemetry.worker_table import WorkerSlot
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
        super().__init__(config, service, certificate, edge, slot)
        self._table, self._worker, self._parent = slot.table, slot.worker, slot.parent
        self._totals = service.metrics.aggregate(slot.table, slot.worker)

    async def on_tick(self, counter: int) -> bool:
        """Whether to stop. uvicorn calls this ten times a second."""
        if os.getppid() != self._parent and not self.is_draining:
            log.error("the parent process has exited: this worker shuts down")
            self.handle_exit(signal.SIGTERM, None)
        self._table.beat(self._worker)
        if counter % _PUBLISH_EVERY_TICKS == 0:
            self._totals.publish()
        return await super().on_tick(counter)
