"""Sends results to one destination until each is acknowledged, with exponential backoff."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

from node.config import CStore, Stow
from node.delivery.cstore import CStoreSender
from node.delivery.outcomes import Interrupted, Outcome, Sender, Unavailable, Verdict
from node.delivery.stow import StowSender
from node.monitor import Metrics
from node.pauses import pause_after, wait_for
from node.storage.ledger import Ledger
from node.storage.records import DEAD, DELIVERED, Delivery
from node.storage.spool import Spool
from service.client.retry import backoff_s

log = logging.getLogger(__name__)

_BATCH = 32  # results over one association


class Deliverer:
    """Delivers to one destination, until it is cancelled.

    Args:
        destination: where to.
        ledger: what waits.
        spool: the results.
        metrics: counts.
        executor: runs what blocks; it needs a thread for each destination.
    """

    def __init__(
        self, destination: CStore | Stow, ledger: Ledger, spool: Spool, metrics: Metrics, executor: Executor
    ) -> None:
        self._name, self._sender = destination.name, new_sender(destination)
        self._ledger, self._spool, self._metrics, self._executor = ledger, spool, metrics, executor
        self.wake = asyncio.Event()
        self._ledger_problem = self._destination_problem = self._credentials_problem = ""

    @property
    def problem(self) -> str:
        """What does not work now; empty: nothing."""
        return self._ledger_problem or self._destination_problem or self._credentials_problem

    async def run(self, poll_s: float = 1.0, backoff: Callable[[int], float] = backoff_s) -> None:
        """Send whatever is due. While the destination is not available, pauses grow from 0.5 s to 30 s."""
        loop, failures = asyncio.get_running_loop(), 0
        while True:
            self._credentials_problem = self._sender.check()
            try:
                due = self._ledger.due_deliveries(self._name, _BATCH)
                self._ledger_problem = ""
                if not due:
                    self.wake.clear()
                    await wait_for(self.wake, poll_s)
                    continue
                await loop.run_in_executor(self._executor, self._send_all, due)
                failures, self._destination_problem = 0, ""
            except (Unavailable, sqlite3.Error) as failure:
                self._report(failure, failures)
                await asyncio.sleep(backoff(failures))
                failures += 1

    def _send_all(self, due: Sequence[Delivery]) -> None:
        with self._sender as sender:
            for delivery in due:
                self._send(sender, delivery)

    def _send(self, sender: Sender, delivery: Delivery) -> None:
        try:
            content = self._spool.read_result(delivery.uid, delivery.kind)
            outcome = sender.send(delivery, content)
        except Interrupted as interrupted:  # perhaps because of this result: the others go first
            self._postpone(delivery, str(interrupted))
            raise
        except FileNotFoundError:
            outcome = Outcome(Verdict.NEVER, "the result is missing in the spool")
        except OSError as error:
            outcome = Outcome(Verdict.LATER, f"the result cannot be read: {error.strerror}")
        self._metrics.sent.labels(self._name, outcome.verdict.value).inc()
        if outcome.verdict is Verdict.STORED:
            self._ledger.close_delivery(delivery, DELIVERED)
        elif outcome.verdict is Verdict.NEVER:
            self._ledger.close_delivery(delivery, DEAD, outcome.reason)
            log.warning("%s refused the %s of object %s: %s", self._name, delivery.kind, delivery.uid, outcome.reason)
        else:
            self._postpone(delivery, outcome.reason)
        if not self._ledger.needs_result(delivery.uid, delivery.kind):
            self._spool.drop_result(delivery.uid, delivery.kind)

    def _postpone(self, delivery: Delivery, reason: str) -> None:
        self._ledger.postpone_delivery(delivery, pause_after(delivery.tries), reason)

    def _report(self, failure: Exception, failures: int) -> None:
        self._metrics.sent.labels(self._name, "unavailable").inc()
        of_ledger = isinstance(failure, sqlite3.Error)
        reason = f"the ledger cannot be used: {failure}" if of_ledger else str(failure)
        problem = f"destination {self._name}: {reason}"
        if of_ledger:
            self._ledger_problem = problem
        else:
            self._destination_problem = problem
        if failures == 0:
            log.warning("destination %s: %s; results wait, and are sent later", self._name, reason)


def new_sender(destination: CStore | Stow) -> Sender:
    """What sends to a destination.

    Raises:
        ConfigError: its certificates or credentials cannot be read.
    """
    return CStoreSender(destination) if isinstance(destination, CStore) else StowSender(destination)
