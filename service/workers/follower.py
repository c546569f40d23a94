"""A worker's part in replacing the model of all workers: it prepares, switches or keeps as the parent orders."""

import asyncio
import logging
import os
import signal

from service.core import Reload, Service
from service.errors import ModelConflict, UnsoundModel
from service.inference.model import Model
from service.inference.repository import key_of
from service.workers.coordinator import PREPARE_S
from service.workers.swap import ENDED, Phase, Record, SwapSlot

_POLL_S = 0.05

log = logging.getLogger(__name__)


class Follower:
    """Follows the orders of the parent. ``POST /model/reload`` in this worker asks the parent to give one.

    Args:
        slot: of this worker.
        parent: process id.
        service: what this worker serves.
    """

    def __init__(self, slot: SwapSlot, parent: int, service: Service) -> None:
        self._slot, self._parent, self._service = slot, parent, service
        self._number = self._ended = slot.last_order
        self._task: asyncio.Task[None] | None = None
        self._successor: Model | None = None
        service.reload = self._ask_parent

    def start(self) -> None:
        """Leave SIGHUP to the parent: a terminal sends it to every process."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def step(self) -> None:
        """Follow the current order. Called by the event loop several times a second."""
        order = self._slot.table.order()
        if order is None:
            return
        if order.number != self._number:
            self._number = order.number
            self._drop()
            if order.phase is Phase.PREPARE:
                self._task = asyncio.create_task(self._prepare(order), name="prepare")
        if order.phase is Phase.SWITCH:
            self._switch(order)
        elif order.phase in ENDED and order.number != self._ended:
            self._ended = order.number
            self._drop()
            self._service.metrics.swap_failed.set(order.phase is Phase.KEPT)

    async def _prepare(self, order: Record) -> None:
        try:
            self._successor = await self._service.open_successor(order.text)
        except UnsoundModel as error:  # logged where it was found
            self._report(Record(order.number, Phase.FAILED, str(error)))
        except Exception:
            log.exception("the new model could not be loaded")
            self._report(Record(order.number, Phase.FAILED, "an unexpected error; the log has the cause"))
        else:
            self._report(Record(order.number, Phase.PREPARED))

    def _switch(self, order: Record) -> None:
        if self._successor:
            self._service.switch(self._successor)
            self._successor = None
        self._report(Record(order.number, Phase.SWITCHED))

    def _drop(self) -> None:
        """Stop preparing, and release what is prepared."""
        if self._task:
            self._task.cancel()
            self._task = None
        if self._successor:
            self._task = asyncio.create_task(self._successor.stop(), name="drop")
            self._successor = None

    def _report(self, state: Record) -> None:
        self._slot.table.report(self._slot.worker, state)

    async def _ask_parent(self) -> Reload:
        """Have the model replaced in all workers.

        Raises:
            UnsoundModel: no worker has replaced it.
            ModelConflict: it is being replaced already.
        """
        before, previous = self._slot.table.order(), key_of(self._service.main)
        if before is None or before.phase not in ENDED:
            raise ModelConflict("the model is being replaced: retry when that is done")
        os.kill(self._parent, signal.SIGHUP)
        async with asyncio.timeout(2 * PREPARE_S):
            order = await self._next_end(before)
        if order.phase is Phase.KEPT:
            raise UnsoundModel(order.text)
        return Reload(previous, key_of(self._service.main))

    async def _next_end(self, before: Record) -> Record:
        """The next order that has ended."""
        while True:
            await asyncio.sleep(_POLL_S)
            order = self._slot.table.order()
            if order and order.number != before.number and order.phase in ENDED:
                return order
