"""Recovery of a model after faults."""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from service.inference.backend import Backend, Outputs
from service.inference.calls import RunningCalls


class SupervisedBackend:
    """A backend whose calls are counted while they run, and which can be replaced while it is in use.

    Args:
        backend: the model.
        calls: where its calls are counted.
    """

    def __init__(self, backend: Backend, calls: RunningCalls) -> None:
        self._backend, self._calls = backend, calls

    @property
    def provider(self) -> str:
        """The execution provider of the live session, which may differ from the requested one."""
        return self._backend.provider

    @property
    def graph(self) -> str:
        """The name of the ONNX file in the bundle that is in use."""
        return self._backend.graph

    def predict(self, batch: NDArray[np.uint8], *, explain: bool = False, alone: bool = False) -> Outputs:
        """Score a batch; the arguments are those of ``Backend.predict``."""
        return self._calls.run(partial(self._backend.predict, batch, explain=explain, alone=alone))

    def replace(self, backend: Backend) -> None:
        """Use another backend from the next call on."""
        self._backend = backend
