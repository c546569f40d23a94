"""The interface between the command and the engines."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from service.bulk.part import PartCounts


@dataclass(frozen=True, slots=True)
class Job:
    """A run whose plan is written.

    Attributes:
        where: folder or ``s3://bucket/prefix``.
        fields: the settings, for ``PartWorker``.
        parts: number of missing parts.
        workers: maximum number of processes; None: the number of usable CPUs.
        address: of the cluster; None: this machine.
    """

    where: str
    fields: Mapping[str, Any]
    parts: int
    workers: int | None = None
    address: str | None = None


class Engine(Protocol):
    """Processes parts, in any order and on any machine."""

    def __call__(self, job: Job, numbers: Iterable[int], on_done: Callable[[PartCounts], object]) -> None:
        """Process these parts of a job; ``on_done`` is called in this thread after each.

        Raises:
            BundleError, DeviceError, SettingsError: a worker cannot process any part.
            StorageError: the storage fails or refuses, or worker processes keep exiting.
        """
