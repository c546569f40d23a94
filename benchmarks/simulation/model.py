"""The queueing model of queueing.py: a discrete-event simulation (simpy) of the service under a closed loop of clients.

In the model:

- CPUs. Every thread computes in slices of a millisecond, and then lets others go first. The event loops and the client
  have priority over the compute threads, which run at a lower one (service/inference/threads/cpus.py).
- The GIL of each worker. A section that holds it takes the GIL and then waits for a CPU, so a thread that is
  descheduled meanwhile blocks the others of its process. A long section releases it after the switch
  interval. Which waiting thread is next is random: each gives up and requests it again after that interval. (Strict
  turns were tried first: 99th percentiles were far below those that were measured on 16 CPUs.)
- Workers. Each has an event loop, which holds the GIL while an image arrives and is answered, and its share of the
  compute threads, one for each CPU, which decode an image and score it in one go (service/inference/reader.py).
- With a GPU, which all workers share: the event loop passes decoded images on, batches are formed without a timer
  (service/inference/batching/batcher.py), and a call of the model takes no CPU; each worker has one at a time.
- The client: one thread on the same CPUs, which sends the next image once one is answered.

Not in it: the network, shared caches, memory bandwidth and hyper-threads (times do not depend on what else runs); the
several threads for a call of the model while nothing else is in flight; checks, limits and other requests.
"""

import random
import statistics
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import simpy

from benchmarks.measuring.timing import percentile
from service.workers.server import SWITCH_INTERVAL_S

# What a process of the simulation yields; simpy resumes it once that has happened.
Steps = Generator[simpy.Event, Any, None]
_SLICE_MS = 1.0
_FIRST, _LAST = 0, 1  # priorities
# Shares of the event loop's time when an image arrives, is passed on to a GPU's batches, and is answered. They hardly
# matter: the same thread does them all.
_ARRIVAL, _BETWEEN, _ANSWER = 0.5, 0.2, 0.3
_MAX_BATCH = 64  # on a GPU, the default of XRAY_MAX_BATCH
_WARM_UP = 0.1
_LEAST_MS = 1e-9


@dataclass(frozen=True, slots=True)
class Times:
    """Service times in milliseconds, 0 or more.

    Attributes:
        decode_ms: CPU time of decoding, for each image of a sample of one or more.
        decode_gil_ms: the part of it, on average, that holds the GIL.
        decode_sections: how many times decoding takes the GIL, 1 or more.
        model_ms: time of one call of the model by its number of images, for 1 and up to the largest batch at least; for
            a number that is missing, the next larger one's.
        model_gil_ms: the part of a call that holds the GIL.
        loop_ms: CPU time of the event loop for an image; it holds the GIL.
        client_ms: CPU time of the client for an image.
    """

    decode_ms: tuple[float, ...]
    decode_gil_ms: float
    decode_sections: int
    model_ms: dict[int, float]
    model_gil_ms: float
    loop_ms: float
    client_ms: float

    def call_ms(self, size: int) -> float:
        """The time of a call with this many images."""
        return self.model_ms[min(known for known in self.model_ms if known >= size)]


@dataclass(frozen=True, slots=True)
class Setup:
    """What is simulated.

    Attributes:
        cpus: of the machine.
        workers: processes.
        connections: each has one image in flight.
        gpu: whether the model runs on a GPU; else in the compute threads.
        switch_ms: after which a thread hands the GIL over, in milliseconds.
    """

    cpus: int
    workers: int
    connections: int
    gpu: bool = False
    switch_ms: float = 1e3 * SWITCH_INTERVAL_S

    @property
    def threads(self) -> int:
        """Compute threads of each worker."""
        return max(1, self.cpus // self.workers)


@dataclass(frozen=True, slots=True)
class Predicted:
    """Images per second, percentiles and mean of the time from one image's sending to the next on a connection, and the
    mean size of a batch.
    """

    rate: float
    p50_ms: float
    p99_ms: float
    mean_ms: float
    batch: float


def simulate(times: Times, setup: Setup, images: int = 3000, seed: int = 0) -> Predicted:
    """Predict the figures of a closed loop, after a warm-up of a tenth of the images. The same seed gives the same.

    Args:
        times: the service times.
        setup: what is simulated.
        images: answered in the simulation; at least twenty times the connections are.
        seed: of what is left to chance: the images of the sample, and who has the GIL next.
    """
    run = _Run(times, setup, max(images, 20 * setup.connections), random.Random(seed))
    run.env.run(run.done)
    answered = run.answered[int(_WARM_UP * len(run.answered)) :]
    took = [end - began for began, end in answered]
    span_ms = answered[-1][1] - answered[0][1]
    p50, p99 = percentile(took, 0.5), percentile(took, 0.99)
    return Predicted(1e3 * (len(answered) - 1) / span_ms, p50, p99, statistics.mean(took), statistics.mean(run.batches))


class _Run:
    """One simulation: the machine, its client and its workers."""

    def __init__(self, times: Times, setup: Setup, images: int, chance: random.Random) -> None:
        self.env = simpy.Environment()
        self.times, self.setup, self._images, self.chance = times, setup, images, chance
        self._cpus = simpy.PriorityResource(self.env, setup.cpus)
        self._client, self.gpu = simpy.Resource(self.env), simpy.Resource(self.env)
        self.done, self.answered, self.batches = self.env.event(), list[tuple[float, float]](), list[int]()
        workers = [_Worker(self) for _ in range(setup.workers)]
        for number in range(setup.connections):  # a new connection goes to the worker that has fewest
            self.env.process(self._connection(workers[number % setup.workers]))

    def compute(self, ms: float, priority: int) -> Steps:
        """Use a CPU for ``ms`` milliseconds."""
        while ms > _LEAST_MS:
            with self._cpus.request(priority) as cpu:
                yield cpu
                yield self.env.timeout(min(ms, _SLICE_MS))
            ms -= _SLICE_MS

    def _connection(self, worker: "_Worker") -> Steps:
        while True:
            began = self.env.now
            with self._client.request() as client:
                yield client
                yield from self.compute(self.times.client_ms, _FIRST)
            yield from worker.image(self.chance.choice(self.times.decode_ms))
            self.answered.append((began, self.env.now))
            if len(self.answered) == self._images:
                self.done.succeed()


class _Worker:
    """A worker process."""

    def __init__(self, run: _Run) -> None:
        self._run, self._times, self._env = run, run.times, run.env
        self._gil, self._loop = simpy.PriorityResource(run.env), simpy.Resource(run.env)
        self._threads = simpy.Resource(run.env, run.setup.threads)
        self._queue = simpy.Store(run.env)
        run.env.process(self._batches())

    def image(self, decode_ms: float) -> Steps:
        """From request to answer."""
        yield from self._visit(_ARRIVAL)
        with self._threads.request() as thread:
            yield thread
            yield from self._partly_locked(decode_ms, self._times.decode_gil_ms, self._times.decode_sections)
            if not self._run.setup.gpu:
                self._run.batches.append(1)
                yield from self._partly_locked(self._times.call_ms(1), self._times.model_gil_ms, 1)
        if self._run.setup.gpu:
            yield from self._visit(_BETWEEN)
            scored = self._env.event()
            yield self._queue.put(scored)
            yield scored
            yield from self._visit(_ANSWER)
        else:
            yield from self._visit(_BETWEEN + _ANSWER)

    def _visit(self, share: float) -> Steps:
        """Something that the event loop does."""
        with self._loop.request() as loop:
            yield loop
            yield from self._locked(share * self._times.loop_ms, _FIRST)

    def _batches(self) -> Steps:
        """The task that forms batches of what waits, and has the GPU score them."""
        while True:
            jobs = [(yield self._queue.get())]
            waiting = self._queue.items
            while waiting and len(jobs) < _MAX_BATCH:
                jobs.append(waiting.pop(0))
            self._run.batches.append(len(jobs))
            yield from self._locked(self._times.model_gil_ms / 2, _FIRST)
            with self._run.gpu.request() as gpu:
                yield gpu
                yield self._env.timeout(self._times.call_ms(len(jobs)))
            yield from self._locked(self._times.model_gil_ms / 2, _FIRST)
            for job in jobs:
                job.succeed()

    def _partly_locked(self, ms: float, gil_ms: float, sections: int) -> Steps:
        """Compute in a compute thread; ``gil_ms`` of it, in ``sections`` of equal length, hold the GIL."""
        gil_ms = min(gil_ms, ms)
        for _ in range(sections):
            yield from self._locked(gil_ms / sections, _LAST)
            yield from self._run.compute((ms - gil_ms) / sections, _LAST)

    def _locked(self, ms: float, priority: int) -> Steps:
        """Compute while holding the GIL."""
        switch_ms = self._run.setup.switch_ms
        while ms > _LEAST_MS:
            with self._gil.request(self._run.chance.getrandbits(32)) as gil:
                yield gil
                yield from self._run.compute(min(ms, switch_ms), priority)
            ms -= switch_ms
