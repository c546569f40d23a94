"""mosec.

- Decoding and inference are two concurrent stages, as in its image recognition example ("PyTorch examples",
  ``resnet50_msgpack.py``).
- One decoding process per CPU (``num``: "the number of processes for parallel computing").
- One inference process with one thread per CPU and dynamic batching (``max_batch_size``) with the shortest possible
  wait for further images (``max_wait_time``: the minimum is 1 ms, the default 10).
"""

import json
from typing import Any

from mosec import Server, Worker

from benchmarks.peers import work


class Decode(Worker):
    """Bytes to pixels."""

    def __init__(self) -> None:
        super().__init__()
        self._decode = work.decoder()

    def deserialize(self, data: bytes) -> bytes:
        """The body is the image; by default, mosec would parse it as JSON. It comes as a bytearray."""
        return bytes(data)

    def forward(self, data: bytes) -> work.Pixels:
        """One image."""
        return self._decode(data)


class Score(Worker):
    """Pixels to probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self._score = work.scorer(threads=work.cpus())

    def forward(self, data: list[work.Pixels]) -> list[float]:
        """A batch."""
        return self._score(data)

    def serialize(self, data: Any) -> bytes:
        """A probability to the response."""
        return json.dumps({"probability": data}).encode()


if __name__ == "__main__":
    server = Server()
    server.append_worker(Decode, num=work.cpus(), route="/predict", timeout=30)
    server.append_worker(Score, num=1, max_batch_size=4, max_wait_time=1, route="/predict", timeout=30)
    server.run()
