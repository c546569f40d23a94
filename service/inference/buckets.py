"""Batches of a few sizes only, each with a session and memory of its own: how a graph is run on a GPU.

Since version 1.20, onnxruntime's convolutions on CUDA keep one plan of cuDNN's, for the shape that came last; any other
makes a new plan (microsoft/onnxruntime#23006). On an H200 that made of a call of 1 ms one of 50, each time that a batch
had another size than the one before. So a batch is padded to the next of a few sizes, its bucket, and each bucket has a
session, which never sees another shape. All were run once before the service is ready: nobody waits for a plan.
"""

import threading
from collections.abc import Mapping, Sequence

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from contract.bundle import INPUT
from contract.image import SIDE

Rows = NDArray[np.float32]

# Each session takes time at the start, and memory; a GPU hardly notices padding to four times a batch of a few. The
# most that XRAY_MAX_BATCH may be, 256, is four times the last.
_SIZES = (1, 4, 16, 64)


def bucket_sizes(largest: int) -> tuple[int, ...]:
    """Those below the largest; and the largest itself."""
    return (*(size for size in _SIZES if size < largest), largest)


class Buckets:
    """Runs a graph on CUDA, in buckets that are all warm once this is built.

    Calls from several threads are safe, and one waits for the other: a binding belongs to one run at a time
    (microsoft/onnxruntime#14998 is what happens else), and two runs would share the GPU without being done earlier.

    Args:
        sessions: of the graph, on CUDA, by the size of batch that each is for; in ascending order.
    """

    def __init__(self, sessions: Mapping[int, onnxruntime.InferenceSession]) -> None:
        self._lock = threading.Lock()
        self._buckets = [_Bucket(session, size) for size, session in sessions.items()]

    def run(self, names: Sequence[str], batch: NDArray[np.uint8]) -> list[Rows]:
        """The named outputs for a batch, uint8 (n, 200, 200, 1), n at most the largest: n rows each, in its order.

        Raises:
            ValueError: the batch is over the largest.
        """
        for bucket in self._buckets:
            if len(batch) <= bucket.size:
                with self._lock:
                    return bucket.run(tuple(names), batch)
        raise ValueError(f"a batch of {len(batch)} images is over the largest, {self._buckets[-1].size}")


class _Bucket:
    """One size of batch: its session, its memory on both sides of the bus, and what is bound to that for each choice of
    outputs.
    """

    def __init__(self, session: onnxruntime.InferenceSession, size: int) -> None:
        self.size = size
        self._session = session
        self._pixels = np.zeros((size, SIDE, SIDE, 1), np.uint8)
        self._input = onnxruntime.OrtValue.ortvalue_from_shape_and_type(self._pixels.shape, np.uint8, "cuda", 0)
        self._bindings: dict[tuple[str, ...], onnxruntime.IOBinding] = {}
        names = tuple(output.name for output in session.get_outputs())
        # What an output measures, only a run tells; it is the first of this shape, too.
        found = session.run(names, {INPUT: self._pixels})
        self._outputs = {name: np.empty_like(rows) for name, rows in zip(names, found, strict=True)}
        self.run(names, self._pixels)

    def run(self, names: tuple[str, ...], batch: NDArray[np.uint8]) -> list[Rows]:
        count = len(batch)
        self._pixels[:count] = batch
        self._pixels[count:] = 0  # not what another patient left there
        self._input.update_inplace(self._pixels)
        self._session.run_with_iobinding(self._binding(names))
        return [self._outputs[name][:count].copy() for name in names]

    def _binding(self, names: tuple[str, ...]) -> onnxruntime.IOBinding:
        """The pixels go over the bus as uint8 into memory that stays; each output comes back once, into ours."""
        if names not in self._bindings:
            binding = self._session.io_binding()
            binding.bind_ortvalue_input(INPUT, self._input)
            for name in names:
                rows = self._outputs[name]
                binding.bind_output(name, "cpu", 0, rows.dtype.type, rows.shape, rows.ctypes.data)
            self._bindings[names] = binding
        return self._bindings[names]
