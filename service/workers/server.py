"""The server process: it serves on a port until SIGTERM, then drains and stops."""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from types import FrameType
from typing import Any, Protocol, cast

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from service.access.tls import Certificate, load_certificate
from service.core import Service
from service.edge.connection import Connection
from service.edge.handshake import accept as accept_tls
from service.edge.limits import limits_of
from service.edge.shared import Edge
from service.inference.admission import Phase
from service.inference.threads.pool import StartedThreads
from service.telemetry.formats import is_text
from service.telemetry.worker_table import WorkerSlot, WorkerTable
from service.workers.app import create_app
from service.workers.banner import banner
from service.workers.connection_balancer import ConnectionBalancer
from service.workers.grace import SLOW_CLIENTS_S, force_exit_after, grace_s
from service.workers.overload import overload_of
from service.workers.reload import ReloadOnSignal
from service.workers.watchdog import Watchdog

# Threads for everything but decoding and the model: checksums of images, reading of bundles.
_OTHER_THREADS = 4
# Seconds, for sys.setswitchinterval: how long a busy event loop may hold the GIL while compute threads wait for it.
# They need it for some microseconds, several times an image; with 1 ms CPUs were idle meanwhile (decision 40).
SWITCH_INTERVAL_S = 0.0001
# Threshold of the garbage collector for new objects (gc.set_threshold); the default is 700. A request leaves next to
# no reference cycles, and each collection stops all threads (decision 41).
UNCOLLECTED = 10_000
# Seconds at the end: at most for connections that are being set up, such as TLS handshakes; and for what they send.
_SETTING_UP_S, _LAST_REQUESTS_S = 0.5, 0.1

log = logging.getLogger(__name__)


class ModelReload(Protocol):
    """Replaces the model on request, in short steps of the event loop."""

    def start(self) -> None:
        """Begin to handle SIGHUP."""

    def step(self) -> None:
        """Take the next step, if there is one."""


class Server(uvicorn.Server):
    """uvicorn with a drain period: between SIGTERM and closing the port, health checks get 503.

    During the drain, new requests get 503 with Retry-After, and requests admitted earlier are completed. Plain uvicorn
    closes the port at once, and raises the signal again at its end, so its exit code is not 0.

    Args:
        config: of uvicorn.
        service: what is served.
        certificate: the TLS certificate; None: no TLS.
        edge: what its connections share.
        slot: the sockets to accept connections from; None: uvicorn opens the port and accepts, without a bound for TLS
            handshakes.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        service: Service,
        certificate: Certificate | None,
        edge: Edge,
        slot: WorkerSlot | None = None,
    ) -> None:
        super().__init__(config)
        self._service, self._certificate, self._edge = service, certificate, edge
        self._closes_at: float | None = None
        self._watchdog = Watchdog(service.settings.worker_timeout_s)
        self.failed = False
        self._slot = slot
        self._balancer = self._new_balancer(slot) if slot else None
        self.reload: ModelReload = ReloadOnSignal(service)

    @property
    def is_draining(self) -> bool:
        """Whether the shutdown has begun."""
        return self._closes_at is not None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin the shutdown. uvicorn calls this in the main thread, between two steps of the event loop."""
        if self._closes_at is None:
            self._closes_at = time.monotonic() + self._service.settings.drain_s
            self._watchdog.close()
            force_exit_after(grace_s(self._service.settings))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Run the app's start-up, then accept connections. With a slot uvicorn itself gets no sockets: its server would
        accept every connection it can, and know nothing of TLS handshakes in progress.
        """
        asyncio.get_running_loop().set_default_executor(StartedThreads(_OTHER_THREADS, "other"))
        self.reload.start()
        if self._slot is None or self._balancer is None:
            await super().startup(sockets)
            self._announce([listener for server in self.servers for listener in server.sockets])
            return
        await super().startup(sockets=[])
        try:
            self._balancer.open()
        except OSError as error:  # shut down and exit as uvicorn does when it cannot bind the port
            log.error("cannot listen on the port; the process exits", extra={"reason": error.strerror})
            await self.lifespan.shutdown()
            sys.exit(STARTUP_FAILURE)
        self._log_started_message(self._slot.listeners)
        if self._slot.worker == 0:
            self._announce(self._slot.listeners)

    def _announce(self, listeners: Sequence[Any]) -> None:
        """Tell a person at a terminal which address to open."""
        if listeners and is_text(self._service.settings.log_format):
            sys.stderr.write(banner(self._service, listeners[0]))

    async def on_tick(self, counter: int) -> bool:
        """Whether to close the port. uvicorn calls this ten times a second."""
        self._watchdog.beat()
        if not self.is_draining and (reason := self._service.must_restart):
            log.error("the process exits with code 1, so that it is restarted", extra={"reason": reason})
            self.failed = True
            self.handle_exit(signal.SIGTERM, None)
        self.reload.step()
        if self.is_draining and not self._edge.is_draining:
            self._edge.drain(self.server_state.connections)
            # After the first step of each request that has just been started, in which it is admitted.
            asyncio.get_running_loop().call_soon(self._service.admission.close)
        if self._certificate:
            self._certificate.reload_if_changed()
        if self._balancer:
            self._balancer.publish_load()
        drained = self._closes_at is not None and time.monotonic() >= self._closes_at
        return await super().on_tick(counter) or drained

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the port, and complete the requests in flight; those that wait at the port are answered, too."""
        if setting_up := self._close_port():
            await asyncio.wait(setting_up, timeout=_SETTING_UP_S)
        await asyncio.sleep(_LAST_REQUESTS_S)
        self._edge.close()
        await super().shutdown(sockets)

    def _close_port(self) -> set[asyncio.Task[None]]:
        """Close the port, and accept what the kernel has queued, unless another worker will. Returns what sets up
        connections still.
        """
        if self._balancer:
            return self._balancer.close(takes_waiting=not self.failed)
        if not hasattr(os, "fork"):  # Windows cannot duplicate a socket so
            return set()
        # uvicorn's server closes its listeners at once: copies of them keep the port open for a moment.
        listeners = [socket.socket(fileno=os.dup(each.fileno())) for server in self.servers for each in server.sockets]
        for server in self.servers:
            server.close()
        last = self._new_balancer(WorkerSlot(0, os.getppid(), listeners, WorkerTable(1)))
        last.open()
        return last.close(takes_waiting=True)

    def _new_balancer(self, slot: WorkerSlot) -> ConnectionBalancer:
        return ConnectionBalancer(
            slot,
            connections=lambda: len(self.server_state.connections),
            ready=lambda: self._service.status == Phase.READY.value,
            accept=self._accept,
        )

    async def _accept(self, accepted: socket.socket) -> None:
        """Make a connection of an accepted socket."""
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        state = self.server_state, self.lifespan.state
        if self._certificate:
            await accept_tls(accepted, self._certificate.context, self._edge, self.config, state)
        else:
            connection = partial(Connection, self._edge, self.config, *state)
            await asyncio.get_running_loop().connect_accepted_socket(connection, accepted)


def serve(
    service: Service,
    new_server: Callable[[uvicorn.Config, Service, Certificate | None, Edge], Server] = Server,
    reload: ModelReload | None = None,
) -> bool:
    """Serve until SIGTERM or SIGINT.

    Args:
        service: what is served.
        new_server: makes the server from uvicorn's configuration, the service, the certificate (None without TLS), and
            what its connections share.
        reload: replaces the model; None: SIGHUP to this process does.

    Returns:
        False if the port could not be opened, or if the service failed for good.

    Raises:
        SettingsError: the certificate cannot be used, or the audit is required and cannot be written.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.set_threshold(UNCOLLECTED)
    settings = service.settings
    certificate = load_certificate(settings)
    edge = Edge(limits_of(settings), service.metrics, overload_of(service))
    config = uvicorn.Config(
        create_app(service),
        http=cast(Any, partial(Connection, edge)),
        ws="none",
        proxy_headers=False,  # service.http uses those of trusted proxies
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        ssl_context_factory=(lambda *_: certificate.context) if certificate else None,
        timeout_graceful_shutdown=int(settings.deadline_s + settings.upload_s) + SLOW_CLIENTS_S,
    )
    server = new_server(config, service, certificate, edge)
    server.reload = reload or server.reload
    try:
        server.run()
    except SystemExit:  # uvicorn could not bind the port, and has logged why
        return False
    return not server.failed
