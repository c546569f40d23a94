"""The engine for many machines: actors of Ray Data, each with one part at a time. Ray runs in a process of its own.

That process may exit silently when the cluster is lost, and Ray writes to its stderr at will; this process reports what
happened, in one line. Each actor has a worker process, like the engine for one machine, so that the same rules leave
out an image at which processes exit.
"""

import contextlib
import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

from contract.bundle import BundleError
from service.bulk.errors import StorageError
from service.bulk.job import Job
from service.bulk.local import run_local
from service.bulk.part import PartCounts
from service.errors import DeviceError
from service.settings import SettingsError
from service.wire import VERSION

# Parts that are submitted to Ray at a time, one block each.
_WAVE = 4096
# Fraction of a GPU for each actor: decoding on one CPU does not keep a GPU busy.
_GPU_SHARE = 0.25
# Seconds between two checks of the nodes, and for which no node may offer what an actor needs.
_LOOK_S, _NO_NODE_S = 2.0, 60.0
_CAUSES = {each.__name__: each for each in (BundleError, DeviceError, SettingsError, StorageError)}
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_USAGE_STATS_REPORT_URL": "http://127.0.0.1:9",  # otherwise it reports that the statistics are off
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "20",
}
_SPAWN = multiprocessing.get_context("spawn")


def check_cluster(address: str | None) -> None:
    """Check what can be checked before the run starts.

    Raises:
        ModuleNotFoundError: the extra ``cluster`` is not installed.
        SettingsError: an address is given, but the cluster requires no token from those that connect.
    """
    if _address(address) and os.environ.get("RAY_AUTH_MODE") != "token":
        raise SettingsError("a Ray cluster runs what anybody sends it: set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH")
    import ray.data  # noqa: F401


def run_ray(job: Job, numbers: Iterable[int], on_done: Callable[[PartCounts], object]) -> None:
    """Process parts on a cluster; an ``Engine`` (``service.bulk.job``). Without an address: on this machine."""
    wanted = list(numbers)
    missing = set(wanted)
    with contextlib.closing(_messages(job, _address(job.address), wanted)) as messages:
        for message in messages:
            if isinstance(message, Exception):
                raise message
            on_done(message)
            missing.discard(message.number)
    if missing:
        raise StorageError("the Ray cluster was lost")


def _address(given: str | None) -> str | None:
    return given or os.environ.get("RAY_ADDRESS")


def _messages(job: Job, address: str | None, numbers: Sequence[int]) -> Generator[PartCounts | Exception, None, None]:
    """The reports of the process that runs Ray, until it exits in whatever way."""
    ours, theirs = _SPAWN.Pipe(duplex=False)
    process = _SPAWN.Process(target=_drive, args=(job, address, numbers, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        with contextlib.suppress(EOFError):
            while True:
                yield ours.recv()
    finally:
        process.kill()  # the cluster notices, and ends the actors
        process.join()


def _drive(job: Job, address: str | None, numbers: Sequence[int], connection: Connection) -> None:
    """The main function of the process that runs Ray: report each finished part, or why the run cannot continue."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    os.environ.update(_QUIET)
    report = _Report(connection)
    try:
        _connect(address)
        threading.Thread(target=_watch_nodes, args=(_needs(job), report), daemon=True).start()
        for start in range(0, len(numbers), _WAVE):
            for row in _rows(job, numbers[start : start + _WAVE]):
                report(_result(row))
    except Exception as error:
        report(_cause(error))
    finally:
        connection.close()


class _Report:
    """Sends messages, from any thread."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._lock = connection, threading.Lock()

    def __call__(self, message: PartCounts | Exception) -> None:
        with self._lock:
            try:
                self._connection.send(message)
            except OSError:
                _end_with_the_command()


def _end_with_the_command() -> None:
    """Exit at once: the process that reads the reports was killed. The cluster then ends the actors of this one."""
    os._exit(1)


def _connect(address: str | None) -> None:
    import ray

    alone: dict[str, Any] = {} if address else {"include_dashboard": False}
    try:
        ray.init(address=address, log_to_driver=False, logging_level="critical", **alone)
    except ConnectionError:  # Ray does not say which
        raise StorageError(f"no Ray cluster answers at {address}, or it rejects the token") from None


def _needs(job: Job) -> dict[str, float]:
    """What an actor needs of a node, in Ray's names."""
    return {"CPU": 1, "GPU": _GPU_SHARE} if job.fields.get("device") == "cuda" else {"CPU": 1}


def _rows(job: Job, numbers: Sequence[int]) -> Iterator[dict[str, Any]]:
    """The rows that actors return, one for each part, in the order in which parts are finished."""
    from ray import data

    context = data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    needs = _needs(job)
    dataset = data.from_items(list(numbers), override_num_blocks=len(numbers)).map_batches(
        _actor_class(job.where, dict(job.fields), VERSION),
        batch_size=1,
        batch_format="numpy",
        compute=data.ActorPoolStrategy(min_size=1, max_size=job.workers, max_tasks_in_flight_per_actor=2),
        num_cpus=needs["CPU"],
        num_gpus=needs.get("GPU"),
        max_restarts=-1,
        max_task_retries=-1,
    )
    yield from dataset.iter_rows()


def _actor_class(where: str, fields: Mapping[str, Any], version: str) -> type:
    """The class of the actors. Their arguments are in it, not in the object store of one node (ray#53727)."""

    class Parts:
        def __init__(self) -> None:
            self._parts = _Parts(where, fields, version)

        def __call__(self, batch: Mapping[str, Sequence[int]]) -> dict[str, list[Any]]:
            return {name: [value] for name, value in self._parts.do(int(batch["item"][0])).items()}

    return Parts


class _Parts:
    """In an actor: has a worker process work on one part after the other.

    An error that ends the run is returned as a row, because Ray keeps only the text of an exception's traceback.
    """

    def __init__(self, where: str, fields: Mapping[str, Any], version: str) -> None:
        self._numbers, self._answers = SimpleQueue[int](), SimpleQueue[PartCounts | Exception]()
        self._job = Job(where, fields, parts=1, workers=1)
        self._failed: Exception | None = None
        if version != VERSION:
            self._failed = SettingsError(f"a node of the cluster has version {VERSION}, and the command {version}")
        else:
            threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            run_local(self._job, iter(self._numbers.get, None), self._answers.put)
        except Exception as error:
            self._answers.put(error)

    def do(self, number: int) -> dict[str, Any]:
        """Process a part. Returns its counts, or the reason why this actor cannot process any part."""
        if self._failed is None:
            self._numbers.put(number)
            answer = self._answers.get()
            if isinstance(answer, PartCounts):
                return _row(number, answer.rows, json.dumps(dict(answer.errors)))
            self._failed = answer
        return _row(number, cause=type(self._failed).__name__, detail=str(self._failed))


def _row(number: int, rows: int = 0, errors: str = "{}", cause: str = "", detail: str = "") -> dict[str, Any]:
    return {"number": number, "rows": rows, "errors": errors, "cause": cause, "detail": detail}


def _result(row: Mapping[str, Any]) -> PartCounts:
    """The counts in a row of an actor.

    Raises:
        BundleError, DeviceError, SettingsError, StorageError: why the actor cannot continue.
    """
    if row["cause"]:
        raise _CAUSES.get(row["cause"], StorageError)(row["detail"])
    return PartCounts(int(row["number"]), int(row["rows"]), json.loads(row["errors"]))


def _cause(error: Exception) -> Exception:
    """An error of Ray as one whose message is one line."""
    if type(error) in _CAUSES.values():
        return error
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return StorageError(f"the Ray cluster: {lines[-1].strip()}")


def _watch_nodes(needs: Mapping[str, float], report: _Report) -> None:
    """Report it if no node could run an actor for too long: Ray itself would wait forever."""
    import ray

    seen_at = time.monotonic()
    while True:
        if (parent := multiprocessing.parent_process()) and not parent.is_alive():
            _end_with_the_command()
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if any(all(node.get(name, 0) >= least for name, least in needs.items()) for node in nodes):
            seen_at = time.monotonic()
        if time.monotonic() - seen_at > _NO_NODE_S:
            wanted = " and ".join(f"{least:g} {name}" for name, least in needs.items())
            report(StorageError(f"for {_NO_NODE_S:.0f} s no node of the Ray cluster has offered {wanted}"))
            return
        time.sleep(_LOOK_S)
