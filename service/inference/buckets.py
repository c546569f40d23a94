"""Running a graph on a GPU: batches of a few fixed sizes (buckets), each with its own session and memory.

Since version 1.20, onnxruntime's CUDA convolutions cache one cuDNN plan only, that of the last shape; another shape
causes a new plan (microsoft/onnxruntime#23006). On an H200 this turned a call of 1 ms into one of 50 ms whenever a
batch had another size than the one before. So a batch is padded to the size of the next bucket, and each bucket has its
own session, which never sees another shape. Every session runs once before the service is ready, so no request waits
for a plan.
"""

import threading
from collections.abc import Mapping, Sequence

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from contract.bundle import INPUT
from contract.image import SIDE

Rows = NDArray[np.float32]

# Each session costs start-up time and memory, and padding a small batch to four times its size costs a GPU hardly
# anything. The maximum of XRAY_MAX_BATCH, 256, is four times the last size.
_SIZES = (1, 4, 16, 64)


def bucket_sizes(largest: int) -> tuple[int, ...]:
    """The sizes of the buckets, ascending, up to and including the largest batch."""
    return (*(size for size in _SIZES if size < largest), largest)


class Buckets:
    """Runs a graph on CUDA. The constructor warms up every bucket.

    Thread-safe, and calls are serialised: a binding can be used by one run at a time (otherwise
    microsoft/onnxruntime#14998), and two concurrent runs would share the GPU and finish no earlier.

    Args:
        sessions: CUDA sessions of the graph by batch size, in ascending order.
    """

    def __init__(self, sessions: Mapping[int, onnxruntime.InferenceSession]) -> None:
        self._lock = threading.Lock()
        self._buckets = [_Bucket(session, size) for size, session in sessions.items()]

    def run(self, names: Sequence[str], batch: NDArray[np.uint8]) -> list[Rows]:
        """Compute the named outputs for a batch.

        Args:
            names: of the outputs.
            batch: uint8 (n, 200, 200, 1), n at most the size of the largest bucket.

        Returns:
            n rows per output, in the order of the batch.

        Raises:
            ValueError: the batch exceeds the largest bucket.
        """
        for bucket in self._buckets:
            if len(batch) <= bucket.size:
                with self._lock:
                    return bucket.run(tuple(names), batch)
        raise ValueError(f"a batch of {len(batch)} images exceeds the largest bucket, {self._buckets[-1].size}")


class _Bucket:
    """One batch size: its session, its buffers in host and GPU memory, and a binding for each set of outputs."""

    def __init__(self, session: onnxruntime.InferenceSession, size: int) -> None:
        self.size = size
        self._session = session
        self._pixels = np.zeros((size, SIDE, SIDE, 1), np.uint8)
        self._input = onnxruntime.OrtValue.ortvalue_from_shape_and_type(self._pixels.shape, np.uint8, "cuda", 0)
        self._bindings: dict[tuple[str, ...], onnxruntime.IOBinding] = {}
        names = tuple(output.name for output in session.get_outputs())
        # The shape of an output is known only after a run. This run also warms the session up.
        outputs = session.run(names, {INPUT: self._pixels})
        self._outputs = {name: np.empty_like(rows) for name, rows in zip(names, outputs, strict=True)}
        self.run(names, self._pixels)

    def run(self, names: tuple[str, ...], batch: NDArray[np.uint8]) -> list[Rows]:
        count = len(batch)
        self._pixels[:count] = batch
        self._pixels[count:] = 0  # clears the images of an earlier batch
        self._input.update_inplace(self._pixels)
        self._session.run_with_iobinding(self._binding(names))
        return [self._outputs[name][:count].copy() for name in names]

    def _binding(self, names: tuple[str, ...]) -> onnxruntime.IOBinding:
        """The input is copied as uint8 into a persistent GPU buffer; each output is copied once, into a host buffer."""
        if names not in self._bindings:
            binding = self._session.io_binding()
            binding.bind_ortvalue_input(INPUT, self._input)
            for name in names:
                rows = self._outputs[name]
                binding.bind_output(name, "cpu", 0, rows.dtype.type, rows.shape, rows.ctypes.data)
            self._bindings[names] = binding
        return self._bindings[names]
