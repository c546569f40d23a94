"""What each command of ``python -m service`` does."""

import json
import logging
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from contract.bundle import read_bundle
from service import server
from service.access.authentication import require_keys_if_reachable
from service.app import create_app
from service.cli.effective import effective_settings, unknown_variables
from service.cli.local import LocalPredictor
from service.core import Service
from service.inference.model import open_backend
from service.settings import Settings, listed
from service.telemetry.logs import configure_logging
from service.workers.parent import Parent, bind_sockets, worker_settings
from service.workers.worker import Worker

log = logging.getLogger(__name__)


def serve(settings: Settings) -> bool:
    """Serve until told to stop. Returns whether that went well.

    Raises:
        BundleError, DeviceError, SettingsError: the service must not start like this.
        SystemExit: it has several workers, and the first of them could not start, or one not go on.
    """
    require_keys_if_reachable(settings)
    configure_logging(settings.log_level, with_pid=settings.workers > 1)
    for unknown in unknown_variables(os.environ):
        log.warning("a variable that is no setting", extra=unknown.model_dump(exclude_none=True))
    if settings.workers == 1:
        return server.serve(_service_with_models(settings))
    try:
        listeners = bind_sockets(settings.host, settings.port)
    except OSError as error:
        log.error("cannot listen on %s:%d: %s", settings.host, settings.port, error.strerror)
        return False
    slot = Parent(settings.workers, listeners).run()
    return slot is None or server.serve(_service_with_models(worker_settings(settings)), partial(Worker, slot))


def print_settings(settings: Settings, options: Mapping[str, object], *, as_json: bool) -> None:
    """Print the settings in effect; on stderr, the variables that are none."""
    found = effective_settings(settings, options, os.environ)
    if as_json:
        print(json.dumps([each.model_dump() for each in found], indent=2))
    else:
        table = Table("variable", Column("value", overflow="fold"), "from")
        for each in found:
            table.add_row(each.variable, "" if each.value is None else escape(str(each.value)), each.source)
        Console().print(table)
    for unknown in unknown_variables(os.environ):
        meant = f"; {unknown.nearest} was perhaps meant" if unknown.nearest else ""
        print(f"xray-service: {unknown.variable} is no setting{meant}", file=sys.stderr)


def print_openapi(settings: Settings) -> None:
    """Print the OpenAPI document of a service with these settings, in an order of its own: for a file, and to compare.

    Raises:
        BundleError, DeviceError, SettingsError: the service would not start like this.
    """
    configure_logging("error")
    settings = settings.model_copy(update={"audit": "off"})  # nothing is served, so nothing is told of it
    print(json.dumps(create_app(build_service(settings)).openapi(), indent=2, sort_keys=True, ensure_ascii=False))


def build_service(settings: Settings) -> Service:
    """The service that these settings describe, its model loaded, not yet running.

    Raises:
        BundleError, DeviceError, SettingsError.
    """
    bundle = read_bundle(settings.model)
    return Service(settings, bundle, open_backend(settings, bundle))


@asynccontextmanager
async def open_local(settings: Settings) -> AsyncIterator[LocalPredictor]:
    """The model of this process, for the command line: without a port, and not warmed up.

    Raises:
        BundleError, DeviceError, SettingsError.
    """
    configure_logging("error")
    service = build_service(settings)
    async with service.running(warm_up=False):
        yield LocalPredictor(service)


def _service_with_models(settings: Settings) -> Service:
    """The service, and beside its own model those that are loaded at the start."""
    service = build_service(settings)
    service.repository.open_at_start(listed(settings.load))
    return service
