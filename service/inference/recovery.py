"""Recovery of a model after faults: a probe with a blank image, then a new session."""

import asyncio
import logging
import weakref
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from contract.image import SIDE
from service.errors import BackendFault, ServiceError
from service.inference.backend import Backend, Outputs
from service.inference.batching.batcher import Batcher
from service.inference.threads.calls import RunningCalls

# Seconds before the first attempt, and at most before a later one; failed attempts after which it gives up.
_PAUSE_S, _MAX_PAUSE_S, _MAX_ATTEMPTS = 1.0, 60.0, 5

log = logging.getLogger(__name__)


class SupervisedBackend:
    """A backend whose calls are counted while they run, and which can be replaced while it is in use; ``current`` is
    the one in use.

    Args:
        backend: the model.
        calls: where its calls are counted.
        on_replaced: refers to the function that is called after it was replaced, if that is still there.
    """

    def __init__(
        self, backend: Backend, calls: RunningCalls, on_replaced: "weakref.ReferenceType[Callable[[], None]]"
    ) -> None:
        self.current, self._calls, self._on_replaced = backend, calls, on_replaced

    @property
    def provider(self) -> str:
        """The execution provider of the live session, which may differ from the requested one."""
        return self.current.provider

    @property
    def graph(self) -> str:
        """The name of the ONNX file in the bundle that is in use."""
        return self.current.graph

    def predict(self, batch: NDArray[np.uint8], *, explain: bool = False, alone: bool = False) -> Outputs:
        """Score a batch; the arguments are those of ``Backend.predict``."""
        return self._calls.run(partial(self.current.predict, batch, explain=explain, alone=alone))

    def replace(self, backend: Backend) -> None:
        """Use another backend from the next call on."""
        self.current = backend
        if on_replaced := self._on_replaced():
            on_replaced()


class _NoSession:
    """Stands in for a backend while its successor is loaded, so that a GPU need not hold both."""

    def __init__(self, provider: str, graph: str) -> None:
        self.provider, self.graph = provider, graph

    def predict(self, *_: object, **__: object) -> Outputs:
        raise RuntimeError("the session of the model is being rebuilt")


class Recovery:
    """Restores a model whose calls keep failing. Requests could not do that: a load balancer sends none to a service
    that is not ready.

    A blank image is scored, beside other images if there are any: one of these may be what makes calls fail. If the
    blank one fails, too, the session is rebuilt, and the image is scored again. The pause between two attempts doubles
    from one second to a minute.

    Args:
        batcher: of the model; counts its consecutive faults.
        backend: of the model.
        reopen: loads the model again, as at the start; called in a thread.
        faults: number of consecutive faults after which to begin.
        deadline_s: maximum seconds for the blank image.
    """

    def __init__(
        self,
        batcher: Batcher,
        backend: SupervisedBackend,
        reopen: Callable[[], Backend],
        *,
        faults: int,
        deadline_s: float,
    ) -> None:
        self._batcher, self._backend, self._reopen = batcher, backend, reopen
        self._faults, self._deadline_s = faults, deadline_s
        self._attempts = 0  # failed ones in a row

    @property
    def has_failed(self) -> bool:
        """Whether the last five attempts have failed. The error of a GPU, for one, can outlast all sessions of its
        process.
        """
        return self._attempts >= _MAX_ATTEMPTS

    async def run(self) -> None:
        """Attempt to recover whenever it is due, until cancelled."""
        while True:
            await asyncio.sleep(min(_PAUSE_S * 2**self._attempts, _MAX_PAUSE_S))
            if self._batcher.scorer.faults < self._faults:
                self._attempts = 0
            elif await self._fails():
                await self._rebuild()
                self._attempts = self._attempts + 1 if await self._fails() else 0

    async def _fails(self) -> bool:
        """Whether the model fails on a blank image. False if that is not known: the queue is full, or a call hangs."""
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._batcher.submit(np.zeros((SIDE, SIDE, 1), np.uint8))
        except BackendFault:
            return True
        except (ServiceError, TimeoutError):
            return False
        self._batcher.scorer.faults = 0
        log.info("the model works again", extra={"provider": self._backend.provider, "graph": self._backend.graph})
        return False

    async def _rebuild(self) -> None:
        log.warning("the model has failed %d times in a row: its session is rebuilt", self._batcher.scorer.faults)
        self._backend.replace(_NoSession(self._backend.provider, self._backend.graph))
        try:
            self._backend.replace(await asyncio.to_thread(self._reopen))
        except Exception as error:  # of onnxruntime, too, whose exceptions have no common base class
            log.error("the session of the model cannot be rebuilt", extra={"reason": str(error)})
