"""LitServe.

- Batching by ``max_batch_size`` and ``batch_timeout`` ("Batching"); with a timeout of 0, the default, a batch consists
  of the queued images, and a single image does not wait for others.
- One worker process per CPU (``workers_per_device``, "Types of parallelism": multiprocessing for CPU-bound work), each
  with a session of one thread.
- ``fast_queue``, which the reference of ``LitServer`` recommends for high throughput.
"""

import os
from typing import Annotated, Any

import litserve
from fastapi import Body

from benchmarks.peers import work

Image = Annotated[bytes, Body(media_type="image/jpeg")]


class Pneumonia(litserve.LitAPI):
    """The steps that LitServe calls."""

    def setup(self, device: str) -> None:
        """Called once in each worker."""
        self._decode, self._score = work.decoder(), work.scorer(threads=1)

    def decode_request(self, request: Image) -> work.Pixels:
        """Bytes to pixels."""
        return self._decode(request)

    def batch(self, inputs: list[work.Pixels]) -> list[work.Pixels]:
        """The scorer accepts a list."""
        return inputs

    def predict(self, x: list[work.Pixels]) -> list[float]:
        """Pixels to probabilities."""
        return self._score(x)

    def encode_response(self, output: float) -> dict[str, Any]:
        """A probability to the response."""
        return {"probability": output}


if __name__ == "__main__":
    api = Pneumonia(max_batch_size=4, batch_timeout=0, api_path="/predict")
    server = litserve.LitServer(api, accelerator="cpu", devices=1, workers_per_device=work.cpus(), fast_queue=True)
    server.run(host="127.0.0.1", port=int(os.environ["PEER_PORT"]), log_level="warning", generate_client_file=False)
