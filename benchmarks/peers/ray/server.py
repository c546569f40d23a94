"""Ray Serve.

- One replica per CPU (``num_replicas``, ``num_cpus``; "Performance Tuning"), each with a session of one thread.
- Dynamic batching by ``@serve.batch`` ("Dynamic Request Batching"), without waiting for further images.
- ``RAY_SERVE_ENABLE_HA_PROXY`` and ``RAY_SERVE_THROUGHPUT_OPTIMIZED``, which "Enable High Throughput on Ray Serve"
  recommends, are set in the environment (``contenders.py``).
"""

import os

import ray
from ray import serve
from starlette.requests import Request

from benchmarks.peers import work


@serve.deployment(num_replicas=work.cpus(), ray_actor_options={"num_cpus": 1}, max_ongoing_requests=100)
class Pneumonia:
    """A replica."""

    def __init__(self) -> None:
        self._decode, self._score = work.decoder(), work.scorer(threads=1)

    @serve.batch(max_batch_size=4, batch_wait_timeout_s=0)
    async def score(self, images: list[bytes]) -> list[float]:
        """The probability of each image."""
        return self._score([self._decode(data) for data in images])

    async def __call__(self, request: Request) -> dict[str, float]:
        """One image."""
        return {"probability": await self.score(await request.body())}


if __name__ == "__main__":
    ray.init(num_cpus=work.cpus(), include_dashboard=False, log_to_driver=False)
    serve.start(
        http_options={"host": "127.0.0.1", "port": int(os.environ["PEER_PORT"])},
        logging_config={"enable_access_log": False},
    )
    serve.run(Pneumonia.bind(), route_prefix="/predict", blocking=True)
