"""Has the service analyse waiting objects: one call for the SR, one for the heatmap."""

import asyncio
import logging
import sqlite3
import ssl
from collections.abc import Callable
from typing import NamedTuple

import httpx

from dicom.results.result import SERIES
from node.config import RESULTS, Config, ConfigError, ResultKind, ServiceSection
from node.credentials import Credentials
from node.header import HeaderError, content_identity, series_description
from node.monitor import Metrics
from node.pauses import PAUSE_S, pause_after, wait_for
from node.storage.ledger import Ledger
from node.storage.records import DEAD, OWN, Item
from node.storage.spool import Spool
from service.client.address import Server, tls_context
from service.client.options import read_key
from service.client.predicting import PredictorStopped
from service.client.remote import Client, http_client, problem_of
from service.client.retry import RetriesExhausted, Retryable, RetryPolicy

log = logging.getLogger(__name__)

_PATHS: dict[ResultKind, str] = {"sr": "predict", "heatmap": "explain"}
_HEADERS = {"Content-Type": "application/dicom", "Accept": "application/dicom"}
# The object is at fault. Any other error is that of the service, of a proxy or of the configuration, and is repeated.
_REFUSED = {413, 415, 422}
# Nor are these: wrong settings of the node; unsupported-media-type: the service lacks its extra for DICOM.
_NOT_THE_OBJECT = {"unknown-operating-point", "unknown-population", "unsupported-media-type"}


class _Access(NamedTuple):
    """The service, with its key and what trusts it."""

    server: Server
    tls: ssl.SSLContext


class Refused(Exception):
    """The service will not analyse this object. The message is the reason, and holds nothing of the object."""


class ServiceFault(Exception):
    """The service failed with this object, and may do so again."""


class Analyser:
    """Takes objects from the ledger, ``parallel`` at a time, until it is cancelled.

    Args:
        config: the service, and which results the destinations want.
        ledger: what waits.
        spool: the objects, and where results go.
        metrics: counts.
        on_result: called after the results of an object are in the spool.
    """

    def __init__(
        self, config: Config, ledger: Ledger, spool: Spool, metrics: Metrics, on_result: Callable[[], None]
    ) -> None:
        self._config, self._ledger, self._spool, self._metrics = config, ledger, spool, metrics
        self._on_result, self._access = on_result, _access(config.service)
        self._kinds = [kind for kind in RESULTS if any(kind in each.results for each in config.destinations)]
        self._claimed: set[str] = set()
        self.wake = asyncio.Event()
        self._ledger_problem = self._spool_problem = self._service_problem = ""

    @property
    def problem(self) -> str:
        """What does not work now; empty: nothing."""
        return self._ledger_problem or self._spool_problem or self._service_problem or self._access.fault

    async def run(self, poll_s: float = 1.0) -> None:
        """Analyse whatever is due. ``retry`` in another process and pauses that end are seen within ``poll_s``."""
        section = self._config.service
        policy = RetryPolicy(section.retry_s, self._notify)
        async with asyncio.TaskGroup() as workers:
            for _ in range(section.parallel):
                workers.create_task(self._work(policy, poll_s))

    async def _work(self, policy: RetryPolicy, poll_s: float) -> None:
        while True:
            access = self._access.current()
            async with http_client(*access) as http:  # a key or certificate that is renewed needs a new one
                client = Client(http, access.server, policy)
                while self._access.current() is access:
                    await self._work_with(client, policy, poll_s)

    async def _work_with(self, client: Client, policy: RetryPolicy, poll_s: float) -> None:
        try:
            await self._work_once(client, policy, poll_s)
            self._ledger_problem = ""
        except sqlite3.Error as error:
            self._ledger_problem = f"the ledger cannot be used: {error}"
            log.error("%s", self._ledger_problem)
            await asyncio.sleep(PAUSE_S)

    async def _work_once(self, client: Client, policy: RetryPolicy, poll_s: float) -> None:
        item = self._claim()
        if item is None:
            self.wake.clear()
            await wait_for(self.wake, poll_s)
            return
        try:
            await self._analyse(client, policy, item)
        finally:
            self._claimed.discard(item.uid)

    def _claim(self) -> Item | None:
        due = self._ledger.due_objects(len(self._claimed) + 1)
        item = next((item for item in due if item.uid not in self._claimed), None)
        if item:
            self._claimed.add(item.uid)
        return item

    async def _analyse(self, client: Client, policy: RetryPolicy, item: Item) -> None:
        try:
            await self._answer(client, policy, item)
        except Refused as refused:
            self._close(item, DEAD, str(refused))
        except FileNotFoundError:
            self._close(item, DEAD, "the object is missing in the spool")
        except ServiceFault as fault:
            if item.tries + 1 >= self._config.service.attempts:
                self._close(item, DEAD, f"{item.tries + 1} attempts failed: {fault}")
            else:
                self._postpone(item, str(fault))
        except RetriesExhausted as exhausted:
            self._postpone(item, str(exhausted))
        except PredictorStopped as stopped:
            self._postpone(item, str(stopped))
        except OSError as error:
            self._spool_problem = f"the spool cannot be read or written: {error.strerror}"
            self._postpone(item, self._spool_problem)

    async def _answer(self, client: Client, policy: RetryPolicy, item: Item) -> None:
        path = self._spool.object_path(item.uid)
        if series_description(path).startswith(SERIES):
            self._close(item, OWN, "a result of an xray-inference node")
            return
        content, results = await asyncio.to_thread(path.read_bytes), dict[ResultKind, str]()
        for kind in self._kinds:
            result = await policy.run(lambda kind=kind: self._ask(client, kind, content))  # type: ignore[misc]
            results[kind] = content_identity(result).uid
            await asyncio.to_thread(self._spool.keep_result, result, item.uid, kind)
        rows = [(kind, to.name, results[kind]) for to in self._config.destinations for kind in to.results]
        await asyncio.to_thread(self._ledger.answer, item.uid, rows)
        self._spool.drop_object(item.uid)
        self._spool_problem = ""
        self._count("answered")
        self._on_result()

    async def _ask(self, client: Client, kind: ResultKind, content: bytes) -> bytes:
        try:
            response = await client.send("POST", _PATHS[kind], content, _HEADERS)
        except (Retryable, PredictorStopped) as failure:
            self._service_problem = f"the service does not answer: {failure}"
            raise
        try:
            result = _check(response)
        except PredictorStopped as stopped:
            self._service_problem = f"the service analyses nothing: {stopped}"
            raise
        except Refused:
            self._service_problem = ""
            raise
        self._service_problem = ""
        return result

    def _close(self, item: Item, state: str, reason: str) -> None:
        self._ledger.close_object(item.uid, state, reason)
        if state == OWN:
            self._spool.drop_object(item.uid)
        self._count(state)
        log.warning("object %s: %s: %s", item.uid, "dead letter" if state == DEAD else "discarded", reason)

    def _postpone(self, item: Item, reason: str) -> None:
        self._count("postponed")
        pause_s = pause_after(item.tries)
        self._ledger.postpone_object(item.uid, pause_s, reason)
        log.warning("object %s: no answer, next attempt in %g s: %s", item.uid, pause_s, reason)

    def _count(self, outcome: str) -> None:
        self._metrics.analyses.labels(outcome).inc()

    def _notify(self, message: str) -> None:
        log.warning("service: %s", message)


def _access(section: ServiceSection) -> Credentials[_Access]:
    """The service, as its client takes it.

    Raises:
        ConfigError: the key or the certificates cannot be read.
    """

    def read() -> _Access:
        try:
            key, tls = read_key(section.key_file), tls_context(section.ca_file)
        except Exception as error:
            raise ConfigError(str(error)) from None
        server = Server(
            url=httpx.URL(str(section.url)),
            operating_point=section.operating_point,
            population=section.population,
            key=key,
            ca_file=section.ca_file,
            timeout_s=section.timeout_s,
            give_up_after_s=section.retry_s,
        )
        return _Access(server, tls)

    return Credentials("service", [section.key_file, section.ca_file], read)


def _check(response: httpx.Response) -> bytes:
    """The result in a response.

    Raises:
        Refused: the object is at fault.
        ServiceFault: the service failed.
        PredictorStopped: no object would get a result.
    """
    problem = problem_of(response)
    slug = problem.type.rpartition("/")[2] if problem else ""
    reason = f"{response.status_code} {f'{slug}: {problem.detail}' if problem else response.reason_phrase}"
    if response.status_code in _REFUSED and slug not in _NOT_THE_OBJECT and (problem or response.status_code == 413):
        raise Refused(reason)
    if response.status_code == httpx.codes.INTERNAL_SERVER_ERROR and problem:
        raise ServiceFault(reason)
    if response.status_code != httpx.codes.OK:
        raise PredictorStopped(reason)
    try:
        content_identity(response.content)
    except HeaderError:
        raise PredictorStopped("the service did not return a DICOM object: is it an older version?") from None
    return response.content
