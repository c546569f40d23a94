"""The work that every peer does: bytes to pixels, pixels to probabilities.

Four environment variables configure it: ``PEER_GRAPH`` is an ONNX file of a bundle,
``PEER_CONTRACT`` that bundle's image contract, ``PEER_DECODE`` one of ``DECODERS``,
``PEER_CPUS`` the number of CPUs for all processes of a peer.
"""

import io
import os
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from contract.image import SIDE, to_pixels

import onnxruntime  # isort: skip  after contract, which turns its telemetry off

Pixels = NDArray[np.uint8]


def decode_full(data: bytes) -> Pixels:
    """The usual way: decode at full scale, convert to grey, resize. Returns uint8 (200, 200, 1)."""
    with Image.open(io.BytesIO(data)) as image:
        small = image.convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(small)[..., np.newaxis]


# As the bundle's image contract says, by the function that our service uses; or the usual way.
DECODERS = ("contract", "full")


def cpus() -> int:
    """The number of CPUs of the peer."""
    return int(os.environ["PEER_CPUS"])


def decoder_of(name: str, contract: int) -> Callable[[bytes], Pixels]:
    """One of ``DECODERS``, for a bundle with this image contract."""
    return decode_full if name == "full" else partial(to_pixels, contract=contract)


def decoder() -> Callable[[bytes], Pixels]:
    """The configured decoder."""
    return decoder_of(os.environ["PEER_DECODE"], int(os.environ["PEER_CONTRACT"]))


def open_session(graph: str | bytes, threads: int) -> onnxruntime.InferenceSession:
    """A CPU session with the options of our service.

    Args:
        graph: an ONNX file, or its bytes.
        threads: per run.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


class Scorer:
    """A graph in a session with the options of our service.

    Args:
        graph: an ONNX file of a bundle.
        threads: per run.
    """

    def __init__(self, graph: str, threads: int) -> None:
        self._session = open_session(graph, threads)

    def __call__(self, pixels: Sequence[Pixels]) -> list[float]:
        """The probability of each image, in one run."""
        probabilities: NDArray[np.float32] = self._session.run(["probability"], {"image": np.stack(pixels)})[0]
        return [float(probability) for probability in probabilities]


def scorer(threads: int) -> Scorer:
    """The configured graph, with this number of threads per run."""
    return Scorer(os.environ["PEER_GRAPH"], threads)
