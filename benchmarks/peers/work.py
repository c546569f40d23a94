"""The work that every peer does, and no more than that: bytes to pixels, pixels to probabilities.

It is told what to do by three variables of the environment: ``PEER_GRAPH`` is an ONNX file of a bundle, ``PEER_DECODE``
one of ``DECODERS``, ``PEER_CPUS`` how many CPUs there are to share among the peer's processes.
"""

import io
import os
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contract.image import SIDE, to_pixels

import onnxruntime  # isort: skip  after contract, which tells it not to phone home

Pixels = NDArray[np.uint8]


def decode_full(data: bytes) -> Pixels:
    """What people ordinarily write: all of the file, then grey, then small. uint8 (200, 200, 1)."""
    with Image.open(io.BytesIO(data)) as image:
        small = image.convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(small)[..., np.newaxis]


# "contract" is the very call that our service makes.
DECODERS: dict[str, Callable[[bytes], Pixels]] = {"contract": to_pixels, "full": decode_full}


def cpus() -> int:
    """How many CPUs the peer has."""
    return int(os.environ["PEER_CPUS"])


def decoder() -> Callable[[bytes], Pixels]:
    """The decoder that was asked for."""
    return DECODERS[os.environ["PEER_DECODE"]]


def open_session(graph: str | bytes, threads: int) -> onnxruntime.InferenceSession:
    """A session on the CPU as our service opens it: an ONNX file or its bytes, with so many threads a run."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


class Scorer:
    """A graph in a session with the options that our service gives its own.

    Args:
        graph: an ONNX file of a bundle.
        threads: of one run.
    """

    def __init__(self, graph: str, threads: int) -> None:
        self._session = open_session(graph, threads)

    def __call__(self, pixels: Sequence[Pixels]) -> list[float]:
        """The probability of each image, in one run."""
        probabilities: NDArray[np.float32] = self._session.run(["probability"], {"image": np.stack(pixels)})[0]
        return [float(probability) for probability in probabilities]


def scorer(threads: int) -> Scorer:
    """The graph that was asked for, with so many threads a run."""
    return Scorer(os.environ["PEER_GRAPH"], threads)
