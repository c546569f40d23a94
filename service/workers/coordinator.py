"""The parent's part in replacing the model of all workers: it decides whether all of them change, or none."""

import logging
import time
from collections.abc import Callable, Set
from types import FrameType

from contract.bundle import Bundle, BundleError
from service.inference.loading.bundles import key_of, read_main, read_successor, without_path
from service.settings import Settings, SettingsError
from service.workers.swap import ENDED, Phase, Record, SwapSlot, SwapTable

# Seconds. Many workers that load a large model on a busy machine take some time; one that hangs takes forever.
PREPARE_S = 180.0

log = logging.getLogger(__name__)


class Coordinator:
    """Holds the bundle that workers serve, also those that are started later, and replaces it on request.

    Workers that are started get the verified bytes in memory: a bundle that has been put in its place meanwhile is not
    served by some of them before all had to load it.

    Args:
        settings: the effective settings.
        clock: monotonic clock, in seconds.

    Raises:
        BundleError, SettingsError: the bundle cannot be served.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self.bundle = read_main(settings)
        self._settings, self._clock = settings, clock
        self._table = SwapTable(settings.workers)
        self._order, self._requested = Record(), False
        self._successor: Bundle | None = None
        self._workers: Set[int] = frozenset()
        self._ends_at = 0.0

    @property
    def is_busy(self) -> bool:
        """Whether ``step`` should be called again soon."""
        return self._requested or self._order.phase not in ENDED

    def request(self, number: int = 0, frame: FrameType | None = None) -> None:
        """Have the model replaced; the handler of SIGHUP."""
        self._requested = True

    def slot(self, worker: int) -> SwapSlot:
        """The slot of a worker; called in it right after it was forked."""
        return SwapSlot(self._table, worker, self._order.number)

    def step(self, running: Set[int]) -> None:
        """Take the next step of a requested replacement, if the workers are ready for it.

        Args:
            running: the numbers of the workers that run now.
        """
        if self._order.phase is Phase.PREPARE:
            self._await_prepared(running)
        elif self._order.phase is Phase.SWITCH:
            self._await_switched(running)
        elif self._requested:
            self._requested = False
            self._begin(running)

    def _begin(self, running: Set[int]) -> None:
        number = self._order.number + 1
        try:
            self._successor = read_successor(self._settings, self.bundle)
        except (BundleError, SettingsError) as error:
            self._keep(number, without_path(error, self._settings.model))
            return
        if self._successor is None:
            log.info("the model is unchanged", extra=_fields(self.bundle))
            self._give(Record(number, Phase.UNCHANGED))
            return
        self._workers, self._ends_at = frozenset(running), self._clock() + PREPARE_S
        self._give(Record(number, Phase.PREPARE, self._successor.digest))

    def _await_prepared(self, running: Set[int]) -> None:
        states = self._states(self._workers)
        failed = [state.text for state in states.values() if state.phase is Phase.FAILED]
        if failed:
            self._keep(self._order.number, failed[0])
        elif set(running) != self._workers:
            self._keep(self._order.number, "a worker was replaced meanwhile")
        elif all(state.phase is Phase.PREPARED for state in states.values()):
            self._give(Record(self._order.number, Phase.SWITCH))
        elif self._clock() > self._ends_at:
            self._keep(self._order.number, f"not every worker had loaded it within {PREPARE_S:g} s")

    def _await_switched(self, running: Set[int]) -> None:
        """A worker that has ended meanwhile is started with the new model."""
        if self._successor:
            self.bundle, self._successor = self._successor, None
        states = self._states(self._workers & running)
        if all(state.phase is Phase.SWITCHED for state in states.values()):
            log.info("the model was replaced in all workers", extra=_fields(self.bundle))
            self._give(Record(self._order.number, Phase.REPLACED))

    def _states(self, workers: Set[int]) -> dict[int, Record]:
        """How far the workers are with the current order."""
        found = {worker: self._table.state(worker) or Record() for worker in workers}
        number = self._order.number
        return {worker: state if state.number == number else Record() for worker, state in found.items()}

    def _keep(self, number: int, reason: str) -> None:
        self._successor = None
        fields = _fields(self.bundle) | {"reason": reason}
        log.error("no worker has replaced its model: the old one stays in service", extra=fields)
        self._give(Record(number, Phase.KEPT, reason))

    def _give(self, order: Record) -> None:
        self._order = order
        self._table.give(order)


def _fields(bundle: Bundle) -> dict[str, str]:
    return dict(zip(("model", "model_version"), key_of(bundle), strict=True))
