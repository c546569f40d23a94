"""The commands ``serve``, ``settings`` and ``openapi``, and the model for ``predict``."""

import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial

from contract.bundle import Bundle
from service.access.authentication import require_keys_if_reachable
from service.cli.effective import EffectiveSetting, effective_settings, unknown_variables
from service.cli.local import LocalPredictor
from service.core import Service
from service.inference.loading.bundles import read_main
from service.inference.loading.graphs import open_backend
from service.inference.loading.memory import disable_core_dumps, limit_arenas
from service.settings import Settings
from service.settings.network import listed
from service.telemetry.logs import configure_logging, drain_logging
from service.telemetry.worker_table import WorkerSlot, WorkerTable
from service.workers import server
from service.workers.app import create_app
from service.workers.coordinator import Coordinator
from service.workers.follower import Follower
from service.workers.parent import Parent, bind_sockets, worker_settings
from service.workers.watchdog import bounded_start
from service.workers.worker import Worker

log = logging.getLogger(__name__)


def serve(settings: Settings) -> bool:
    """Serve until a signal stops the process. Returns whether the service started and shut down without an error.

    Raises:
        BundleError, DeviceError, SettingsError: the service cannot start with this model, device or settings.
        SystemExit: with several workers: the first one could not start, or a worker could not be restarted.
    """
    require_keys_if_reachable(settings)
    disable_core_dumps()
    limit_arenas()
    try:
        return _serve(settings)
    finally:
        drain_logging()  # before the reason for which the command fails is printed


def _serve(settings: Settings) -> bool:
    configure_logging(settings.log_level, with_pid=settings.workers > 1, log_format=settings.log_format)
    for unknown in unknown_variables(os.environ):
        log.warning("unknown setting in the environment: it has no effect", extra=unknown.model_dump(exclude_none=True))
    # Only the main thread may; in another there is no terminal that hangs up.
    if hasattr(signal, "SIGHUP") and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is a model to be replaced
    try:
        listeners = bind_sockets(settings.host, settings.port)  # before a model is loaded for nothing
    except OSError as error:
        log.error("cannot listen on %s:%d: %s", settings.host, settings.port, error.strerror)
        return False
    try:
        # On Windows, whose event loop cannot watch a listening socket, uvicorn accepts connections by TLS, too.
        if settings.workers == 1 and (settings.tls_certificate is None or sys.platform == "win32"):
            _close(listeners)  # uvicorn binds the port itself
            return server.serve(_service_with_models(settings))
        return _serve_on(listeners, settings)
    finally:
        _close(listeners)


def _close(listeners: list[socket.socket]) -> None:
    for listener in listeners:
        listener.close()


def _serve_on(listeners: list[socket.socket], settings: Settings) -> bool:
    """Serve on these sockets, with one process or several."""
    if settings.workers == 1:
        alone = WorkerSlot(0, os.getppid(), listeners, WorkerTable(1))
        return server.serve(_service_with_models(settings), partial(server.Server, slot=alone))
    with bounded_start(settings.start_s):
        coordinator = Coordinator(settings)
    slot = Parent(settings, listeners, coordinator).run()
    if slot is None:
        return True
    # Again, because the thread that writes stayed in the parent.
    configure_logging(settings.log_level, with_pid=True, log_format=settings.log_format)
    service = _service_with_models(worker_settings(settings), coordinator.bundle)
    follower = Follower(coordinator.slot(slot.worker), slot.parent, service)
    return server.serve(service, partial(Worker, slot), follower)


def print_settings(
    settings: Settings, options: Mapping[str, object], file: Mapping[str, object], *, as_json: bool
) -> None:
    """Print the settings in effect to stdout, and unknown XRAY_* variables to stderr."""
    effective = effective_settings(settings, options, os.environ, file)
    if as_json:
        print(json.dumps([setting.model_dump() for setting in effective], indent=2))
    else:
        _print_table(effective)
    for unknown in unknown_variables(os.environ):
        suggestion = f"; did you mean {unknown.nearest}?" if unknown.nearest else ""
        print(f"xray-service: {unknown.variable} is not a known setting{suggestion}", file=sys.stderr)


def _print_table(effective: Sequence[EffectiveSetting]) -> None:
    # Imported late, since `serve` has no use for it: 2 MiB.
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Column, Table

    table = Table("variable", Column("value", overflow="fold"), "source")
    for setting in effective:
        value = "" if setting.value is None else escape(str(setting.value))
        table.add_row(setting.variable, value, setting.source)
    Console().print(table)


def print_openapi(settings: Settings) -> None:
    """Print the OpenAPI document of a service with these settings, with sorted keys, so that files can be compared.
    Only media types keep their order: generators of clients take the first for the usual one.

    Raises:
        BundleError, DeviceError, SettingsError: the service cannot start with this model, device or settings.
    """
    configure_logging("error", log_format="auto")
    settings = settings.model_copy(update={"audit": "off"})  # nothing is served, so there is nothing to record
    print(json.dumps(_sorted(create_app(build_service(settings)).openapi()), indent=2, ensure_ascii=False))


def _sorted(node: object, key: str = "") -> object:
    """The JSON value with the keys of all objects sorted, but of those that list media types."""
    if isinstance(node, list):
        return [_sorted(each) for each in node]
    if not isinstance(node, dict):
        return node
    return {name: _sorted(node[name], name) for name in (node if key == "content" else sorted(node))}


def build_service(settings: Settings, bundle: Bundle | None = None) -> Service:
    """Create the service for these settings, with its model loaded, but not running yet.

    Args:
        settings: the effective settings.
        bundle: the verified bundle; None: it is read.

    Raises:
        BundleError, DeviceError, SettingsError: the service cannot start with this model, device or settings.
    """
    bundle = bundle or read_main(settings)
    return Service(settings, bundle, open_backend(settings, bundle))


@asynccontextmanager
async def open_local(settings: Settings) -> AsyncIterator[LocalPredictor]:
    """Load the model in this process, for the command ``predict``: no port is opened, and the model is not warmed up.

    Raises:
        BundleError, DeviceError, SettingsError: the model cannot be loaded with these settings.
    """
    disable_core_dumps()
    configure_logging("error", log_format="auto")
    try:
        service = build_service(settings)
        async with service.running(warm_up=False):
            yield LocalPredictor(service)
    finally:
        drain_logging()


def _service_with_models(settings: Settings, bundle: Bundle | None = None) -> Service:
    """Create the service and load the further models that the settings name."""
    with bounded_start(settings.start_s):
        service = build_service(settings, bundle)
        service.repository.load_at_start(listed(settings.load))
    return service
