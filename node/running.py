"""Starts the parts of a node, and stops them."""

import asyncio
import logging
import os
import signal
import sqlite3
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import ThreadingHTTPServer

from node.analysis import Analyser
from node.config import Config, ConfigError
from node.delivery.deliverer import Deliverer
from node.monitor import Metrics, SpoolCollector, health, serve
from node.receiving.scp import Scp
from node.storage.ledger import Ledger
from node.storage.records import DEAD, WAITING
from node.storage.spool import Spool, SpoolFull, SpoolUnusable

log = logging.getLogger(__name__)

_HOUSEKEEPING_S = 60.0
# At the end: for what is being sent. Together with drain_s (20 s) within the grace of compose.node.yaml.
_LAST_DELIVERY_S = 10.0
_HOUR_S = 3600.0


class Node:
    """A running node: ``await run(stop)``.

    Args:
        config: the configuration.

    Raises:
        SpoolInUse, SpoolUnusable: the spool cannot be used.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._spool, self._ledger = open_spool(config)
        self._metrics = Metrics()
        self._executor = ThreadPoolExecutor(len(config.destinations), thread_name_prefix="delivery")

    async def run(self, stop: asyncio.Event) -> None:
        """Run until ``stop`` is set, then end in order: associations end by themselves for up to ``drain_s``.

        Raises:
            ConfigError: an address cannot be used, or a certificate or key not loaded.
        """
        config, loop = self._config, asyncio.get_running_loop()
        parts = self._ledger, self._spool, self._metrics
        deliverers = [Deliverer(each, *parts, self._executor) for each in config.destinations]
        analyser = Analyser(config, *parts, lambda: _wake_all(deliverers))
        scp = Scp(config.scp, self._spool, self._ledger, self._metrics, _waker(loop, analyser.wake))
        working: list[Analyser | Deliverer] = [analyser, *deliverers]
        problems = partial(self._problems, [scp, *working])
        self._metrics.registry.register(SpoolCollector(self._ledger, self._spool, lambda: scp.associations, problems))
        monitor = self._listen(scp, problems)
        tasks = [asyncio.ensure_future(part.run()) for part in working]
        tasks.append(asyncio.ensure_future(self._keep_house(scp)))
        stopping = asyncio.ensure_future(stop.wait())
        done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
        await self._drain(scp)
        for task in (stopping, *tasks):
            task.cancel()
        await asyncio.gather(stopping, *tasks, return_exceptions=True)
        await asyncio.to_thread(self._await_deliveries)
        monitor.shutdown()
        self._ledger.close()
        self._spool.close()
        for task in done - {stopping}:
            task.result()  # a part has failed: its exception ends the process

    def _await_deliveries(self) -> None:
        """Wait for what is being sent, but not for a destination that does not answer."""
        ending = threading.Thread(target=self._executor.shutdown, daemon=True)
        ending.start()
        ending.join(_LAST_DELIVERY_S)

    def _listen(self, scp: Scp, problems: Callable[[], list[str]]) -> ThreadingHTTPServer:
        http = self._config.http
        try:
            scp.start()
            monitor = serve(http.address, http.port, self._metrics.registry, lambda: health(self._ledger, problems()))
        except OSError as error:
            raise ConfigError(f"cannot listen on the configured addresses: {error.strerror}") from None
        log.info("listening: DICOM on port %d, metrics and health on port %d", scp.port, monitor.server_address[1])
        return monitor

    async def _drain(self, scp: Scp) -> None:
        await asyncio.to_thread(scp.stop_listening)
        if open_still := await asyncio.to_thread(scp.drain, self._config.drain_s):
            log.warning("%d associations are aborted (drain_s)", open_still)
        await asyncio.to_thread(scp.abort)

    async def _keep_house(self, scp: Scp) -> None:
        while True:
            try:
                await self._clean(scp)
            except (sqlite3.Error, OSError) as error:
                log.error("the spool cannot be cleaned: %s", error)
            await asyncio.sleep(_HOUSEKEEPING_S)

    async def _clean(self, scp: Scp) -> None:
        limits = self._config.spool
        scp.discard_unfinished()
        self._ledger.note_time()
        if dead := self._ledger.give_up_older(limits.max_age_h * _HOUR_S):
            log.warning("%d objects or results waited too long and are dead letters (max_age_h)", dead)
        if self._ledger.expire(limits.dead_letters_h * _HOUR_S, limits.remember_h * _HOUR_S):
            await asyncio.to_thread(sweep, self._spool, self._ledger)

    def _problems(self, parts: Sequence[Scp | Analyser | Deliverer]) -> list[str]:
        found = [part.problem for part in parts if part.problem]
        try:
            self._spool.check_room()
        except SpoolFull as full:
            found.append(f"objects are refused: {full}")
        return found


def open_spool(config: Config) -> tuple[Spool, Ledger]:
    """The spool of a node and its ledger, claimed and recovered.

    Raises:
        SpoolInUse, SpoolUnusable: they cannot be used.
    """
    folder = config.spool.folder
    try:
        spool = Spool(config.spool)
        spool.claim()
        ledger = Ledger(spool.ledger_path)
        if spool.has_results() and ledger.is_empty():
            raise SpoolUnusable(f"{folder}/results holds results that were not delivered, but the ledger knows of none")
        ledger.note_time()
        recover(spool, ledger)
    except sqlite3.Error as error:
        raise SpoolUnusable(f"{folder}/ledger.sqlite cannot be used: {error}") from None
    except OSError as error:
        raise SpoolUnusable(f"{error.filename or folder} cannot be used: {error.strerror}") from None
    return spool, ledger


def recover(spool: Spool, ledger: Ledger) -> None:
    """After a crash: note objects that were kept but not noted yet, and delete files that are not needed any more."""
    for uid in spool.orphans(ledger.uids(WAITING, DEAD)):
        if ledger.state(uid) is None:
            ledger.add(uid)
    sweep(spool, ledger)


def sweep(spool: Spool, ledger: Ledger) -> None:
    """Delete the files of what has been answered, delivered or has expired."""
    spool.drop_objects_except(ledger.uids(WAITING, DEAD))
    spool.drop_results_except(ledger.results_needed())


def run(config: Config) -> None:
    """Run a node until SIGTERM or SIGINT.

    Raises:
        ConfigError: the configuration cannot be used on this machine.
        SpoolInUse, SpoolUnusable: the spool cannot be used.
    """
    configure_logging(config.log_level)
    node = Node(config)

    async def main() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await node.run(stop)

    asyncio.run(main())
    log.info("stopped")
    if any(not thread.daemon and thread is not threading.main_thread() for thread in threading.enumerate()):
        log.warning("a destination does not answer: what it was sent is sent again")
        os._exit(0)  # else Python waits for the thread that waits for the answer


def configure_logging(level: str) -> None:
    """Log to stderr. Libraries stay silent: their messages, warnings and stack traces may quote a patient's data."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger("node")
    root.handlers, root.propagate = [handler], False
    root.setLevel(level.upper())
    logging.getLogger().handlers = [logging.NullHandler()]
    for library in ("pydicom", "pynetdicom", "httpx", "httpcore", "asyncio"):
        logging.getLogger(library).setLevel(logging.CRITICAL + 1)
    warnings.simplefilter("ignore")
    threading.excepthook = lambda args: log.error("a thread ended: %s", args.exc_type.__name__)
    sys.excepthook = lambda kind, _error, _trace: log.error("the node ended: %s", kind.__name__)


def _waker(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> Callable[[], None]:
    """Sets an event of the loop from another thread."""
    return lambda: (loop.call_soon_threadsafe(event.set), None)[1]


def _wake_all(deliverers: list[Deliverer]) -> None:
    for deliverer in deliverers:
        deliverer.wake.set()
